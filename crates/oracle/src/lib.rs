//! The oracle: reads prices and sources, and settles by them.
//!
//! It samples the price of a Bitcoin from the first source that answers, stores it in Postgres (for settlements)
//! and in Redis (for observations), settles due predictions, and marks bots with nothing left as dead. In
//! addition, [`markets`] opens markets and settles them after their deadline. Any number of oracles may run; the
//! one with the lease works, and another takes over if it ends.
//!
//! It must never decide a settlement itself: `ledger-core` judges, `db` writes. And a slow, wrong or refusing
//! source must never delay settlement or the reaper.

pub mod backoff;
pub mod config;
mod history;
pub mod leadership;
pub mod market_config;
pub mod markets;
mod metrics;
mod price_text;
pub mod round;
pub mod sampling;
pub mod service;
mod settlement;
pub mod sources;
mod state;

pub use config::Config;
pub use markets::MarketDesk;
pub use round::Oracle;
