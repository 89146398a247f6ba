//! Whether this process can work: checked at most once a second, however often it is requested.

use std::sync::atomic::{AtomicBool, Ordering};

use cache::CacheError;
use daemon::health::{Check, CheckState, Readiness, Seen, look};
use service::readiness;

use crate::app::App;

/// The last result, and whether the process is about to stop.
#[derive(Default)]
pub(crate) struct State {
    draining: AtomicBool,
    seen: Seen,
}

impl State {
    /// From now on balancers should send no requests here.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// How everything is that the API depends on.
pub(crate) async fn of(app: &App) -> Readiness {
    let mut checks = app.readiness.seen.or_look(look_now(app)).await;
    if app.readiness.is_draining() {
        checks.push(Check::failed("process", "is stopping; use another one"));
    }
    Readiness::from(checks)
}

async fn look_now(app: &App) -> Vec<Check> {
    let (postgres, schema, redis, price) = tokio::join!(
        readiness::postgres(&app.database),
        readiness::schema(&app.database),
        readiness::redis(&app.cache),
        look("Redis", app.fresh_price(), price_shown)
    );
    let price = match price {
        Ok(Some(_)) => Check::ok("price"),
        Ok(None) => {
            let detail = "there is no fresh price: the arena is halted until the oracle has one";
            Check::degraded("price", detail)
        }
        Err(detail) if redis.state == CheckState::Ok => Check::degraded("price", detail),
        Err(_) => Check::degraded("price", "cannot be looked at"),
    };
    vec![postgres, schema, redis, price]
}

fn price_shown(error: &CacheError) -> Option<String> {
    match error {
        CacheError::Corrupt(_) => Some("the price cannot be read".to_owned()),
        other => other.shown(),
    }
}
