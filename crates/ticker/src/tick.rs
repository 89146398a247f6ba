//! One tick: every living bot once, even if some fail.
//!
//! A sweep takes the bots with free wallets, chunk by chunk. A second one waits for those that were locked. A
//! chunk that fails is halved until the bot that fails alone is found; that one is recorded as failed and passed
//! over. Then the tick closes. All of this may be interrupted at any point and repeated, here or by another
//! ticker: a wallet has the number of the last tick that charged it.

use std::time::{Duration, Instant};

use anyhow::Context;
use cache::Cache;
use daemon::shutdown::Shutdown;
use daemon::telemetry::chain;
use db::ticks::{self, ChunkError, ChunkReport, Due, Selection, Tick, TickEngine, TickTotals};
use db::{Database, DbError};
use ledger_core::economy::EconomyRules;
use ledger_core::{BotId, Refusal};
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::metrics;

/// The interval between checks of a paused arena.
const PAUSED_LOOK: Duration = Duration::from_secs(1);
/// Tries to close a tick before it is left to the next round.
const CLOSE_TRIES: u32 = 5;

/// The state of a ticker.
#[derive(Clone)]
pub struct Ticker {
    pub database: Database,
    /// Notifies listeners after each commit; `None` without listeners.
    pub cache: Option<Cache>,
    pub rules: EconomyRules,
    pub tick_rate: Duration,
    /// Bots in one transaction.
    pub chunk_bots: i64,
    /// Chunks at once.
    pub workers: usize,
}

/// The result of a check for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// A tick was run to its end and closed here.
    Closed(Tick, TickTotals),
    /// A tick was helped along; another ticker closes it, or closed it.
    Shared(Tick),
    /// An operator paused the arena during an open tick: the tick waits.
    Paused(Tick),
    /// Nothing was due before a stop was requested.
    Stopped,
}

/// Waits until a tick is due, or one is open that needs help, and runs it to its end.
///
/// A requested stop ends the waiting; a tick that was taken up always finishes.
pub async fn run(ticker: &Ticker, shutdown: &Shutdown) -> anyhow::Result<Ran> {
    let mut told = false;
    loop {
        if shutdown.is_requested() {
            return Ok(Ran::Stopped);
        }
        match due(ticker).await? {
            Due::NotYet { micros } => {
                metrics::due_in(micros);
                shutdown.sleep(Duration::from_micros(micros.unsigned_abs())).await;
            }
            Due::Paused(pause) => {
                if !told {
                    info!(since = %pause.since, reason = pause.reason, "the arena is paused: no ticks");
                }
                told = true;
                metrics::paused(true);
                shutdown.sleep(PAUSED_LOOK).await;
            }
            Due::Begun(tick) => return finish(ticker, tick).await,
            Due::Open(tick) => {
                debug!(tick = %tick.number, "helping with an open tick");
                return finish(ticker, tick).await;
            }
        }
    }
}

async fn due(ticker: &Ticker) -> anyhow::Result<Due> {
    let mut conn = ticker.database.get().await?;
    let rate = i64::try_from(ticker.tick_rate.as_secs())?;
    ticks::due(&mut conn, &ticker.rules, rate).await.context("no tick could begin")
}

async fn finish(ticker: &Ticker, tick: Tick) -> anyhow::Result<Ran> {
    metrics::under_way(&tick, ticker.tick_rate);
    let span = info_span!("tick", tick = %tick.number);
    match carry(ticker, tick).instrument(span).await {
        Err(error) if is_pause(&error) => {
            info!(tick = %tick.number, "the arena was paused over this tick: it waits");
            Ok(Ran::Paused(tick))
        }
        other => other,
    }
}

fn is_pause(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DbError::Refused(Refusal::ArenaPaused { .. })))
}

async fn carry(ticker: &Ticker, tick: Tick) -> anyhow::Result<Ran> {
    let began = Instant::now();
    // Another process may have begun it with other settings: it ends as it began.
    let rules =
        db::rules::of(&mut *ticker.database.get().await?, tick.rules, &ticker.rules).await?;
    let ticker = &Ticker { rules: (*rules).clone(), ..ticker.clone() };
    // Days ahead of need, so that a failure is worth a word and not yet a tick.
    let places = ticks::ensure_metrics_partitions(&mut *ticker.database.get().await?).await;
    if let Err(error) = places {
        warn!(error = %chain(&error), "no place for the metrics of the days ahead could be made");
    }
    sweep_free(ticker, &tick).await?;
    for _ in 0..CLOSE_TRIES {
        // Bots that were locked, and bots that another ticker took and dropped.
        let mut engine = TickEngine::connect(&ticker.database).await?;
        sweep(ticker, &tick, &mut engine, Pass::Waiting).await?;
        let mut conn = ticker.database.get().await?;
        if let Some(totals) = ticks::close(&mut conn, &tick).await? {
            wake(ticker);
            metrics::closed(&tick, began.elapsed());
            info!(
                tick = %tick.number,
                mode = %tick.enforcement,
                bots = totals.bots,
                liquidated = totals.liquidated,
                failed = totals.failed,
                took = ?began.elapsed(),
                "tick closed"
            );
            return Ok(Ran::Closed(tick, totals));
        }
        if !ticks::is_open(&mut conn, &tick).await? {
            metrics::shared(&tick);
            return Ok(Ran::Shared(tick));
        }
    }
    warn!(tick = %tick.number, "tick is not closed yet: a wallet is still locked");
    Ok(Ran::Shared(tick))
}

