//! The outside world: what four public services answer, read strictly.
//!
//! Each service has a client, whose one request gives a [`Fetched`], and a pure `parse_…` of the
//! bytes of an answer, which the client uses itself. Whoever kept the [`Evidence`] of a fetch can so
//! derive again what followed from it, without a network and years later.
//!
//! This crate must never read a clock (`now` is an argument) or a setting, never sleep or try
//! again, and never guess: an answer that does not say what was asked is a [`SourceError`]. It knows
//! neither Postgres nor Redis, and no float: numbers are read from their own text.

mod derive;
mod error;
mod evidence;
pub mod github;
mod http;
mod json;
pub mod news;
mod number;
pub mod open_meteo;
pub mod wikipedia;

pub use derive::{derive, headlines_to_keep};
pub use error::{Peace, SetupError, SourceError};
pub use evidence::{BODY_MAX_BYTES, Evidence, Fetched};
pub use http::{Http, HttpConfig, TIMEOUT, retry_after_seconds};
