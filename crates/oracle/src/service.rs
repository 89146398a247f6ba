//! The oracle as a process: connects, stands for the lease, runs cycles while it holds it, and
//! says how it is.

use std::sync::Arc;
use std::time::Duration;

use cache::prices::FreshPrice;
use cache::{Cache, CacheConfig, CacheError};
use daemon::cadence;
use daemon::config::{ConfigError, Sources, endpoint};
use daemon::credentials::{self, Followed};
use daemon::health::{self, Check, CheckState, look};
use daemon::process::{Failure, Unavailable};
use daemon::shutdown::Shutdown;
use db::migrations::SchemaState;
use db::roles::role_of;
use db::{Database, DatabaseConfig, DbError};
use secrecy::ExposeSecret;
use tracing::{Instrument as _, info, info_span};

use crate::config::Config;
use crate::cycle::{self, Oracle, Rhythm};
use crate::leadership::{Contest, Leadership, LeaseTimes};
use crate::markets::{self, MarketDesk, system_dice};
use crate::metrics;

/// Reads the settings and runs until a signal.
///
/// # Errors
/// What keeps the oracle from starting.
pub async fn main() -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let config = Config::read(&Sources::load())?;
    run(config, shutdown).await
}

/// Runs until the shutdown.
///
/// # Errors
/// [`Failure::Unavailable`] if Postgres or Redis cannot be reached at start, or if the schema is
/// older than this program; [`Failure::Config`] if it is newer; others if the health port is taken.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Failure> {
    let database = connect_postgres(&config).await?;
    let cache = connect_redis(&config).await?;
    follow_credentials(&config, &database, &cache, &shutdown)?;
    {
        let mut conn = database.get().await?;
        db::rules::adopt(&mut conn, &config.rules).await?;
    }
    let announcement = cache.announce("oracle");
    let rhythm = Rhythm {
        sample_seconds: config.sample_interval_seconds,
        cycle: config.cycle_interval(),
    };
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
        move || {
            probe(
                database.clone(),
                cache.clone(),
                leadership.clone(),
                price_ttl,
            )
        }
    };
    let served = health::serve(
        config.health_address,
        config.hosts,
        "oracle",
        probe,
        shutdown.clone(),
    )
    .await;
    let health = match served {
        Ok(health) => health,
        Err(error) => {
            contest.withdraw().await;
            return Err(error.into());
        }
    };
    let workers = Workers {
        oracle,
        desk,
        cycle: rhythm.cycle,
        markets: config.settle_interval,
    };
    work(&workers, &leadership, contest, &shutdown).await;
    health.stopped().await;
    announcement.leave().await;
    Ok(())
}

/// What is done while the lease is held, and how often each begins.
pub struct Workers {
    pub oracle: Arc<Oracle>,
    pub desk: Arc<MarketDesk>,
    /// From one price cycle to the next.
    pub cycle: Duration,
    /// From one market cycle to the next.
    pub markets: Duration,
}

/// Cycles for as long as the lease is held; waits for it while it is not. Prices and markets have
/// loops of their own: a slow source of one never holds up the other.
pub async fn work(
    workers: &Workers,
    leadership: &Leadership,
    contest: Contest,
    shutdown: &Shutdown,
) {
    while let Some(term) = leadership.next_term(shutdown).await {
        let prices = cadence::run(workers.cycle, &term, || {
            let (oracle, leadership) = (Arc::clone(&workers.oracle), leadership.clone());
            async move {
                if leadership.is_active() {
                    // Postgres' clock, which dates wagers too: with another one, a sample could
                    // be dated behind a wager that had seen it.
                    let now = db::now(&mut *oracle.database.get().await?).await?;
                    let span = info_span!("oracle cycle");
                    cycle::run(&oracle, now, &|| leadership.is_active())
                        .instrument(span)
                        .await;
                }
                Ok::<(), DbError>(())
            }
        });
        let markets = cadence::run(workers.markets, &term, || {
            let (desk, leadership) = (Arc::clone(&workers.desk), leadership.clone());
            async move {
                if leadership.is_active() {
                    let span = info_span!("market cycle");
                    markets::run(&desk, &|| leadership.is_active())
                        .instrument(span)
                        .await;
                }
                Ok::<(), DbError>(())
            }
        });
        futures_util::future::join(prices, markets).await;
    }
    contest.withdraw().await;
}

