//! Wagers share their commits.
//!
//! A wager's rows cost less than its statements and its commit. So wagers wait while the ones before
//! them are being committed, and whatever waits then goes into one transaction: under load the arena
//! takes several times as many, and where there is none a wager goes at once. Each one is accepted or
//! refused on its own.
//!
//! Whoever waits too long is turned away before the observation is redeemed, so that little can happen
//! after an agent was told that its time was over.

mod line;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use cache::observations::{Handed, Redemption};
use cache::{Cache, CacheError};
use db::actions::{Accepted, Placed, Placing, Wager};
use db::idempotency::StoredAnswer;
use db::{Database, DbError, DbResult};
use ledger_core::{BotId, EconomyRules, ObservationId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tracing::{Instrument as _, Span, error, info_span};

use crate::idempotency::{Contents, Retry, hook};
use crate::views;
use line::{Line, Waiting};

/// How long fewer wait before another lane opens for them all the same.
const PATIENCE: Duration = Duration::from_millis(50);
/// Who waited this long is turned away, observation unused.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// How long one transaction may take, its observations and its connection included. With [`WAIT_MAX`] it
/// stays below the time limit of a request.
const TRANSACTION_MAX: Duration = Duration::from_secs(6);
/// Wagers that may wait for a held wallet at once, each on a connection of its own.
const ALONE_MAX: usize = 8;

/// A wager to place, with the claim of its request if that may be repeated.
pub(crate) struct Order {
    pub(crate) wager: Wager,
    pub(crate) retry: Option<Arc<Retry>>,
}

impl Order {
    fn handed(&self) -> Handed {
        let wager = &self.wager;
        handed(wager.bot_id, wager.observation_id, self.retry.as_deref())
    }

    /// How its answer is kept, if its request may be repeated.
    fn keeper(&self) -> Option<impl Fn(&Accepted) -> StoredAnswer + Send + Sync + use<>> {
        let retry = self.retry.clone()?;
        Some(move |accepted: &Accepted| {
            let answer = views::acceptance(accepted);
            retry.keep(StatusCode::OK, &answer, Contents::Plain)
        })
    }
}

/// An action's observation, with the name of its request if that may be repeated.
pub(crate) fn handed(bot: BotId, observation: ObservationId, retry: Option<&Retry>) -> Handed {
    Handed { bot, observation, request: retry.map(Retry::name) }
}

/// Why a wager was not placed.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// Too many wait, or it waited too long. Its observation is unused.
    Busy,
    /// Too many of this bot's wagers wait. Its observation is unused.
    BotBusy,
    /// Its observation is not good for it; never [`Redemption::Redeemed`].
    Observation(Redemption),
    Cache(CacheError),
    Db(DbError),
}

type Outcome = Result<Accepted, Unplaced>;

/// Takes wagers and places them, many at a time.
pub(crate) struct WagerQueue(Arc<Shared>);

struct Shared {
    cache: Cache,
    database: Database,
    rules: EconomyRules,
    /// Where the lanes run: not where a request does, which may end before they do.
    runtime: Handle,
    line: Mutex<Line>,
    alone: Semaphore,
}

impl WagerQueue {
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(cache: &Cache, database: &Database, rules: &EconomyRules) -> WagerQueue {
        WagerQueue(Arc::new(Shared {
            cache: cache.clone(),
            database: database.clone(),
            rules: rules.clone(),
            runtime: Handle::current(),
            line: Mutex::default(),
            alone: Semaphore::new(ALONE_MAX),
        }))
    }

    /// Redeems a wager's observation and places it. Once it is in line it takes its course, even if nobody
    /// waits for the answer.
    pub(crate) async fn place(&self, order: Order) -> Outcome {
        let (asker, mut answered) = oneshot::channel();
        let waiting = Waiting { order, since: Instant::now(), span: Span::current(), asker };
        self.0.line().join(waiting)?;
        loop {
            self.0.open_lane();
            match tokio::time::timeout(PATIENCE, &mut answered).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => {
                    let why = "the transaction of a wager ended without an outcome".to_owned();
                    return Err(Unplaced::Db(DbError::OutcomeUnknown(why)));
                }
                // Perhaps the lanes that are open are stuck.
                Err(_) => {}
            }
        }
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a lane if one should open.
    fn open_lane(self: &Arc<Shared>) {
        let first = self.line().open_lane(Instant::now());
        if let Some(first) = first {
            self.runtime.spawn(run_lane(Arc::clone(self), first));
        }
    }
}

/// A claim on bots with a wager under way, and on a lane for as long as it is one. Both are given
/// back however its task ends, and whoever waited for them is served.
struct LaneClaim {
    shared: Arc<Shared>,
    bots: Vec<BotId>,
    is_lane: bool,
}

impl LaneClaim {
    /// Hands one of the bots on to a claim of its own.
    fn split(&mut self, bot: BotId) -> LaneClaim {
        self.bots.retain(|claimed| *claimed != bot);
        LaneClaim { shared: Arc::clone(&self.shared), bots: vec![bot], is_lane: false }
    }
}

impl Drop for LaneClaim {
    fn drop(&mut self) {
        {
            let mut line = self.shared.line();
            line.lanes -= usize::from(self.is_lane);
            for bot in &self.bots {
                line.busy.remove(bot);
            }
        }
        self.shared.open_lane();
    }
}

