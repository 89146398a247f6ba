//! The outside world: what public services answer, read strictly.
//!
//! Each source has a file, and a line in [`of`]. In its file are a client, whose one request gives a
//! [`Fetched`]; a pure `parse_…` of the bytes of an answer, which the client uses itself; its settings;
//! what it proposes; and what it answers where it is [played](crate::played). What it asks about is in a
//! file of `ledger_core::sources`, which is pure. Whoever kept the [`Evidence`] of a fetch can derive again
//! what followed from it, without a network and years later.
//!
//! This crate must never read a clock (`now` is an argument) or a setting, never sleep or try
//! again, and never guess: an answer that does not say what was asked is a [`SourceError`]. It knows
//! neither Postgres nor Redis, and no float: numbers are read from their own text.

mod error;
mod evidence;
pub mod github;
mod http;
mod json;
pub mod news;
mod number;
pub mod open_meteo;
pub mod played;
mod source;
pub mod wikipedia;

use ledger_core::Timestamp;
use ledger_core::criteria::{Criteria, Reading, Times};
use ledger_core::market::MarketSource;

pub use error::{Peace, SetupError, SourceError};
pub use evidence::{BODY_MAX_BYTES, Evidence, Fetched};
pub use http::{Http, HttpConfig, TIMEOUT, retry_after_seconds};
pub use news::headlines_to_keep;
pub use number::{NoUnits, units};
pub use source::{Feed, NoProposal, Proposal, Settings, Source, read};

/// The registry: who answers for the markets of a source.
pub const fn of(source: MarketSource) -> &'static dyn Source {
    match source {
        MarketSource::Research => &wikipedia::Research,
        MarketSource::Weather => &open_meteo::Weather,
        MarketSource::Github => &github::Stars,
        MarketSource::News => &news::Headlines,
    }
}

/// Reads what decides a market from the kept body of an answer that was fetched at `fetched_at`.
///
/// The one way from evidence to outcome: whoever decides a market calls it with what is kept of the
/// answer it just got, and whoever doubts an outcome calls it years later with the evidence that was
/// kept.
///
/// # Errors
/// When the answer does not say it; and for research, which its commitment decides.
pub fn derive(
    criteria: &Criteria,
    times: &Times,
    fetched_at: Timestamp,
    body: &[u8],
) -> Result<Reading, SourceError> {
    of(criteria.source()).derive(criteria, times, fetched_at, body)
}
