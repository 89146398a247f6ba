//! Markets: the maker that opens them, and the resolver that reads their evidence.
//!
//! It has a separate loop from the price round, so that a slow source of one never delays the other. Each step
//! has an error boundary; no network call is made inside a transaction; and evidence is stored before a payout
//! uses it.

mod cooling;
mod maker;
mod resolver;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use cache::Cache;
use daemon::shutdown::Shutdown;
use db::leases::Struck;
use db::markets::{Finding, NewEvidence};
use db::{Database, DbResult};
use ledger_core::economy::EconomyRules;
use ledger_core::market::MarketSource;
use ledger_core::{MarketId, Timestamp};
use sources::{Evidence, Feed, SourceError};
use tracing::{info, warn};

pub use maker::Stocked;
pub use resolver::Resolved;

use self::cooling::Cooling;
use crate::backoff;
use crate::round::guarded;
use crate::state::{MayContinue, locked};

/// A stored fetch, with its result.
fn kept(evidence: Evidence, finding: Finding) -> NewEvidence {
    NewEvidence {
        url: evidence.url,
        fetched_at: evidence.fetched_at,
        status: evidence.status,
        sha256: evidence.sha256,
        body: evidence.body,
        truncated: evidence.truncated,
        finding,
    }
}

/// Where random numbers come from: the operating system, or a seed in a simulation.
pub type Dice = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The operating system's random numbers, fit for secrets.
///
/// Panics if the system has no randomness, which ends the step: a guessable nonce would be worse than no market.
pub fn system_dice() -> Dice {
    Arc::new(|| match getrandom::u64() {
        Ok(number) => number,
        Err(error) => panic!("the operating system gives no random numbers: {error}"),
    })
}

/// The state of the market round.
pub struct MarketDesk {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) feeds: Vec<Arc<dyn Feed>>,
    pub(crate) rules: EconomyRules,
    pub(crate) shutdown: Shutdown,
    dice: Dice,
    cooling: Mutex<Cooling>,
}

impl fmt::Debug for MarketDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feeds: Vec<&str> = self.feeds.iter().map(|feed| feed.name()).collect();
        f.debug_struct("MarketDesk").field("feeds", &feeds).finish_non_exhaustive()
    }
}

/// The results of a market round. `None` is a failed step; the log has the error.
#[derive(Debug)]
pub struct MarketReport {
    pub resolved: Option<Resolved>,
    pub stocked: Option<Stocked>,
}

impl MarketDesk {
    pub fn new(
        database: Database,
        cache: Cache,
        feeds: Vec<Arc<dyn Feed>>,
        rules: EconomyRules,
        shutdown: Shutdown,
        dice: Dice,
    ) -> MarketDesk {
        MarketDesk { database, cache, feeds, rules, shutdown, dice, cooling: Mutex::default() }
    }

    pub(crate) fn draw(&self) -> u64 {
        (self.dice)()
    }

    fn feed(&self, source: MarketSource) -> Option<&Arc<dyn Feed>> {
        self.feeds.iter().find(|feed| feed.source() == source)
    }

    /// Whether a feed may be queried now: it has no cooldown.
    pub(crate) async fn may_ask(&self, feed: &dyn Feed, now: Timestamp) -> DbResult<bool> {
        if self.cooling().is_source_left_alone(feed.name(), now) {
            return Ok(false);
        }
        let mut conn = self.database.get().await?;
        let cooldown = db::leases::cooldown(&mut conn, feed.name()).await?;
        Ok(cooldown.is_none_or(|cooldown| !cooldown.active))
    }

    fn cooling(&self) -> MutexGuard<'_, Cooling> {
        locked(&self.cooling)
    }

    /// Clears the failures of a feed and of this subject from before the request at `now`; concurrent failures
    /// stay.
    async fn answered(&self, feed: &dyn Feed, subject: &str, now: Timestamp) -> DbResult<()> {
        let failed_before = self.cooling().answered(feed.name(), subject, now);
        let mut conn = self.database.get().await?;
        // An active one is from a concurrent failure: no requests are sent during it.
        let cooldown = db::leases::cooldown(&mut conn, feed.name()).await?;
        if cooldown.is_some_and(|cooldown| !cooldown.active) {
            db::leases::clear_cooldown(&mut conn, feed.name()).await?;
        }
        if failed_before {
            info!(source = feed.name(), "source answers again");
        }
        Ok(())
    }

    /// Starts a cooldown of a feed or of one of its subjects, and logs it. Returns the seconds that the source
    /// itself requested.
    async fn failed(
        &self,
        feed: &dyn Feed,
        about: About<'_>,
        error: &SourceError,
        now: Timestamp,
    ) -> DbResult<Option<i64>> {
        let source = feed.name();
        let blamed = self.cooling().failed(feed, about.subject, error, now);
        let market = about.market.map(tracing::field::display);
        let subject = about.subject;
        let Some(peace) = error.wants_peace() else {
            warn!(
                source,
                subject,
                market.id = market,
                %error,
                pause_seconds = blamed.pause_seconds,
                whole_source = blamed.whole_source,
                "market source failed"
            );
            return Ok(None);
        };
        let mut conn = self.database.get().await?;
        let struck = db::leases::strike(&mut conn, source, |strikes| {
            backoff::cooldown_seconds(strikes, peace.retry_after_seconds)
        });
        let Struck { strikes, seconds } = struck.await?;
        warn!(
            source,
            subject,
            market.id = market,
            %error,
            strikes,
            cooldown_seconds = seconds,
            "market source cools down"
        );
        Ok(Some(seconds))
    }
}

/// The subject of a request to a source.
#[derive(Debug, Clone, Copy)]
struct About<'a> {
    /// `None` where the source itself was to choose.
    subject: Option<&'a str>,
    /// The market that was to be decided.
    market: Option<MarketId>,
}

/// Runs one round to its end, unless `may_continue` returns false between two transactions. Never fails
/// and never panics as a whole. Due markets come before new ones.
pub async fn run(desk: &MarketDesk, may_continue: MayContinue<'_>) -> MarketReport {
    let resolved = guarded("market resolver", resolver::resolve(desk, may_continue)).await;
    let stocked = guarded("market maker", maker::stock(desk, may_continue)).await;
    MarketReport { resolved, stocked }
}
