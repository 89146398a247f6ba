//! Metrics for Prometheus: each service declares its metrics with the functions here, and `/metrics` returns
//! [`text`].
//!
//! Metrics live in the process' one registry. Names follow Prometheus' rules (base units, `_total` for counters),
//! those of HTTP and of language models OpenTelemetry's semantic conventions; the table of all of them is in
//! `docs/operators.md`. A function passed to [`on_scrape`] sets values that are computed on request, such as an
//! age.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
pub use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec,
};
use prometheus::{HistogramOpts, Opts, TextEncoder, default_registry};

use crate::command_line::Build;

/// Prometheus' text format, as `Content-Type`.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// For durations from a millisecond to ten seconds: requests, transactions.
pub const SHORT: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// For durations from a hundredth of a second to five minutes: ticks, rounds, language models.
pub const LONG: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// A metric, declared by a service in a `static`. It registers itself when it is used for the first
/// time; it is used like what it declares.
pub struct Declared<M> {
    facts: Facts,
    make: fn(&Facts) -> prometheus::Result<M>,
    made: OnceLock<M>,
}

#[derive(Clone, Copy)]
struct Facts {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    /// Only for histograms.
    buckets: &'static [f64],
}

/// A number that only grows.
pub const fn counter(name: &'static str, help: &'static str) -> Declared<IntCounter> {
    let facts = Facts::of(name, help, &[]);
    Declared::new(facts, |facts| IntCounter::with_opts(facts.options()))
}

/// A whole number that goes up and down.
pub const fn gauge(name: &'static str, help: &'static str) -> Declared<IntGauge> {
    let facts = Facts::of(name, help, &[]);
    Declared::new(facts, |facts| IntGauge::with_opts(facts.options()))
}

macro_rules! with_labels {
    ($($(#[$about:meta])* $name:ident: $metric:ident;)+) => {$(
        $(#[$about])*
        pub const fn $name(
            name: &'static str,
            help: &'static str,
            labels: &'static [&'static str],
        ) -> Declared<$metric> {
            let facts = Facts::of(name, help, labels);
            Declared::new(facts, |facts| $metric::new(facts.options(), facts.labels))
        }
    )+};
}

with_labels! {
    /// Numbers that only grow, one for each combination of labels.
    counters: IntCounterVec;

    /// Sums with a fraction that only grow, one for each combination of labels.
    sums: CounterVec;

    /// Whole numbers that go up and down, one for each combination of labels. Without labels it is
    /// [one](Declared::only) that `reset` can remove again, for values that a process only sometimes has.
    gauges: IntGaugeVec;

    /// Numbers with a fraction that go up and down: seconds, units of money. Money is exact in the ledger
    /// and in answers; here it is only drawn.
    fractions: GaugeVec;
}

/// How long something takes, in seconds.
pub const fn durations(
    name: &'static str,
    help: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
) -> Declared<HistogramVec> {
    let facts = Facts { buckets, ..Facts::of(name, help, labels) };
    Declared::new(facts, |facts| {
        let options = HistogramOpts::new(facts.name, facts.help).buckets(facts.buckets.to_vec());
        HistogramVec::new(options, facts.labels)
    })
}

impl Facts {
    const fn of(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Facts {
        Facts { name, help, labels, buckets: &[] }
    }

    fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

impl<M> Declared<M> {
    const fn new(facts: Facts, make: fn(&Facts) -> prometheus::Result<M>) -> Declared<M> {
        Declared { facts, make, made: OnceLock::new() }
    }
}

impl<M: Collector + Clone + 'static> Declared<M> {
    /// Registers it, and exports metrics without labels as 0 from the start.
    pub fn begin(&self) {
        self.registered();
    }

    /// # Panics
    /// If Prometheus does not allow a name, or a name is used twice: names are constants of the program, so any
    /// test that reads the metrics finds this.
    fn registered(&self) -> &M {
        self.made.get_or_init(|| {
            let outcome = (self.make)(&self.facts).and_then(|metric| {
                default_registry().register(Box::new(metric.clone()))?;
                Ok(metric)
            });
            match outcome {
                Ok(metric) => metric,
                Err(error) => panic!("{} cannot be declared: {error}", self.facts.name),
            }
        })
    }
}

impl<B: MetricVecBuilder + 'static> Declared<MetricVec<B>> {
    /// The one of a metric without labels.
    pub fn only(&self) -> B::M {
        self.with_label_values::<&str>(&[])
    }

    /// Tells the one for each of these values of its one label, as 0, before anything happened.
    pub fn begin_with(&self, values: &[&str]) {
        for value in values {
            self.with_label_values(&[*value]);
        }
    }
}

impl<M: Collector + Clone + 'static> Deref for Declared<M> {
    type Target = M;

    fn deref(&self) -> &M {
        self.registered()
    }
}

