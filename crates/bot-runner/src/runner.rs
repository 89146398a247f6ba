//! The schedule of bots: one loop for each bot, a schedule in Postgres that all runners share.
//!
//! A bot's loop claims its turn when that is due, takes it, and completes it. One of several runners gets each
//! claim. A claim lasts a little longer than the longest turn; after that, another runner takes over the bots of
//! a crashed one. The turn's number is also the idempotency key of its action, so an interrupted turn can safely
//! be repeated.
//!
//! A turn that a stop interrupts, or that the arena cannot accept now, is not completed but deferred: it keeps
//! its number, its due time and so its key, and is neither skipped nor repeated. A turn deferred for longer than
//! the bot's interval is completed anyway, because the next one is due then, or after the wait that a model or
//! the arena requested.
//!
//! A loop ends when its bot is DEAD or RETIRED, or when its key is refused; the others continue. A
//! retired bot never comes back. For the others the roster check looks every [`Pace::roster_check`]
//! whether an operator has revived the bot or synchronised its key, and then begins a new loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arena_client::IdempotencyKey;
use arena_client::api_types::ProblemKind;
use daemon::shutdown::{Shutdown, Wake};
use db::schedules::{self, Turn};
use db::{Database, DbError, DbResult};
use ledger_core::{BotId, BotStatus, Timestamp};
use service::clock;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::metrics;
use crate::turn::{HostedBot, Loss, Outcome};

/// A lease outlasts the longest turn by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// New bots begin within this time, each at its own moment.
const FIRST_TURN_SECONDS_MAX: i64 = 20;
/// After a failure of Postgres or the arena outside of a turn.
const FAILURE_PAUSE: Duration = Duration::from_secs(3);
/// While another runner has a bot's turn.
const CLAIMED_PAUSE: Duration = Duration::from_secs(1);
/// The completion of a turn is retried a few times.
const RELEASE_ATTEMPTS: u32 = 3;
/// A turn that the arena could not take comes again after this time.
const DEFER_SECONDS: i64 = 10;
/// After a longer requested wait, the bot is tried again after this time: the cause may be repaired.
const DEFER_SECONDS_MAX: i64 = 60 * 60;
/// Bots that were all asked to wait return within this time, each at a different moment.
const SPREAD_SECONDS: i64 = 5;

/// How often the runner looks, and how long it waits at its end.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Whether ended bots live again.
    pub roster_check: Duration,
    /// The longest that a loop sleeps before it looks at the schedule again: another runner, or an
    /// operator, may have changed it.
    pub schedule_check: Duration,
    /// The time for running turns after a stop was requested.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            roster_check: Duration::from_secs(60),
            schedule_check: Duration::from_secs(5),
            grace: Duration::from_secs(8),
        }
    }
}

/// Why a bot's loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    #[error("stopped")]
    Stopped,
    #[error("the bot is {0}")]
    NotAlive(BotStatus),
    #[error("the arena refuses its key, or has no such bot: run `arenactl sync-keys`")]
    KeyRefused,
    #[error("its loop panicked; see above")]
    Panicked,
}

/// Runs hosted bots.
pub struct Runner {
    inner: Arc<Inner>,
    bots: Vec<Arc<HostedBot>>,
    ended: tokio::sync::watch::Sender<usize>,
}

struct Inner {
    database: Database,
    /// This runner's name in leases.
    holder: String,
    pace: Pace,
    shutdown: Shutdown,
}

impl Runner {
    pub fn new(database: Database, bots: Vec<HostedBot>, pace: Pace, shutdown: Shutdown) -> Runner {
        let holder = format!("bot-runner-{}", uuid::Uuid::new_v4());
        let inner = Inner { database, holder, pace, shutdown };
        Runner {
            inner: Arc::new(inner),
            bots: bots.into_iter().map(Arc::new).collect(),
            ended: tokio::sync::watch::Sender::new(0),
        }
    }

    /// How many of the bots have no loop at the moment.
    pub fn ended(&self) -> tokio::sync::watch::Receiver<usize> {
        self.ended.subscribe()
    }

