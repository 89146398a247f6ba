//! What Prometheus is told: each service declares its metrics with the functions here, and `/metrics`
//! answers [`text`].
//!
//! Metrics live in the process' one registry. Names follow Prometheus' rules (base units, `_total` for
//! counters), those of HTTP and of language models OpenTelemetry's semantic conventions; the table of
//! all of them is in `docs/operators.md`. What is known only when it is asked for, such as an age, is
//! set by what [`on_scrape`] was given.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::core::Collector;
pub use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec,
};
use prometheus::{HistogramOpts, Opts, TextEncoder, default_registry};

use crate::command_line::Build;
use crate::health::{Check, CheckState};

/// Prometheus' text format, as `Content-Type`.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// For what takes from a millisecond to ten seconds: requests, transactions.
pub const SHORT: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];
/// For what takes from a hundredth of a second to five minutes: cycles, language models.
pub const LONG: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// A number that only grows.
#[must_use]
pub fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

/// The same, one for each combination of labels.
#[must_use]
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// Sums with a fraction that only grow, one for each combination of labels.
#[must_use]
pub fn sums(name: &str, help: &str, labels: &[&str]) -> CounterVec {
    registered(CounterVec::new(Opts::new(name, help), labels))
}

/// A whole number that goes up and down.
#[must_use]
pub fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

/// The same, one for each combination of labels. Without labels it is one that can be taken away
/// again by `reset`, for what a process only sometimes knows.
#[must_use]
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// Numbers with a fraction that go up and down: seconds, units of money. Money is exact in the ledger
/// and in answers; here it is only drawn.
#[must_use]
pub fn fractions(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(GaugeVec::new(Opts::new(name, help), labels))
}

/// How long something takes, in seconds.
#[must_use]
pub fn durations(name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(HistogramVec::new(options, labels))
}

/// # Panics
/// When a name is not one that Prometheus takes, or is given twice: both are constants of the program,
/// and any test that reads them finds out.
fn registered<C: Collector + Clone + 'static>(made: prometheus::Result<C>) -> C {
    let outcome = made.and_then(|metric| {
        default_registry().register(Box::new(metric.clone()))?;
        Ok(metric)
    });
    match outcome {
        Ok(metric) => metric,
        Err(error) => panic!("a metric cannot be declared: {error}"),
    }
}

type Hook = Box<dyn Fn() + Send + Sync>;
static HOOKS: Mutex<BTreeMap<&'static str, Hook>> = Mutex::new(BTreeMap::new());

/// `set` is called before each answer, in the place of what was given under the same name before. It
/// must not wait for anything, and must not call this.
pub fn on_scrape(name: &'static str, set: impl Fn() + Send + Sync + 'static) {
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    hooks.insert(name, Box::new(set));
}

/// Everything that is known, in Prometheus' text format.
///
/// # Errors
/// When the registry holds something that the format cannot express.
pub fn text() -> Result<String, String> {
    let hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    for set in hooks.values() {
        set();
    }
    drop(hooks);
    TextEncoder::new()
        .encode_to_string(&prometheus::gather())
        .map_err(|error| error.to_string())
}

/// Says what runs: `arena_build_info`.
pub(crate) fn tell_build(build: &Build) {
    static INFO: LazyLock<IntGaugeVec> = LazyLock::new(|| {
        gauges(
            "arena_build_info",
            "1; what this process was built from.",
            &["version", "commit"],
        )
    });
    let commit = build.commit.unwrap_or("unknown");
    INFO.with_label_values(&[build.version, commit]).set(1);
}

/// Says how the things are that the service depends on: `arena_check_ok`.
pub fn tell_checks(checks: &[Check]) {
    static CHECKS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
        gauges(
            "arena_check_ok",
            "0 while a check of /ready fails, else 1.",
            &["check"],
        )
    });
    for check in checks {
        let is_ok = check.state != CheckState::Failed;
        CHECKS
            .with_label_values(&[check.name.as_str()])
            .set(i64::from(is_ok));
    }
}

static POOL_CONNECTIONS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "arena_db_pool_connections",
        "Connections to Postgres that are open.",
        &["state"],
    )
});
static POOL_SIZE_MAX: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "arena_db_pool_size_max",
        "The most connections to Postgres that this process opens in its pool.",
    )
});
static POOL_WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "arena_db_pool_waiting",
        "Callers that wait for a connection to Postgres.",
    )
});

/// How a pool of connections is used at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUse {
    pub in_use: usize,
    pub idle: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
    pub size_max: usize,
}

/// Says at each scrape how the process' pool of connections to Postgres is used.
pub fn watch_pool(look: impl Fn() -> PoolUse + Send + Sync + 'static) {
    on_scrape("pool", move || {
        let now = look();
        POOL_CONNECTIONS
            .with_label_values(&["in_use"])
            .set(whole(now.in_use));
        POOL_CONNECTIONS
            .with_label_values(&["idle"])
            .set(whole(now.idle));
        POOL_SIZE_MAX.set(whole(now.size_max));
        POOL_WAITING.set(whole(now.waiting));
    });
}

/// A count as a gauge takes it.
#[must_use]
pub fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds since a moment of this machine's clock; 0 for one that is still to come.
#[must_use]
pub fn seconds_since(unix_micros: i64) -> f64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let then = std::time::Duration::from_micros(u64::try_from(unix_micros).unwrap_or(0));
    now.saturating_sub(then).as_secs_f64()
}
