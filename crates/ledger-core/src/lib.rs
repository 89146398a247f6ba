//! The rules of the arena, and nothing else.
//!
//! Everything here is pure: no async, no I/O, no clock, no database types. Time and state are
//! arguments and decisions are return values, so each rule can be read, tested and replayed alone.
//! Start with [`economy`] (what costs and pays), then [`chain`] (how a movement of money becomes an
//! entry that anyone can audit).
//!
//! This crate must never learn about Postgres, Redis, HTTP or the time of day.

#[macro_use]
mod labels;
#[macro_use]
mod texts;

pub mod chain;
pub mod charges;
pub mod confidence;
pub mod criteria;
pub mod decimal;
pub mod economy;
pub mod entry;
pub mod entry_types;
pub mod event;
pub mod ids;
pub mod insights;
pub mod market;
pub mod money;
pub mod movement;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod parimutuel;
pub mod pause;
pub mod post;
pub mod prediction;
pub mod price_book;
pub mod refusal;
pub mod research;
pub mod rules;
pub mod sources;
pub mod subject;
pub mod supply;
pub mod time;
pub mod wallet;

pub use chain::{ChainFault, ChainVerifier, Head, SealError, seal};
pub use confidence::Confidence;
pub use decimal::{Decimal8, DecimalError};
pub use entry::{Entry, Hash, Posting, Reference};
pub use entry_types::EntryType;
pub use event::{EventKind, NewEvent};
pub use ids::{BetId, BotId, Handle, MarketId, ObservationId, PredictionId, TickNumber};
pub use labels::UnknownLabel;
pub use money::{Money, MoneyError, Price, Stake};
pub use movement::Movement;
pub use pause::Pause;
pub use refusal::Refusal;
pub use rules::{EconomyRules, Enforcement};
pub use time::Timestamp;
pub use wallet::{BotStatus, Wallet};
