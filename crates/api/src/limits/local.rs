//! Counts in this process only, for outages of Redis, and for requests that are not worth a query.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::limits::rate::{Use, Verdict};

/// Names that are counted separately. Beyond these, newcomers share one.
const NAMES_MAX: usize = 20_000;
/// How often a full table is searched for expired names.
const SWEEP_MICROS: u64 = 1_000_000;
const THE_REST: &str = "";

/// Rates, counted in bounded memory.
pub(crate) struct LocalLimits {
    start: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// When a name's used requests are available again, in microseconds since the start.
    paid_by: HashMap<Box<str>, u64>,
    swept: u64,
}

impl LocalLimits {
    pub(crate) fn new() -> LocalLimits {
        LocalLimits { start: Instant::now(), counted: Mutex::default() }
    }

    /// Counts one use under each of these rates if all of them have room, else under none;
    /// `None` when there is no rate.
    pub(crate) fn admit(&self, uses: &[Use<'_>]) -> Option<Verdict> {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).admit(uses, now, NAMES_MAX)
    }
}

impl Counted {
    fn admit(&mut self, uses: &[Use<'_>], now: u64, names_max: usize) -> Option<Verdict> {
        self.make_room(now, names_max);
        let full = self.paid_by.len().saturating_add(uses.len()) > names_max;
        let mut paid = Vec::with_capacity(uses.len());
        let mut refused: Option<(usize, Duration)> = None;
        let mut tightest: Option<(usize, u32, u64)> = None;
        for (index, Use { name: of, rate }) in uses.iter().enumerate() {
            let is_known = !full || self.paid_by.contains_key(*of);
            let name: Box<str> = if is_known { *of } else { THE_REST }.into();
            let before = self.paid_by.get(&name).copied().unwrap_or(0);
            match rate.admit(before, now) {
                Err(wait) if refused.is_none_or(|(_, longest)| wait > longest) => {
                    refused = Some((index, wait));
                }
                Err(_) => {}
                Ok(after) => {
                    let remaining = rate.remaining(after, now);
                    if tightest.is_none_or(|(_, least, _)| remaining < least) {
                        tightest = Some((index, remaining, after.saturating_sub(now)));
                    }
                    paid.push((name, after));
                }
            }
        }
        if let Some((by, retry_after)) = refused {
            return Some(Verdict::Refused { by, retry_after });
        }
        self.paid_by.extend(paid);
        tightest.map(|(tightest, remaining, reset)| Verdict::Admitted {
            tightest,
            remaining,
            reset: Duration::from_micros(reset),
        })
    }

    /// Searches a full table at most once a second, because this is expensive.
    fn make_room(&mut self, now: u64, names_max: usize) {
        let due = now.saturating_sub(self.swept) >= SWEEP_MICROS;
        if self.paid_by.len() >= names_max && due {
            self.paid_by.retain(|_, paid_by| *paid_by > now);
            self.swept = now;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use cache::limits::rate::Rate;

    use super::*;

    fn two(name: &str) -> Use<'_> {
        Use { name, rate: Rate::per_minute(60, 2) }
    }

    fn admitted(counted: &mut Counted, uses: &[Use<'_>], now: u64) -> bool {
        matches!(counted.admit(uses, now, 3).unwrap(), Verdict::Admitted { .. })
    }

    #[test]
    fn each_name_has_its_own_and_a_refusal_counts_nowhere() {
        let mut counted = Counted::default();
        assert!(admitted(&mut counted, &[two("a")], 0));
        assert!(admitted(&mut counted, &[two("a"), two("b")], 0));
        assert!(!admitted(&mut counted, &[two("a"), two("b")], 0));
        assert!(!admitted(&mut counted, &[two("b"), two("a")], 0));
        assert!(admitted(&mut counted, &[two("b")], 0));
        assert!(!admitted(&mut counted, &[two("b")], 0));
        assert!(admitted(&mut counted, &[two("a")], 1_000_000));
        assert_eq!(counted.admit(&[], 0, 3), None);
    }

    #[test]
    fn a_full_table_lets_newcomers_share_and_forgets_what_is_over() {
        let mut counted = Counted::default();
        for name in ["a", "b", "c"] {
            assert!(admitted(&mut counted, &[two(name)], 0));
        }
        assert!(admitted(&mut counted, &[two("d")], 0));
        assert!(admitted(&mut counted, &[two("e")], 0));
        assert!(!admitted(&mut counted, &[two("f")], 0), "they share one");
        assert!(admitted(&mut counted, &[two("a")], 0), "who is in stays");
        assert!(counted.paid_by.len() <= 4);
        assert!(admitted(&mut counted, &[two("f")], 60_000_000));
        assert_eq!(counted.paid_by.len(), 1);
    }
}
