//! Connections to Postgres: bounded in time, with errors that have its address and the next step.

use std::fmt;
use std::time::Duration;

use daemon::config::{ConfigError, endpoint};
use daemon::process::{Failure, Unavailable};
use db::migrations::{KNOWN, SchemaState};
use db::{Database, DatabaseConfig, DbError, PooledConnection};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use service::POSTGRES_SCHEMES as SCHEMES;

/// For everything from the TCP handshake to the answer: a server that accepts and then stays
/// silent counts as unreachable too.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// A reachable Postgres and the name of the setting that leads there.
pub(crate) struct Postgres {
    database: Database,
    place: Place,
}

struct Place {
    setting: &'static str,
    what: String,
}

impl Postgres {
    /// Logs in with the URL that the setting holds.
    pub(crate) async fn connect(
        setting: &'static str,
        url: &SecretString,
        pool_size: usize,
    ) -> Result<Postgres, Failure> {
        let attempt = Self::attempt(setting, url, pool_size).await;
        attempt.map_err(|refused| refused.place.unreachable(refused.error))
    }

    /// Like [`Postgres::connect`], for callers that only need the error.
    pub(crate) async fn attempt(
        setting: &'static str,
        url: &SecretString,
        pool_size: usize,
    ) -> Result<Postgres, Refused> {
        let url = url.expose_secret();
        let what = match endpoint(url, 5432) {
            Some(endpoint) => format!("Postgres at {endpoint}"),
            None => "Postgres".to_owned(),
        };
        let place = Place { setting, what };
        let config = DatabaseConfig { url: url.to_owned(), pool_size };
        let attempt = tokio::time::timeout(ANSWER_WITHIN, Database::connect(config)).await;
        let silence = || {
            let seconds = ANSWER_WITHIN.as_secs();
            Err(DbError::Unavailable(format!("no answer within {seconds} s")))
        };
        match attempt.unwrap_or_else(|_| silence()) {
            Ok(database) => Ok(Postgres { database, place }),
            Err(error) => Err(Refused { place, error }),
        }
    }

    /// Like [`Postgres::connect`], and insists on the schema of this build.
    pub(crate) async fn connect_migrated(
        setting: &'static str,
        url: &SecretString,
        pool_size: usize,
    ) -> Result<Postgres, Failure> {
        let postgres = Self::connect(setting, url, pool_size).await?;
        let problem = match postgres.database.schema_state().await {
            Ok(SchemaState::Current) => return Ok(postgres),
            Ok(SchemaState::Behind { missing }) => {
                format!("lacks {missing} of this build's {KNOWN}: run `arenactl migrate`")
            }
            Ok(SchemaState::Ahead { unknown }) => format!(
                "has {unknown} {KNOWN} that this build does not know: use the build that migrated it"
            ),
            Err(error @ DbError::Unavailable(_)) => return Err(postgres.failure(error, "")),
            Err(error @ DbError::Unfinished) => format!("cannot be used: {error}"),
            Err(error) => {
                format!("has no schema that can be read ({error}): run `arenactl migrate`")
            }
        };
        Err(anyhow::anyhow!("the database of {} {problem}", postgres.place.what).into())
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Where it is, for messages.
    pub(crate) fn what(&self) -> &str {
        &self.place.what
    }

    pub(crate) async fn connection(&self) -> Result<PooledConnection, Failure> {
        self.database.get().await.map_err(|error| self.failure(error, "cannot get a connection"))
    }

    /// The command's error for an error of the database. `failed` begins the sentence that the
    /// error ends ("cannot revive Mia").
    pub(crate) fn failure(&self, error: DbError, failed: impl Into<String>) -> Failure {
        if matches!(error, DbError::Unavailable(_) | DbError::Contended(_)) {
            return self.place.unreachable(error);
        }
        anyhow::Error::new(error).context(failed.into()).into()
    }
}

/// An attempt that failed.
pub(crate) struct Refused {
    place: Place,
    error: DbError,
}

impl Refused {
    /// Why, without where.
    pub(crate) fn reason(&self) -> String {
        reason(&self.error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.what, reason(&self.error))
    }
}

impl Place {
    fn unreachable(&self, error: DbError) -> Failure {
        if matches!(error, DbError::Encoding(_)) {
            let problem = format!("names a database that cannot be used: {error}");
            return ConfigError::single(self.setting, problem).into();
        }
        let hint =
            format!("is it up, and is {} right? `arenactl debug-auth` tries it", self.setting);
        Unavailable::new(&self.what, hint).because(reason(&error)).into()
    }
}

/// Without the sentence around it, which the caller has already begun.
fn reason(error: &DbError) -> String {
    match error {
        DbError::Unavailable(reason) | DbError::Contended(reason) => reason.clone(),
        other => other.to_string(),
    }
}
