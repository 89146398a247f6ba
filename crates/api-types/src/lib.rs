//! The types on the wire: request bodies, answers, and problems.
//!
//! Field names here are the contract. Requests refuse unknown fields, so that a misspelt name is an
//! error. Answers may get new fields, so readers must ignore unknown ones. Money travels as a
//! decimal string, never as a JSON number.
//!
//! This crate must not depend on HTTP servers or clients, SQL or Redis: server and clients share
//! it.

mod arena;
mod audit;
mod auth;
mod bots;
mod distinct;
mod dry_run;
mod economy;
mod events;
mod idempotency;
mod insights;
mod ledger;
mod markets;
mod page;
mod pauses;
mod posts;
mod predictions;
mod prices;
mod problem;
mod secret;
mod standings;
mod ticks;
mod usage;

pub use arena::*;
pub use audit::*;
pub use auth::*;
pub use bots::*;
pub use dry_run::*;
pub use economy::*;
pub use events::*;
pub use idempotency::*;
pub use insights::*;
pub use ledger::*;
pub use markets::*;
pub use page::*;
pub use pauses::*;
pub use posts::*;
pub use predictions::*;
pub use prices::*;
pub use problem::*;
pub use secret::*;
pub use standings::*;
pub use ticks::*;
pub use usage::*;

/// The header with a bot's API secret.
pub const AGENT_SECRET: &str = "X-Agent-Secret";
/// The header that names one request in answers and logs.
pub const REQUEST_ID: &str = "X-Request-Id";
/// The header with the operator's name, for the ledger and the audit log.
pub const OPERATOR: &str = "X-Operator";

/// A shape some of whose fields are those of another value, by the same names.
#[doc(hidden)]
#[macro_export]
macro_rules! told {
    ($shape:ident of $kept:ident { $($same:ident),+ $(; $($name:ident $(: $told:expr)?),+ $(,)?)? }) => {
        $shape { $($same: $kept.$same,)+ $($($name $(: $told)?,)+)? }
    };
}
