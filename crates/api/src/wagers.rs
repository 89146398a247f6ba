//! Wagers share their commits.
//!
//! A wager's rows cost less than its statements and its commit. So wagers wait while the ones before
//! them are being committed, and whatever waits then goes into one transaction: under load the arena
//! takes several times as many, and where there is none a wager goes at once. Each one is accepted or
//! refused on its own.
//!
//! Whoever waits too long is turned away before the ticket is redeemed, so that little can happen
//! after an agent was told that its time was over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use cache::observations::{Handed, Redemption};
use cache::{Cache, CacheError};
use db::actions::{Accepted, Placed, Placing, Wager};
use db::idempotency::{KEPT, Remember, StoredAnswer};
use db::{Database, DbError, DbResult};
use ledger_core::{BotId, EconomyRules, ObservationId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tracing::{Instrument as _, Span, error, info_span};

use crate::idempotency::{Contents, Retry};
use crate::views;

/// Transactions at once: while one commits, others are worked on. More would only divide the same
/// wagers into smaller ones.
const LANES: usize = 3;
/// The most wagers of one transaction: it holds their wallets, which a tick may want.
const TOGETHER_MAX: usize = 64;
/// The wagers for which another lane opens; fewer wait for one that is open.
const NEXT_LANE_MIN: usize = 10;
/// How long fewer wait before another lane opens for them all the same.
const PATIENCE: Duration = Duration::from_millis(50);
/// Who waited this long is turned away, ticket unused.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// How long one transaction may take, its tickets and its connection included. With [`WAIT_MAX`] it
/// stays below the time limit of a request.
const TRANSACTION_MAX: Duration = Duration::from_secs(6);
/// The most wagers that wait, of everybody and of one bot.
const WAITING_MAX: usize = 4096;
const WAITING_OF_ONE_MAX: usize = 64;
/// Wagers that may wait for a held wallet at once, each on a connection of its own.
const ALONE_MAX: usize = 8;

/// A wager to place, with the claim of its request if that may be repeated.
pub(crate) struct Order {
    pub(crate) wager: Wager,
    pub(crate) retry: Option<Arc<Retry>>,
}

impl Order {
    fn handed(&self) -> Handed {
        let Wager {
            bot_id,
            observation_id,
            ..
        } = self.wager;
        handed(bot_id, observation_id, self.retry.as_deref())
    }
}

/// An action's ticket, with the name of its request if that may be repeated.
pub(crate) fn handed(bot: BotId, observation: ObservationId, retry: Option<&Retry>) -> Handed {
    Handed {
        bot,
        observation,
        request: retry.map(Retry::name),
    }
}

/// Why a wager was not placed.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// Too many wait, or it waited too long. Its ticket is unused.
    Busy,
    /// Too many of this bot's wagers wait. Its ticket is unused.
    BotBusy,
    /// Its ticket is not good for it; never [`Redemption::Redeemed`].
    Ticket(Redemption),
    Cache(CacheError),
    Db(DbError),
}

type Outcome = Result<Accepted, Unplaced>;

struct Waiting {
    order: Order,
    since: Instant,
    /// The request's, which the transaction belongs to.
    span: Span,
    answer: oneshot::Sender<Outcome>,
}

impl Waiting {
    const fn bot(&self) -> BotId {
        self.order.wager.bot_id
    }

    fn settle(self, outcome: Outcome) {
        // Whoever asked may have gone; what was done stays done.
        let _ = self.answer.send(outcome);
    }
}

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

    /// Redeems a wager's ticket and places it. Once it is in line it takes its course, even if nobody
    /// waits for the answer.
    pub(crate) async fn place(&self, order: Order) -> Outcome {
        let (answer, mut answered) = oneshot::channel();
        let waiting = Waiting {
            order,
            since: Instant::now(),
            span: Span::current(),
            answer,
        };
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

/// Who waits, and who is being served.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// How many of each bot wait.
    of_bot: HashMap<BotId, usize>,
    lanes: usize,
    /// Bots with a wager under way: their next one is decided on the balance it leaves.
    busy: HashSet<BotId>,
}

