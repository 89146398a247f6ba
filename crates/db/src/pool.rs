//! Connections, and the time-outs that every session carries.
//!
//! A frozen process must not keep wallets locked: Postgres ends a session that idles inside a transaction after
//! [`IDLE_IN_TRANSACTION_SECONDS`].

use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use crate::connection::Connection;
use crate::error::{DbError, DbResult};
use crate::migrations;
use crate::sql::{Instant, statement};
use crate::tls;
use diesel::{ConnectionError, QueryDsl};
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use ledger_core::Timestamp;

pub const IDLE_IN_TRANSACTION_SECONDS: u32 = 5;
pub const LOCK_SECONDS: u32 = 5;
pub const STATEMENT_SECONDS: u32 = 30;
pub const CONNECT_SECONDS: u64 = 5;
/// How long a caller waits for a connection of the pool.
pub const POOL_WAIT_SECONDS: u64 = 5;

const STANDBY: &str = "is a standby, which only reads; let DATABASE_URL lead to the primary";
pub(crate) const READ_ONLY: &str =
    "takes no writes; see who set default_transaction_read_only, and whether its disk is full";

/// A connection lent by [`Database::get`]; it dereferences to [`Connection`].
pub type PooledConnection = Object<Connection>;

/// The end of a URL for a pooler in transaction mode, such as PgBouncer.
pub const POOLER_PARAMETER: &str = "pooler=transaction";

/// How to reach Postgres.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// A `postgres://` URL; see [`crate::tls`] for its parameters of encryption. It holds a
    /// password: this type has no `Debug`. With `?pooler=transaction` nothing relies on a session.
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

/// How a pool is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Lent at this moment.
    pub in_use: usize,
    /// Open and unused.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    pub size_max: usize,
}

/// The URL for new connections, and the open connections.
#[derive(Clone)]
struct Current {
    pool: Pool<Connection>,
    url: String,
}

impl Database {
    /// Opens a pool and proves that Postgres answers. Fails within [`CONNECT_SECONDS`].
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when Postgres cannot be reached in time; [`DbError::Encoding`] for a database
    /// that cannot store every text.
    pub async fn connect(config: DatabaseConfig) -> DbResult<Database> {
        let DatabaseConfig { url, pool_size } = config;
        let current = Current::open(url, pool_size).await?;
        Ok(Database { current: Arc::new(RwLock::new(current)), pool_size })
    }

    /// Goes on with another URL, of the same database under other credentials, once it is proven to
    /// work; on an error nothing has changed. Idle connections of the old URL end at once, and used
    /// ones when they are returned: a caller keeps its connection to the end of its work.
    ///
    /// # Errors
    /// Those of [`Database::connect`].
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
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when none becomes free, or can be made, within [`POOL_WAIT_SECONDS`].
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
    ///
    /// # Errors
    /// When Postgres does not answer: see [`DbError`].
    pub async fn ping(&self) -> DbResult<()> {
        let mut connection = self.get().await?;
        Ok(connection.batch_execute("SELECT 1").await?)
    }

    /// Asks Postgres whether it takes writes, and writes nothing.
    ///
    /// # Errors
    /// [`DbError::ReadOnly`] with the reason, and what to do.
    pub async fn must_take_writes(&self) -> DbResult<()> {
        let mut connection = self.get().await?;
        let state = diesel::dsl::sql::<(diesel::sql_types::Bool, diesel::sql_types::Bool)>(
            "pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'",
        );
        let (is_standby, is_read_only) = diesel::select(state).get_result(&mut *connection).await?;
        match (is_standby, is_read_only) {
            (true, _) => Err(DbError::ReadOnly(STANDBY)),
            (false, true) => Err(DbError::ReadOnly(READ_ONLY)),
            (false, false) => Ok(()),
        }
    }

    /// Whether the database has exactly this build's migrations.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    pub async fn schema_state(&self) -> DbResult<migrations::SchemaState> {
        let mut connection = self.get().await?;
        migrations::state(&mut connection).await
    }

    /// Which arena this is: another one after a reset, the same one after a restore. After a
    /// restore of an older state draw a new one: bots registered since are lost, and their ids are
    /// assigned again.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    pub async fn identity(&self) -> DbResult<uuid::Uuid> {
        use crate::schema::arena_identity::dsl;
        let mut connection = self.get().await?;
        Ok(dsl::arena_identity.select(dsl::id).first(&mut *connection).await?)
    }

    /// Whether the way to Postgres is a pooler that lends servers by the transaction.
    pub fn is_pooled(&self) -> bool {
        split_pooler(&self.current().url).1
    }

    /// How the pool is used at this moment.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.current().pool.status();
        PoolUse {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: status.waiting,
            size_max: status.max_size,
        }
    }

    /// A connection outside of the pool, for streams and bulk work. Behind a pooler it has no
    /// settings and must prepare its statements in each transaction, begun by [`begin`].
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when Postgres cannot be reached in time.
    pub async fn dedicated(&self) -> DbResult<tokio_postgres::Client> {
        connect_raw(&self.current().url).await
    }
}

impl Current {
    /// A pool of which one connection was made and has answered.
    async fn open(url: String, pool_size: usize) -> DbResult<Current> {
        let mut manager = ManagerConfig::<Connection>::default();
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
        let encoding = diesel::dsl::sql::<diesel::sql_types::Text>(ENCODING_QUERY);
        insist_on_utf8(diesel::select(encoding).get_result(&mut *first).await?)?;
        drop(first);
        Ok(Current { pool, url })
    }
}

statement! {
    struct Clock {} returns Instant = "SELECT clock_timestamp()"
}