    /// Runs until the shutdown. Running turns are finished, within [`Pace::grace`], and the leases of all others
    /// are released.
    pub async fn run(self) {
        let mut roster = Roster::new(&self.bots);
        for index in 0..self.bots.len() {
            roster.begin(index, &self.inner);
        }
        metrics::hosted(roster.running.len());
        while !self.inner.shutdown.is_requested() {
            let check = self.inner.shutdown.sleep(self.inner.pace.roster_check);
            tokio::select! {
                Some(joined) = roster.loops.join_next_with_id() => roster.record(joined),
                wake = check => match wake {
                    Wake::Elapsed => roster.look_again(&self.inner),
                    Wake::ShutdownRequested => break,
                },
            }
            self.ended.send_replace(roster.ends.len());
            metrics::hosted(roster.running.len());
        }
        roster.finish(&self.inner).await;
    }
}

/// The loops that run and the reasons of those that do not.
struct Roster<'a> {
    bots: &'a [Arc<HostedBot>],
    loops: JoinSet<End>,
    running: HashMap<Id, usize>,
    ends: HashMap<usize, End>,
    /// The last log message about a bot that ended, so that it is logged once.
    said: HashMap<usize, End>,
}

impl<'a> Roster<'a> {
    fn new(bots: &'a [Arc<HostedBot>]) -> Roster<'a> {
        Roster {
            bots,
            loops: JoinSet::new(),
            running: HashMap::new(),
            ends: HashMap::new(),
            said: HashMap::new(),
        }
    }

    fn begin(&mut self, index: usize, inner: &Arc<Inner>) {
        let Some(bot) = self.bots.get(index) else {
            return;
        };
        let (inner, bot) = (Arc::clone(inner), Arc::clone(bot));
        let handle = self.loops.spawn(async move { inner.live(&bot).await });
        self.running.insert(handle.id(), index);
    }

    fn record(&mut self, joined: Result<(Id, End), JoinError>) {
        let (id, end) = match joined {
            Ok(ended) => ended,
            Err(join) => (join.id(), End::Panicked),
        };
        let Some(index) = self.running.remove(&id) else {
            return;
        };
        self.ends.insert(index, end);
        let is_news = self.said.insert(index, end) != Some(end);
        let Some(bot) = self.bots.get(index).filter(|_| is_news) else {
            return;
        };
        let bot = &bot.persona.handle;
        match end {
            End::Stopped => debug!(%bot, "loop stopped"),
            End::NotAlive(_) => info!(%bot, reason = %end, "the bot's loop ended"),
            End::KeyRefused | End::Panicked => error!(%bot, reason = %end, "the bot's loop ended"),
        }
    }

    /// Begins the loops of bots that may live again; a loop that finds its bot as it was ends at
    /// once.
    fn look_again(&mut self, inner: &Arc<Inner>) {
        let may_live = |end: &End| match end {
            End::NotAlive(BotStatus::Retired) | End::Stopped => false,
            End::NotAlive(BotStatus::Alive | BotStatus::Dead) | End::KeyRefused | End::Panicked => {
                true
            }
        };
        let again: Vec<usize> =
            self.ends.iter().filter(|(_, end)| may_live(end)).map(|(index, _)| *index).collect();
        for index in again {
            self.ends.remove(&index);
            self.begin(index, inner);
        }
    }

    /// Waits for the turns that have begun. Loops bound themselves; the time-out is for one that
    /// hangs in Postgres.
    async fn finish(&mut self, inner: &Inner) {
        let patience = inner.pace.grace + Duration::from_secs(2);
        let all = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            warn!("bots did not stop in time; their leases run out by themselves");
        }
    }
}

/// How a claimed turn is released.
#[derive(Clone, Copy, Debug)]
enum Release {
    /// It is over, and the next is due so long after this one was, or from now.
    Completed { interval_seconds: i64 },
    /// The same turn comes again.
    Deferred { seconds: i64 },
}

/// The turn that a loop has deferred, and since when.
#[derive(Clone, Copy, Debug)]
struct Deferral {
    turns: i64,
    since: Instant,
}

impl Inner {
    /// One bot's life, from its introduction to its end.
    async fn live(&self, bot: &HostedBot) -> End {
        let bot_id = match self.introduce(bot).await {
            Ok(bot_id) => bot_id,
            Err(end) => return end,
        };
        let mut deferral = None;
        while !self.shutdown.is_requested() {
            match self.claim(bot, bot_id).await {
                Ok(Some(turn)) => {
                    if let Some(end) = self.take(bot, &turn, &mut deferral).await {
                        return end;
                    }
                }
                Ok(None) => self.nap(bot_id).await,
                Err(error) => {
                    warn!(bot = %bot.persona.handle, %error, "the schedule cannot be read");
                    self.shutdown.sleep(FAILURE_PAUSE).await;
                }
            }
        }
        End::Stopped
    }

