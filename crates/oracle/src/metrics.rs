//! Metrics of prices, markets and money.
//!
//! Only the oracle with the lease exports metrics of the arena, and removes them when it loses the lease.

use std::sync::atomic::{AtomicI64, Ordering};

use daemon::metrics::{
    self, Declared, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, counters,
    fractions, gauge, gauges,
};
use db::Database;
use db::predictions::Unpriced;
use db::supply::{Board, Census};
use ledger_core::Timestamp;
use ledger_core::prediction::{Direction, PredictionStatus, PriceSource};

use crate::leadership::Leadership;

static LEADER: Declared<IntGauge> =
    gauge("arena_oracle_leader", "1 while this oracle holds the lease.");
static PRICE_AGE: Declared<GaugeVec> = fractions(
    "arena_price_age_seconds",
    "The age of the newest price by its provider's time.",
    &[],
);
static PRICE_REQUESTS: Declared<IntCounterVec> = counters(
    "arena_price_requests_total",
    "Questions to sources of prices.",
    &["source", "outcome"],
);
static PREDICTIONS: Declared<IntCounterVec> = counters(
    "arena_predictions_settled_total",
    "Predictions that this oracle settled.",
    &["outcome"],
);
static UNPRICED: Declared<IntCounterVec> = counters(
    "arena_predictions_unpriced_total",
    "Predictions that are void because no source and no history had their prices; by direction and by their \
     likely result with the nearest prices.",
    &["direction", "would_have"],
);
static HISTORY_REQUESTS: Declared<IntCounterVec> = counters(
    "arena_price_history_requests_total",
    "Questions to sources for prices of the past.",
    &["source", "outcome"],
);
static MARKETS: Declared<IntCounterVec> =
    counters("arena_markets_settled_total", "Markets that this oracle settled.", &["outcome"]);
static MARKETS_OPEN: Declared<IntGaugeVec> =
    gauges("arena_markets_open", "Markets whose deadline has not come.", &[]);
static OVERDUE: Declared<GaugeVec> = fractions(
    "arena_market_overdue_seconds",
    "Since when the market is due that waits longest to be settled; 0 if none does.",
    &[],
);
static SUPPLY: Declared<GaugeVec> = fractions(
    "arena_supply_units",
    "Where the money is: minted, burned, in escrow, circulating. In units of 0.00000001.",
    &["part"],
);
static DRIFT: Declared<GaugeVec> = fractions(
    "arena_conservation_drift_units",
    "minted - burned - escrow - circulating, in units of 0.00000001. Must be 0.",
    &[],
);
static BOTS: Declared<IntGaugeVec> = gauges("arena_bots", "Bots by their status.", &["status"]);

/// When the newest price is of, in microseconds since 1970; 0 for not known.
static PRICE_AT: AtomicI64 = AtomicI64::new(0);

/// Exports rare counters as 0 from the start: a counter that appears with its first count hides that count.
fn begin() {
    for direction in [Direction::Up, Direction::Down] {
        for would_have in [Some(PredictionStatus::Won), Some(PredictionStatus::Lost), None] {
            unpriced(&Unpriced { direction, would_have });
        }
    }
    for source in PriceSource::ALL.into_iter().filter(|source| source.is_real()) {
        for answered in [true, false] {
            HISTORY_REQUESTS.with_label_values(&[source.as_str(), outcome(answered)]);
        }
    }
    PREDICTIONS.begin_with(&["WON", "LOST", "VOID", "FORFEIT"]);
    MARKETS.begin_with(&["RESOLVED", "VOID", "EXPIRED"]);
}

/// How a question to a source ended.
const fn outcome(answered: bool) -> &'static str {
    if answered { "ok" } else { "failed" }
}

fn unpriced(unpriced: &Unpriced) -> IntCounter {
    let would_have = unpriced.would_have.map_or("unknown", PredictionStatus::as_str);
    UNPRICED.with_label_values(&[unpriced.direction.as_str(), would_have])
}

