//! Connecting to Postgres and Redis, with errors that have their address and the next step.

use std::io;

use cache::presence::DATABASE_URL;
use cache::{Cache, CacheConfig};
use daemon::config::{ConfigError, endpoint};
use daemon::process::{Failure, Unavailable};
use daemon::shutdown::Shutdown;
use db::migrations::{KNOWN, SchemaState};
use db::roles::role_of;
use db::{Database, DatabaseConfig, DbError};
use secrecy::ExposeSecret as _;

use crate::credentials;
use crate::settings::{PostgresSettings, RedisSettings};

/// The connections of a process that uses both.
#[derive(Clone)]
pub struct Stores {
    pub database: Database,
    pub cache: Cache,
}

impl Stores {
    /// Connects to both, and returns the role of Postgres that this process uses.
    ///
    /// # Errors
    /// As for [`PostgresSettings::connect`] and [`RedisSettings::connect`].
    pub async fn connect(
        postgres: &PostgresSettings,
        redis: &RedisSettings,
    ) -> Result<Stores, Failure> {
        let (database, cache) = tokio::join!(postgres.connect(), redis.connect());
        let (database, cache) = (database?, cache?);
        cache.uses_role(role_of(postgres.url.expose_secret()).as_deref());
        Ok(Stores { database, cache })
    }

    /// Takes up rotated credentials of both from now on until the shutdown.
    ///
    /// # Errors
    /// When the handler of SIGHUP cannot be installed.
    pub fn follow(
        &self,
        postgres: &PostgresSettings,
        redis: &RedisSettings,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let (database, cache) = (self.database.clone(), Some(self.cache.clone()));
        credentials::follow_postgres(postgres, database, cache, shutdown)?;
        credentials::follow_redis(redis, self.cache.clone(), shutdown)
    }
}

impl PostgresSettings {
    /// Connects, and refuses a database that this build does not fit.
    ///
    /// # Errors
    /// [`Unavailable`] if it cannot be reached or lacks migrations; [`ConfigError`] if it has unknown ones, or is
    /// not usable.
    pub async fn connect(&self) -> Result<Database, Failure> {
        let url = self.url.expose_secret();
        let place = endpoint(url, 5432).unwrap_or_else(|| DATABASE_URL.to_owned());
        let what = format!("Postgres at {place}");
        let config = DatabaseConfig { url: url.to_owned(), pool_size: self.pool_size };
        let hint = "is it running, and are address, role and password in DATABASE_URL right?";
        let database =
            Database::connect(config).await.map_err(|error| refused(error, &what, hint))?;
        database.warn_if_crowded().await;
        match database.schema_state().await {
            Ok(SchemaState::Current) => Ok(database),
            Ok(SchemaState::Behind { missing }) => Err(Failure::unavailable(
                format!("a usable schema in {what}"),
                format!(
                    "it lacks {missing} {KNOWN}: run scripts/migrate, which is `arenactl migrate`"
                ),
            )),
            Ok(SchemaState::Ahead { unknown }) => Err(ConfigError::single(
                DATABASE_URL,
                format!(
                    "names a database with {unknown} {KNOWN} that this build does not know: run a newer build, \
                     or name another database"
                ),
            )
            .into()),
            Err(error @ (DbError::Unavailable(_) | DbError::Contended(_))) => Err(refused(error, &what, "is it running?")),
            Err(error) => Err(refused(
                error,
                &format!("the schema in {what}"),
                "was it migrated? Run `arenactl migrate`",
            )),
        }
    }
}

fn refused(error: DbError, what: &str, hint: &str) -> Failure {
    match error {
        DbError::Encoding(_) | DbError::Unfinished => {
            let problem = format!("names a database that cannot be used: {error}");
            ConfigError::single(DATABASE_URL, problem).into()
        }
        error => Unavailable::new(what, hint).because(error).into(),
    }
}

impl RedisSettings {
    /// # Errors
    /// [`Unavailable`] if it does not answer.
    pub async fn connect(&self) -> Result<Cache, Failure> {
        let url = self.url.expose_secret();
        let place = endpoint(url, 6379).unwrap_or_else(|| cache::presence::REDIS_URL.to_owned());
        let config = CacheConfig { url: url.to_owned(), namespace: self.namespace.clone() };
        Cache::connect(config).await.map_err(|error| {
            let hint = "is it running, and are address and password in REDIS_URL right?";
            Unavailable::new(format!("Redis at {place}"), hint).because(error).into()
        })
    }
}
