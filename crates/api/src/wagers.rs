//! Wagers share their commits.
//!
//! A wager's rows cost less than its statements and its commit. So wagers wait while the ones before
//! them are being committed, and whatever waits then goes into one transaction: a lone wager waits
//! for nobody, and under load the arena takes several times as many. Each one is accepted or refused
//! on its own.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::http::StatusCode;
use bus::tickets::Redemption;
use bus::{Bus, BusError};
use db::actions::{Accepted, Placed, Placing, Wager};
use db::idempotency::{Remember, StoredAnswer};
use db::{Database, DbError, DbResult};
use ledger_core::{BotId, EconomyRules};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::error;

use crate::idempotency::{Contents, Retry};
use crate::views;

/// Transactions at once: while one commits, others are worked on. More would only divide the same
/// wagers into smaller ones.
const LANES: usize = 3;
/// The most wagers of one transaction: it holds their wallets, which a tick may want.
const TOGETHER_MAX: usize = 64;
/// The wagers for which another lane opens; fewer wait for one that is open.
const NEXT_LANE_MIN: usize = 10;

/// A wager to place, with the claim of its request if that may be repeated.
pub(crate) struct Order {
    pub(crate) wager: Wager,
    pub(crate) retry: Option<Arc<Retry>>,
}

struct Waiting {
    order: Arc<Order>,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    Settled(Result<Accepted, Unplaced>),
    /// Its ticket is used up and nothing was done for it yet: it has to go by itself.
    Alone,
}

/// Why a wager was not placed.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// Its ticket is not good for it; never [`Redemption::Redeemed`].
    Ticket(Redemption),
    Bus(BusError),
    Db(DbError),
}

/// Takes wagers and places them, many at a time.
pub(crate) struct WagerQueue(Arc<Shared>);

struct Shared {
    bus: Bus,
    database: Database,
    rules: EconomyRules,
    /// Where the lanes run: not where a request does, which may end before they do.
    runtime: Handle,
    line: Mutex<Line>,
}

/// Who waits, and who is being served.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    lanes: usize,
    /// Bots with a wager in one of the lanes: their next one is decided on the balance it leaves.
    busy: HashSet<BotId>,
}

impl WagerQueue {
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(bus: &Bus, database: &Database, rules: &EconomyRules) -> WagerQueue {
        WagerQueue(Arc::new(Shared {
            bus: bus.clone(),
            database: database.clone(),
            rules: rules.clone(),
            runtime: Handle::current(),
            line: Mutex::default(),
        }))
    }

    /// Redeems a wager's ticket and places it. Once called this takes its course, even if nobody waits
    /// for the answer.
    pub(crate) async fn place(&self, order: Order) -> Result<Accepted, Unplaced> {
        let order = Arc::new(order);
        let (answer, answered) = oneshot::channel();
        let lane = {
            let mut line = self.0.line();
            line.waiting.push_back(Waiting {
                order: Arc::clone(&order),
                answer,
            });
            line.open_lane()
        };
        if let Some(first) = lane {
            let shared = Arc::clone(&self.0);
            self.0.runtime.spawn(run_lane(shared, first));
        }
        let answer = answered.await.map_err(|_| {
            let why = "the transaction of a wager ended without an outcome".to_owned();
            Unplaced::Db(DbError::Unavailable(why))
        })?;
        match answer {
            Answer::Settled(outcome) => outcome,
            Answer::Alone => self.0.alone(&order).await.map_err(Unplaced::Db),
        }
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn alone(&self, order: &Order) -> DbResult<Accepted> {
        let keeper = order.retry.as_ref().map(keeper);
        let hook = hook(order.retry.as_ref(), keeper.as_ref());
        let mut conn = self.database.get().await?;
        db::actions::place(&mut conn, &order.wager, &self.rules, hook.as_ref()).await
    }
}

impl Line {
    /// The wagers of the lane that should open now, if one should.
    fn open_lane(&mut self) -> Option<Vec<Waiting>> {
        let wanted = match self.lanes {
            0 => 1,
            _ => NEXT_LANE_MIN,
        };
        if self.lanes >= LANES || self.waiting.len() < wanted {
            return None;
        }
        let first = self.take();
        if !first.is_empty() {
            self.lanes += 1;
            return Some(first);
        }
        None
    }

    fn leave(&mut self, bots: &[BotId]) {
        self.lanes -= 1;
        for bot in bots {
            self.busy.remove(bot);
        }
    }

