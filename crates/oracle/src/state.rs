//! The state that the steps of a round share, and keep from one round to the next.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache::Cache;
use daemon::shutdown::Shutdown;
use db::Database;
use ledger_core::Timestamp;
use ledger_core::economy::EconomyRules;

use crate::history::left_out::LeftOut;
use crate::settlement::suspects::Suspects;
use crate::sources::PriceFeed;

/// Asked between transactions: whether this oracle still holds the lease.
pub type MayContinue<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// How often things are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// From one price sample to the next.
    pub sample_seconds: i64,
    /// From the beginning of one round to that of the next.
    pub round: Duration,
}

impl Rhythm {
    /// How early a sample may be taken. No round begins at the exact moment; the one nearest to it
    /// takes the sample, or samples would drift apart by a whole round each time.
    pub(crate) fn early_micros(self) -> i64 {
        i64::try_from(self.round.as_micros() / 2).unwrap_or(i64::MAX)
    }
}

/// How long deletable data is kept, in days; 0 keeps it forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Each bot's figures at each tick. Totals are kept elsewhere, forever.
    pub metrics_days: i32,
    /// Fetches that decided nothing. Deciding evidence is kept forever.
    pub evidence_days: i32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { metrics_days: 90, evidence_days: 365 }
    }
}

/// The state of a round.
pub struct Oracle {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    /// In order of preference.
    pub(crate) feeds: Vec<Arc<dyn PriceFeed>>,
    pub(crate) rules: EconomyRules,
    pub(crate) rhythm: Rhythm,
    pub(crate) retention: Retention,
    pub(crate) shutdown: Shutdown,
    /// When this process last queried any source.
    pub(crate) last_asked: Mutex<Option<Timestamp>>,
    pub(crate) suspects: Mutex<Suspects>,
    pub(crate) left_out: Mutex<LeftOut>,
    /// When this process last looked whether metrics have a place in the days ahead.
    pub(crate) partitions_seen: Mutex<Option<Timestamp>>,
    /// When this process last counted the arena's bots and money.
    pub(crate) surveyed: Mutex<Option<Timestamp>>,
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oracle").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Oracle {
    /// `shutdown` only keeps a slow price source from delaying the end; a round always finishes.
    pub fn new(
        database: Database,
        cache: Cache,
        feeds: Vec<Arc<dyn PriceFeed>>,
        rules: EconomyRules,
        rhythm: Rhythm,
        shutdown: Shutdown,
    ) -> Oracle {
        Oracle {
            database,
            cache,
            feeds,
            rules,
            rhythm,
            retention: Retention::default(),
            shutdown,
            last_asked: Mutex::new(None),
            suspects: Mutex::default(),
            left_out: Mutex::default(),
            partitions_seen: Mutex::new(None),
            surveyed: Mutex::new(None),
        }
    }

    /// The same, with another memory.
    pub fn keeping(self, retention: Retention) -> Oracle {
        Oracle { retention, ..self }
    }
}

/// The value of a mutex, also after a panic: it is set in one step and therefore consistent.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
