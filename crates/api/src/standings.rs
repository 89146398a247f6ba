//! The standings, kept for a few seconds.
//!
//! The ranking reads every wallet, so it runs once for all callers within a few seconds, for one
//! request at a time; the others get the present one while it is recent enough. Without requests it
//! never runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_types::{STANDINGS_MAX, Standing};
use db::Database;
use ledger_core::{BotStatus, Timestamp};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::{clock, views};

/// Older ones are replaced on request.
const FRESH: Duration = Duration::from_secs(4);
/// Older ones are never returned: a second below the promise, for the transfer.
const SHOWN: Duration = Duration::from_secs(9);

/// The present standings, and whose turn it is to replace them.
#[derive(Default)]
pub(crate) struct Standings {
    present: Mutex<Option<Arc<Snapshot>>>,
    turn: tokio::sync::Mutex<()>,
}

/// The standings of one moment.
pub(crate) struct Snapshot {
    pub(crate) as_of: Timestamp,
    taken: Instant,
    /// The best of each status, wealthiest first, without their ranks.
    best: Vec<Standing>,
}

impl Standings {
    /// Standings that are young enough to be shown.
    pub(crate) async fn get(&self, database: &Database) -> Result<Arc<Snapshot>, ApiError> {
        let shown = self.younger_than(SHOWN);
        let _turn = match (self.younger_than(FRESH), self.turn.try_lock(), &shown) {
            (Some(fresh), ..) => return Ok(fresh),
            (None, Ok(turn), _) => turn,
            // Somebody is at it.
            (None, Err(_), Some(shown)) => return Ok(Arc::clone(shown)),
            (None, Err(_), None) => self.turn.lock().await,
        };
        if let Some(fresh) = self.younger_than(FRESH) {
            return Ok(fresh);
        }
        match Snapshot::take(database).await {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                *self.present.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Arc::clone(&snapshot));
                Ok(snapshot)
            }
            Err(error) => shown.ok_or(error),
        }
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Snapshot>> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.clone().filter(|kept| kept.taken.elapsed() < age)
    }
}

impl Snapshot {
    async fn take(database: &Database) -> Result<Snapshot, ApiError> {
        let mut conn = database.get().await?;
        // Read before the query, so that the ranking is never older than stated.
        let (taken, as_of) = (Instant::now(), clock::now());
        let best = db::standings::best(&mut conn, STANDINGS_MAX).await?;
        Ok(Snapshot { as_of, taken, best: best.into_iter().map(views::standing).collect() })
    }

    /// The `limit` behind rank `after`, of one status or of all.
    pub(crate) fn page(&self, status: Option<BotStatus>, after: i64, limit: i64) -> Vec<Standing> {
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        self.best
            .iter()
            .filter(|standing| status.is_none_or(|status| standing.status == status))
            .zip(1..=STANDINGS_MAX)
            .skip(count(after))
            .take(count(limit))
            .map(|(standing, rank)| Standing { rank, ..standing.clone() })
            .collect()
    }
}
