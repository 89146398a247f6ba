//! Alive, and able to work.

use actix_web::HttpResponse;
use actix_web::web::Data;
use daemon::health::ReadinessStatus;
use serde_json::json;

use crate::app::App;
use crate::readiness;

/// Touches nothing: it must stay true while the database is down.
pub(super) async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

pub(super) async fn ready(app: Data<App>) -> HttpResponse {
    let readiness = readiness::of(&app).await;
    match readiness.status {
        ReadinessStatus::Ready => HttpResponse::Ok().json(readiness),
        ReadinessStatus::Unavailable => HttpResponse::ServiceUnavailable().json(readiness),
    }
}