impl Line {
    fn join(&mut self, next: Waiting) -> Result<(), Unplaced> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Unplaced::Busy);
        }
        let of_bot = self.of_bot.entry(next.bot()).or_default();
        if *of_bot >= WAITING_OF_ONE_MAX {
            return Err(Unplaced::BotBusy);
        }
        *of_bot += 1;
        self.waiting.push_back(next);
        Ok(())
    }

    /// The wagers of the lane that should open now, if one should.
    fn open_lane(&mut self, now: Instant) -> Option<Vec<Waiting>> {
        let enough = match self.lanes {
            0 => true,
            1..LANES => self.is_pressed(now),
            _ => false,
        };
        if !enough {
            return None;
        }
        let first = self.take();
        if first.is_empty() {
            return None;
        }
        self.lanes += 1;
        Some(first)
    }

    /// Whether many wait that could be served, or one of them for long.
    fn is_pressed(&self, now: Instant) -> bool {
        let mut servable = self
            .waiting
            .iter()
            .filter(|next| !self.busy.contains(&next.bot()));
        let Some(oldest) = servable.next() else {
            return false;
        };
        now.duration_since(oldest.since) >= PATIENCE || servable.nth(NEXT_LANE_MIN - 2).is_some()
    }

    /// The next transaction's wagers, oldest first, one of each bot.
    fn take(&mut self) -> Vec<Waiting> {
        let mut together = Vec::new();
        let mut passed_over = VecDeque::new();
        while together.len() < TOGETHER_MAX
            && let Some(next) = self.waiting.pop_front()
        {
            if self.busy.insert(next.bot()) {
                self.forget(next.bot());
                together.push(next);
            } else {
                passed_over.push_back(next);
            }
        }
        passed_over.append(&mut self.waiting);
        self.waiting = passed_over;
        together
    }

    fn forget(&mut self, bot: BotId) {
        if let Some(count) = self.of_bot.get_mut(&bot) {
            *count -= 1;
            if *count == 0 {
                self.of_bot.remove(&bot);
            }
        }
    }
}

/// A claim on bots with a wager under way, and on a lane for as long as it is one. Both are given
/// back however its task ends, and whoever waited for them is served.
struct Claim {
    shared: Arc<Shared>,
    bots: Vec<BotId>,
    is_lane: bool,
}

impl Claim {
    /// Hands one of the bots on to a claim of its own.
    fn split(&mut self, bot: BotId) -> Claim {
        self.bots.retain(|claimed| *claimed != bot);
        Claim {
            shared: Arc::clone(&self.shared),
            bots: vec![bot],
            is_lane: false,
        }
    }
}

