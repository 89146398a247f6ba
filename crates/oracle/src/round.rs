//! One round of the oracle: price, start prices, settlement, reaper, tidying up.
//!
//! Each step has its own error boundary: due predictions are settled even if price sources fail, and the reaper
//! runs even if a settlement fails.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use daemon::telemetry::chain;
use db::{DbResult, retention};
use futures_util::FutureExt;
use ledger_core::economy::Enforcement;
use ledger_core::prediction::PriceSource;
use ledger_core::{Entry, Timestamp};
use tracing::{error, info};

use crate::sampling::{self, Sampled};
pub use crate::settlement::{DUE_MAX, SETTLE_BATCH_MAX, Settlement};
use crate::state::locked;
pub use crate::state::{MayContinue, Oracle, Retention, Rhythm};
use crate::{history, metrics, settlement};

/// The most bots buried in one round; the rest comes in the next.
pub const REAP_MAX: i64 = 1_000;
/// The most deletions of old events in one round.
const EVENT_PRUNES_MAX: u32 = 20;
/// The interval between checks of the metrics' partitions. They reach days ahead.
const PARTITIONS_INTERVAL_SECONDS: i64 = 3_600;
/// Days of metrics that are dropped at a time: each takes the table for an instant.
const DAYS_DROPPED_MAX: u32 = 7;
const EVIDENCE_BATCH: i32 = 1_000;
const EVIDENCE_BATCHES_MAX: u32 = 20;
/// From one count of the arena's bots and money to the next: it reads every wallet.
const SURVEY_INTERVAL_SECONDS: i64 = 30;

/// The results of a round. `None` is a step that failed or could not begin; the log has the error.
#[derive(Debug)]
pub struct Report {
    /// The round's number, as in the reaper's references.
    pub number: Option<i64>,
    pub sampled: Option<Sampled>,
    /// Predictions that got their start price.
    pub started: Option<usize>,
    pub settlement: Option<Settlement>,
    /// Sources whose history was read, because predictions waited for it.
    pub told: Option<Vec<PriceSource>>,
    /// `LIQUIDATION` entries of the reaper; none in observe mode.
    pub reaped: Option<Vec<Entry>>,
    /// Deleted answers of idempotency keys.
    pub pruned: Option<usize>,
    /// Deleted events.
    pub events_pruned: Option<i64>,
    /// Whether it was this round's turn to make places for the metrics of the days ahead.
    pub partitioned: Option<bool>,
}

/// Runs one round to its end, unless `may_continue` says no between two transactions. Never fails
/// and never panics as a whole.
pub async fn run(oracle: &Oracle, now: Timestamp, may_continue: MayContinue<'_>) -> Report {
    let number = guarded("round number", async {
        db::leases::next_oracle_round(&mut *oracle.database.get().await?).await
    })
    .await;
    let sampled = guarded("price", sampling::sample(oracle, now)).await;
    let started = guarded("start prices", async {
        let mut conn = oracle.database.get().await?;
        db::predictions::assign_start_prices(&mut conn, &oracle.rules).await
    })
    .await;
    let settlement = guarded("settlement", settlement::settle(oracle, now, may_continue)).await;
    let told = match &settlement {
        Some(settlement) => {
            let reading = history::read(oracle, &settlement.wants, now, may_continue);
            guarded("price history", reading).await
        }
        None => None,
    };
    let reaped = match number {
        Some(number) => guarded("reaper", reap(oracle, number, may_continue)).await,
        None => None,
    };
    let pruned = guarded("idempotency keys", async {
        db::idempotency::prune(&mut *oracle.database.get().await?, now.datetime()).await
    })
    .await;
    let events_pruned = guarded("old events", async {
        let before = now.plus_seconds(-db::events::KEPT_DAYS * 24 * 60 * 60);
        let mut conn = oracle.database.get().await?;
        let mut all = 0;
        // A busy arena writes more in a round than one statement should delete.
        for _ in 0..EVENT_PRUNES_MAX {
            let pruned = db::events::prune(&mut conn, before).await?;
            all += pruned;
            if pruned < db::events::PRUNE_MAX {
                break;
            }
        }
        Ok(all)
    })
    .await;
    let partitioned = guarded("metrics partitions", ensure_partitions(oracle, now)).await;
    if partitioned == Some(true) {
        guarded("retention", forget(oracle, may_continue)).await;
    }
    guarded("survey", survey(oracle, now)).await;
    Report {
        number,
        sampled,
        started,
        settlement,
        told,
        reaped,
        pruned,
        events_pruned,
        partitioned,
    }
}

