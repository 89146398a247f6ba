//! Price predictions, open and settled.

use ledger_core::prediction::{Direction, PredictionStatus, PriceSource};
use ledger_core::{BotId, Decimal8, Money, PredictionId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Prediction {
    /// The prediction's number.
    pub id: PredictionId,
    /// Whose it is.
    pub bot_id: BotId,
    /// The predicted direction of the price.
    pub direction: Direction,
    /// The stake.
    pub wager_amount: Money,
    /// The probability it gave to its direction.
    pub confidence: Decimal8,
    /// The first sample at or after `created_at`; `None` until it came.
    #[schema(required = true)]
    pub start_price: Option<Money>,
    /// Where `start_price` came from.
    #[schema(required = true)]
    pub price_source: Option<PriceSource>,
    /// Its state.
    pub status: PredictionStatus,
    /// The earliest time it can be settled: an estimate until its start price is known.
    pub settles_at: Timestamp,
    /// The first sample at or after `settles_at`; `None` until it came.
    #[schema(required = true)]
    pub end_price: Option<Money>,
    /// The payout, including the stake; `None` until it is settled.
    #[schema(required = true)]
    pub payout: Option<Money>,
    /// Its Brier score: 0 is perfect, 1 as wrong as can be; `None` until it is settled.
    #[schema(required = true)]
    pub brier: Option<Decimal8>,
    /// The bot's reasoning; empty if it gave none.
    pub reasoning: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was settled; `None` until then.
    #[schema(required = true)]
    pub resolved_at: Option<Timestamp>,
    /// The SHA-256 of the rules in force when it was made, in lower-case hex: these settle it. `None`
    /// for one from before rules were kept.
    #[schema(required = true)]
    pub rules: Option<String>,
}