impl Drop for Claim {
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
    let mut claim = Claim {
        bots: together.iter().map(Waiting::bot).collect(),
        shared,
        is_lane: true,
    };
    let now = Instant::now();
    let (late, in_time): (Vec<_>, Vec<_>) = together
        .into_iter()
        .partition(|next| now.duration_since(next.since) > WAIT_MAX);
    for next in late {
        next.settle(Err(Unplaced::Busy));
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

/// Redeems the tickets and places the wagers whose tickets are good.
async fn place_together(claim: &mut Claim, together: Vec<Waiting>) {
    let tickets: Vec<_> = together.iter().map(|next| next.order.handed()).collect();
    let redemptions = match claim.shared.cache.redeem_observations(&tickets).await {
        Ok(redemptions) => redemptions,
        Err(error) => {
            for next in together {
                next.settle(Err(Unplaced::Cache(error.clone())));
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
        place_redeemed(claim, good).await;
    }
}

async fn place_redeemed(claim: &mut Claim, together: Vec<Waiting>) {
    match place_all(&claim.shared, &together).await {
        Ok(placed) => {
            for (next, placed) in together.into_iter().zip(placed) {
                match placed {
                    Placed::Accepted(accepted) => next.settle(Ok(accepted)),
                    Placed::Refused(refusal) => next.settle(Err(Unplaced::Db(refusal.into()))),
                    Placed::Passed => go_alone(claim, next),
                }
            }
        }
        // Nothing was done, and nothing can be.
        Err(DbError::Unavailable(why)) => {
            for next in together {
                next.settle(Err(Unplaced::Db(DbError::Unavailable(why.clone()))));
            }
        }
        Err(DbError::ReadOnly(why)) => {
            for next in together {
                next.settle(Err(Unplaced::Db(DbError::ReadOnly(why))));
            }
        }
        // Perhaps all was done: a second try could contradict it.
        Err(DbError::OutcomeUnknown(why)) => {
            for next in together {
                next.settle(Err(Unplaced::Db(DbError::OutcomeUnknown(why.clone()))));
            }
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

async fn place_all(shared: &Shared, together: &[Waiting]) -> DbResult<Vec<Placed>> {
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
    let mut conn = shared.database.get().await?;
    db::actions::place_all(&mut conn, &placings, &shared.rules).await
}

/// Places one wager in a transaction of its own, which waits for whoever holds its wallet. Its bot's
/// next wager waits for it.
fn go_alone(claim: &mut Claim, next: Waiting) {
    let alone = claim.split(next.bot());
    let span = next.span.clone();
    let going = async move {
        let limit = next.since + WAIT_MAX + TRANSACTION_MAX;
        let placed = place_alone(&alone.shared, &next.order);
        let outcome = match tokio::time::timeout_at(limit, placed).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbError::OutcomeUnknown("it took too long".to_owned())),
        };
        next.settle(outcome.map_err(Unplaced::Db));
        drop(alone);
    };
    claim.shared.runtime.spawn(going.instrument(span));
}

async fn place_alone(shared: &Shared, order: &Order) -> DbResult<Accepted> {
    let _permit = shared.alone.acquire().await;
    let keeper = order.retry.as_ref().map(keeper);
    let hook = hook(order.retry.as_ref(), keeper.as_ref());
    let mut conn = shared.database.get().await?;
    db::actions::place(&mut conn, &order.wager, &shared.rules, hook.as_ref()).await
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
    let retry = retry?;
    Some(Remember {
        claim: retry.claim,
        rivals: retry.rivals(),
        keep: KEPT,
        render: keeper?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ledger_core::{Money, prediction::Direction};

    use super::*;

    fn of_bot(bot: i64, since: Instant) -> (Waiting, oneshot::Receiver<Outcome>) {
        let wager = Wager {
            bot_id: BotId(bot),
            observation_id: ObservationId(uuid::Uuid::from_u128(1)),
            direction: Direction::Up,
            stake: EconomyRules::default().stake(Money::cents(100)).unwrap(),
            confidence: "0.60".parse().unwrap(),
            reasoning: String::new(),
            usage: None,
        };
        let (answer, answered) = oneshot::channel();
        let order = Order { wager, retry: None };
        (
            Waiting {
                order,
                since,
                span: Span::none(),
                answer,
            },
            answered,
        )
    }

    fn line_of(bots: impl IntoIterator<Item = i64>, now: Instant) -> Line {
        let mut line = Line::default();
        for bot in bots {
            line.join(of_bot(bot, now).0).unwrap();
        }
        line
    }

    fn bots(lane: Option<Vec<Waiting>>) -> Vec<i64> {
        let lane = lane.unwrap_or_default();
        lane.iter().map(|next| next.bot().0).collect()
    }

    #[test]
    fn a_lane_takes_one_of_each_bot_and_leaves_the_order_of_the_rest() {
        let now = Instant::now();
        let mut line = line_of([1, 2, 1, 3, 2], now);
        assert_eq!(bots(line.open_lane(now)), [1, 2, 3]);
        let left: Vec<_> = line.waiting.iter().map(|next| next.bot().0).collect();
        assert_eq!(left, [1, 2]);
        // Their bots are under way: nobody can be served, however many wait and however long.
        assert_eq!(bots(line.open_lane(now + WAIT_MAX)), [0; 0]);
        line.busy.remove(&BotId(2));
        assert_eq!(bots(line.open_lane(now + WAIT_MAX)), [2]);
        assert_eq!((line.lanes, line.of_bot.len()), (2, 1));
    }

    #[test]
    fn another_lane_opens_for_many_or_for_somebody_who_waited() {
        let now = Instant::now();
        let few = i64::try_from(NEXT_LANE_MIN).unwrap() - 1;
        let mut line = line_of([100], now);
        assert_eq!(bots(line.open_lane(now)), [100]);
        for bot in 1..=few {
            line.join(of_bot(bot, now).0).unwrap();
        }
        assert!(line.open_lane(now).is_none());
        line.join(of_bot(few + 1, now).0).unwrap();
        assert_eq!(line.open_lane(now).unwrap().len(), NEXT_LANE_MIN);
        line.join(of_bot(50, now).0).unwrap();
        assert!(line.open_lane(now).is_none());
        assert_eq!(bots(line.open_lane(now + PATIENCE)), [50]);
        // There are only so many lanes.
        line.join(of_bot(51, now).0).unwrap();
        assert!(line.open_lane(now + WAIT_MAX).is_none());
    }

    #[test]
    fn the_line_has_an_end_for_one_bot_and_for_all() {
        let now = Instant::now();
        let mut line = line_of(std::iter::repeat_n(1, WAITING_OF_ONE_MAX), now);
        let refused = line.join(of_bot(1, now).0);
        assert!(matches!(refused, Err(Unplaced::BotBusy)), "{refused:?}");
        for bot in 2..=i64::try_from(WAITING_MAX - WAITING_OF_ONE_MAX + 1).unwrap() {
            line.join(of_bot(bot, now).0).unwrap();
        }
        let refused = line.join(of_bot(0, now).0);
        assert!(matches!(refused, Err(Unplaced::Busy)), "{refused:?}");
        assert_eq!(line.open_lane(now).unwrap().len(), TOGETHER_MAX);
    }
}
