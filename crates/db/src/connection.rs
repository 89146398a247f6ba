//! A connection that also works behind a pooler which lends a server for one transaction only.
//!
//! Behind such a pooler nothing of a session outlives a transaction: no prepared statement, no
//! setting. Diesel prepares each statement and then runs it, which are two round trips. So here
//! each statement outside of a transaction gets its own transaction, no statement is kept, and each
//! `BEGIN` sets the time-outs. Direct connections pass through untouched.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::connection::{CacheSize, Instrumentation};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::{ConnectionResult, QueryResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection,
    SimpleAsyncConnection, TransactionManager as _,
};
use futures_util::future::{BoxFuture, join};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tracing::{Instrument as _, Span, debug_span, field};

use crate::opening;

/// A connection to Postgres, direct or through a transaction pooler.
pub struct Connection {
    inner: AsyncPgConnection,
    pooled: bool,
    /// A transaction was begun, by a caller or by us around a single statement, and did not end:
    /// the connection must not be used again.
    unfinished: AtomicBool,
    /// The open transaction, for traces from a request to its commit.
    transaction: Option<Span>,
}

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;
type Rows = BoxStream<'static, QueryResult<Row>>;

impl Connection {
    pub(crate) fn direct(inner: AsyncPgConnection) -> Connection {
        Connection { inner, pooled: false, unfinished: AtomicBool::new(false), transaction: None }
    }

    pub(crate) fn pooled(mut inner: AsyncPgConnection) -> Connection {
        inner.set_prepared_statement_cache_size(CacheSize::Disabled);
        Connection { pooled: true, ..Connection::direct(inner) }
    }

    /// Whether a statement now would stand outside of any transaction behind a pooler.
    fn is_alone(&mut self) -> bool {
        use diesel::connection::TransactionManagerStatus;
        if !self.pooled {
            return false;
        }
        match AnsiTransactionManager::transaction_manager_status_mut(&mut self.inner) {
            TransactionManagerStatus::Valid(valid) => valid.transaction_depth().is_none(),
            TransactionManagerStatus::InError => false,
        }
    }

    /// Runs `work`, built on this connection, in its own transaction.
    async fn enclose<T>(&self, work: BoxFuture<'_, QueryResult<T>>) -> QueryResult<T> {
        self.unfinished.store(true, Ordering::Relaxed);
        let mut conn = &self.inner;
        // In one pipeline: polled in this order, they are sent in this order.
        let (begun, done) = join(conn.batch_execute(&opening::begin("BEGIN")), work).await;
        let done = begun.and(done);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = (&self.inner).batch_execute(end).await;
        if ended.is_ok() {
            self.unfinished.store(false, Ordering::Relaxed);
        }
        // The first failure counts.
        done.and_then(|done| ended.map(|()| done))
    }
}

/// The text sent for `query`: a pooled transaction begins with its time-outs.
fn with_time_outs(pooled: bool, query: &str) -> std::borrow::Cow<'_, str> {
    if pooled && query == "BEGIN" { opening::begin(query).into() } else { query.into() }
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let text = with_time_outs(self.pooled, query);
        if query.starts_with("BEGIN") {
            self.transaction = Some(debug_span!(
                "transaction",
                otel.kind = "client",
                db.system.name = "postgresql",
                db.operation.name = field::Empty,
            ));
        }
        let ends = matches!(query, "COMMIT" | "ROLLBACK");
        let done = match self.transaction.take_if(|_| ends) {
            Some(transaction) => {
                transaction.record("db.operation.name", query);
                let ending = debug_span!(
                    parent: &transaction,
                    "end of transaction",
                    otel.name = query,
                    otel.kind = "client",
                    db.system.name = "postgresql",
                );
                self.inner.batch_execute(&text).instrument(ending).await
            }
            None => self.inner.batch_execute(&text).await,
        };
        // A server that is going away answers a commit before it closes the connection: the pool
        // must not lend it in between.
        if done.is_err() && query == "COMMIT" {
            self.unfinished.store(true, Ordering::Relaxed);
        }
        done
    }
}

/// Several statements at once, which are always part of a transaction.
impl SimpleAsyncConnection for &Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        (&self.inner).batch_execute(query).await
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let alone = self.is_alone();
        let this: &'conn Connection = self;
        let loading = this.loading(source);
        if !alone {
            return loading;
        }
        async move {
            // Read to the end before COMMIT, which would otherwise wait behind unread rows.
            let all = async move { loading.await?.try_collect::<Vec<Row>>().await };
            let rows = this.enclose(all.boxed()).await?;
            Ok(stream::iter(rows.into_iter().map(Ok)).boxed())
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let alone = self.is_alone();
        let this: &'conn Connection = self;
        let executing = this.executing(source);
        if alone { this.enclose(executing).boxed() } else { executing }
    }
}

impl Connection {
    fn loading<'a, T>(&'a self, source: T) -> BoxFuture<'a, QueryResult<Rows>>
    where
        T: AsQuery,
        T::Query: QueryFragment<Pg> + QueryId,
    {
        let mut inner: &'a AsyncPgConnection = &self.inner;
        AsyncConnectionCore::load(&mut inner, source)
    }

    fn executing<'a, T>(&'a self, source: T) -> BoxFuture<'a, QueryResult<usize>>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let mut inner: &'a AsyncPgConnection = &self.inner;
        AsyncConnectionCore::execute_returning_count(&mut inner, source)
    }
}

impl<'a> AsyncConnectionCore for &'a Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Rows>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let this: &'a Connection = self;
        this.loading(source)
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let this: &'a Connection = self;
        this.executing(source)
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(database_url: &str) -> ConnectionResult<Connection> {
        opening::establish(database_url).await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        // Also uses diesel-async's state of a Postgres connection: whether it is closed.
        self.unfinished.load(Ordering::Relaxed) || self.inner.is_broken()
    }
}
