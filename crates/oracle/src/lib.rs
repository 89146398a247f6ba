//! The oracle: what the arena knows of the outside world, and what follows from it.
//!
//! It samples the price of a Bitcoin from the first source that answers, keeps it in Postgres
//! (settlements read that) and in Redis (observations read that), settles the predictions that are due,
//! and buries the bots that have nothing left. Beside that, [`markets`] keeps the board stocked and
//! settles what has come to its deadline. Any number of oracles may run; the one that holds
//! the lease works, and another takes over when it dies.
//!
//! It must never decide a settlement itself: `ledger-core` judges, `db` writes. And it must never
//! let a source that is slow, wrong or angry hold up settlement or the reaper.

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
