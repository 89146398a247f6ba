//! Markets: the maker that keeps the board stocked, and the resolver that reads what decides them.
//!
//! It has a rhythm of its own beside the price cycle, so that a slow source of one never holds up
//! the other. Each step has an error boundary; no network call is made inside a transaction; and
//! what decides a market is kept before anybody is paid by it.

mod cooling;
pub mod feeds;
mod maker;
mod resolver;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache::Cache;
use daemon::shutdown::Shutdown;
use db::leases::Struck;
use db::markets::{Market, NewEvidence};
use db::{Database, DbResult};
use futures_util::future::BoxFuture;
use ledger_core::criteria::Criteria;
use ledger_core::economy::EconomyRules;
use ledger_core::market::MarketSource;
use ledger_core::research::Answer;
use ledger_core::{MarketId, Timestamp};
use sources::SourceError;
use tracing::{info, warn};

pub use maker::Stocked;
pub use resolver::Resolved;

use self::cooling::Cooling;
use crate::backoff;
use crate::cycle::{MayContinue, guarded};

/// A source of markets: it proposes questions, and reads what decides them. It never sleeps and
/// never retries; when to ask is decided here.
pub trait MarketFeed: Send + Sync {
    fn source(&self) -> MarketSource;

    /// Under which its cooldown is kept, and what the log calls it.
    fn name(&self) -> &'static str;

    /// Whether one answer decides all its markets, so that what is wrong with it is the source's. Such a
    /// feed asks once for all that are read at the same moment.
    fn has_one_answer_for_all(&self) -> bool {
        false
    }

    /// Proposes a question about something that is not in `taken`. `draw` is a random number.
    fn propose<'a>(
        &'a self,
        taken: &'a [String],
        draw: u64,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Proposal, NoProposal>>;

    /// Reads what decides a market whose deadline has come. Never called for research, which is
    /// decided by its commitment.
    fn read<'a>(&'a self, market: &'a Market, now: Timestamp) -> BoxFuture<'a, Reading>;
}

/// A question that may be opened.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub criteria: Criteria,
    /// What research is to be committed to.
    pub answer: Option<Answer>,
    /// The fetches that led to it.
    pub evidence: Vec<NewEvidence>,
}

/// Why a feed proposes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProposal {
    #[error("everything it could ask about is on the board")]
    NothingFree,
    #[error("{error}")]
    Source {
        /// What was asked about, where something had been chosen.
        subject: Option<String>,
        error: SourceError,
    },
    #[error("{0}")]
    Unusable(String),
}

impl From<SourceError> for NoProposal {
    fn from(error: SourceError) -> NoProposal {
        NoProposal::Source {
            subject: None,
            error,
        }
    }
}

/// A fetch that was made to decide a market.
#[derive(Debug, Clone)]
pub struct Reading {
    /// With the side it decides, or why it decides nothing.
    pub evidence: NewEvidence,
    /// What went wrong, where something did.
    pub error: Option<SourceError>,
}

/// Where random numbers come from: the operating system, or a seed in a simulation.
pub type Dice = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The operating system's random numbers, fit for secrets.
///
/// A draw panics where the system gives none, which ends the step that needed it: a nonce that can
/// be guessed would be worse than no market.
#[must_use]
pub fn system_dice() -> Dice {
    Arc::new(|| match getrandom::u64() {
        Ok(number) => number,
        Err(error) => panic!("the operating system gives no random numbers: {error}"),
    })
}

/// What the market cycle works with.
pub struct MarketDesk {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) feeds: Vec<Arc<dyn MarketFeed>>,
    pub(crate) rules: EconomyRules,
    pub(crate) shutdown: Shutdown,
    dice: Dice,
    cooling: Mutex<Cooling>,
}

impl fmt::Debug for MarketDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feeds: Vec<&str> = self.feeds.iter().map(|feed| feed.name()).collect();
        f.debug_struct("MarketDesk")
            .field("feeds", &feeds)
            .finish_non_exhaustive()
    }
}

/// What a market cycle did. `None` stands for a step that failed; why is in the log.
#[derive(Debug)]
pub struct MarketReport {
    pub resolved: Option<Resolved>,
    pub stocked: Option<Stocked>,
}

impl MarketDesk {
    #[must_use]
    pub fn new(
        database: Database,
        cache: Cache,
        feeds: Vec<Arc<dyn MarketFeed>>,
        rules: EconomyRules,
        shutdown: Shutdown,
        dice: Dice,
    ) -> MarketDesk {
        MarketDesk {
            database,
            cache,
            feeds,
            rules,
            shutdown,
            dice,
            cooling: Mutex::default(),
        }
    }

    pub(crate) fn draw(&self) -> u64 {
        (self.dice)()
    }

    fn feed(&self, source: MarketSource) -> Option<&Arc<dyn MarketFeed>> {
        self.feeds.iter().find(|feed| feed.source() == source)
    }

    /// Whether a feed may be asked now: it neither asked for peace nor failed a moment ago.
    pub(crate) async fn may_ask(&self, feed: &dyn MarketFeed, now: Timestamp) -> DbResult<bool> {
        if self.cooling().is_source_left_alone(feed.name(), now) {
            return Ok(false);
        }
        let mut conn = self.database.get().await?;
        let cooldown = db::leases::cooldown(&mut conn, feed.name()).await?;
        Ok(cooldown.is_none_or(|cooldown| !cooldown.active))
    }

    fn cooling(&self) -> MutexGuard<'_, Cooling> {
        self.cooling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the failures of a feed and of this subject from before it was asked at `now`; what
    /// failed beside this answer stays.
    async fn answered(&self, feed: &dyn MarketFeed, subject: &str, now: Timestamp) -> DbResult<()> {
        let failed_before = self.cooling().answered(feed.name(), subject, now);
        let mut conn = self.database.get().await?;
        // One that is active came beside this answer: nobody is asked during it.
        let cooldown = db::leases::cooldown(&mut conn, feed.name()).await?;
        if cooldown.is_some_and(|cooldown| !cooldown.active) {
            db::leases::clear_cooldown(&mut conn, feed.name()).await?;
        }
        if failed_before {
            info!(source = feed.name(), "source answers again");
        }
        Ok(())
    }

    /// Leaves a feed or one of its subjects alone for a while, and says so. Answers for how many
    /// seconds at least the source itself asked for.
    async fn failed(
        &self,
        feed: &dyn MarketFeed,
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

/// What a source was asked about.
#[derive(Debug, Clone, Copy)]
struct About<'a> {
    /// `None` where the source itself was to choose.
    subject: Option<&'a str>,
    /// The market that was to be decided.
    market: Option<MarketId>,
}

/// Runs one cycle to its end, unless `may_continue` says no between two transactions. Never fails
/// and never panics as a whole. What is due comes before what is new.
pub async fn run(desk: &MarketDesk, may_continue: MayContinue<'_>) -> MarketReport {
    let resolved = guarded("market resolver", resolver::resolve(desk, may_continue)).await;
    let stocked = guarded("market maker", maker::stock(desk, may_continue)).await;
    MarketReport { resolved, stocked }
}
