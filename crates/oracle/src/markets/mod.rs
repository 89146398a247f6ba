//! Markets: the maker that keeps the board stocked, and the resolver that reads what decides them.
//!
//! It has a rhythm of its own beside the price cycle, so that a slow source of one never holds up
//! the other. Each step has an error boundary; no network call is made inside a transaction; and
//! what decides a market is kept before anybody is paid by it.

pub mod feeds;
mod maker;
mod resolver;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bus::Bus;
use daemon::shutdown::Shutdown;
use db::markets::{Market, NewEvidence};
use db::{Database, DbResult};
use futures_util::future::BoxFuture;
use ledger_core::Timestamp;
use ledger_core::criteria::Criteria;
use ledger_core::economy::EconomyRules;
use ledger_core::market::{MarketSource, retry_seconds};
use ledger_core::research::Answer;
use sources::SourceError;
use tracing::{info, warn};

pub use maker::Stocked;
pub use resolver::Resolved;

use crate::backoff;
use crate::cycle::{MayContinue, guarded};

/// A source of markets: it proposes questions, and reads what decides them. It never sleeps and
/// never retries; when to ask is decided here.
pub trait MarketFeed: Send + Sync {
    fn source(&self) -> MarketSource;

    /// Under which its cooldown is kept, and what the log calls it.
    fn name(&self) -> &'static str;

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
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{0}")]
    Unusable(String),
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
    pub(crate) bus: Bus,
    pub(crate) feeds: Vec<Arc<dyn MarketFeed>>,
    pub(crate) rules: EconomyRules,
    pub(crate) shutdown: Shutdown,
    dice: Dice,
    pauses: Mutex<BTreeMap<(&'static str, Errand), Pause>>,
}

/// What a feed is asked for. A subject that it does not know any more keeps it from proposing for a
/// while, and not from deciding the markets of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    /// A new question.
    Propose,
    /// What decides a market.
    Read,
}

/// Whether an error says something about the source as a whole, not about one subject.
const fn is_of_the_source(error: &SourceError) -> bool {
    match error {
        SourceError::Timeout
        | SourceError::Unreachable(_)
        | SourceError::RateLimited { .. }
        | SourceError::Forbidden
        | SourceError::Server(_)
        | SourceError::NotJson
        | SourceError::NotFeed
        | SourceError::TooLarge => true,
        SourceError::NotFound
        | SourceError::Redirected(_)
        | SourceError::Status(_)
        | SourceError::MissingField(_)
        | SourceError::Nonsense { .. }
        | SourceError::Stale { .. }
        | SourceError::FromTheFuture { .. } => false,
    }
}

/// How long a feed is left alone after failing in a row. Forgotten with the process; what a source
/// asked for itself is kept in Postgres.
#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: i32,
    began: Timestamp,
    until: Timestamp,
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
        bus: Bus,
        feeds: Vec<Arc<dyn MarketFeed>>,
        rules: EconomyRules,
        shutdown: Shutdown,
        dice: Dice,
    ) -> MarketDesk {
        MarketDesk {
            database,
            bus,
            feeds,
            rules,
            shutdown,
            dice,
            pauses: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn draw(&self) -> u64 {
        (self.dice)()
    }

    fn feed(&self, source: MarketSource) -> Option<&Arc<dyn MarketFeed>> {
        self.feeds.iter().find(|feed| feed.source() == source)
    }

    /// Whether a feed may be asked now: it neither asked for peace nor failed a moment ago.
    pub(crate) async fn may_ask(
        &self,
        feed: &dyn MarketFeed,
        errand: Errand,
        now: Timestamp,
    ) -> DbResult<bool> {
        let is_paused = |pause: &Pause| {
            // A clock that was set back must not silence a feed for longer than its pause.
            now < pause.until && pause.until.seconds_since(now) <= retry_seconds(i32::MAX)
        };
        let paused = {
            let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            pauses.get(&(feed.name(), errand)).is_some_and(is_paused)
        };
        if paused {
            return Ok(false);
        }
        let mut conn = self.database.get().await?;
        let cooldown = db::leases::cooldown(&mut conn, feed.name()).await?;
        Ok(cooldown.is_none_or(|cooldown| !cooldown.active))
    }

    /// Forgets a feed's failures from before it was asked at `now`; what failed beside this answer
    /// stays.
    async fn answered(&self, feed: &dyn MarketFeed, now: Timestamp) -> DbResult<()> {
        let failed_before = {
            let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            let before = pauses.len();
            pauses.retain(|(name, _), pause| *name != feed.name() || pause.began >= now);
            pauses.len() < before
        };
        let mut conn = self.database.get().await?;
        if db::leases::cooldown(&mut conn, feed.name())
            .await?
            .is_some()
        {
            db::leases::clear_cooldown(&mut conn, feed.name()).await?;
        }
        if failed_before {
            info!(source = feed.name(), "source answers again");
        }
        Ok(())
    }

    /// Leaves a feed alone for a while, and says so. Answers for how many seconds at least the
    /// source itself asked for.
    async fn failed(
        &self,
        feed: &dyn MarketFeed,
        errand: Errand,
        error: &SourceError,
        now: Timestamp,
    ) -> DbResult<Option<i64>> {
        let errands: &[Errand] = match (is_of_the_source(error), errand) {
            (true, _) => &[Errand::Propose, Errand::Read],
            (false, Errand::Propose) => &[Errand::Propose],
            // One market's own trouble: its next fetch is put off, and nobody else's.
            (false, Errand::Read) => &[],
        };
        let mut failures = 1;
        {
            let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
            for errand in errands {
                let key = (feed.name(), *errand);
                // Several answers of one moment are one failure.
                let before = pauses.get(&key).copied();
                let counted = before.is_some_and(|pause| pause.began == now);
                let earlier = before.map_or(0, |pause| pause.failures);
                failures = earlier.saturating_add(i32::from(!counted)).max(1);
                let until = now.plus_seconds(retry_seconds(failures));
                let pause = Pause {
                    failures,
                    began: now,
                    until,
                };
                pauses.insert(key, pause);
            }
        }
        let Some(peace) = error.wants_peace() else {
            let pause_seconds = retry_seconds(failures);
            warn!(source = feed.name(), %error, pause_seconds, "market source failed");
            return Ok(None);
        };
        let mut conn = self.database.get().await?;
        let before = db::leases::cooldown(&mut conn, feed.name()).await?;
        let strikes = before
            .map_or(0, |cooldown| cooldown.strikes)
            .saturating_add(1);
        let seconds = backoff::cooldown_seconds(strikes, peace.retry_after_seconds);
        db::leases::cool_down(&mut conn, feed.name(), strikes, seconds).await?;
        warn!(
            source = feed.name(),
            %error,
            strikes,
            cooldown_seconds = seconds,
            "market source cools down"
        );
        Ok(Some(seconds))
    }
}

/// Runs one cycle to its end, unless `may_continue` says no between two transactions. Never fails
/// and never panics as a whole. What is due comes before what is new.
pub async fn run(desk: &MarketDesk, may_continue: MayContinue<'_>) -> MarketReport {
    let resolved = guarded("market resolver", resolver::resolve(desk, may_continue)).await;
    let stocked = guarded("market maker", maker::stock(desk, may_continue)).await;
    MarketReport { resolved, stocked }
}
