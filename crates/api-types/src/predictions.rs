//! Price predictions, open and settled.

use ledger_core::prediction::{Direction, PredictionStatus, PriceSource};
use ledger_core::{BotId, Money, PredictionId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Prediction {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub direction: Direction,
    pub wager_amount: Money,
    pub confidence: Money,
    /// The first sample at or after `created_at`; `None` until it came.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub start_price: Option<Money>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub price_source: Option<PriceSource>,
    pub status: PredictionStatus,
    /// The earliest time it can be settled: an estimate until its start price is known.
    pub settles_at: Timestamp,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub end_price: Option<Money>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub payout: Option<Money>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub brier: Option<Money>,
    pub reasoning: String,
    pub created_at: Timestamp,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub resolved_at: Option<Timestamp>,
}