/// Rotated credentials are taken up while everything runs.
fn follow_credentials(
    config: &Config,
    database: &Database,
    cache: &Cache,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let followed = Followed {
        setting: "DATABASE_URL",
        schemes: &["postgres", "postgresql"],
        in_use: config.database_url.clone(),
    };
    cache.uses_role(role_of(config.database_url.expose_secret()).as_deref());
    let renewed = (database.clone(), cache.clone());
    credentials::follow(followed, shutdown.clone(), move |url| {
        let (database, cache) = renewed.clone();
        async move {
            let role = role_of(&url);
            database.take_up(url).await?;
            cache.uses_role(role.as_deref());
            Ok::<(), DbError>(())
        }
    })?;
    let followed = Followed {
        setting: "REDIS_URL",
        schemes: &["redis", "rediss"],
        in_use: config.redis_url.clone(),
    };
    let renewed = cache.clone();
    credentials::follow(followed, shutdown.clone(), move |url| {
        let cache = renewed.clone();
        async move { cache.take_up(&url).await }
    })?;
    Ok(())
}

async fn connect_postgres(config: &Config) -> Result<Database, Failure> {
    let url = config.database_url.expose_secret();
    let address = endpoint(url, 5432).unwrap_or_else(|| "DATABASE_URL".to_owned());
    let connection = DatabaseConfig {
        url: url.to_owned(),
        pool_size: config.pool_size,
    };
    let database = Database::connect(connection).await.map_err(|error| {
        if matches!(error, DbError::Encoding(_)) {
            let problem = format!("names a database that cannot be used: {error}");
            return Failure::Config(ConfigError::single("DATABASE_URL", problem));
        }
        let hint = "is it running, and are address, role and password in DATABASE_URL right?";
        let unavailable = Unavailable::new(format!("Postgres at {address}"), hint);
        Failure::Unavailable(unavailable.because(error))
    })?;
    database.warn_if_crowded().await;
    match database.schema_state().await? {
        SchemaState::Current => Ok(database),
        SchemaState::Behind { missing } => Err(Failure::unavailable(
            format!(
                "the schema of this build (the database at {address} lacks {missing} migrations)"
            ),
            "run scripts/migrate",
        )),
        SchemaState::Ahead { unknown } => Err(Failure::Config(ConfigError::single(
            "DATABASE_URL",
            format!("names a database with {unknown} migrations that this build does not know"),
        ))),
    }
}

async fn connect_redis(config: &Config) -> Result<Cache, Failure> {
    let url = config.redis_url.expose_secret();
    let address = endpoint(url, 6379).unwrap_or_else(|| "REDIS_URL".to_owned());
    let connection = CacheConfig {
        url: url.to_owned(),
        namespace: String::new(),
    };
    Cache::connect(connection).await.map_err(|error| {
        let hint = "is it running, and are address and password in REDIS_URL right?";
        Failure::Unavailable(Unavailable::new(format!("Redis at {address}"), hint).because(error))
    })
}

/// What `/ready` shows. A missing price or standing by does not make the oracle unready.
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
        look("Postgres", database.must_take_writes(), DbError::shown),
        look("Postgres", database.schema_state(), DbError::shown),
        look("Postgres", now, DbError::shown),
        look("Redis", cache.must_take_writes(), CacheError::shown),
        look("Redis", cache.price(), CacheError::shown)
    );
    let schema = schema.and_then(|state| state.fault().map_or(Ok(()), Err));
    let price = now.and_then(|now| {
        let fresh = |price: &FreshPrice| price.freshness(now, price_ttl_seconds).is_some();
        let none = "no fresh price: the arena takes no wagers";
        price?.filter(fresh).ok_or_else(|| none.to_owned())
    });
    vec![
        Check::of("postgres", postgres),
        Check::of("schema", schema),
        Check::of("redis", redis),
        match price {
            Ok(fresh) => described("price", format!("fresh, from {}", fresh.source)),
            Err(detail) => Check::degraded("price", detail),
        },
        described("role", leadership.role().as_str()),
    ]
}

fn described(name: &str, detail: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        state: CheckState::Ok,
        detail: Some(detail.into()),
    }
}
