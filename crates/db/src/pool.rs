//! The pool of connections under the services' role.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use diesel::QueryDsl;
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use ledger_core::Timestamp;

pub use crate::connection::Connection;
use crate::error::{DbError, DbResult, READ_ONLY};
use crate::migrations;
use crate::opening::{CONNECT_SECONDS, connect_raw, establish, insist_on_utf8, is_pooled};
use crate::sql::{Instant, statement};

/// How long a caller waits for a connection of the pool.
pub const POOL_WAIT_SECONDS: u64 = 5;

const STANDBY: &str = "is a standby, which only reads; let DATABASE_URL lead to the primary";

/// A connection lent by [`Database::get`]; it dereferences to [`Connection`].
pub type PooledConnection = Object<Connection>;

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
    #[crate::boxed]
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
    #[crate::boxed]
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
    #[crate::boxed]
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
    #[crate::boxed]
    pub async fn ping(&self) -> DbResult<()> {
        let mut connection = self.get().await?;
        Ok(connection.batch_execute("SELECT 1").await?)
    }

    /// Asks Postgres whether it takes writes, and writes nothing.
    ///
    /// # Errors
    /// [`DbError::ReadOnly`] with the reason, and what to do.
    #[crate::boxed]
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
    #[crate::boxed]
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
    #[crate::boxed]
    pub async fn identity(&self) -> DbResult<uuid::Uuid> {
        use crate::schema::arena_identity::dsl;
        let mut connection = self.get().await?;
        Ok(dsl::arena_identity.select(dsl::id).first(&mut *connection).await?)
    }

    /// Whether the way to Postgres is a pooler that lends servers by the transaction.
    pub fn is_pooled(&self) -> bool {
        is_pooled(&self.current().url)
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
    /// settings and must prepare its statements in each transaction, begun by
    /// [`begin`](crate::opening::begin).
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when Postgres cannot be reached in time.
    #[crate::boxed]
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
        insist_on_utf8(&mut *first).await?;
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
#[crate::boxed]
pub async fn now(conn: &mut Connection) -> DbResult<Timestamp> {
    let now: Timestamp = Clock {}.get_result(conn).await?;
    Ok(now)
}
