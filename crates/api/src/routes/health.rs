//! Alive, and able to work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use daemon::health::{Check, Readiness, ReadinessStatus};
use db::migrations::SchemaState;
use serde_json::json;
use tokio::time::timeout;

use crate::app::App;

/// Less than whoever asks is willing to wait.
const CHECK_SECONDS: u64 = 3;

/// Touches nothing: it must stay true while the database is down.
pub(super) async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

pub(super) async fn ready(app: Data<App>) -> HttpResponse {
    let limit = Duration::from_secs(CHECK_SECONDS);
    let (postgres, redis) =
        tokio::join!(timeout(limit, postgres(&app)), timeout(limit, redis(&app)));
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
    let readiness = Readiness::from(vec![postgres, schema, redis, price]);
    match readiness.status {
        ReadinessStatus::Ready => HttpResponse::Ok().json(readiness),
        ReadinessStatus::Unavailable => HttpResponse::ServiceUnavailable().json(readiness),
    }
}

const UNKNOWN: &str = "cannot be looked at";

async fn postgres(app: &App) -> [Check; 2] {
    if let Err(error) = app.database.ping().await {
        tracing::warn!(%error, "Postgres is not ready");
        let detail = "Postgres does not answer; see the log";
        return [
            Check::failed("postgres", detail),
            Check::failed("schema", UNKNOWN),
        ];
    }
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
    [Check::ok("postgres"), schema]
}

async fn redis(app: &App) -> [Check; 2] {
    match app.bus.price().await {
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
