//! Metrics of ticks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use daemon::metrics::{
    self, Declared, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, LONG,
    counter, counters, durations, fractions, gauge, gauges,
};
use db::Database;
use db::ticks::{ChunkReport, Tick};
use service::clock;

static NUMBER: Declared<IntGauge> =
    gauge("arena_tick_number", "The newest closed tick that this ticker has seen.");
static TOOK: Declared<HistogramVec> = durations(
    "arena_tick_duration_seconds",
    "How long the ticks took that this ticker closed.",
    LONG,
    &[],
);
static TICKED: Declared<IntCounter> =
    counter("arena_ticked_bots_total", "Bots that were ticked by this ticker.");
static LIQUIDATED: Declared<IntCounterVec> = counters(
    "arena_liquidated_total",
    "Bots whose balance did not cover a fee: liquidated, or only recorded (observe mode).",
    &["recorded_only"],
);
static FAILURES: Declared<IntCounter> =
    counter("arena_tick_failures_total", "Bots that a tick skipped because charging them failed.");
static PAUSED: Declared<IntGaugeVec> = gauges("arena_paused", "1 while the arena is paused.", &[]);

static RATE: Declared<IntGauge> =
    gauge("arena_tick_rate_seconds", "From one tick to the next, as configured.");
static LAG: Declared<GaugeVec> = fractions(
    "arena_tick_lag_seconds",
    "How late the next tick is; 0 while it is not due, and while the arena is paused.",
    &[],
);

/// When the next tick should begin, in microseconds since 1970; 0 for not known, or not now.
static NEXT_AT: AtomicI64 = AtomicI64::new(0);

/// Sets at each scrape the values that depend on the moment.
pub(crate) fn watch(database: &Database, tick_rate: Duration) {
    service::metrics::watch_pool(database);
    RATE.set(i64::try_from(tick_rate.as_secs()).unwrap_or(i64::MAX));
    LIQUIDATED.begin_with(&["true", "false"]);
    TICKED.begin();
    FAILURES.begin();
    metrics::on_scrape("lag", || {
        let late = match NEXT_AT.load(Ordering::Relaxed) {
            0 => 0.0,
            at => metrics::seconds_since(at),
        };
        LAG.only().set(late);
    });
}

/// The next tick is due in so many microseconds.
pub(crate) fn due_in(micros: i64) {
    NEXT_AT.store(clock::now().micros().saturating_add(micros), Ordering::Relaxed);
    paused(false);
}

pub(crate) fn paused(is_paused: bool) {
    if is_paused {
        NEXT_AT.store(0, Ordering::Relaxed);
    }
    PAUSED.only().set(i64::from(is_paused));
}

/// A tick is under way: the next one should begin one rate after it.
pub(crate) fn under_way(tick: &Tick, tick_rate: Duration) {
    let rate = i64::try_from(tick_rate.as_secs()).unwrap_or(i64::MAX);
    let next = tick.started_at.plus_seconds(rate);
    NEXT_AT.store(next.micros(), Ordering::Relaxed);
    paused(false);
}

pub(crate) fn chunk(report: &ChunkReport) {
    TICKED.inc_by(count(report.bots));
    LIQUIDATED.with_label_values(&["false"]).inc_by(count(report.liquidated.len()));
    LIQUIDATED.with_label_values(&["true"]).inc_by(count(report.would_have_been_liquidated.len()));
}

pub(crate) fn failed() {
    FAILURES.inc();
}

/// This ticker closed the tick.
pub(crate) fn closed(tick: &Tick, took: Duration) {
    TOOK.only().observe(took.as_secs_f64());
    shared(tick);
}

/// Another one closed it.
pub(crate) fn shared(tick: &Tick) {
    NUMBER.set(tick.number.0);
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
