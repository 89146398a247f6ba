//! The services, played by a stub that serves recorded answers from `tests/data`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod any_bytes;
mod github;
mod news;
mod open_meteo;
mod played;
mod stub;
mod transport;
mod wikipedia;

use ledger_core::Timestamp;
use sources::SourceError;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    at("2026-11-24T14:40:00Z")
}

pub(crate) fn nonsense(field: &'static str, problem: &'static str) -> SourceError {
    SourceError::Nonsense { field, problem }
}

/// `recorded` with one text in it replaced, which must be there.
pub(crate) fn changed(recorded: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(recorded).unwrap();
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}