/// A step's error boundary.
pub(crate) async fn guarded<T>(
    step: &'static str,
    work: impl Future<Output = DbResult<T>> + Send,
) -> Option<T> {
    // State shared with later steps is consistent after a panic: mutexes around values that are set in one step.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            error!(step, error = chain(&error), "step failed; the others continue");
            None
        }
        Err(_) => {
            error!(step, "step panicked; the others continue");
            None
        }
    }
}

/// Deletes old data, once an hour and in small steps.
async fn forget(oracle: &Oracle, may_continue: MayContinue<'_>) -> DbResult<()> {
    let Retention { metrics_days, evidence_days } = oracle.retention;
    let mut conn = oracle.database.get().await?;
    let mut dropped = 0;
    while metrics_days > 0 && dropped < DAYS_DROPPED_MAX && may_continue() {
        let name = match retention::drop_oldest_metrics(&mut conn, metrics_days).await {
            Ok(Some(name)) => name,
            Ok(None) => break,
            // Somebody was at work in them, a backup for instance: in an hour, then.
            Err(error) => {
                info!(%error, "old metrics stay for now");
                break;
            }
        };
        info!(table = name, metrics_days, "a day of metrics was old enough to be dropped");
        dropped += 1;
    }
    let mut batches = 0;
    while evidence_days > 0 && batches < EVIDENCE_BATCHES_MAX && may_continue() {
        let rows = retention::forget_evidence(&mut conn, evidence_days, EVIDENCE_BATCH).await?;
        if rows > 0 {
            info!(rows, evidence_days, "forgot evidence that decided nothing");
        }
        if rows < i64::from(EVIDENCE_BATCH) {
            break;
        }
        batches += 1;
    }
    Ok(())
}

/// Whether work with a shortest interval is due now; it then counts as done, so that a failure is not repeated in
/// each round.
fn is_turn(last: &Mutex<Option<Timestamp>>, seconds: i64, now: Timestamp) -> bool {
    let mut last = locked(last);
    // The distance, as with samples: a clock set back must not end this for long.
    let is_recent = last.is_some_and(|at| now.seconds_since(at).saturating_abs() < seconds);
    if !is_recent {
        *last = Some(now);
    }
    !is_recent
}

/// Counts bots and money for metrics, twice a minute.
async fn survey(oracle: &Oracle, now: Timestamp) -> DbResult<()> {
    if !is_turn(&oracle.surveyed, SURVEY_INTERVAL_SECONDS, now) {
        return Ok(());
    }
    let mut conn = oracle.database.get().await?;
    let census = db::supply::census(&mut conn).await?;
    let board = db::supply::board(&mut conn).await?;
    if census.supply.drift() != 0 {
        error!(
            drift = ledger_core::supply::units_text(census.supply.drift()),
            "the money does not add up: run inspect-ledger and pause the arena"
        );
    }
    metrics::arena(&census, &board);
    Ok(())
}

/// Makes places for the metrics of the days ahead, once an hour. The API writes metrics whether a
/// ticker runs or not, so this must not be left to tickers alone.
async fn ensure_partitions(oracle: &Oracle, now: Timestamp) -> DbResult<bool> {
    if !is_turn(&oracle.partitions_seen, PARTITIONS_INTERVAL_SECONDS, now) {
        return Ok(false);
    }
    db::ticks::ensure_metrics_partitions(&mut *oracle.database.get().await?).await?;
    Ok(true)
}

/// Buries living bots at zero without open positions. In observe mode no bot dies.
async fn reap(oracle: &Oracle, number: i64, may_continue: MayContinue<'_>) -> DbResult<Vec<Entry>> {
    let mut reaped = Vec::new();
    if oracle.rules.enforcement == Enforcement::Observe {
        return Ok(reaped);
    }
    let candidates = {
        let mut conn = oracle.database.get().await?;
        if db::pauses::arena(&mut conn).await?.is_some() {
            return Ok(reaped);
        }
        db::bots::reapable(&mut conn, REAP_MAX).await?
    };
    for bot_id in candidates {
        if !may_continue() {
            break;
        }
        let mut conn = oracle.database.get().await?;
        match db::bots::reap(&mut conn, bot_id, number, &oracle.rules).await {
            Ok(Some(entry)) => {
                oracle.cache.wake_soon();
                info!(bot.id = %bot_id, round = number, "liquidated by the reaper");
                reaped.push(entry);
            }
            // It got money, or a prediction, or another process was first.
            Ok(None) => {}
            Err(error) if settlement::is_pause(&error) => break,
            Err(error) => {
                let error = chain(&error);
                error!(bot.id = %bot_id, error, "could not bury a bot; trying again next round");
            }
        }
    }
    Ok(reaped)
}
