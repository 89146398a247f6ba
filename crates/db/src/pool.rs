//! Connections, and the time-outs that every session carries.
//!
//! A frozen process must not hold wallets: a session that idles inside a transaction is ended by
//! Postgres after [`IDLE_IN_TRANSACTION_SECONDS`].

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{ConnectionError, QueryDsl};
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use ledger_core::Timestamp;
use tokio_postgres::NoTls;

use crate::error::{DbError, DbResult};
use crate::migrations;

pub const IDLE_IN_TRANSACTION_SECONDS: u32 = 5;
pub const LOCK_SECONDS: u32 = 5;
pub const STATEMENT_SECONDS: u32 = 30;
pub const CONNECT_SECONDS: u64 = 5;
/// How long a caller waits for a connection of the pool.
pub const POOL_WAIT_SECONDS: u64 = 5;

pub type Connection = AsyncPgConnection;
/// A connection lent by [`Database::get`]; it dereferences to [`Connection`].
pub type PooledConnection = Object<AsyncPgConnection>;

/// How to reach Postgres.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// A `postgres://` URL. It holds a password: this type has no `Debug`.
    pub url: String,
    /// The most connections at once.
    pub pool_size: usize,
}

/// A pool of connections under the services' role; clones share it.
#[derive(Clone)]
pub struct Database {
    current: Arc<RwLock<Current>>,
    pool_size: usize,
}

/// What new connections are made with, and those that were.
#[derive(Clone)]
struct Current {
    pool: Pool<AsyncPgConnection>,
    url: String,
}

impl Database {
    /// Opens a pool and proves that Postgres answers. Fails within [`CONNECT_SECONDS`].
    pub async fn connect(config: DatabaseConfig) -> DbResult<Database> {
        let DatabaseConfig { url, pool_size } = config;
        let current = Current::open(url, pool_size).await?;
        Ok(Database {
            current: Arc::new(RwLock::new(current)),
            pool_size,
        })
    }

    /// Goes on with another URL, of the same database under other credentials, once it is proven
    /// to work; on an error nothing has changed. Idle connections of the old URL end at once, and
    /// those on loan as they come back: whoever has one keeps it to the end of its work.
    pub async fn take_up(&self, url: String) -> DbResult<()> {
        let fresh = Current::open(url, self.pool_size).await?;
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, fresh)
        };
        old.pool.close();
        Ok(())
    }

    fn current(&self) -> Current {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// A connection from the pool.
    pub async fn get(&self) -> DbResult<PooledConnection> {
        loop {
            return match self.current().pool.get().await {
                Ok(connection) => Ok(connection),
                // Another took its place meanwhile, and only then was it closed.
                Err(PoolError::Closed) => continue,
                Err(PoolError::Timeout(_)) => Err(DbError::Unavailable(
                    "no connection became free in time; all are in use or Postgres does not answer"
                        .to_owned(),
                )),
                Err(PoolError::Backend(error)) => Err(DbError::Unavailable(error.to_string())),
                Err(other) => Err(DbError::Unavailable(other.to_string())),
            };
        }
    }

    /// Asks Postgres for a sign of life.
    pub async fn ping(&self) -> DbResult<()> {
        let mut connection = self.get().await?;
        Ok(connection.batch_execute("SELECT 1").await?)
    }

    /// Whether the database has exactly the migrations this build knows.
    pub async fn schema_state(&self) -> DbResult<migrations::SchemaState> {
        let mut connection = self.get().await?;
        migrations::state(&mut connection).await
    }

    /// Which arena this is: another one after a reset, the same one after a restore. Who restores an
    /// older state should draw a new one: bots registered since are gone, and their ids come again.
    pub async fn identity(&self) -> DbResult<uuid::Uuid> {
        use crate::schema::arena_identity::dsl;
        let mut connection = self.get().await?;
        Ok(dsl::arena_identity
            .select(dsl::id)
            .first(&mut *connection)
            .await?)
    }

    /// A connection beside the pool, for streams and bulk work.
    pub async fn dedicated(&self) -> DbResult<tokio_postgres::Client> {
        connect_raw(&self.current().url).await
    }
}

