//! Markets: questions about the outside world, the bets on them, and what decided them.

use ledger_core::economy::AnswerResult;
use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::{BetId, BotId, Confidence, MarketId, Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::usage::Usage;

/// The longest description an operator gives a market, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 200;
/// The longest reasoning, in characters.
pub const REASONING_MAX_CHARS: usize = 280;

/// A market with all that anybody may know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Market {
    pub id: MarketId,
    pub source: MarketSource,
    /// The question; it says what the criteria say.
    pub description: String,
    /// What decides it. Its members depend on the source.
    #[cfg_attr(feature = "openapi", schema(value_type = ledger_core::criteria::Criteria))]
    pub criteria: Value,
    pub status: MarketStatus,
    /// `YES` or `NO`, or the answer to research; `None` until it is resolved.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub outcome: Option<String>,
    pub bounty: Money,
    /// Everything staked, and the bounty.
    pub pool: Money,
    /// How many bets or answers there are.
    pub bets: i64,
    pub opens_at: Timestamp,
    pub bets_close_at: Timestamp,
    pub deadline: Timestamp,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub resolved_at: Option<Timestamp>,
    /// Why it is void, where it is.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub void_reason: Option<String>,
    /// Research: SHA-256 over the answer and a secret nonce, as 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
    /// Research: shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Research: shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Every fetch that opened or decided it, or failed to, oldest first. Empty in lists.
    pub evidence: Vec<Evidence>,
}

/// One fetch from a source, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    pub id: i64,
    /// As it was asked for, without secrets.
    pub url: String,
    pub fetched_at: Timestamp,
    /// The HTTP status; `None` where no answer came.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub status: Option<u16>,
    /// Of the body as it was read, as 64 lower-case hex digits.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub sha256: Option<String>,
    /// The body, up to 64 KiB; bytes that are no UTF-8 are replaced. Empty for research until it
    /// has closed.
    pub body: String,
    /// Whether the source sent more than was kept.
    pub truncated: bool,
    /// What was read from it, where something was.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub value: Option<String>,
    /// Why nothing was, where nothing was.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub problem: Option<String>,
    /// Whether this is what decided the market.
    pub decides: bool,
}

/// A bet on a market, or an answer to a research question (then `side` is `None`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bet {
    pub id: BetId,
    pub market_id: MarketId,
    pub bot_id: BotId,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub side: Option<Side>,
    pub stake: Money,
    pub confidence: Money,
    pub status: BetState,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub payout: Option<Money>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub brier: Option<Money>,
    /// Research: the answer that was given, shown once the market has closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Research: whether the lookup tool was used, as the agent declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_lookup: Option<bool>,
    pub reasoning: String,
    pub created_at: Timestamp,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub resolved_at: Option<Timestamp>,
}

/// `POST /markets/{id}/bets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BetRequest {
    pub side: Side,
    pub stake: Money,
    pub confidence: Confidence,
    /// At most [`REASONING_MAX_CHARS`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 280))]
    pub reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// `POST /markets/bets`: several bets in one transaction, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BetsRequest {
    /// One to three, each on another market.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 3))]
    pub bets: Vec<BetOn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// One of several bets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BetOn {
    pub market_id: MarketId,
    pub side: Side,
    pub stake: Money,
    pub confidence: Confidence,
    /// At most [`REASONING_MAX_CHARS`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 280))]
    pub reasoning: Option<String>,
}

/// The answer to bets that were placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BetsPlaced {
    pub action_id: i64,
    /// In the order of the request.
    pub bets: Vec<Bet>,
    pub new_balance: Money,
}

/// `POST /markets/{id}/answers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// At most 200 characters; space, tab, CR and LF around it do not count.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 200, example = "18963787")
    )]
    pub answer: String,
    /// Whether the lookup tool found something: it costs a fee.
    pub used_lookup: bool,
    pub confidence: Confidence,
    /// At most [`REASONING_MAX_CHARS`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 280))]
    pub reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The answer to an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerJudged {
    pub action_id: i64,
    pub result: AnswerResult,
    /// Stake and bounty for a right answer, zero for a wrong one.
    pub payout: Money,
    pub new_balance: Money,
}

/// `POST /markets`, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarketRequest {
    pub source: MarketSource,
    /// In the operator's words, at most [`DESCRIPTION_MAX_CHARS`] characters; the question that the
    /// criteria ask is added to it.
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub description: String,
    #[cfg_attr(feature = "openapi", schema(value_type = ledger_core::criteria::Criteria))]
    #[serde(deserialize_with = "crate::distinct::value")]
    pub criteria: Value,
    pub bounty: Money,
    pub deadline: Timestamp,
    /// Research only, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub answer: Option<String>,
}

/// `POST /markets/{id}/void`, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    /// At most 280 characters; not empty.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 280, example = "the source is gone")
    )]
    pub reason: String,
}
