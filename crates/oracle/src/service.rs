//! The oracle as a process: connects, tries to get the lease, runs rounds while it has it, and reports its
//! health.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cache::prices::FreshPrice;
use cache::{Cache, CacheError};
use daemon::cadence;
use daemon::command_line::{Build, Service};
use daemon::config::Sources;
use daemon::health::{self, Check, CheckState, look};
use daemon::process::Failure;
use daemon::shutdown::Shutdown;
use db::{Database, DbError};
use service::{Stores, readiness};
use tracing::{Instrument as _, info, info_span};

use crate::config::Config;
use crate::leadership::{Contest, Leadership, LeaseTimes};
use crate::markets::{self, MarketDesk, system_dice};
use crate::metrics;
use crate::round::{self, Oracle, Rhythm};

/// The whole program: answers its command line, or serves until a signal.
///
/// It is not in `main.rs`, which contains the commit and is compiled again for each one.
pub fn main(build: Build) -> ExitCode {
    let service = Service {
        name: "oracle",
        about: "Prices, settlement of predictions and markets, and the market maker.",
        build,
        needs: &["DATABASE_URL", "REDIS_URL"],
        host: "HEALTH_HOST",
        port: ("ORACLE_HEALTH_PORT", crate::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, run_with_settings())
}

async fn run_with_settings() -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let config = Config::read(&Sources::load())?;
    run(config, shutdown).await
}

/// Runs until the shutdown.
///
/// # Errors
/// [`Unavailable`](daemon::process::Unavailable) if Postgres or Redis cannot be reached at start, or if the schema is
/// older than this program; [`ConfigError`](daemon::config::ConfigError) if it is newer; others if the health port is taken.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Failure> {
    let stores = Stores::connect(&config.postgres, &config.redis).await?;
    stores.follow(&config.postgres, &config.redis, &shutdown)?;
    let Stores { database, cache } = stores;
    db::rules::adopt(&mut *database.get().await?, &config.rules).await?;
    let announcement = cache.announce("oracle");
    let rhythm =
        Rhythm { sample_seconds: config.sample_interval_seconds, round: config.round_interval() };
    for feed in &config.feeds {
        info!(source = %feed.source(), "price source");
    }
    for feed in &config.market_feeds {
        info!(source = feed.name(), kind = %feed.source(), "market source");
    }
    let desk = Arc::new(MarketDesk::new(
        database.clone(),
        cache.clone(),
        config.market_feeds,
        config.rules.clone(),
        shutdown.clone(),
        system_dice(),
    ));
    let price_ttl = config.rules.price_ttl_seconds;
    let oracle = Oracle::new(
        database.clone(),
        cache.clone(),
        config.feeds,
        config.rules,
        rhythm,
        shutdown.clone(),
    );
    let oracle = Arc::new(oracle.keeping(config.retention));
    let (leadership, contest) = Leadership::contend(database.clone(), LeaseTimes::default());
    metrics::watch(&database, &leadership);
    let probe = {
        let (leadership, cache) = (leadership.clone(), cache.clone());
        move || probe(database.clone(), cache.clone(), leadership.clone(), price_ttl)
    };
    let served =
        health::serve(config.health_address, config.hosts, "oracle", probe, shutdown.clone()).await;
    let health = match served {
        Ok(health) => health,
        Err(error) => {
            contest.withdraw().await;
            return Err(error.into());
        }
    };
    let workers = Workers { oracle, desk, round: rhythm.round, markets: config.settle_interval };
    work(&workers, &leadership, contest, &shutdown).await;
    health.stopped().await;
    announcement.leave().await;
    Ok(())
}

/// The loops of the leader, and their intervals.
pub struct Workers {
    pub oracle: Arc<Oracle>,
    pub desk: Arc<MarketDesk>,
    /// From one price round to the next.
    pub round: Duration,
    /// From one market round to the next.
    pub markets: Duration,
}

/// Runs rounds while it has the lease; waits for it otherwise. Prices and markets have separate
/// loops: a slow source of one never delays the other.
pub async fn work(
    workers: &Workers,
    leadership: &Leadership,
    contest: Contest,
    shutdown: &Shutdown,
) {
    while let Some(term) = leadership.next_term(shutdown).await {
        let prices = cadence::run(workers.round, &term, || {
            let (oracle, leadership) = (Arc::clone(&workers.oracle), leadership.clone());
            async move {
                if leadership.is_active() {
                    // Postgres' clock, which dates wagers too: with another one, a sample could
                    // be dated behind a wager that had seen it.
                    let now = db::now(&mut *oracle.database.get().await?).await?;
                    let span = info_span!("oracle round");
                    round::run(&oracle, now, &|| leadership.is_active()).instrument(span).await;
                }
                Ok::<(), DbError>(())
            }
        });
        let markets = cadence::run(workers.markets, &term, || {
            let (desk, leadership) = (Arc::clone(&workers.desk), leadership.clone());
            async move {
                if leadership.is_active() {
                    let span = info_span!("market round");
                    markets::run(&desk, &|| leadership.is_active()).instrument(span).await;
                }
                Ok::<(), DbError>(())
            }
        });
        futures_util::future::join(prices, markets).await;
    }
    contest.withdraw().await;
}

/// The result of `/ready`. A missing price or standing by does not make the oracle unready.
pub async fn probe(
    database: Database,
    cache: Cache,
    leadership: Leadership,
    price_ttl_seconds: i64,
) -> Vec<Check> {
    let now = async {
        let mut conn = database.get().await?;
        db::now(&mut conn).await
    };
    let (postgres, schema, now, redis, price) = futures_util::join!(
        readiness::postgres(&database),
        readiness::schema(&database),
        look("Postgres", now, DbError::shown),
        readiness::redis(&cache),
        look("Redis", cache.price(), CacheError::shown)
    );
    let price = now.and_then(|now| {
        let fresh = |price: &FreshPrice| price.freshness(now, price_ttl_seconds).is_some();
        let none = "no fresh price: the arena takes no wagers";
        price?.filter(fresh).ok_or_else(|| none.to_owned())
    });
    vec![
        postgres,
        schema,
        redis,
        match price {
            Ok(fresh) => described("price", format!("fresh, from {}", fresh.source)),
            Err(detail) => Check::degraded("price", detail),
        },
        described("role", leadership.role().as_str()),
    ]
}

fn described(name: &str, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), state: CheckState::Ok, detail: Some(detail.into()) }
}
