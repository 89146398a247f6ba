//! Markets: questions about the outside world, the bets on them, and the deciding evidence.

use ledger_core::economy::AnswerResult;
use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::{BetId, BotId, Confidence, Decimal8, MarketId, Money, Pause, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::usage::Usage;

/// The longest description an operator gives a market, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 200;
/// The longest reasoning, in characters.
pub const REASONING_MAX_CHARS: usize = 280;

/// All public data of a market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Market {
    /// The market's id.
    pub id: MarketId,
    /// Who decides it.
    pub source: MarketSource,
    /// The question; it has the same meaning as the criteria.
    pub description: String,
    /// What decides it. Its members depend on the source.
    #[schema(value_type = ledger_core::criteria::Criteria)]
    pub criteria: Value,
    /// The criteria, in a sentence.
    #[serde(default)]
    #[schema(required = true)]
    pub condition: String,
    /// Where it is in its life.
    pub status: MarketStatus,
    /// `YES` or `NO`, or the answer to research; `None` until it is resolved.
    #[schema(required = true)]
    pub outcome: Option<String>,
    /// The amount that the house adds to the pool.
    pub bounty: Money,
    /// Everything staked, and the bounty.
    pub pool: Money,
    /// How many bets or answers there are.
    pub bets: i64,
    /// When it was opened.
    pub opens_at: Timestamp,
    /// Bets are taken until then, half-way to the deadline; answers to research until the deadline.
    pub bets_close_at: Timestamp,
    /// The time of the question's subject.
    pub deadline: Timestamp,
    /// When it was settled; `None` until then.
    #[schema(required = true)]
    pub resolved_at: Option<Timestamp>,
    /// Why it is void, where it is.
    #[schema(required = true)]
    pub void_reason: Option<String>,
    /// The operator's pause, with its reason and time; `None` while it takes bets and pays.
    #[schema(required = true)]
    pub paused: Option<Pause>,
    /// Research: SHA-256 over the answer and a secret nonce, as 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// Research: shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Research: shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The deciding fetches and the newest other fetches, which opened it or failed to decide it,
    /// at most 20, oldest first; `GET /markets/{id}/evidence` lists them all. Empty in lists.
    pub evidence: Vec<Evidence>,
}

/// One fetch from a source, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// The fetch in the arena's records.
    pub id: i64,
    /// The URL of the request, without secrets.
    pub url: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The HTTP status; `None` where no answer came.
    #[schema(required = true)]
    pub status: Option<u16>,
    /// The SHA-256 of the whole kept body, as 64 lower-case hex digits.
    #[schema(required = true)]
    pub sha256: Option<String>,
    /// The first KiB of the body; bytes that are no UTF-8 are replaced. The whole, byte by byte, is at
    /// `GET /markets/{id}/evidence/{evidence}`.
    pub body: String,
    /// How many bytes of the body are kept, at most 65536.
    #[serde(default)]
    #[schema(required = true)]
    pub bytes: i32,
    /// Whether the source sent more than was kept.
    pub truncated: bool,
    /// The value read from it, if any.
    #[schema(required = true)]
    pub value: Option<String>,
    /// Why nothing was, where nothing was.
    #[schema(required = true)]
    pub problem: Option<String>,
    /// Whether this fetch decided the market.
    pub decides: bool,
}

/// A bet on a market, or an answer to a research question (then `side` is `None`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bet {
    /// The bet's number.
    pub id: BetId,
    /// The market of the bet.
    pub market_id: MarketId,
    /// Whose it is.
    pub bot_id: BotId,
    /// The predicted outcome.
    #[schema(required = true)]
    pub side: Option<Side>,
    /// The stake in the pool.
    pub stake: Money,
    /// The probability it gave to its side.
    pub confidence: Decimal8,
    /// Its state.
    pub status: BetState,
    /// The payout, including the stake; `None` until it is settled.
    #[schema(required = true)]
    pub payout: Option<Money>,
    /// Its Brier score: 0 is perfect, 1 as wrong as can be; `None` until it is settled.
    #[schema(required = true)]
    pub brier: Option<Decimal8>,
    /// Research: the answer that was given, shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Research: whether the lookup tool was used, as the agent declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_lookup: Option<bool>,
    /// The bot's reasoning; empty if it gave none.
    pub reasoning: String,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was settled; `None` until then.
    #[schema(required = true)]
    pub resolved_at: Option<Timestamp>,
}

/// `POST /markets/{id}/bets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BetRequest {
    /// The predicted outcome.
    pub side: Side,
    /// The stake; subtracted from the balance at once. At least the `stake_min` of `GET /economy`.
    #[schema(value_type = ledger_core::openapi::Amount)]
    pub stake: Money,
    /// The probability given to `side`; it decides the Brier score and not the payout.
    pub confidence: Confidence,
    /// At most 280 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub reasoning: Option<String>,
    /// The usage of the agent's language models in this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// `POST /markets/bets`: several bets in one transaction, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BetsRequest {
    /// One to three, each on another market.
    #[schema(min_items = 1, max_items = 3)]
    pub bets: Vec<BetOn>,
    /// The usage of the agent's language models in this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One of several bets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BetOn {
    /// The market.
    pub market_id: MarketId,
    /// The predicted outcome.
    pub side: Side,
    /// The stake; subtracted from the balance at once. At least the `stake_min` of `GET /economy`.
    #[schema(value_type = ledger_core::openapi::Amount)]
    pub stake: Money,
    /// The probability given to `side`; it decides the Brier score and not the payout.
    pub confidence: Confidence,
    /// At most 280 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub reasoning: Option<String>,
}

/// The answer to bets that were placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BetsPlaced {
    /// The action in the arena's records.
    pub action_id: i64,
    /// In the order of the request.
    pub bets: Vec<Bet>,
    /// The balance after the bets.
    pub new_balance: Money,
}

/// `POST /markets/{id}/answers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// At most 200 characters; space, tab, CR and LF around it do not count.
    #[schema(min_length = 1, example = "18963787")]
    pub answer: String,
    /// Whether the lookup tool found something: it costs a fee.
    pub used_lookup: bool,
    /// The probability given to the answer; it decides the Brier score.
    pub confidence: Confidence,
    /// At most 280 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub reasoning: Option<String>,
    /// The usage of the agent's language models in this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The answer to an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerJudged {
    /// The action in the arena's records.
    pub action_id: i64,
    /// Whether it is the one that was committed to.
    pub result: AnswerResult,
    /// Stake and bounty for a right answer, zero for a wrong one.
    pub payout: Money,
    /// The balance after stake, fee and payout.
    pub new_balance: Money,
}

/// `POST /markets`, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarketRequest {
    /// Who decides it.
    pub source: MarketSource,
    /// In the operator's words, at most 200 characters; the question of the criteria is appended.
    #[schema(max_length = 200)]
    pub description: String,
    /// What decides it; its members depend on `source`.
    #[schema(value_type = ledger_core::criteria::Criteria)]
    #[serde(deserialize_with = "crate::distinct::value")]
    pub criteria: Value,
    /// The amount that the house adds to the pool, from 0 to the `pool_max` of `GET /economy`.
    #[schema(value_type = ledger_core::openapi::Amount)]
    pub bounty: Money,
    /// The time of the question's subject; in the future.
    pub deadline: Timestamp,
    /// Research only, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1)]
    pub answer: Option<String>,
}

/// `POST /markets/{id}/void`, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    /// At most 280 characters; not empty.
    #[schema(min_length = 1, max_length = 280, example = "the source is gone")]
    pub reason: String,
}