impl Current {
    /// A pool of which one connection was made and has answered.
    async fn open(url: String, pool_size: usize) -> DbResult<Current> {
        let mut manager = ManagerConfig::<AsyncPgConnection>::default();
        // A broken connection is noticed by the query that meets it; a probe before each loan would
        // cost a round trip a request.
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(|url| {
            let url = url.to_owned();
            async move { establish(&url).await }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(url.clone(), manager);
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .wait_timeout(Some(Duration::from_secs(POOL_WAIT_SECONDS)))
            .create_timeout(Some(Duration::from_secs(CONNECT_SECONDS)))
            .recycle_timeout(Some(Duration::from_secs(CONNECT_SECONDS)))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| DbError::Unavailable(error.to_string()))?;
        let first = pool.get().await;
        let mut first = first.map_err(|error| match error {
            PoolError::Backend(error) => DbError::Unavailable(error.to_string()),
            other => DbError::Unavailable(other.to_string()),
        })?;
        first.batch_execute("SELECT 1").await?;
        drop(first);
        Ok(Current { pool, url })
    }
}

/// Postgres' clock, which decides wherever time decides.
pub async fn now(conn: &mut Connection) -> DbResult<Timestamp> {
    let clock = diesel::dsl::sql::<diesel::sql_types::Timestamptz>("clock_timestamp()");
    let now: DateTime<Utc> = diesel::select(clock).get_result(conn).await?;
    Ok(now.into())
}

/// A bare client with the session's time-outs, driven by a task of its own.
pub(crate) async fn connect_raw(url: &str) -> DbResult<tokio_postgres::Client> {
    let opening = async {
        let (client, connection) = parse(url)?.connect(NoTls).await?;
        // The task ends when the client is dropped; an error reaches the client's pending queries.
        tokio::spawn(connection);
        client.batch_execute(&session_settings()).await?;
        DbResult::Ok(client)
    };
    in_time(opening)
        .await
        .unwrap_or_else(|silent| Err(DbError::Unavailable(silent)))
}

/// Bounds the whole of connecting: a server that accepts and then stays silent is no server.
async fn in_time<T>(connecting: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS), connecting)
        .await
        .map_err(|_| format!("no answer to the connection within {CONNECT_SECONDS} s"))
}

fn parse(url: &str) -> DbResult<tokio_postgres::Config> {
    let mut config = tokio_postgres::Config::from_str(url)
        .map_err(|_| DbError::Unavailable("the database URL cannot be parsed".to_owned()))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(CONNECT_SECONDS));
    }
    if config.get_application_name().is_none() {
        config.application_name(application_name());
    }
    // A host that vanished without a word is noticed within half a minute, not two hours.
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    config.tcp_user_timeout(Duration::from_secs(35));
    Ok(config)
}

/// What `pg_stat_activity` shows of this process: `ledgerdome-api`.
fn application_name() -> String {
    let executable = std::env::current_exe().ok();
    let name = executable
        .as_deref()
        .and_then(|path| path.file_stem()?.to_str());
    name.map_or_else(
        || "ledgerdome".to_owned(),
        |name| format!("ledgerdome-{name}"),
    )
}

async fn establish(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    in_time(open(url))
        .await
        .unwrap_or_else(|silent| Err(ConnectionError::BadConnection(silent)))
}

async fn open(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let config = parse(url).map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
    let (client, connection) = config.connect(NoTls).await.map_err(|error| {
        // The bare message: whoever asked for the connection says that Postgres is unavailable.
        let message = match DbError::from(error) {
            DbError::Unavailable(message) | DbError::Query(message) => message,
            other => other.to_string(),
        };
        ConnectionError::BadConnection(message)
    })?;
    let mut connection =
        AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    connection
        .batch_execute(&session_settings())
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

fn session_settings() -> String {
    format!(
        "SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SECONDS}s'; \
         SET lock_timeout = '{LOCK_SECONDS}s'; \
         SET statement_timeout = '{STATEMENT_SECONDS}s'; \
         SET timezone = 'UTC'"
    )
}

/// A connection for the schema's owner, beside any pool.
pub(crate) async fn connect_owner(url: &str) -> DbResult<Connection> {
    establish(url)
        .await
        .map_err(|error| DbError::Unavailable(error.to_string()))
}
