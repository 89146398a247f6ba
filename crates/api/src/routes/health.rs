//! Alive, and able to work.

use daemon::health::ReadinessStatus;
use serde_json::json;

use super::prelude::*;
use crate::openapi::examples;
use crate::readiness;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/health", health)
            .named("health", "service", "Whether the process answers")
            .unlimited()
            .under_any_name()
            .touches_nothing()
            .answers_as(200, "Health", "It does."),
        get("/ready", ready)
            .named("ready", "service", "Whether it can work")
            .counted(Class::Local)
            .about("Stale prices are named as degraded, and do not fail it.")
            .under_any_name()
            .touches_nothing()
            .answers_as(200, "Readiness", "It can.")
            .answers_as(503, "Readiness", "It is not ready; `checks` says why.")
            .such_as(examples::not_ready()),
    ]
}

/// Touches nothing: it must stay true while the database is down.
async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn ready(app: Data<App>) -> HttpResponse {
    let readiness = readiness::of(&app).await;
    match readiness.status {
        ReadinessStatus::Ready => HttpResponse::Ok().json(readiness),
        ReadinessStatus::Unavailable => HttpResponse::ServiceUnavailable().json(readiness),
    }
}