    /// The next transaction's wagers, oldest first, one of each bot.
    fn take(&mut self) -> Vec<Waiting> {
        let mut together = Vec::new();
        let mut left = VecDeque::new();
        for next in self.waiting.drain(..) {
            if together.len() < TOGETHER_MAX && self.busy.insert(next.order.wager.bot_id) {
                together.push(next);
            } else {
                left.push_back(next);
            }
        }
        self.waiting = left;
        together
    }
}

/// Places wagers, one transaction after the other, until too few wait.
async fn run_lane(shared: Arc<Shared>, first: Vec<Waiting>) {
    let mut next = Some(first);
    while let Some(together) = next.take() {
        let place = Place::of(&shared, &together);
        place_together(&shared, together).await;
        next = place.pass_on();
    }
}

/// A lane's place among [`LANES`] and its claim on the bots of one transaction. They are given back
/// however its task ends.
struct Place<'a> {
    shared: &'a Shared,
    bots: Vec<BotId>,
}

impl Place<'_> {
    fn of<'a>(shared: &'a Shared, together: &[Waiting]) -> Place<'a> {
        let bots = together.iter().map(|next| next.order.wager.bot_id);
        Place {
            shared,
            bots: bots.collect(),
        }
    }

    /// Gives the place back and takes it again at once if enough are waiting.
    fn pass_on(mut self) -> Option<Vec<Waiting>> {
        let mut line = self.shared.line();
        line.leave(&std::mem::take(&mut self.bots));
        line.open_lane()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.bots.is_empty() {
            self.shared.line().leave(&self.bots);
        }
    }
}

/// How the answer to an action is kept for a repeated request.
pub(crate) fn keeper(
    retry: &Arc<Retry>,
) -> impl Fn(&Accepted) -> StoredAnswer + Send + Sync + use<> {
    let retry = Arc::clone(retry);
    move |accepted| {
        retry.keep(
            StatusCode::OK,
            &views::acceptance(accepted),
            Contents::Plain,
        )
    }
}

/// The hook that keeps it in the action's transaction.
pub(crate) fn hook<'a, F>(
    retry: Option<&Arc<Retry>>,
    keeper: Option<&'a F>,
) -> Option<Remember<'a, Accepted>>
where
    F: Fn(&Accepted) -> StoredAnswer + Send + Sync,
{
    Some(Remember {
        claim: retry?.claim,
        render: keeper?,
    })
}

/// Redeems the tickets and places the wagers whose tickets are good.
async fn place_together(shared: &Shared, together: Vec<Waiting>) {
    let tickets: Vec<_> = together
        .iter()
        .map(|next| (next.order.wager.bot_id, next.order.wager.observation_id))
        .collect();
    let redemptions = match shared.bus.redeem_tickets(&tickets).await {
        Ok(redemptions) => redemptions,
        Err(error) => {
            for next in together {
                next.settle(Err(Unplaced::Bus(error.clone())));
            }
            return;
        }
    };
    let mut good = Vec::with_capacity(together.len());
    for (next, redemption) in together.into_iter().zip(redemptions) {
        match redemption {
            Redemption::Redeemed => good.push(next),
            other => next.settle(Err(Unplaced::Ticket(other))),
        }
    }
    if !good.is_empty() {
        place_all(shared, good).await;
    }
}

async fn place_all(shared: &Shared, together: Vec<Waiting>) {
    let placed = {
        let keepers: Vec<_> = together
            .iter()
            .map(|next| next.order.retry.as_ref().map(keeper))
            .collect();
        let hooks: Vec<_> = together
            .iter()
            .zip(&keepers)
            .map(|(next, keeper)| hook(next.order.retry.as_ref(), keeper.as_ref()))
            .collect();
        let placings: Vec<_> = together
            .iter()
            .zip(&hooks)
            .map(|(next, hook)| Placing {
                wager: &next.order.wager,
                hook: hook.as_ref(),
            })
            .collect();
        match shared.database.get().await {
            Ok(mut conn) => db::actions::place_all(&mut conn, &placings, &shared.rules).await,
            Err(error) => Err(error),
        }
    };
    match placed {
        Ok(placed) => {
            for (next, placed) in together.into_iter().zip(placed) {
                match placed {
                    Placed::Accepted(accepted) => next.settle(Ok(accepted)),
                    Placed::Refused(refusal) => next.settle(Err(Unplaced::Db(refusal.into()))),
                    Placed::Passed => next.send(Answer::Alone),
                }
            }
        }
        // The commit may have happened: a second try could contradict it.
        Err(DbError::Unavailable(why)) => {
            for next in together {
                next.settle(Err(Unplaced::Db(DbError::Unavailable(why.clone()))));
            }
        }
        // One of them is impossible and took the others along. Alone, each gets its own answer.
        Err(why) => {
            if !matches!(why, DbError::Conflict(_)) {
                error!(%why, wagers = together.len(), "wagers could not be placed together");
            }
            for next in together {
                next.send(Answer::Alone);
            }
        }
    }
}

impl Waiting {
    fn settle(self, outcome: Result<Accepted, Unplaced>) {
        self.send(Answer::Settled(outcome));
    }

    fn send(self, answer: Answer) {
        // Whoever asked may have gone; what was done stays done.
        let _ = self.answer.send(answer);
    }
}