/// Postgres' clock, which decides wherever time decides.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
pub async fn now(conn: &mut Connection) -> DbResult<Timestamp> {
    let now: Timestamp = Clock {}.get_result(conn).await?;
    Ok(now)
}

const ENCODING_QUERY: &str = "current_setting('server_encoding')";

/// Names, texts of agents and evidence can be in every script: another encoding would refuse some
/// of them, or store unreadable bytes.
fn insist_on_utf8(encoding: String) -> DbResult<()> {
    match encoding.as_str() {
        "UTF8" => Ok(()),
        _ => Err(DbError::Encoding(encoding)),
    }
}

/// A bare client, driven by its own task; without a pooler, its session has the time-outs.
pub(crate) async fn connect_raw(url: &str) -> DbResult<tokio_postgres::Client> {
    let opening = async {
        let (url, pooled) = split_pooler(url);
        let client = connect(&url).await?;
        if pooled {
            client.batch_execute("BEGIN").await?;
            learn_types(&client).await?;
            client.batch_execute("COMMIT").await?;
        } else {
            client.batch_execute(&session_settings("SET")).await?;
        }
        DbResult::Ok(client)
    };
    in_time(opening).await.unwrap_or_else(|silent| Err(DbError::Unavailable(silent)))
}

/// The URL without the parameter that only we understand, and whether it was there.
pub(crate) fn split_pooler(url: &str) -> (String, bool) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), false);
    };
    let is_ours = |part: &&str| *part == POOLER_PARAMETER;
    let rest: Vec<&str> = query.split('&').filter(|part| !is_ours(part)).collect();
    let url = match rest.join("&") {
        rest if rest.is_empty() => base.to_owned(),
        rest => format!("{base}?{rest}"),
    };
    (url, query.split('&').any(|part| is_ours(&part)))
}

/// Whether `url` leads through a pooler.
pub fn is_pooled(url: &str) -> bool {
    split_pooler(url).1
}

/// How a transaction begins whose session has no settings of ours.
pub(crate) fn begin(statement: &str) -> String {
    format!("{statement}; {}", session_settings("SET LOCAL"))
}

/// Has the driver look up every type of the schema while it may. It caches the types, but also the
/// prepared statements of its queries, and those do not outlive this transaction.
async fn learn_types(client: &tokio_postgres::Client) -> DbResult<()> {
    let row = client
        .query_one(
            "SELECT coalesce(string_agg(format('NULL::%1$s, NULL::%1$s[]', oid::regtype), ', '), '1') \
               FROM pg_type WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace",
            &[],
        )
        .await?;
    let all: &str = row.get(0);
    client.prepare(&format!("SELECT {all}")).await?;
    Ok(())
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

/// The name of this process in `pg_stat_activity`: `ledgerdome-api`.
fn application_name() -> String {
    let executable = std::env::current_exe().ok();
    let name = executable.as_deref().and_then(|path| path.file_stem()?.to_str());
    name.map_or_else(|| "ledgerdome".to_owned(), |name| format!("ledgerdome-{name}"))
}

pub(crate) async fn establish(url: &str) -> diesel::ConnectionResult<Connection> {
    let opening = async {
        let (url, pooled) = split_pooler(url);
        if pooled {
            open_pooled(&url).await.map(Connection::pooled)
        } else {
            open(&url).await.map(Connection::direct)
        }
    };
    in_time(opening).await.unwrap_or_else(|silent| Err(ConnectionError::BadConnection(silent)))
}

/// A client whose connection is driven by its own task, and monitored for error codes. The task
/// ends when the client is dropped; an error reaches the client's pending queries.
async fn connect(url: &str) -> DbResult<tokio_postgres::Client> {
    let (url, tls) = tls::split(url)?;
    tls.connect(parse(&url)?).await
}

/// The bare message: the caller adds that Postgres is unavailable.
fn refused(error: DbError) -> ConnectionError {
    let message = match error {
        DbError::Unavailable(message) | DbError::Query(message) => message,
        other => other.to_string(),
    };
    ConnectionError::BadConnection(message)
}

async fn open(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let client = connect(url).await.map_err(refused)?;
    let mut connection = AsyncPgConnection::try_from(client).await?;
    connection
        .batch_execute(&session_settings("SET"))
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Opens within one transaction: the driver prepares statements as it sets itself up.
async fn open_pooled(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let client = connect(url).await.map_err(refused)?;
    let opened = async {
        client.batch_execute(&begin("BEGIN")).await?;
        learn_types(&client).await
    };
    opened.await.map_err(refused)?;
    let mut connection = AsyncPgConnection::try_from(client).await?;
    connection.batch_execute("COMMIT").await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// The time-outs; `set` has their lengths.
fn session_settings(set: &str) -> String {
    format!(
        "{set} idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SECONDS}s'; \
         {set} lock_timeout = '{LOCK_SECONDS}s'; \
         {set} statement_timeout = '{STATEMENT_SECONDS}s'; \
         {set} timezone = 'UTC'"
    )
}

/// A connection for the schema's owner, outside of any pool.
pub(crate) async fn connect_owner(url: &str) -> DbResult<AsyncPgConnection> {
    let mut connection = in_time(open(url))
        .await
        .unwrap_or_else(|silent| Err(ConnectionError::BadConnection(silent)))
        .map_err(|error| DbError::Unavailable(error.to_string()))?;
    let encoding = diesel::dsl::sql::<diesel::sql_types::Text>(ENCODING_QUERY);
    insist_on_utf8(diesel::select(encoding).get_result(&mut connection).await?)?;
    Ok(connection)
}