type Hook = Box<dyn Fn() + Send + Sync>;
static HOOKS: Mutex<BTreeMap<&'static str, Hook>> = Mutex::new(BTreeMap::new());

/// `set` is called before each answer; it replaces an earlier one with the same name. It must not
/// wait for anything, and must not call this.
pub fn on_scrape(name: &'static str, set: impl Fn() + Send + Sync + 'static) {
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    hooks.insert(name, Box::new(set));
}

/// Everything that is known, in Prometheus' text format.
///
/// # Errors
/// If the registry has a value that the format cannot express.
pub fn text() -> Result<String, String> {
    let hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    for set in hooks.values() {
        set();
    }
    drop(hooks);
    TextEncoder::new().encode_to_string(&prometheus::gather()).map_err(|error| error.to_string())
}

/// Exports the build: `arena_build_info`.
pub(crate) fn tell_build(build: &Build) {
    static INFO: Declared<IntGaugeVec> =
        gauges("arena_build_info", "1; the build of this process.", &["version", "commit"]);
    let commit = build.commit.unwrap_or("unknown");
    INFO.with_label_values(&[build.version, commit]).set(1);
}

/// A count as a gauge takes it.
pub fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds since a moment of this machine's clock; 0 for one that is still to come.
pub fn seconds_since(unix_micros: i64) -> f64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let then = std::time::Duration::from_micros(u64::try_from(unix_micros).unwrap_or(0));
    now.saturating_sub(then).as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The lines about a metric, without its help and type.
    fn told(name: &str) -> Vec<String> {
        let lines = text().unwrap();
        let lines = lines.lines().filter(|line| line.starts_with(name));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn what_is_declared_is_told_when_it_begins() {
        static COUNTED: Declared<IntCounter> = counter("test_counted_total", "Whatever.");
        static KINDS: Declared<IntCounterVec> = counters("test_kinds_total", "By kind.", &["kind"]);
        assert!(told("test_counted_total").is_empty());
        COUNTED.begin();
        assert_eq!(told("test_counted_total"), ["test_counted_total 0"]);
        COUNTED.inc();
        assert_eq!(told("test_counted_total"), ["test_counted_total 1"]);

        KINDS.begin();
        assert!(told("test_kinds_total").is_empty());
        KINDS.begin_with(&["a", "b"]);
        KINDS.with_label_values(&["b"]).inc();
        assert_eq!(
            told("test_kinds_total"),
            ["test_kinds_total{kind=\"a\"} 0", "test_kinds_total{kind=\"b\"} 1"]
        );
    }

    #[test]
    fn one_without_labels_can_be_taken_away_again() {
        static KNOWN: Declared<IntGaugeVec> = gauges("test_known", "Only sometimes.", &[]);
        KNOWN.only().set(7);
        assert_eq!(told("test_known"), ["test_known 7"]);
        KNOWN.reset();
        assert!(told("test_known").is_empty());
    }

    #[test]
    fn durations_have_the_buckets_that_were_declared() {
        static TOOK: Declared<HistogramVec> =
            durations("test_took_seconds", "How long.", &[0.5, 2.0], &[]);
        TOOK.only().observe(1.0);
        let told = told("test_took_seconds_bucket");
        assert_eq!(
            told,
            [
                "test_took_seconds_bucket{le=\"0.5\"} 0",
                "test_took_seconds_bucket{le=\"2\"} 1",
                "test_took_seconds_bucket{le=\"+Inf\"} 1",
            ]
        );
    }

    #[test]
    #[should_panic(expected = "test_twice cannot be declared")]
    fn a_name_is_declared_once() {
        static ONE: Declared<IntGauge> = gauge("test_twice", "One.");
        static OTHER: Declared<IntGauge> = gauge("test_twice", "One.");
        ONE.begin();
        OTHER.begin();
    }
}
