//! The ticker as a process: connects, runs cycle after cycle, and says how it is.

use std::time::Duration;

use cache::{Cache, CacheConfig, CacheError};
use daemon::cadence;
use daemon::config::{ConfigError, Sources, endpoint};
use daemon::credentials::{self, Followed};
use daemon::health::{self, Check, look};
use daemon::process::{Failure, Unavailable};
use daemon::shutdown::Shutdown;
use db::migrations::SchemaState;
use db::roles::role_of;
use db::{Database, DatabaseConfig, DbError};
use secrecy::ExposeSecret;

use crate::config::Config;
use crate::cycle::{self, Ticker};
use crate::metrics;

/// After a failed cycle, until the next try.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Reads the settings and runs until a signal.
pub async fn main() -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let config = Config::read(&Sources::load())?;
    run(config, shutdown).await
}

/// Runs until the shutdown; the cycle at hand always finishes.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Failure> {
    let database = connect_postgres(&config).await?;
    let cache = connect_redis(&config).await?;
    follow_credentials(&config, &database, &cache, &shutdown)?;
    db::rules::adopt(&mut *database.get().await?, &config.rules).await?;
    let announcement = cache.announce("ticker");
    metrics::watch(&database, config.tick_rate);
    let ticker = Ticker {
        database: database.clone(),
        cache: Some(cache.clone()),
        rules: config.rules,
        tick_rate: config.tick_rate,
        chunk_bots: config.chunk_bots,
        workers: config.workers,
    };
    let probe = move || probe(database.clone(), cache.clone());
    let health = health::serve(
        config.health_address,
        config.hosts,
        "ticker",
        probe,
        shutdown.clone(),
    )
    .await?;
    cadence::repeat(PAUSE_AFTER_FAILURE, &shutdown, || {
        let (ticker, shutdown) = (ticker.clone(), shutdown.clone());
        async move { cycle::run(&ticker, &shutdown).await.map(drop) }
    })
    .await;
    health.stopped().await;
    announcement.leave().await;
    Ok(())
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
    let settings = DatabaseConfig {
        url: url.to_owned(),
        pool_size: config.pool_size,
    };
    let database = Database::connect(settings).await.map_err(|error| {
        if matches!(error, DbError::Encoding(_)) {
            let problem = format!("names a database that cannot be used: {error}");
            return Failure::Config(ConfigError::single("DATABASE_URL", problem));
        }
        let hint = "is it running, and are address, role and password in DATABASE_URL right?";
        let what = format!("Postgres at {address}");
        Failure::Unavailable(Unavailable::new(what, hint).because(error))
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
    let settings = CacheConfig {
        url: url.to_owned(),
        namespace: String::new(),
    };
    Cache::connect(settings).await.map_err(|error| {
        let hint = "is it running, and are address and password in REDIS_URL right?";
        let what = format!("Redis at {address}");
        Failure::Unavailable(Unavailable::new(what, hint).because(error))
    })
}

async fn probe(database: Database, cache: Cache) -> Vec<Check> {
    let (postgres, redis) = tokio::join!(
        look("Postgres", database.must_take_writes(), DbError::shown),
        look("Redis", cache.must_take_writes(), CacheError::shown)
    );
    vec![Check::of("postgres", postgres), Check::of("redis", redis)]
}
