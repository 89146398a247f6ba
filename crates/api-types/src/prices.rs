//! The price history: the samples that decide settlements.

use ledger_core::ids::PriceId;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PriceSample {
    /// The sample's number.
    pub id: PriceId,
    /// BTC in US dollars.
    pub price: Money,
    /// Where it came from.
    pub source: PriceSource,
    /// The time of the price at its provider: this decides settlements.
    pub provider_at: Timestamp,
    /// When the oracle requested it.
    pub sampled_at: Timestamp,
    /// Whether it was read from the source's history afterwards, because no sample was taken at that
    /// time.
    #[serde(default)]
    pub from_history: bool,
}
