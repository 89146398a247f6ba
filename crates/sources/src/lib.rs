//! The outside world: strict parsers of public services' answers.
//!
//! Each source has a file, and a line in [`of`]. In its file are a client, whose one request gives a [`Fetched`];
//! a pure `parse_…` of the bytes of an answer, which the client uses itself; its settings; its proposals; and its
//! answers where it is [played](crate::played). Its questions are in a file of `ledger_core::sources`, which is
//! pure. From the [`Evidence`] of a fetch the outcome can be derived again, without a network and years later.
//!
//! This crate must never read a clock (`now` is an argument) or a setting, never sleep or retry, and never guess:
//! an answer without the requested value is a [`SourceError`]. It uses neither Postgres nor Redis, and no float:
//! numbers are read from their own text.

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

/// The registry: the implementation of each source.
pub const fn of(source: MarketSource) -> &'static dyn Source {
    match source {
        MarketSource::Research => &wikipedia::Research,
        MarketSource::Weather => &open_meteo::Weather,
        MarketSource::Github => &github::Stars,
        MarketSource::News => &news::Headlines,
    }
}

/// Reads a market's deciding value from the stored body of an answer fetched at `fetched_at`.
///
/// The only function from evidence to outcome: the resolver calls it with the stored part of a new answer, and an
/// audit calls it years later with the stored evidence.
///
/// # Errors
/// If the answer does not decide; and for research, which its commitment decides.
pub fn derive(
    criteria: &Criteria,
    times: &Times,
    fetched_at: Timestamp,
    body: &[u8],
) -> Result<Reading, SourceError> {
    of(criteria.source()).derive(criteria, times, fetched_at, body)
}
