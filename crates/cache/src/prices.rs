//! The fresh price: there for as long as it is fresh, and then gone.

use std::time::Duration;

use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Cache;
use crate::error::{CacheError, CacheResult};

/// Where the fresh price of a Bitcoin in US dollars is kept.
pub const PRICE_KEY: &str = "market:price:btc";

/// A price that is fresh: [`Cache::price`] answers none that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshPrice {
    #[serde(deserialize_with = "above_zero")]
    pub price: Price,
    pub source: PriceSource,
    /// The time of the price at its provider.
    pub provider_at: Timestamp,
    /// When the oracle requested it.
    pub sampled_at: Timestamp,
}

impl FreshPrice {
    /// How much longer it is fresh, by the provider's time: when it arrived does not matter. `None`
    /// once it is not.
    pub fn freshness(&self, now: Timestamp, ttl_seconds: i64) -> Option<Duration> {
        let age = now.micros().saturating_sub(self.provider_at.micros());
        let left = ttl_seconds.saturating_mul(1_000_000).saturating_sub(age);
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        Some(Duration::from_micros(left))
    }
}

fn above_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Price, D::Error> {
    Price::new(Money::deserialize(from)?).map_err(D::Error::custom)
}

impl Cache {
    /// Makes this the arena's price for `ttl` from now; a `ttl` of zero takes it away.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn put_price(&self, fresh: &FreshPrice, ttl: Duration) -> CacheResult<()> {
        let key = self.key(PRICE_KEY);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return self.run(redis::cmd("DEL").arg(&key)).await;
        }
        let text =
            serde_json::to_string(fresh).map_err(|error| CacheError::Corrupt(error.to_string()))?;
        self.run(redis::cmd("SET").arg(&key).arg(&text).arg("PX").arg(millis)).await
    }

    /// The arena's price; `None` while there is no fresh one.
    ///
    /// # Errors
    /// [`CacheError::Corrupt`] if another program wrote under the key.
    pub async fn price(&self) -> CacheResult<Option<FreshPrice>> {
        let key = self.key(PRICE_KEY);
        let text: Option<String> = self.run(redis::cmd("GET").arg(&key)).await?;
        let Some(text) = text else { return Ok(None) };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|_| CacheError::Corrupt(format!("{PRICE_KEY} is no price")))
    }
}
