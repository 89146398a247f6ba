//! The resolver: locks markets after their deadline, reads and stores their evidence, and settles them.

use daemon::telemetry::chain;
use db::markets::{Finding, Market, Recorded, SettledMarket, VoidBy};
use db::{DbError, DbResult};
use futures_util::{StreamExt, stream};
use ledger_core::{MarketId, Refusal, Timestamp};
use sources::Fetched;
use tracing::{error, info};

use super::{About, MarketDesk, kept};
use crate::settlement::is_pause;
use crate::state::MayContinue;

/// The most locked markets looked at in one round.
const DUE_MAX: i64 = 50;
/// Fetches at once.
const FETCHES_AT_ONCE: usize = 8;

/// The resolver's results of a round.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    pub locked: Vec<MarketId>,
    pub expired: Vec<MarketId>,
    pub settled: Vec<SettledMarket>,
    /// Still undecided, or failed; tried again later.
    pub waiting: Vec<MarketId>,
}

/// Carries every market that is due as far as it goes.
pub(super) async fn resolve(
    desk: &MarketDesk,
    may_continue: MayContinue<'_>,
) -> DbResult<Resolved> {
    let mut resolved = Resolved::default();
    let now = {
        let mut conn = desk.database.get().await?;
        resolved.locked = db::markets::lock_due(&mut conn).await?;
        resolved.expired = db::markets::expire_due(&mut conn).await?;
        db::now(&mut conn).await?
    };
    let mut silent = Vec::new();
    for feed in &desk.feeds {
        if !desk.may_ask(feed.as_ref(), now).await? {
            silent.push(feed.source());
        }
    }
    let due = {
        let mut conn = desk.database.get().await?;
        db::markets::due(&mut conn, &silent, DUE_MAX).await?
    };
    if !resolved.locked.is_empty() || !resolved.expired.is_empty() {
        desk.cache.wake_soon();
    }
    // Sources are waited for at the same time, money is moved by one after the other.
    let mut readings = stream::iter(due)
        .map(|id| async move { (id, carry(desk, id, now, may_continue).await) })
        .buffer_unordered(FETCHES_AT_ONCE);
    while let Some((id, step)) = readings.next().await {
        match step {
            Ok(Some(settled)) => {
                info!(market.id = %id, status = %settled.market.status, outcome = ?settled.market.outcome,
                      bets = settled.bets, paid = settled.paid, "settled a market");
                desk.cache.wake_soon();
                crate::metrics::market_settled(settled.market.status.as_str());
                resolved.settled.push(settled);
            }
            Ok(None) => resolved.waiting.push(id),
            Err(failure) => {
                let error = chain(&failure);
                error!(market.id = %id, error, "could not settle a market; it stays locked and is \
                       tried again. If this goes on, run inspect-ledger");
                resolved.waiting.push(id);
            }
        }
    }
    Ok(resolved)
}

/// Settles one market if it can be.
async fn carry(
    desk: &MarketDesk,
    id: MarketId,
    now: Timestamp,
    may_continue: MayContinue<'_>,
) -> DbResult<Option<SettledMarket>> {
    if !may_continue() {
        return Ok(None);
    }
    // Evidence may be there already: the oracle that kept it died before it settled.
    if let Some(settled) = settle(desk, id).await? {
        return Ok(Some(settled));
    }
    let market = &db::markets::find(&mut *desk.database.get().await?, id).await?;
    let Some(feed) = desk.feed(market.source) else {
        return Ok(None);
    };
    // One request serves all its markets; its failure is the failure of each.
    if !feed.has_one_answer_for_all() && !desk.may_ask(feed.as_ref(), now).await? {
        return Ok(None);
    }
    let times = market.times();
    let Fetched { evidence, value } = tokio::select! {
        fetched = sources::read(feed.as_ref(), &market.criteria, &times, now) => fetched,
        () = desk.shutdown.wait() => return Ok(None),
    };
    let subject = market.criteria.subject();
    let about = About { subject: Some(&subject), market: Some(market.id) };
    let (finding, wait_seconds) = match value {
        Ok(reading) => {
            desk.answered(feed.as_ref(), &subject, now).await?;
            let decides = market.criteria.decide(&reading);
            let value = reading.to_string();
            (Finding::Read { value, decides }, None)
        }
        Err(error) => {
            let seconds = desk.failed(feed.as_ref(), about, &error, now).await?;
            let problem = error.to_string();
            (Finding::Nothing { problem }, seconds)
        }
    };
    let evidence = kept(evidence, finding);
    if !may_continue() {
        return Ok(None);
    }
    let recorded = {
        let mut conn = desk.database.get().await?;
        db::markets::record(&mut conn, market.id, &evidence, wait_seconds).await?
    };
    match recorded {
        Recorded::Decided => settle(desk, market.id).await,
        Recorded::Undecided if may_continue() => give_up(desk, market).await,
        Recorded::Undecided | Recorded::Settled => Ok(None),
    }
}

/// `None` also when an operator has just paused the market or the arena: the stored evidence decides it
/// afterwards.
async fn settle(desk: &MarketDesk, id: MarketId) -> DbResult<Option<SettledMarket>> {
    let mut conn = desk.database.get().await?;
    match db::markets::settle(&mut conn, id).await {
        Err(error) if is_pause(&error) => Ok(None),
        other => other,
    }
}

/// Voids a market whose source has been silent for too long, by the market's own rules. Only ever right
/// after one more question.
async fn give_up(desk: &MarketDesk, market: &Market) -> DbResult<Option<SettledMarket>> {
    let mut conn = desk.database.get().await?;
    let rules = db::rules::of(&mut conn, market.rules, &desk.rules).await?;
    let patience = rules.markets.settle_patience_seconds;
    let asked = db::markets::asked(&mut conn, market).await?;
    if !asked.enough(patience, db::now(&mut conn).await?) {
        return Ok(None);
    }
    let times = asked.times;
    let reason = format!("its source gave no answer to {times} requests within {patience} seconds");
    let by = VoidBy::Patience(&desk.rules);
    match db::markets::void(&mut conn, market.id, &reason, by, None).await {
        Ok(void) => Ok(Some(void)),
        Err(error) if is_pause(&error) => Ok(None),
        // Somebody else was first.
        Err(DbError::Refused(Refusal::MarketSettled { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
