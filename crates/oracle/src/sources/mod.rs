//! Where prices come from.
//!
//! A feed returns the price and its time. It never reads a clock (time is an argument), never sleeps, never
//! retries, and never touches Postgres or Redis: [`crate::sampling`] and [`crate::history`] decide when to query
//! which feed.

pub mod coingecko;
mod http;
pub mod kraken;
mod list;
pub mod replay;
pub mod simulated;

use std::num::NonZeroU16;

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{Money, Timestamp};

pub use crate::price_text::PriceTextError;
pub use coingecko::CoinGecko;
pub use http::{ANSWER_MAX_BYTES, SetupError, SourceConfig, TIMEOUT};
pub use kraken::Kraken;
pub use list::{SourceSpec, SourcesError, parse_list};
pub use replay::{Replay, ReplayError};
pub use simulated::Simulated;
pub use sources::Peace;

/// A provider's clock may run ahead of ours by so much, in seconds.
pub const AHEAD_MAX_SECONDS: i64 = 60;
/// The age in seconds above which a quote is not a present price.
pub const QUOTE_AGE_MAX_SECONDS: i64 = ledger_core::prediction::SAMPLE_AGE_MAX_SECONDS;
/// Outside of these a price is a mistake, in US dollars a Bitcoin.
const PLAUSIBLE: std::ops::RangeInclusive<Money> = Money::cents(10_000)..=MAX_PLAUSIBLE;
/// Ten million dollars.
const MAX_PLAUSIBLE: Money = Money::cents(1_000_000_000);

/// A price, as a feed gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub price: Price,
    /// The time of the price at its provider.
    pub provider_at: Timestamp,
}

/// A source's prices in a span of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In order of their times.
    pub quotes: Vec<Quote>,
    /// The covered parts of the span, in order: they have no other prices.
    pub told: Vec<Span>,
    /// Why the rest is not covered.
    pub problem: Option<FeedError>,
}

impl History {
    /// One that covers a whole span.
    pub fn whole(quotes: Vec<Quote>, span: Span) -> History {
        History { quotes, told: vec![span], problem: None }
    }

    /// Points as a source gives them, in order of their times. An unreadable row affects only itself: its moment
    /// is not covered, or, if its time is unreadable too, the time between its neighbours.
    fn of(
        points: impl IntoIterator<Item = (Result<Timestamp, FeedError>, Result<Price, FeedError>)>,
        span: Span,
    ) -> History {
        let mut history = History { quotes: Vec::new(), told: Vec::new(), problem: None };
        let mut told_from = Some(span.begins_at);
        let mut before = span.begins_at;
        // Whether points lie within the span, and whether the last one lay behind it.
        let (mut within, mut behind) = (false, false);
        for (at, price) in points {
            let at = match at {
                Ok(at) if at < span.begins_at && !within => continue,
                Ok(at) if at >= span.ends_at => {
                    behind = true;
                    continue;
                }
                Ok(at) if at >= span.begins_at && just_after(at) >= before => at,
                Ok(at) if at >= span.begins_at => {
                    // It is unclear which of the two has a wrong time: nothing between them counts.
                    history.tell(told_from.take(), before);
                    history.tell_nothing_from(at);
                    history.problem.get_or_insert(FeedError::Time);
                    continue;
                }
                unreadable => {
                    history.tell(told_from.take(), before);
                    let problem = unreadable.err().unwrap_or(FeedError::Time);
                    history.problem.get_or_insert(problem);
                    continue;
                }
            };
            within = true;
            if std::mem::take(&mut behind) {
                // A point that lay behind the span had a wrong time.
                history.tell(told_from.take(), before);
                history.problem.get_or_insert(FeedError::Time);
            }
            told_from.get_or_insert(at);
            before = just_after(at);
            match price {
                Ok(price) => history.quotes.push(Quote { price, provider_at: at }),
                Err(problem) => {
                    history.tell(told_from.replace(before), at);
                    history.problem.get_or_insert(problem);
                }
            }
        }
        history.tell(told_from, span.ends_at);
        history
    }

    fn tell_nothing_from(&mut self, at: Timestamp) {
        for span in &mut self.told {
            span.ends_at = span.ends_at.min(at);
        }
        self.told.retain(|span| span.begins_at < span.ends_at);
    }

    fn tell(&mut self, from: Option<Timestamp>, ends_at: Timestamp) {
        let span = from.map(|begins_at| Span { begins_at, ends_at });
        self.told.extend(span.filter(|span| span.begins_at < span.ends_at));
    }
}

