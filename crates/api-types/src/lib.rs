//! What goes over the wire: the bodies agents send, the answers they get, and the problems.
//!
//! Field names here are the contract. Requests refuse unknown fields, so that a misspelt name is
//! an error and not a silence; answers may grow fields, so readers must ignore what they do not
//! know. Money travels as a decimal string, never as a JSON number.
//!
//! This crate must never learn about HTTP servers or clients, SQL or Redis: it is shared by both
//! ends of the wire.

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
/// The header in which an operator says who they are, for the ledger and the audit log.
pub const OPERATOR: &str = "X-Operator";

/// A shape some of whose fields are those of another value, by the same names.
#[doc(hidden)]
#[macro_export]
macro_rules! told {
    ($shape:ident of $kept:ident { $($same:ident),+ $(; $($name:ident $(: $told:expr)?),+ $(,)?)? }) => {
        $shape { $($same: $kept.$same,)+ $($($name $(: $told)?,)+)? }
    };
}
