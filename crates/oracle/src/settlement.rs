//! Settles due predictions, in batches, so that one bad prediction does not stop the others.

pub(crate) mod suspects;

use daemon::telemetry::chain;
use db::predictions::{MissingPrices, Settled, Want};
use db::{DbError, DbResult};
use ledger_core::prediction::PredictionStatus;
use ledger_core::{PredictionId, Timestamp};
use tracing::{debug, error, info, warn};

use self::suspects::Handling;
use crate::metrics;
use crate::state::{MayContinue, Oracle, locked};

/// The most predictions of one transaction.
pub const SETTLE_BATCH_MAX: usize = 50;
/// The most predictions looked at in one round; the rest comes in the next.
pub const DUE_MAX: i64 = 2_000;
/// A longer time between two rounds is an interruption: a prediction becomes void only after oracles have
/// settled, and requested missing prices from histories, without one for the waiting limit of its rules.
const INTERRUPTION_SECONDS: i64 = 300;

/// A round's settlements.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    pub settled: Vec<Settled>,
    /// Tried by themselves and failed. They are open still, and tried again later.
    pub failed: Vec<PredictionId>,
    /// The histories that deferred predictions wait for.
    pub wants: Vec<Want>,
}

/// Settles all due predictions whose samples have come.
///
/// Predictions come in the order of their due times, so if a whole batch must still wait for a sample, the later
/// ones must too, and the round ends.
pub(crate) async fn settle(
    oracle: &Oracle,
    now: Timestamp,
    may_continue: MayContinue<'_>,
) -> DbResult<Settlement> {
    let (missing, due) = {
        let mut conn = oracle.database.get().await?;
        if db::pauses::arena(&mut conn).await?.is_some() {
            // Samples are still taken, so that positions that fall due meanwhile are settled correctly.
            db::leases::interrupt_settling(&mut conn).await?;
            return Ok(Settlement::default());
        }
        let since = db::leases::settling_since(&mut conn, now, INTERRUPTION_SECONDS).await?;
        let missing = MissingPrices::Asked { seconds: now.seconds_since(since) };
        (missing, db::predictions::due(&mut conn, DUE_MAX).await?)
    };
    let (batched, alone) = sort(oracle, &due, now);
    let mut settlement = Settlement::default();
    for id in alone {
        if !may_continue() {
            return Ok(settlement);
        }
        one(oracle, id, now, missing, &mut settlement).await?;
    }
    for ids in batched.chunks(SETTLE_BATCH_MAX) {
        if !may_continue() {
            break;
        }
        if batch(oracle, ids, now, missing, &mut settlement).await? == Batch::Waits {
            break;
        }
    }
    for settled in &settlement.settled {
        metrics::prediction_settled(settled.status.as_str());
        if let Some(unpriced) = &settled.unpriced {
            metrics::prediction_unpriced(unpriced);
            warn!(
                prediction.id = %settled.id,
                direction = %unpriced.direction,
                would_have = unpriced.would_have.map_or("unknown", PredictionStatus::as_str),
                "void: no source and no history has the prices of its time"
            );
        }
    }
    if !settlement.settled.is_empty() || !settlement.failed.is_empty() {
        info!(
            settled = settlement.settled.len(),
            failed = settlement.failed.len(),
            "settled predictions"
        );
    }
    Ok(settlement)
}

/// Splits the due predictions into batches and single retries.
fn sort(
    oracle: &Oracle,
    due: &[PredictionId],
    now: Timestamp,
) -> (Vec<PredictionId>, Vec<PredictionId>) {
    let mut suspects = locked(&oracle.suspects);
    suspects.keep_only(due);
    let (mut batched, mut alone) = (Vec::new(), Vec::new());
    for id in due.iter().copied() {
        match suspects.handling(id, now) {
            Handling::Batch => batched.push(id),
            Handling::Alone => alone.push(id),
            Handling::NotYet => {}
        }
    }
    (batched, alone)
}

/// Whether a batch got anywhere.
#[derive(PartialEq, Eq)]
enum Batch {
    Moved,
    Waits,
}

async fn batch(
    oracle: &Oracle,
    ids: &[PredictionId],
    now: Timestamp,
    missing: MissingPrices,
    settlement: &mut Settlement,
) -> DbResult<Batch> {
    let mut conn = oracle.database.get().await?;
    let outcome = db::predictions::settle(&mut conn, ids, &oracle.rules, missing).await;
    // A connection that broke must not be the one that the next try gets.
    drop(conn);
    match outcome {
        Ok(outcome) if outcome.settled.is_empty() && outcome.wants.is_empty() => {
            return Ok(Batch::Waits);
        }
        Ok(outcome) => {
            oracle.cache.wake_soon();
            settlement.settled.extend(outcome.settled);
            settlement.wants.extend(outcome.wants);
        }
        // Paused meanwhile: not an error.
        Err(error) if is_pause(&error) => return Ok(Batch::Waits),
        Err(error) => {
            let error = chain(&error);
            warn!(predictions = ids.len(), error, "a batch failed; settling one by one");
            for id in ids {
                one(oracle, *id, now, missing, settlement).await?;
            }
        }
    }
    Ok(Batch::Moved)
}

pub(crate) fn is_pause(error: &DbError) -> bool {
    matches!(error, DbError::Refused(refusal) if refusal.pause().is_some())
}

/// Settles one prediction; its failure is logged and does not affect others. An error means that Postgres cannot
/// be reached.
async fn one(
    oracle: &Oracle,
    id: PredictionId,
    now: Timestamp,
    missing: MissingPrices,
    settlement: &mut Settlement,
) -> DbResult<()> {
    let mut conn = oracle.database.get().await?;
    let outcome = db::predictions::settle(&mut conn, &[id], &oracle.rules, missing).await;
    drop(conn);
    let mut suspects = locked(&oracle.suspects);
    match outcome {
        Ok(outcome) => {
            suspects.cleared(id);
            if outcome.settled.is_empty() {
                debug!(prediction.id = %id, "must still wait, or was settled by another process");
            } else {
                oracle.cache.wake_soon();
            }
            settlement.settled.extend(outcome.settled);
            settlement.wants.extend(outcome.wants);
        }
        Err(error) if is_pause(&error) => {}
        Err(error) => {
            suspects.failed(id, now);
            settlement.failed.push(id);
            let error = chain(&error);
            error!(
                prediction.id = %id,
                error,
                "could not settle a prediction; it stays open and is tried again. \
                 If this goes on, run inspect-ledger"
            );
        }
    }
    Ok(())
}