fn just_after(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_add(1)).unwrap_or(at)
}

/// A source of prices. `now` is the caller's time.
#[async_trait]
pub trait PriceFeed: Send + Sync {
    /// The kind of source; the only thing about it that the public learns.
    fn source(&self) -> PriceSource;

    /// Asks for the price.
    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError>;

    /// How far back its history reaches, in seconds; `None` is without limit.
    fn reaches_back_seconds(&self) -> Option<i64> {
        None
    }

    /// Asks for the prices of a span of the past. A feed without a history returns an error.
    async fn history(&self, _span: Span, _now: Timestamp) -> Result<History, FeedError> {
        Err(FeedError::MissingField("a history of its prices"))
    }
}

/// The prices of each minute of a span, for feeds whose price is a function of time.
fn by_the_minute(span: Span, price_at: impl Fn(Timestamp) -> Option<Price>) -> History {
    let first = whole_second(span.begins_at.plus_seconds(1));
    let minutes = std::iter::successors(Some(first), |at| Some(at.plus_seconds(60)));
    let within = minutes.take_while(|at| *at < span.ends_at);
    let quote = |provider_at| {
        let price = price_at(provider_at)?;
        Some(Quote { price, provider_at })
    };
    History::whole(within.filter_map(quote).collect(), span)
}

/// A price as a JSON number's or string's text, if it is one that a Bitcoin can have.
fn plausible(text: &str) -> Result<Price, FeedError> {
    let price = crate::price_text::parse(text).map_err(FeedError::Price)?;
    if PLAUSIBLE.contains(&price.money()) { Ok(price) } else { Err(FeedError::Absurd { price }) }
}

/// Refuses a time that is not about now.
fn current(at: Timestamp, now: Timestamp) -> Result<Timestamp, FeedError> {
    let age_seconds = now.seconds_since(at);
    if age_seconds > QUOTE_AGE_MAX_SECONDS {
        return Err(FeedError::Stale { age_seconds });
    }
    if age_seconds < -AHEAD_MAX_SECONDS {
        return Err(FeedError::FromTheFuture { ahead_seconds: -age_seconds });
    }
    Ok(at)
}

/// Why a feed gave no price. No message contains a key, a seed or a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// 429.
    #[error("requests a lower rate (429)")]
    RateLimited {
        /// The requested wait, in seconds.
        retry_after_seconds: Option<i64>,
    },
    /// 403: the provider, or the wall before it, has had enough of this address or key.
    #[error("refuses the request (403); check its API key, or whether the address is blocked")]
    Forbidden,
    /// 5xx.
    #[error("fails on its side ({0})")]
    Server(NonZeroU16),
    #[error("answers with the unexpected status {0}; check its URL in the settings")]
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
    /// In an otherwise well-formed answer.
    #[error("says that it failed: {0}")]
    Said(String),
    #[error("gives a time that cannot be read")]
    Time,
    #[error("has no price of that time")]
    NoPrices,
    #[error("does not cover all of that time")]
    TooShort,
    #[error("gives a time {ahead_seconds} s in the future")]
    FromTheFuture { ahead_seconds: i64 },
    #[error("gives a price that is {age_seconds} s old")]
    Stale { age_seconds: i64 },
}

impl FeedError {
    /// Whether the provider requests a wait, and for how many seconds, if given.
    pub const fn wants_peace(&self) -> Option<Peace> {
        match self {
            FeedError::RateLimited { retry_after_seconds } => {
                Some(Peace { retry_after_seconds: *retry_after_seconds })
            }
            // Requests at the usual rate would extend a block.
            FeedError::Forbidden => Some(Peace { retry_after_seconds: None }),
            FeedError::Timeout
            | FeedError::Unreachable(_)
            | FeedError::Server(_)
            | FeedError::Status(_)
            | FeedError::TooLarge { .. }
            | FeedError::NotJson
            | FeedError::MissingField(_)
            | FeedError::Price(_)
            | FeedError::Absurd { .. }
            | FeedError::Said(_)
            | FeedError::Time
            | FeedError::NoPrices
            | FeedError::TooShort
            | FeedError::FromTheFuture { .. }
            | FeedError::Stale { .. } => None,
        }
    }
}

/// `now` without its fraction of a second: what feeds that have no provider call their time.
pub(crate) fn whole_second(now: Timestamp) -> Timestamp {
    let micros = now.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(1_000_000)).unwrap_or(now)
}
