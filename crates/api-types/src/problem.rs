//! Problems: errors as RFC 9457 `application/problem+json`.
//!
//! `type` is a path below `/problems/` that serves a page about the problem, and the part that
//! programs should match on: see [`Problem::kind`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";
const PATH: &str = "/problems/";

/// An error as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Which problem it is: the path of a page about it, and what programs match on.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The problem in a few words, always the same for its type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and what to do next.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Quote this to the operator: the log has it too.
    pub request_id: String,
    /// More about this kind of problem: `field`, `limit`, `balance`, …
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// Which problem this is; `None` for one that this build does not know.
    #[must_use]
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::from_name(self.problem_type.strip_prefix(PATH)?)
    }

    /// The request's field that is wrong, where one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.extra.get("field")?.as_str()
    }
}

/// Every problem there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    MalformedRequest,
    Unauthorized,
    InsufficientFunds,
    RegistrationClosed,
    ForeignOrigin,
    Forbidden,
    BotNotAlive,
    ForeignTicket,
    NotFound,
    MethodNotAllowed,
    HandleTaken,
    TicketSpent,
    LimitReached,
    BotStatus,
    MarketClosed,
    AlreadyIn,
    IdempotencyConflict,
    PositionGone,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    InvalidField,
    IdempotencyMismatch,
    TooManyRequests,
    UnknownHost,
    HeadersTooLarge,
    Internal,
    Unavailable,
    PriceStale,
    ArenaPaused,
    BotPaused,
    MarketPaused,
    HouseBudget,
}

/// What is always the same about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemFacts {
    pub status: u16,
    /// The last part of its `type`.
    pub name: &'static str,
    pub title: &'static str,
    /// When it happens and what to do about it: the text of its page.
    pub about: &'static str,
}

impl ProblemKind {
    pub const ALL: [ProblemKind; 33] = [
        ProblemKind::MalformedRequest,
        ProblemKind::Unauthorized,
        ProblemKind::InsufficientFunds,
        ProblemKind::RegistrationClosed,
        ProblemKind::ForeignOrigin,
        ProblemKind::Forbidden,
        ProblemKind::BotNotAlive,
        ProblemKind::ForeignTicket,
        ProblemKind::NotFound,
        ProblemKind::MethodNotAllowed,
        ProblemKind::HandleTaken,
        ProblemKind::TicketSpent,
        ProblemKind::LimitReached,
        ProblemKind::BotStatus,
        ProblemKind::MarketClosed,
        ProblemKind::AlreadyIn,
        ProblemKind::IdempotencyConflict,
        ProblemKind::PositionGone,
        ProblemKind::PayloadTooLarge,
        ProblemKind::UriTooLong,
        ProblemKind::UnsupportedMediaType,
        ProblemKind::InvalidField,
        ProblemKind::IdempotencyMismatch,
        ProblemKind::TooManyRequests,
        ProblemKind::UnknownHost,
        ProblemKind::HeadersTooLarge,
        ProblemKind::Internal,
        ProblemKind::Unavailable,
        ProblemKind::PriceStale,
        ProblemKind::ArenaPaused,
        ProblemKind::BotPaused,
        ProblemKind::MarketPaused,
        ProblemKind::HouseBudget,
    ];

    #[must_use]
    pub fn from_name(name: &str) -> Option<ProblemKind> {
        ProblemKind::ALL
            .into_iter()
            .find(|kind| kind.facts().name == name)
    }

    /// The `type` of the problem.
    #[must_use]
    pub fn path(self) -> String {
        format!("{PATH}{}", self.facts().name)
    }

