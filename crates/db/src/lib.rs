//! The arena's database: the only crate with SQL.
//!
//! Rows are private; public functions take and return the types of `ledger-core`. A public function
//! that writes is one transaction: it locks, lets a pure rule decide, appends, and commits. Start
//! with [`ledger`], which every movement of money goes through.
//!
//! This crate must never depend on Redis or HTTP, and never make a rule's decision.
#![warn(clippy::missing_errors_doc)]

pub mod actions;
pub mod audit;
pub mod audit_log;
pub mod backup;
pub mod bots;
pub mod catalogue;
pub mod connection_headroom;
pub mod credentials;
pub mod dry_run;
pub mod error;
pub mod events;
pub mod export;
pub mod history;
pub mod house;
pub mod idempotency;
pub mod insights;
pub mod leases;
pub mod ledger;
pub mod markets;
pub mod migrations;
pub mod pauses;
pub mod pool;
pub mod posts;
pub mod predictions;
pub mod prices;
pub mod retention;
pub mod roles;
pub mod rules;
pub mod schedules;
pub mod usage;
#[rustfmt::skip]
#[allow(unreachable_pub)]
pub mod schema;
pub mod standings;
pub mod supply;
pub mod ticks;
mod tls;
pub mod totals;
mod tx;

mod connection;
mod copy;
pub mod opening;
mod sql;
mod sqlstate;

/// Makes a public async function return a boxed future. Otherwise the compiler builds its body, with diesel's
/// generic code, again in each crate that awaits it. A boxed future is built once, in this crate. Its allocation
/// costs little compared to a round trip to Postgres.
pub(crate) use async_recursion::async_recursion as boxed;
pub use error::{DbError, DbResult};
pub use pool::{Connection, Database, DatabaseConfig, PoolUse, PooledConnection, now};

/// The most rows a list answers at once.
pub const PAGE_MAX: i64 = 200;