/// Sets at each scrape the values that depend on the moment.
pub(crate) fn watch(database: &Database, leadership: &Leadership) {
    service::metrics::watch_pool(database);
    begin();
    let leadership = leadership.clone();
    metrics::on_scrape("oracle", move || {
        let is_leader = leadership.is_active();
        LEADER.set(i64::from(is_leader));
        match PRICE_AT.load(Ordering::Relaxed) {
            at if is_leader && at > 0 => PRICE_AGE.only().set(metrics::seconds_since(at)),
            _ => PRICE_AGE.reset(),
        }
        if !is_leader {
            for arena in [&*MARKETS_OPEN, &*BOTS] {
                arena.reset();
            }
            for arena in [&*OVERDUE, &*SUPPLY, &*DRIFT] {
                arena.reset();
            }
        }
    });
}

pub(crate) fn price_is_of(at: Timestamp) {
    PRICE_AT.store(at.micros(), Ordering::Relaxed);
}

pub(crate) fn asked(source: &str, answered: bool) {
    PRICE_REQUESTS.with_label_values(&[source, outcome(answered)]).inc();
}

pub(crate) fn prediction_settled(outcome: &str) {
    PREDICTIONS.with_label_values(&[outcome]).inc();
}

pub(crate) fn prediction_unpriced(of: &Unpriced) {
    unpriced(of).inc();
}

pub(crate) fn asked_for_history(source: &str, answered: bool) {
    HISTORY_REQUESTS.with_label_values(&[source, outcome(answered)]).inc();
}

pub(crate) fn market_settled(outcome: &str) {
    MARKETS.with_label_values(&[outcome]).inc();
}

/// How the whole arena stands.
pub(crate) fn arena(census: &Census, board: &Board) {
    let supply = &census.supply;
    for (part, units) in [
        ("minted", supply.minted),
        ("burned", supply.burned),
        ("escrow", supply.escrow),
        ("circulating", supply.circulating),
    ] {
        SUPPLY.with_label_values(&[part]).set(drawn(units));
    }
    DRIFT.only().set(drawn(supply.drift()));
    BOTS.with_label_values(&["alive"]).set(census.alive);
    BOTS.with_label_values(&["dead"]).set(census.dead);
    MARKETS_OPEN.only().set(board.open);
    let overdue = board.due_since.map_or(0.0, |since| metrics::seconds_since(since.micros()));
    OVERDUE.only().set(overdue);
}

/// The nearest number that a graph can show, in units of 10⁻⁸. Only 0 is shown as 0.
fn drawn(units: i128) -> f64 {
    units.to_string().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names and labels of these counters.
    fn shown() -> BTreeSet<String> {
        let text = metrics::text().unwrap();
        text.lines()
            .filter(|line| {
                line.starts_with("arena_predictions_") || line.starts_with("arena_price_history_")
            })
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(series, _)| series.to_owned())
            .collect()
    }

    #[test]
    fn what_is_counted_is_shown_from_the_start() {
        begin();
        let first = shown();
        for source in ["coingecko", "kraken"] {
            for outcome in ["ok", "failed"] {
                let series = format!(
                    r#"arena_price_history_requests_total{{outcome="{outcome}",source="{source}"}}"#
                );
                assert!(first.contains(&series), "{series}: {first:?}");
            }
            for answered in [true, false] {
                asked_for_history(source, answered);
            }
        }
        for direction in [Direction::Up, Direction::Down] {
            for would_have in [Some(PredictionStatus::Won), Some(PredictionStatus::Lost), None] {
                prediction_unpriced(&Unpriced { direction, would_have });
            }
        }
        for status in PredictionStatus::ALL {
            if status != PredictionStatus::Open {
                prediction_settled(status.as_str());
            }
        }
        assert_eq!(shown(), first, "as documented, and nothing beside it");
    }
}
