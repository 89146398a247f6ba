//! The ticker as a process: connects, runs tick after tick, and reports its health.

use std::process::ExitCode;
use std::time::Duration;

use daemon::cadence;
use daemon::command_line::{Build, Service};
use daemon::config::Sources;
use daemon::health;
use daemon::process::Failure;
use daemon::shutdown::Shutdown;
use service::{Stores, readiness};

use crate::config::Config;
use crate::metrics;
use crate::tick::{self, Ticker};

/// After a failed tick, until the next try.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The whole program: answers its command line, or serves until a signal.
///
/// It is not in `main.rs`, which contains the commit and is compiled again for each one.
pub fn main(build: Build) -> ExitCode {
    let service = Service {
        name: "ticker",
        about: "Time costs money: charges every living bot once a tick.",
        build,
        needs: &["DATABASE_URL", "REDIS_URL"],
        host: "HEALTH_HOST",
        port: ("TICKER_HEALTH_PORT", crate::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, run_with_settings())
}

async fn run_with_settings() -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let config = Config::read(&Sources::load())?;
    run(config, shutdown).await
}

/// Runs until the shutdown; the current tick always finishes.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Failure> {
    let stores = Stores::connect(&config.postgres, &config.redis).await?;
    stores.follow(&config.postgres, &config.redis, &shutdown)?;
    let Stores { database, cache } = stores.clone();
    db::rules::adopt(&mut *database.get().await?, &config.rules).await?;
    let announcement = cache.announce("ticker");
    let tick_rate = Duration::from_secs(config.rules.tick_rate_seconds.unsigned_abs());
    metrics::watch(&database, tick_rate);
    let ticker = Ticker {
        database,
        cache: Some(cache),
        rules: config.rules,
        tick_rate,
        chunk_bots: config.chunk_bots,
        workers: config.workers,
    };
    let probe = move || {
        let Stores { database, cache } = stores.clone();
        async move {
            let postgres = readiness::postgres(&database);
            let (postgres, redis) = tokio::join!(postgres, readiness::redis(&cache));
            vec![postgres, redis]
        }
    };
    let health =
        health::serve(config.health_address, config.hosts, "ticker", probe, shutdown.clone())
            .await?;
    cadence::repeat(PAUSE_AFTER_FAILURE, &shutdown, || {
        let (ticker, shutdown) = (ticker.clone(), shutdown.clone());
        async move { tick::run(&ticker, &shutdown).await.map(drop) }
    })
    .await;
    health.stopped().await;
    announcement.leave().await;
    Ok(())
}
