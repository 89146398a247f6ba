//! Each process' use of Postgres and Redis: read their URLs, connect, use new credentials, answer readiness
//! probes and export the pool's metrics.
//!
//! It extends `daemon`, which uses neither store. This crate must never decide anything about money, and must not
//! contain SQL or Redis commands.

pub mod clock;
pub mod credentials;
pub mod metrics;
pub mod readiness;
mod settings;
mod stores;

pub use settings::{POSTGRES_SCHEMES, PostgresSettings, REDIS_SCHEMES, RedisSettings, rules};
pub use stores::Stores;
