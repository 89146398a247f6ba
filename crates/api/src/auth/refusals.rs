//! Refused credentials on their way to the audit log.
//!
//! The log is kept forever, and any client may send a wrong key: so it gets at most one row a
//! minute for each bot and for the operator's token, with a count. Pending rows are lost with the
//! process; they have no effects.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use db::credentials::Refused;

/// The shortest time between two rows about the same.
const BETWEEN_ROWS: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<Refused, Counted>>);

#[derive(Default)]
struct Counted {
    pending: u64,
    /// When the last row was made.
    row: Option<Instant>,
}

impl Refusals {
    pub(crate) fn note(&self, what: Refused) {
        self.note_many(what, 1);
    }

    /// Counts refusals whose row could not be written, too.
    pub(crate) fn note_many(&self, what: Refused, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.entry(what).or_default();
        counted.pending = counted.pending.saturating_add(count);
    }

    /// The subject of a row.
    pub(crate) fn due(&self, now: Instant) -> Vec<(Refused, u64)> {
        let over = |row: Instant| now.saturating_duration_since(row) >= BETWEEN_ROWS;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, counted| counted.pending > 0 || !counted.row.is_some_and(over));
        let due = counts
            .iter_mut()
            .filter(|(_, counted)| counted.pending > 0 && counted.row.is_none_or(over));
        due.map(|(what, counted)| {
            counted.row = Some(now);
            (*what, std::mem::take(&mut counted.pending))
        })
        .collect()
    }

    /// All that is pending: for the end of the process.
    pub(crate) fn rest(&self) -> Vec<(Refused, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.drain().filter(|(_, counted)| counted.pending > 0);
        all.map(|(what, counted)| (what, counted.pending)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::BotId;

    use super::*;

    #[test]
    fn a_flood_makes_one_row_a_minute_with_its_count() {
        let refusals = Refusals::default();
        let began = Instant::now();
        let mia = Refused::Login(BotId(12));
        refusals.note(mia);
        assert_eq!(refusals.due(began), [(mia, 1)]);
        let mut rows = 0;
        for second in 1..=180 {
            for _ in 0..10 {
                refusals.note(mia);
            }
            rows += refusals.due(began + Duration::from_secs(second)).len();
        }
        assert_eq!(rows, 3);
        // Of its own minute.
        refusals.note(Refused::Operator);
        let now = began + Duration::from_secs(181);
        assert_eq!(refusals.due(now), [(Refused::Operator, 1)]);
        refusals.note_many(mia, 5);
        assert_eq!(refusals.rest(), [(mia, 5)]);
        assert_eq!(refusals.rest(), []);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let refusals = Refusals::default();
        let began = Instant::now();
        refusals.note(Refused::Operator);
        assert_eq!(refusals.due(began).len(), 1);
        assert_eq!(refusals.due(began + BETWEEN_ROWS), []);
        let counts = refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(counts.is_empty());
    }
}
