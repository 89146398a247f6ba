//! Whether this process can work: looked at at most once a second, whoever asks how often.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::health::{Check, PROBE_AGE_MAX, Readiness};
use db::DbError;
use db::migrations::SchemaState;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::App;

/// Less than whoever asks is willing to wait.
const CHECK_SECONDS: u64 = 3;
const UNKNOWN: &str = "cannot be looked at";

/// What was seen last, and whether the process is about to stop.
#[derive(Default)]
pub(crate) struct Seen {
    draining: AtomicBool,
    last: Mutex<Option<(Instant, Vec<Check>)>>,
}

impl Seen {
    /// From now on balancers should send nobody here.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// How everything is that the API depends on.
pub(crate) async fn of(app: &App) -> Readiness {
    let mut checks = looked_at(app).await;
    if app.readiness.is_draining() {
        checks.push(Check::failed("process", "is stopping; ask another one"));
    }
    Readiness::from(checks)
}

async fn looked_at(app: &App) -> Vec<Check> {
    let mut last = app.readiness.last.lock().await;
    if let Some((at, checks)) = last.as_ref()
        && at.elapsed() < PROBE_AGE_MAX
    {
        return checks.clone();
    }
    let checks = look(app).await;
    *last = Some((Instant::now(), checks.clone()));
    checks
}

async fn look(app: &App) -> Vec<Check> {
    let limit = Duration::from_secs(CHECK_SECONDS);
    let (postgres, redis) = tokio::join!(timeout(limit, postgres(app)), timeout(limit, redis(app)));
    let late = || format!("no answer within {CHECK_SECONDS} seconds");
    let [postgres, schema] = postgres.unwrap_or_else(|_| {
        [
            Check::failed("postgres", late()),
            Check::failed("schema", UNKNOWN),
        ]
    });
    let [redis, price] = redis.unwrap_or_else(|_| {
        [
            Check::failed("redis", late()),
            Check::degraded("price", UNKNOWN),
        ]
    });
    vec![postgres, schema, redis, price]
}

async fn postgres(app: &App) -> [Check; 2] {
    let postgres = match app.database.must_take_writes().await {
        Ok(()) => Check::ok("postgres"),
        Err(error @ DbError::ReadOnly(_)) => {
            tracing::warn!(%error, "Postgres is not ready");
            Check::failed("postgres", error.to_string())
        }
        Err(error) => {
            tracing::warn!(%error, "Postgres is not ready");
            let detail = "Postgres does not answer; see the log";
            return [
                Check::failed("postgres", detail),
                Check::failed("schema", UNKNOWN),
            ];
        }
    };
    let schema = match app.database.schema_state().await {
        Ok(SchemaState::Current) => Check::ok("schema"),
        Ok(SchemaState::Behind { missing }) => Check::failed(
            "schema",
            format!("lacks {missing} migration(s): run arenactl migrate"),
        ),
        Ok(SchemaState::Ahead { unknown }) => Check::failed(
            "schema",
            format!("has {unknown} migration(s) that this build does not know: run a newer build"),
        ),
        Err(error) => {
            tracing::warn!(%error, "the schema's state is unknown");
            Check::failed("schema", UNKNOWN)
        }
    };
    [postgres, schema]
}

async fn redis(app: &App) -> [Check; 2] {
    if let Err(error) = app.bus.must_take_writes().await {
        tracing::warn!(%error, "Redis is not ready");
        let detail = match error {
            bus::BusError::WritesRefused(_) => error.to_string(),
            _ => "Redis does not answer; see the log".to_owned(),
        };
        return [
            Check::failed("redis", detail),
            Check::degraded("price", UNKNOWN),
        ];
    }
    match app.fresh_price().await {
        Ok(Some(_)) => [Check::ok("redis"), Check::ok("price")],
        Ok(None) => {
            let detail = "there is no fresh price: the arena is halted until the oracle has one";
            [Check::ok("redis"), Check::degraded("price", detail)]
        }
        Err(error @ bus::BusError::Corrupt(_)) => {
            tracing::warn!(%error, "the price in Redis cannot be read");
            [
                Check::ok("redis"),
                Check::degraded("price", "the price cannot be read"),
            ]
        }
        Err(error) => {
            tracing::warn!(%error, "Redis is not ready");
            let detail = "Redis does not answer; see the log";
            [
                Check::failed("redis", detail),
                Check::degraded("price", UNKNOWN),
            ]
        }
    }
}
