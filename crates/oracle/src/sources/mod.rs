//! Where prices come from.
//!
//! A feed answers one question: what is the price, and when was it? It never reads a clock (time
//! is an argument), never sleeps, never retries, and never touches Postgres or Redis: when to ask
//! and whom to ask next is decided by [`crate::sampling`].

pub mod coingecko;
mod list;
pub mod replay;
pub mod simulated;

use std::num::NonZeroU16;

use futures_util::future::BoxFuture;
use ledger_core::Timestamp;
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;

pub use crate::price_text::PriceTextError;
pub use coingecko::CoinGecko;
pub use list::{SourceSpec, SourcesError, parse_list};
pub use replay::{Replay, ReplayError};
pub use simulated::Simulated;

/// A provider's clock may run ahead of ours by so much, in seconds.
pub const AHEAD_MAX_SECONDS: i64 = 60;
/// An older quote says nothing about now, in seconds.
pub const QUOTE_AGE_MAX_SECONDS: i64 = 600;

/// A price, as a feed gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub price: Price,
    /// When the provider says the price was.
    pub provider_at: Timestamp,
}

/// A source of prices. `now` is the caller's time.
pub trait PriceFeed: Send + Sync {
    /// The kind of source; the only thing about it that the public learns.
    fn source(&self) -> PriceSource;

    /// Asks for the price.
    fn quote(&self, now: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>>;
}

/// Why a feed gave no price. No message contains a key, a seed or a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// 429.
    #[error("asks us to go slower (429)")]
    RateLimited {
        /// What the answer asked for, in seconds.
        retry_after_seconds: Option<i64>,
    },
    /// 403: the provider, or the wall before it, has had enough of this address or key.
    #[error(
        "refuses to serve us (403); check COINGECKO_API_KEY, or whether the address is blocked"
    )]
    Forbidden,
    /// 5xx.
    #[error("fails on its side ({0})")]
    Server(NonZeroU16),
    #[error("answers with the unexpected status {0}; check COINGECKO_URL")]
    Status(NonZeroU16),
    #[error("answers with more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// A web page, or anything else that cannot be read.
    #[error("answers with something that is not the expected JSON")]
    NotJson,
    #[error("leaves out {0}")]
    MissingField(&'static str),
    #[error("gives a price that {0}")]
    Price(PriceTextError),
    #[error("gives {price}, which cannot be the price of a Bitcoin in US dollars")]
    Absurd { price: Price },
    #[error("gives a time that is no whole number of seconds")]
    Time,
    #[error("gives a time {ahead_seconds} s in the future")]
    FromTheFuture { ahead_seconds: i64 },
    #[error("gives a price that is {age_seconds} s old")]
    Stale { age_seconds: i64 },
}

impl FeedError {
    /// Whether the provider wants to be left alone, and for how long if it said so (seconds).
    #[must_use]
    pub const fn wants_peace(&self) -> Option<Peace> {
        match self {
            FeedError::RateLimited {
                retry_after_seconds,
            } => Some(Peace {
                retry_after_seconds: *retry_after_seconds,
            }),
            // Asking on at the usual pace is what lengthens a block.
            FeedError::Forbidden => Some(Peace {
                retry_after_seconds: None,
            }),
            FeedError::Timeout
            | FeedError::Unreachable(_)
            | FeedError::Server(_)
            | FeedError::Status(_)
            | FeedError::TooLarge { .. }
            | FeedError::NotJson
            | FeedError::MissingField(_)
            | FeedError::Price(_)
            | FeedError::Absurd { .. }
            | FeedError::Time
            | FeedError::FromTheFuture { .. }
            | FeedError::Stale { .. } => None,
        }
    }
}

/// A provider's wish to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peace {
    pub retry_after_seconds: Option<i64>,
}

/// `now` without its fraction of a second: what feeds that have no provider call their time.
pub(crate) fn whole_second(now: Timestamp) -> Timestamp {
    let micros = now.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(1_000_000)).unwrap_or(now)
}