/// Places the wagers of one transaction. Its end opens the next lane, if one should open.
async fn run_lane(shared: Arc<Shared>, together: Vec<Waiting>) {
    let mut claim =
        LaneClaim { bots: together.iter().map(Waiting::bot).collect(), shared, is_lane: true };
    let now = Instant::now();
    let (late, in_time): (Vec<_>, Vec<_>) =
        together.into_iter().partition(|next| now.duration_since(next.since) > WAIT_MAX);
    for next in late {
        next.answer(Err(Unplaced::Busy));
    }
    if !in_time.is_empty() {
        // Dropped at its limit, it closes its connection; those in it learn that nobody knows.
        let span = shared_span(&in_time);
        let placing = place_together(&mut claim, in_time).instrument(span);
        let _ = tokio::time::timeout(TRANSACTION_MAX, placing).await;
    }
}

/// What is done for several requests at once: it belongs to the first, and follows from the others.
fn shared_span(together: &[Waiting]) -> Span {
    let Some((first, others)) = together.split_first() else {
        return Span::none();
    };
    let span = info_span!(parent: &first.span, "wagers", count = together.len());
    for other in others {
        span.follows_from(&other.span);
    }
    span
}

/// Redeems the observations and places the wagers whose observations are good.
async fn place_together(claim: &mut LaneClaim, together: Vec<Waiting>) {
    let observations: Vec<_> = together.iter().map(|next| next.order.handed()).collect();
    let redemptions = match claim.shared.cache.redeem_observations(&observations).await {
        Ok(redemptions) => redemptions,
        Err(error) => {
            return answer_all(together, || Unplaced::Cache(error.clone()));
        }
    };
    let mut good = Vec::with_capacity(together.len());
    for (next, redemption) in together.into_iter().zip(redemptions) {
        match redemption {
            Redemption::Redeemed => good.push(next),
            other => next.answer(Err(Unplaced::Observation(other))),
        }
    }
    if !good.is_empty() {
        place_redeemed(claim, good).await;
    }
}

async fn place_redeemed(claim: &mut LaneClaim, together: Vec<Waiting>) {
    match place_in_one(&claim.shared, &together).await {
        Ok(placed) => {
            for (next, placed) in together.into_iter().zip(placed) {
                match placed {
                    Placed::Accepted(accepted) => next.answer(Ok(accepted)),
                    Placed::Refused(refusal) => next.answer(Err(Unplaced::Db(refusal.into()))),
                    Placed::Passed => go_alone(claim, next),
                }
            }
        }
        // Nothing was done, and nothing can be.
        Err(DbError::Unavailable(why) | DbError::Contended(why)) => {
            answer_all(together, || Unplaced::Db(DbError::Unavailable(why.clone())));
        }
        Err(DbError::ReadOnly(why)) => {
            answer_all(together, || Unplaced::Db(DbError::ReadOnly(why)));
        }
        // Perhaps all was done: a second try could contradict it.
        Err(DbError::OutcomeUnknown(why)) => {
            answer_all(together, || Unplaced::Db(DbError::OutcomeUnknown(why.clone())));
        }
        // One of them is impossible and took the others along. Alone, each gets its own answer.
        Err(why) => {
            if !matches!(why, DbError::Conflict(_)) {
                error!(%why, wagers = together.len(), "wagers could not be placed together");
            }
            for next in together {
                go_alone(claim, next);
            }
        }
    }
}

/// Tells all of them the same.
fn answer_all(together: Vec<Waiting>, why: impl Fn() -> Unplaced) {
    for next in together {
        next.answer(Err(why()));
    }
}

async fn place_in_one(shared: &Shared, together: &[Waiting]) -> DbResult<Vec<Placed>> {
    let keepers: Vec<_> = together.iter().map(|next| next.order.keeper()).collect();
    let hooks: Vec<_> = together
        .iter()
        .zip(&keepers)
        .map(|(next, keeper)| hook(next.order.retry.as_deref(), keeper.as_ref()))
        .collect();
    let placings: Vec<_> = together
        .iter()
        .zip(&hooks)
        .map(|(next, hook)| Placing { wager: &next.order.wager, hook: hook.as_ref() })
        .collect();
    let mut conn = shared.database.get().await?;
    db::actions::place_all(&mut conn, &placings, &shared.rules).await
}

/// Places one wager in a transaction of its own, which waits for whoever holds its wallet. Its bot's
/// next wager waits for it.
fn go_alone(claim: &mut LaneClaim, next: Waiting) {
    let alone = claim.split(next.bot());
    let span = next.span.clone();
    let going = async move {
        let limit = next.since + WAIT_MAX + TRANSACTION_MAX;
        let placed = place_alone(&alone.shared, &next.order);
        let outcome = match tokio::time::timeout_at(limit, placed).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbError::OutcomeUnknown("it took too long".to_owned())),
        };
        next.answer(outcome.map_err(Unplaced::Db));
        drop(alone);
    };
    claim.shared.runtime.spawn(going.instrument(span));
}

async fn place_alone(shared: &Shared, order: &Order) -> DbResult<Accepted> {
    let _permit = shared.alone.acquire().await;
    let keeper = order.keeper();
    let hook = hook(order.retry.as_deref(), keeper.as_ref());
    let mut conn = shared.database.get().await?;
    db::actions::place(&mut conn, &order.wager, &shared.rules, hook.as_ref()).await
}
