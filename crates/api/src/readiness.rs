//! Whether this process can work: looked at at most once a second, whoever asks how often.

use std::sync::atomic::{AtomicBool, Ordering};

use cache::CacheError;
use daemon::health::{Check, PROBE_AGE_MAX, Readiness, look};
use db::DbError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::app::App;

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
    let checks = look_now(app).await;
    *last = Some((Instant::now(), checks.clone()));
    checks
}

async fn look_now(app: &App) -> Vec<Check> {
    let (postgres, schema, redis, price) = tokio::join!(
        look("Postgres", app.database.must_take_writes(), DbError::shown),
        look("Postgres", app.database.schema_state(), DbError::shown),
        look("Redis", app.cache.must_take_writes(), CacheError::shown),
        look("Redis", app.fresh_price(), price_shown)
    );
    let schema = match schema {
        Ok(state) => state.fault().map_or(Ok(()), Err),
        Err(_) => Err(UNKNOWN.to_owned()),
    };
    let price = match price {
        Ok(Some(_)) => Check::ok("price"),
        Ok(None) => {
            let detail = "there is no fresh price: the arena is halted until the oracle has one";
            Check::degraded("price", detail)
        }
        Err(detail) if redis.is_ok() => Check::degraded("price", detail),
        Err(_) => Check::degraded("price", UNKNOWN),
    };
    vec![
        Check::of("postgres", postgres),
        Check::of("schema", schema),
        Check::of("redis", redis),
        price,
    ]
}

fn price_shown(error: &CacheError) -> Option<String> {
    match error {
        CacheError::Corrupt(_) => Some("the price cannot be read".to_owned()),
        other => other.shown(),
    }
}
