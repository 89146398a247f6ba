//! The ticker's settings.

use std::net::SocketAddr;

use daemon::config::{ConfigError, Reader, Sources};
use daemon::health;
use daemon::hosts::Hosts;
use ledger_core::economy::EconomyRules;
use service::{PostgresSettings, RedisSettings};

/// Port of `/health` and `/ready` unless `TICKER_HEALTH_PORT` is set.
pub const HEALTH_PORT: u16 = 8001;
/// Bots in one transaction: measured best between 1,000 and 2,000, see docs/benchmarks.md.
pub const CHUNK_BOTS: i64 = 1_000;
/// Chunks at once in this process, each on its own connection.
const WORKERS: usize = 1;
/// The tick's bookkeeping and the readiness probe.
const POOL_SIZE: usize = 3;

/// The settings of the ticker.
pub struct Config {
    pub postgres: PostgresSettings,
    pub redis: RedisSettings,
    pub health_address: SocketAddr,
    /// Its host names.
    pub hosts: Hosts,
    pub chunk_bots: i64,
    pub workers: usize,
    pub rules: EconomyRules,
}

impl Config {
    /// Reads and checks all settings, and names every problem at once.
    pub fn read(sources: &Sources) -> Result<Config, ConfigError> {
        let mut reader = Reader::new(sources);
        let config = Config {
            postgres: PostgresSettings::read(&mut reader, POOL_SIZE, 2..=200),
            redis: RedisSettings::read(&mut reader),
            health_address: health::address(&mut reader, "TICKER_HEALTH_PORT", HEALTH_PORT),
            hosts: Hosts::read(&mut reader),
            chunk_bots: reader.or_within("TICK_CHUNK", CHUNK_BOTS, 1..=10_000),
            workers: reader.or_within("TICK_WORKERS", WORKERS, 1..=64),
            rules: service::rules(&mut reader),
        };
        reader.finish().map(|()| config)
    }
}