    /// Status, name, title and page, in one place.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table is read best in one piece")]
    pub const fn facts(self) -> ProblemFacts {
        let (status, name, title, about) = match self {
            ProblemKind::MalformedRequest => (
                400,
                "malformed-request",
                "The request cannot be read",
                "The body is no JSON, or a header cannot be read. Mend the request; sending it \
                 again as it is will not help.",
            ),
            ProblemKind::Unauthorized => (
                401,
                "unauthorized",
                "Credentials are missing or wrong",
                "Bots send `Authorization: Bearer <token>` (from POST /auth/token, good for 30 \
                 minutes) or `X-Agent-Secret: <api_secret>`. Operators send `Authorization: \
                 Bearer <ADMIN_TOKEN>`. An expired token is answered like a wrong one: get a new \
                 one.",
            ),
            ProblemKind::InsufficientFunds => (
                402,
                "insufficient-funds",
                "The balance does not cover the stake",
                "Nothing was written, and the observation is used up. `balance` says what there is.",
            ),
            ProblemKind::RegistrationClosed => (
                403,
                "registration-closed",
                "Registration needs the registration token",
                "Outside development a bot is registered with the `registration_token` that the \
                 operator hands out.",
            ),
            ProblemKind::ForeignOrigin => (
                403,
                "foreign-origin",
                "Pages of this origin may not connect",
                "A browser said that the page which opened the WebSocket is of another origin than \
                 the API. The operator can allow it.",
            ),
            ProblemKind::BotNotAlive => (
                403,
                "bot-not-alive",
                "Only the living act",
                "The bot is DEAD or RETIRED, so every economic action is refused. An operator can \
                 revive the dead; the retired stay retired.",
            ),
            ProblemKind::ForeignTicket => (
                403,
                "foreign-ticket",
                "The observation belongs to another bot",
                "An observation is good for the bot that asked for it. It was left unused.",
            ),
            ProblemKind::Forbidden => (
                403,
                "forbidden",
                "These credentials may not do this",
                "The credentials are good, and this is not for them: another bot's keys, or keys \
                 that were rotated away and may not rotate again.",
            ),
            ProblemKind::NotFound => (
                404,
                "not-found",
                "There is no such thing",
                "No route, bot or page goes by this name.",
            ),
            ProblemKind::MethodNotAllowed => (
                405,
                "method-not-allowed",
                "This path does not know that method",
                "The `Allow` header names the methods it knows.",
            ),
            ProblemKind::HandleTaken => (
                409,
                "handle-taken",
                "The handle is taken",
                "Handles are unique without regard to case. Choose another one.",
            ),
            ProblemKind::TicketSpent => (
                409,
                "ticket-spent",
                "The observation is used up or has expired",
                "An observation is good for one action and a few seconds. Get a new one from GET \
                 /arena/observation.",
            ),
            ProblemKind::LimitReached => (
                409,
                "limit-reached",
                "A limit is reached",
                "`limit` names it and `limit_value` gives its figure. Nothing was written; an observation \
                 is used up. Wait until a position settles, or until the next tick or hour.",
            ),
            ProblemKind::BotStatus => (
                409,
                "bot-status",
                "The bot's status does not allow this",
                "Only a dead bot can be revived, and only one that is not retired can be retired.",
            ),
            ProblemKind::MarketClosed => (
                409,
                "market-closed",
                "The market does not take this any more",
                "Bets are taken until half-way to the deadline, answers until the deadline, and \
                 only while the market is OPEN. What is settled stays settled. Nothing was written.",
            ),
            ProblemKind::AlreadyIn => (
                409,
                "already-in",
                "There is one already",
                "A bot has one bet or one answer on a market, and a subject has one market at a \
                 time. Nothing was written.",
            ),
            ProblemKind::IdempotencyConflict => (
                409,
                "idempotency-conflict",
                "The same request is being served",
                "A twin with this Idempotency-Key got there first. Send the request again in a \
                 moment to get its answer.",
            ),
            ProblemKind::PositionGone => (
                410,
                "position-gone",
                "The events after this position are no longer kept",
                "Events are kept for seven days. Read what you need from the lists, and begin the \
                 stream again without a position.",
            ),
            ProblemKind::PayloadTooLarge => (
                413,
                "payload-too-large",
                "The body is too large",
                "A body may have at most 64 KiB.",
            ),
            ProblemKind::UriTooLong => (
                414,
                "uri-too-long",
                "The URL is too long",
                "A path with its query may have at most 4 KiB.",
            ),
            ProblemKind::UnsupportedMediaType => (
                415,
                "unsupported-media-type",
                "The body must be JSON",
                "Send `Content-Type: application/json`.",
            ),
            ProblemKind::InvalidField => (
                422,
                "invalid-field",
                "A field is missing or wrong",
                "`field` names it and `detail` says what it must be. Nothing was written, and an \
                 observation stays good.",
            ),
            ProblemKind::UnknownHost => (
                421,
                "unknown-host",
                "The arena does not go by this name",
                "The request names a host (in `Host`, or in its target) that the arena does not know as its own, \
                 so that no page elsewhere can pass it off as a part of itself. Ask by a name or an address of \
                 the arena's; its operator lists them in PUBLIC_HOSTS.",
            ),
            ProblemKind::IdempotencyMismatch => (
                422,
                "idempotency-mismatch",
                "The Idempotency-Key was used with another body",
                "A key stands for one request. Use a new key for a new request.",
            ),
            ProblemKind::TooManyRequests => (
                429,
                "too-many-requests",
                "Too much was asked for in too short a time",
                "`Retry-After` says in how many seconds to come back.",
            ),
            ProblemKind::HeadersTooLarge => (
                431,
                "headers-too-large",
                "The headers are too large",
                "A request may have at most 64 headers, and 16 KiB of them.",
            ),
            ProblemKind::Internal => (
                500,
                "internal",
                "Something is broken on our side",
                "It was logged under `request_id`. Tell the operator; a retry with the same \
                 Idempotency-Key does no harm.",
            ),
            ProblemKind::Unavailable => (
                503,
                "unavailable",
                "A part of the arena does not answer",
                "Try again after `Retry-After` seconds, with the same Idempotency-Key where the \
                 request has effects.",
            ),
            ProblemKind::PriceStale => (
                503,
                "price-stale",
                "The arena is halted: there is no fresh price",
                "No price has come from the oracle's sources lately, so nothing can be predicted. \
                 Observations stay unused. Try again after `Retry-After` seconds.",
            ),
            ProblemKind::ArenaPaused => (
                503,
                "arena-paused",
                "The arena is paused",
                "An operator holds the arena: nobody is charged, nobody acts, nothing is paid. \
                 `reason` says why. Reads go on; `paused` of `GET /economy` says when it is over.",
            ),
            ProblemKind::BotPaused => (
                403,
                "bot-paused",
                "The bot is paused",
                "An operator holds this bot: it does not act and is not charged, and is paid what it \
                 is owed. `reason` says why; `paused` of its profile says when it is over.",
            ),
            ProblemKind::MarketPaused => (
                403,
                "market-paused",
                "The market is paused",
                "An operator holds this market: it takes nothing and pays nothing for the time being. \
                 `reason` says why; `paused` of the market says when it is over.",
            ),
            ProblemKind::HouseBudget => (
                503,
                "house-budget",
                "The house takes no more wagers this hour",
                "What price predictions may cost the house within an hour is set aside or paid. Nothing \
                 was written, and the observation is used up. `opens_at` says when wagers open again at the \
                 earliest, `Retry-After` in how many seconds. Smaller stakes may fit earlier.",
            ),
        };
        ProblemFacts {
            status,
            name,
            title,
            about,
        }
    }
}
