//! Metrics of requests, refusals and streams: `GET /metrics`.

mod access;

use std::time::Duration;

pub use access::MetricsAccess;
use actix_web::http::StatusCode;
use api_types::ProblemKind;
use daemon::metrics::{
    self, Declared, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, SHORT, counters,
    durations, fractions, gauge, gauges,
};
use db::Database;
use ledger_core::Timestamp;

static DURATION: Declared<HistogramVec> = durations(
    "http_server_request_duration_seconds",
    "From a request's head to its answer's. Of streams, until they begin.",
    SHORT,
    &["http_request_method", "http_route", "http_response_status_code"],
);
static ACTIVE: Declared<IntGauge> =
    gauge("http_server_active_requests", "Requests whose answer has not begun.");
static REFUSALS: Declared<IntCounterVec> = counters(
    "arena_refusals_total",
    "Problems that were answered, by the last part of their type.",
    &["kind"],
);
static LISTENERS: Declared<IntGaugeVec> =
    gauges("arena_stream_listeners", "Open streams of live events.", &["transport"]);
static POSITION_LAG: Declared<GaugeVec> = fractions(
    "arena_stream_position_lag_seconds",
    "The age of the newest event when it was delivered to the streams.",
    &[],
);

/// Requests for a route that is not in the table.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Sets at each scrape the values that depend on the moment.
pub(crate) fn watch(database: &Database) {
    service::metrics::watch_pool(database);
    LISTENERS.begin_with(&["sse", "websocket"]);
    // 0 until there is a listener.
    POSITION_LAG.only().set(0.0);
    for kind in ProblemKind::ALL {
        REFUSALS.with_label_values(&[kind.facts().name]).inc_by(0);
    }
}

/// One more of something, until this is dropped.
pub(crate) struct OneMore(IntGauge);

impl OneMore {
    fn of(gauge: IntGauge) -> OneMore {
        gauge.inc();
        OneMore(gauge)
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request is under way: until its answer begins, or ends with it.
pub(crate) fn active() -> OneMore {
    OneMore::of(ACTIVE.clone())
}

/// A stream is open.
pub(crate) fn listening(transport: &str) -> OneMore {
    OneMore::of(LISTENERS.with_label_values(&[transport]))
}

pub(crate) fn answered(method: &str, route: Option<&str>, status: StatusCode, took: Duration) {
    DURATION
        .with_label_values(&[known_method(method), route.unwrap_or(UNMATCHED), status.as_str()])
        .observe(took.as_secs_f64());
}

/// A client may invent methods; it must not invent time series or text in the log.
pub(crate) fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "DELETE" | "OPTIONS" => method,
        _ => "_OTHER",
    }
}

pub(crate) fn refused(kind: ProblemKind) {
    REFUSALS.with_label_values(&[kind.facts().name]).inc();
}

/// Events up to this time are delivered.
pub(crate) fn told_up_to(at: Timestamp) {
    POSITION_LAG.only().set(metrics::seconds_since(at.micros()));
}