    /// Asks the arena who the bot is, until it answers, and enters the bot in the schedule.
    async fn introduce(&self, bot: &HostedBot) -> Result<BotId, End> {
        let handle = &bot.persona.handle;
        loop {
            if self.shutdown.is_requested() {
                return Err(End::Stopped);
            }
            let mut pause = FAILURE_PAUSE;
            match bot.arena.me().await {
                Ok(me) if me.bot.status != BotStatus::Alive => {
                    return Err(End::NotAlive(me.bot.status));
                }
                Ok(me) => match self.enrol(bot, me.bot.id).await {
                    Ok(()) => {
                        let (id, balance) = (me.bot.id, me.bot.balance);
                        info!(bot = %handle, %id, %balance, "the bot lives");
                        return Ok(me.bot.id);
                    }
                    Err(error) => warn!(bot = %handle, %error, "the schedule cannot be written"),
                },
                Err(error) if error.status() == Some(401) => return Err(End::KeyRefused),
                Err(error) if error.kind() == Some(ProblemKind::BotNotAlive) => {
                    return Err(End::NotAlive(BotStatus::Dead));
                }
                Err(error) => {
                    warn!(bot = %handle, %error, "the arena did not return the bot's id");
                    pause = pause.max(error.retry_after().unwrap_or_default());
                }
            }
            self.shutdown.sleep(pause).await;
        }
    }

    async fn enrol(&self, bot: &HostedBot, bot_id: BotId) -> DbResult<()> {
        let spread = bot.persona.interval_seconds.clamp(1, FIRST_TURN_SECONDS_MAX);
        let mut conn = self.database.get().await?;
        schedules::enrol(&mut conn, bot_id, bot_id.0.rem_euclid(spread)).await
    }

    async fn claim(&self, bot: &HostedBot, bot_id: BotId) -> DbResult<Option<Turn>> {
        let lease = bot.turn_limit() + LEASE_MARGIN;
        let seconds = i64::try_from(lease.as_secs()).unwrap_or(i64::MAX);
        let mut conn = self.database.get().await?;
        schedules::claim(&mut conn, bot_id, &self.holder, seconds).await
    }

    /// Sleeps until the bot's turn may be due.
    async fn nap(&self, bot_id: BotId) {
        let pause = match self.next_turn_at(bot_id).await {
            Ok(Some(due_at)) => match until(due_at) {
                Duration::ZERO => CLAIMED_PAUSE,
                until => until,
            },
            // The row or Postgres is gone: the next claim reports it.
            Ok(None) | Err(_) => FAILURE_PAUSE,
        };
        let pause = pause.min(self.pace.schedule_check);
        self.shutdown.sleep(pause).await;
    }

    async fn next_turn_at(&self, bot_id: BotId) -> DbResult<Option<Timestamp>> {
        let mut conn = self.database.get().await?;
        schedules::next_turn_at(&mut conn, bot_id).await
    }

    /// Takes a claimed turn and gives it back; `Some` when the bot's life ends with it.
    async fn take(
        &self,
        bot: &HostedBot,
        turn: &Turn,
        deferral: &mut Option<Deferral>,
    ) -> Option<End> {
        let Some(key) = key_of(turn) else {
            error!(bot = %bot.persona.handle, "the turn cannot be named");
            return Some(End::Panicked);
        };
        let span = info_span!("turn", bot.id = %turn.bot_id, bot = %bot.persona.handle);
        let outcome = tokio::select! {
            outcome = bot.take_turn(&key, turn.due_at).instrument(span) => outcome,
            () = self.grace_is_over() => {
                // Whether it has acted or not: by the key the arena recognises the same turn.
                warn!(bot = %bot.persona.handle, "the turn did not end in time and is cut off");
                self.release(bot, turn, Release::Deferred { seconds: 0 }).await;
                return Some(End::Stopped);
            }
        };
        metrics::turn(&outcome);
        let release = release_after(&outcome, bot, turn, deferral);
        self.release(bot, turn, release).await;
        let loss = match outcome {
            Outcome::Wagered { .. }
            | Outcome::Answered { .. }
            | Outcome::Bet { .. }
            | Outcome::Waited => return None,
            Outcome::NotAlive(status) => return Some(End::NotAlive(status)),
            Outcome::KeyRefused => return Some(End::KeyRefused),
            Outcome::Lost(loss) => loss,
        };
        let bot = &bot.persona.handle;
        match (&loss, release) {
            (_, Release::Deferred { seconds }) => {
                info!(%bot, reason = %loss, seconds, "turn put off");
            }
            (Loss::Halted | Loss::Paused(_) | Loss::NoRoom(_) | Loss::ActedBefore, _) => {
                info!(%bot, reason = %loss, "turn passed");
            }
            _ => warn!(%bot, reason = %loss, "turn lost"),
        }
        None
    }

