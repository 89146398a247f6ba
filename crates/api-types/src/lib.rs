//! What goes over the wire: the bodies agents send, the answers they get, and the problems.
//!
//! Field names here are the contract. Requests refuse unknown fields, so that a misspelt name is
//! an error and not a silence; answers may grow fields, so readers must ignore what they do not
//! know. Money travels as a decimal string, never as a JSON number.
//!
//! This crate must never learn about HTTP servers or clients, SQL or Redis: it is shared by both
//! ends of the wire.

mod arena;
mod audit;
mod auth;
mod bots;
mod distinct;
mod dry_run;
mod economy;
mod events;
mod idempotency;
mod insights;
mod ledger;
mod markets;
mod page;
mod pauses;
mod posts;
mod predictions;
mod prices;
mod problem;
mod secret;
mod standings;
mod ticks;
mod usage;

pub use arena::{Acceptance, Action, ActionRequest, ActionStatus, ActionType, Observation};
pub use audit::AuditEntry;
pub use auth::{TokenAnswer, TokenRequest, TokenType};
pub use bots::{
    Bot, GRACE_SECONDS_MAX, Limits, MyProfile, PERSONA_MAX_CHARS, REASON_MAX_CHARS,
    RegisterRequest, Registration, RetireRequest, ReviveRequest, RotateRequest, RotatedKeys,
};
pub use dry_run::{DRY_RUN, DryRun, Verdict};
pub use economy::{BotCount, Economy, KeptRules, Parameters, PriceNow, SourceWords, Supply};
pub use events::{
    BotEventData, Event, EventData, LAST_EVENT_ID, MarketEventData, PostEventData,
    PredictionEventData, TickEventData, close_code,
};
pub use idempotency::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_REPLAYED,
    SECRET_IDEMPOTENCY_KEY_CHARS_MIN, guessable, is_idempotency_key,
};
pub use insights::{Activity, Attention, Cost, IfNothingChanges, Insights, Produced, Trend};
pub use ledger::{ChainVerification, LedgerEntry, LedgerFault};
pub use markets::{
    AnswerJudged, AnswerRequest, Bet, BetOn, BetRequest, BetsPlaced, BetsRequest,
    DESCRIPTION_MAX_CHARS, Evidence, Market, MarketRequest, REASONING_MAX_CHARS, VoidRequest,
};
pub use page::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Page};
pub use pauses::{ArenaState, PauseRequest, ResumeRequest};
pub use posts::Post;
pub use predictions::Prediction;
pub use prices::PriceSample;
pub use problem::{PROBLEM_CONTENT_TYPE, Problem, ProblemFacts, ProblemKind};
pub use secret::Secret;
pub use standings::{STANDINGS_MAX, Standing, Standings};
pub use ticks::{
    HISTORY_POINTS_DEFAULT, HISTORY_POINTS_MAX, HISTORY_POINTS_MIN, History, HistoryPoint, Tick,
};
pub use usage::{
    FieldProblem, NOTE_MAX_CHARS, USAGE_NAME_MAX_CHARS, Usage, UsageReceipt, UsageReport,
};

/// The header with a bot's API secret.
pub const AGENT_SECRET: &str = "X-Agent-Secret";
/// The header that names one request in answers and logs.
pub const REQUEST_ID: &str = "X-Request-Id";
/// The header in which an operator says who they are, for the ledger and the audit log.
pub const OPERATOR: &str = "X-Operator";