/// The first sweep, by all workers at once. They share the bots as two tickers would.
async fn sweep_free(ticker: &Ticker, tick: &Tick) -> anyhow::Result<()> {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..ticker.workers {
        let (ticker, tick) = (ticker.clone(), *tick);
        let work = async move {
            let mut engine = TickEngine::connect(&ticker.database).await?;
            sweep(&ticker, &tick, &mut engine, Pass::Free).await
        };
        workers.spawn(work.in_current_span());
    }
    while let Some(worker) = workers.join_next().await {
        worker.context("a worker panicked")??;
    }
    Ok(())
}

/// Whether a sweep skips locked bots or waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Free,
    Waiting,
}

impl Pass {
    const fn next(self, after: BotId, limit: i64) -> Selection {
        match self {
            Pass::Free => Selection::Free { after, limit },
            Pass::Waiting => Selection::Waiting { after, limit },
        }
    }
}

/// Chunk after chunk in ascending order of bots, until none is left behind the last.
async fn sweep(
    ticker: &Ticker,
    tick: &Tick,
    engine: &mut TickEngine,
    pass: Pass,
) -> anyhow::Result<()> {
    let mut after = BotId(i64::MIN);
    loop {
        let selection = pass.next(after, ticker.chunk_bots);
        match engine.apply(tick, &ticker.rules, &selection).await {
            Ok(report) => {
                let Some(last) = report.last else {
                    return Ok(());
                };
                tell(ticker, tick, &report);
                after = last;
            }
            Err(ChunkError { bots, error }) => {
                // Nobody to blame: Postgres is away, or the arena is paused. The next round resumes
                // this tick.
                let is_nobodys = error.retryable() || matches!(error, DbError::Refused(_));
                let Some(last) = bots.last().copied().filter(|_| !is_nobodys) else {
                    return Err(error).context("a chunk failed and will be tried again");
                };
                warn!(tick = %tick.number, bots = bots.len(), error = %chain(&error), "chunk failed: \
                    searching for the failing bot");
                bisect(ticker, tick, engine, bots).await?;
                after = last;
            }
        }
    }
}

/// Ticks the bots of a failed chunk in ever smaller groups; a bot that fails alone is recorded.
///
/// If all of several fail, none of them is the cause: then no bot is recorded, and the tick stays open until
/// Postgres works again.
async fn bisect(
    ticker: &Ticker,
    tick: &Tick,
    engine: &mut TickEngine,
    bots: Vec<BotId>,
) -> anyhow::Result<()> {
    let all = bots.len();
    let mut groups = halves(bots);
    let mut failed = Vec::new();
    while let Some(group) = groups.pop() {
        let selection = Selection::Exactly(group.clone());
        match engine.apply(tick, &ticker.rules, &selection).await {
            Ok(report) => tell(ticker, tick, &report),
            Err(ChunkError { error, .. })
                if error.retryable() || matches!(error, DbError::Refused(_)) =>
            {
                return Err(error).context("a chunk failed and will be tried again");
            }
            Err(ChunkError { error, .. }) => match group[..] {
                [bot_id] => failed.push((bot_id, error)),
                _ => groups.extend(halves(group)),
            },
        }
    }
    if failed.len() == all && all > 1 {
        let error = failed.pop().map(|(_, error)| error);
        return Err(error.map_or_else(|| anyhow::anyhow!("no cause"), anyhow::Error::from))
            .context(format!("each of {all} bots failed alone: the cause is not in them"));
    }
    for (bot_id, error) in &failed {
        fail(ticker, tick, *bot_id, error).await?;
    }
    Ok(())
}

fn halves(mut bots: Vec<BotId>) -> Vec<Vec<BotId>> {
    let second = bots.split_off(bots.len() / 2);
    // The lower half lies on top of the stack, so that bots keep their order.
    [second, bots].into_iter().filter(|half| !half.is_empty()).collect()
}

async fn fail(ticker: &Ticker, tick: &Tick, bot_id: BotId, cause: &DbError) -> anyhow::Result<()> {
    error!(
        tick = %tick.number,
        bot.id = %bot_id,
        error = %chain(cause),
        "tick failed for this bot, which is not charged; inspect-ledger may show why"
    );
    let mut conn = ticker.database.get().await?;
    ticks::record_failure(&mut conn, tick, bot_id, &chain(cause)).await?;
    metrics::failed();
    wake(ticker);
    Ok(())
}

fn tell(ticker: &Ticker, tick: &Tick, report: &ChunkReport) {
    metrics::chunk(report);
    for bot_id in &report.liquidated {
        info!(tick = %tick.number, bot.id = %bot_id, "liquidated");
    }
    for bot_id in &report.would_have_been_liquidated {
        info!(tick = %tick.number, bot.id = %bot_id, "would have been liquidated");
    }
    if !report.liquidated.is_empty() {
        wake(ticker);
    }
}

/// After the commit and best effort: Redis may lose an event, never money.
fn wake(ticker: &Ticker) {
    if let Some(cache) = &ticker.cache {
        cache.wake_soon();
    }
}