    async fn grace_is_over(&self) {
        self.shutdown.wait().await;
        tokio::time::sleep(self.pace.grace).await;
    }

    async fn release(&self, bot: &HostedBot, turn: &Turn, release: Release) {
        let bot = &bot.persona.handle;
        for attempt in 1..=RELEASE_ATTEMPTS {
            match self.try_release(turn, release).await {
                Ok(true) => return,
                Ok(false) => {
                    return warn!(%bot, "another runner took over the turn before it was released");
                }
                Err(error) if attempt == RELEASE_ATTEMPTS || !error.retryable() => {
                    // Its action is safe: a repetition of the turn uses the same key.
                    return warn!(%bot, %error, "the turn cannot be released; its lease expires");
                }
                Err(error) => {
                    debug!(%bot, %error, "the turn cannot be released yet");
                    self.shutdown.sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    async fn try_release(&self, turn: &Turn, release: Release) -> Result<bool, DbError> {
        let mut conn = self.database.get().await?;
        match release {
            Release::Completed { interval_seconds } => {
                schedules::complete(&mut conn, turn, interval_seconds).await
            }
            Release::Deferred { seconds } => schedules::defer(&mut conn, turn, seconds).await,
        }
    }
}

/// How a turn is released after its outcome. `deferral` is the loop's deferral so far.
fn release_after(
    outcome: &Outcome,
    bot: &HostedBot,
    turn: &Turn,
    deferral: &mut Option<Deferral>,
) -> Release {
    let interval_seconds = bot.persona.interval_seconds;
    let mut completed = Release::Completed { interval_seconds };
    let Outcome::Lost(loss) = outcome else {
        return completed;
    };
    if !loss.is_passing() {
        return completed;
    }
    let first = deferral.filter(|deferral| deferral.turns == turn.turns);
    let since = first.map_or_else(Instant::now, |deferral| deferral.since);
    // Not before that, and not all bots at the same moment.
    let asked_for = loss.retry_after().map_or(0, |wait| {
        i64::try_from(wait.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_add(1 + turn.bot_id.0.rem_euclid(SPREAD_SECONDS))
            .min(DEFER_SECONDS_MAX)
    });
    if since.elapsed() >= Duration::from_secs(interval_seconds.unsigned_abs()) {
        if asked_for > 0 {
            // The next turn's time is counted from when this one was due.
            let overdue = clock::now().seconds_since(turn.due_at).max(0);
            let interval_seconds = interval_seconds.max(overdue.saturating_add(asked_for));
            completed = Release::Completed { interval_seconds };
        }
        return completed;
    }
    let turns = turn.turns;
    *deferral = Some(Deferral { turns, since });
    let seconds = DEFER_SECONDS.min(interval_seconds).max(asked_for);
    Release::Deferred { seconds }
}

/// The name of a turn's action. It stays the same until the turn is completed, for any runner; it contains the
/// due time in case a bot's schedule is restarted.
fn key_of(turn: &Turn) -> Option<IdempotencyKey> {
    IdempotencyKey::named(&format!("turn-{}-{}", turn.turns, turn.due_at.micros()))
}

/// The time from now until then, by this machine's clock; Postgres' clock decides when the turn is claimed.
fn until(then: Timestamp) -> Duration {
    let micros = then.micros().saturating_sub(clock::now().micros());
    Duration::from_micros(micros.try_into().unwrap_or(0))
}
