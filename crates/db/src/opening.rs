//! How a connection is opened, and the time-outs that every session carries.
//!
//! A frozen process must not keep wallets locked: Postgres ends a session that idles inside a transaction after
//! [`IDLE_IN_TRANSACTION_SECONDS`].

use std::str::FromStr;
use std::time::Duration;

use diesel::ConnectionError;
use diesel::pg::Pg;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::connection::Connection;
use crate::error::{DbError, DbResult};
use crate::tls;

pub const IDLE_IN_TRANSACTION_SECONDS: u32 = 5;
pub const LOCK_SECONDS: u32 = 5;
pub const STATEMENT_SECONDS: u32 = 30;
pub const CONNECT_SECONDS: u64 = 5;

/// The end of a URL for a pooler in transaction mode, such as PgBouncer.
pub const POOLER_PARAMETER: &str = "pooler=transaction";

/// Names, texts of agents and evidence can be in every script: another encoding would refuse some
/// of them, or store unreadable bytes.
pub(crate) async fn insist_on_utf8<C>(conn: &mut C) -> DbResult<()>
where
    C: AsyncConnectionCore<Backend = Pg>,
{
    let encoding =
        diesel::dsl::sql::<diesel::sql_types::Text>("current_setting('server_encoding')");
    let encoding: String = diesel::select(encoding).get_result(conn).await?;
    if encoding == "UTF8" { Ok(()) } else { Err(DbError::Encoding(encoding)) }
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
    insist_on_utf8(&mut connection).await?;
    Ok(connection)
}
