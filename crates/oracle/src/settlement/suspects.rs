//! Predictions that cannot be settled.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{PredictionId, Timestamp};

/// A prediction that failed alone is tried again after so long, in seconds, doubling …
const RETRY_BASE_SECONDS: i64 = 5;
/// … up to this.
const RETRY_MAX_SECONDS: i64 = 320;

/// Predictions that failed alone: excluded from the batches, so that these succeed, and retried less and less
/// often, so that the log stays readable. Forgotten with the process.
#[derive(Debug, Default)]
pub(crate) struct Suspects(BTreeMap<PredictionId, Suspect>);

#[derive(Debug, Clone, Copy)]
struct Suspect {
    failures: u32,
    next_try: Timestamp,
}

/// How a due prediction is to be handled.
pub(super) enum Handling {
    Batch,
    Alone,
    NotYet,
}

impl Suspects {
    pub(super) fn handling(&self, id: PredictionId, now: Timestamp) -> Handling {
        match self.0.get(&id) {
            None => Handling::Batch,
            Some(suspect) if suspect.next_try <= now => Handling::Alone,
            Some(_) => Handling::NotYet,
        }
    }

    pub(super) fn failed(&mut self, id: PredictionId, now: Timestamp) {
        let failures = self.0.get(&id).map_or(0, |suspect| suspect.failures);
        let pause = (RETRY_BASE_SECONDS << failures.min(16)).min(RETRY_MAX_SECONDS);
        let next_try = now.plus_seconds(pause);
        self.0.insert(id, Suspect { failures: failures + 1, next_try });
    }

    pub(super) fn cleared(&mut self, id: PredictionId) {
        self.0.remove(&id);
    }

    /// Removes those that are no longer due, because they were settled.
    pub(super) fn keep_only(&mut self, due: &[PredictionId]) {
        if !self.0.is_empty() {
            let due: BTreeSet<PredictionId> = due.iter().copied().collect();
            self.0.retain(|id, _| due.contains(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: PredictionId = PredictionId(7);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_suspect_is_tried_less_and_less_often() {
        let mut suspects = Suspects::default();
        assert!(matches!(suspects.handling(BAD, at(0)), Handling::Batch));
        for pause in [5, 10, 20, 40, 80, 160, 320, 320] {
            suspects.failed(BAD, at(0));
            assert!(matches!(suspects.handling(BAD, at(pause - 1)), Handling::NotYet), "{pause}");
            assert!(matches!(suspects.handling(BAD, at(pause)), Handling::Alone), "{pause}");
        }
        suspects.cleared(BAD);
        assert!(matches!(suspects.handling(BAD, at(0)), Handling::Batch));
    }

    #[test]
    fn a_suspect_that_is_no_longer_due_is_forgotten() {
        let mut suspects = Suspects::default();
        suspects.failed(BAD, at(0));
        suspects.keep_only(&[PredictionId(6), BAD]);
        assert_eq!(suspects.0.len(), 1);
        suspects.keep_only(&[PredictionId(6)]);
        assert!(suspects.0.is_empty());
    }
}
