//! What each process of the arena does with Postgres and Redis, once: read where they are, connect,
//! take up new credentials, answer readiness probes and show the pool's metrics.
//!
//! It adds to `daemon`, which knows neither store. This crate must never decide anything about money,
//! and never write SQL or Redis commands of its own.

pub mod clock;
pub mod credentials;
pub mod metrics;
pub mod readiness;
mod settings;
mod stores;

pub use settings::{POSTGRES_SCHEMES, PostgresSettings, REDIS_SCHEMES, RedisSettings, rules};
pub use stores::Stores;
