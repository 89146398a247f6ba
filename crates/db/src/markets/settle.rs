//! How a market ends: locked at its deadline, decided by evidence, paid once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Numeric, Text, Timestamptz, Untyped};
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::future::{join, join4};
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules, Movement, Operator};
use ledger_core::market::{
    self, BetState, MarketSettlement, MarketSource, MarketStatus, Resolution, Side, retry_seconds,
};
use ledger_core::money::{Confidence, Stake};
use ledger_core::parimutuel::StakedBet;
use ledger_core::post::Draft;
use ledger_core::{BetId, BotId, BotStatus, MarketId, Refusal, Timestamp};
use serde_json::json;

use super::{Finding, Market, MarketRow, NewEvidence, keep_evidence, locked_market};
use crate::audit_log::{self, AuditRow};
use crate::error::{DbError, DbResult, first_cause};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause, Locked};
use crate::pauses::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::schema::{bets, evidence, markets};
use crate::sql::{SqlMarketSource, SqlMarketStatus, SqlMoney, SqlSide, statement};
use crate::totals::{self, End, Ended};
use crate::tx;

/// The most markets that one call of [`lock_due`] or [`expire_due`] closes.
const CLOSE_MAX: i64 = 200;

/// Locks markets whose deadline has come: no bet can be placed any more. Committed before anybody
/// reads who has bet.
pub async fn lock_due(conn: &mut Connection) -> DbResult<Vec<MarketId>> {
    pass_deadline(conn, "source <> 'RESEARCH'", MarketStatus::Locked).await
}

/// Ends research that nobody solved by its deadline. Its stakes fell to the house as they were lost.
/// During a pause time stands still for it: only what had ended before the pause ends.
pub async fn expire_due(conn: &mut Connection) -> DbResult<Vec<MarketId>> {
    const WHICH: &str = "source = 'RESEARCH' AND deadline <= coalesce(paused_at, 'infinity') \
         AND deadline <= coalesce((SELECT p.paused_at FROM arena_pause p), 'infinity')";
    pass_deadline(conn, WHICH, MarketStatus::Expired).await
}

async fn pass_deadline(
    conn: &mut Connection,
    which: &'static str,
    status: MarketStatus,
) -> DbResult<Vec<MarketId>> {
    conn.transaction::<_, DbError, _>(async |conn| {
        // As an array, and then locked in the order of ids: in that order alone, Postgres may look through
        // all markets for those that are due.
        let due = diesel::dsl::sql::<diesel::sql_types::Bool>(
            "status = 'OPEN' AND id = ANY (ARRAY(SELECT id FROM markets \
                WHERE status = 'OPEN' AND deadline <= (SELECT clock_timestamp()) AND ",
        )
        .sql(which)
        .sql(" ORDER BY deadline LIMIT ")
        .bind::<BigInt, _>(CLOSE_MAX)
        .sql("))");
        let rows: Vec<MarketRow> = markets::table
            .filter(due)
            .order(markets::id)
            .select(MarketRow::as_select())
            .for_update()
            .load(conn)
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let now = crate::now(conn).await?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
        let resolved_at = status.is_settled().then_some(now.datetime());
        diesel::update(markets::table.filter(markets::id.eq_any(&ids)))
            .set((
                markets::status.eq(SqlMarketStatus(status)),
                markets::resolved_at.eq(resolved_at),
            ))
            .execute(conn)
            .await?;
        // One that cannot be read holds up no other: it is closed like them, and told of by whoever
        // has to settle it.
        let readable = rows
            .into_iter()
            .filter_map(|row| Market::try_from(row).ok());
        let drafts: Vec<NewEvent> = readable
            .map(|market| Market { status, ..market }.event())
            .collect();
        events::write(conn, &drafts).await?;
        Ok(ids.into_iter().map(MarketId).collect())
    })
    .await
}

/// Locked markets whose next fetch is due, the longest waiting first, at most `limit`. Those of
/// sources that may not be asked now are left out, so that they hold up nobody. Those that only a pause
/// keeps from being settled are left out as well; those that are paused and still undecided are due, so
/// that what decides them is read in time.
pub async fn due(
    conn: &mut Connection,
    silent: &[MarketSource],
    limit: i64,
) -> DbResult<Vec<MarketId>> {
    let silent: Vec<SqlMarketSource> = silent.iter().copied().map(SqlMarketSource).collect();
    let ids: Vec<uuid::Uuid> = markets::table
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "status = 'LOCKED'",
        ))
        .filter(markets::next_try_at.le(crate::sql::clock()))
        .filter(markets::source.ne_all(silent))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "(paused_at IS NULL AND NOT EXISTS (SELECT FROM arena_pause) OR NOT EXISTS \
              (SELECT FROM evidence e WHERE e.market_id = markets.id AND e.side IS NOT NULL))",
        ))
        .order((markets::next_try_at, markets::id))
        .limit(limit)
        .select(markets::id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(MarketId).collect())
}

/// A market is not void for the silence of its source before it was itself asked so often.
pub const ASKED_MIN: i64 = 10;

/// More time than this between two questions counts as this: nobody asked, or nobody was allowed to.
/// Twice the longest pause after a failure.
pub const ASKED_GAP_MAX_SECONDS: i64 = 2 * market::RETRY_MAX_SECONDS;

/// How often, and for how long, a market's source was asked what decides it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub times: i64,
    /// From the first question to the last, interruptions left out.
    pub seconds: i64,
    pub last: Option<Timestamp>,
}

impl Asked {
    /// Whether patience is at its end: the source was asked often enough, for so long, and just now.
    /// Time in which it could not be asked, because it cooled down or nobody was there to ask, costs no
    /// patience.
    #[must_use]
    pub fn enough(&self, patience_seconds: i64, now: Timestamp) -> bool {
        let just_now = self
            .last
            .is_some_and(|last| (0..=ASKED_GAP_MAX_SECONDS).contains(&now.seconds_since(last)));
        self.times >= ASKED_MIN && self.seconds >= patience_seconds && just_now
    }
}

statement! {
    struct CountQuestions {
        gap_max: i64 as BigInt,
        market: uuid::Uuid as diesel::sql_types::Uuid,
        since: DateTime<Utc> as Timestamptz,
    } returns (BigInt, BigInt, Nullable<Timestamptz>) =
    "SELECT count(*), coalesce(floor(sum(least(gap, {})) FILTER (WHERE gap IS NOT NULL)), 0)::bigint, \
            max(fetched_at) FROM ( \
        SELECT fetched_at, extract(epoch FROM fetched_at - lag(fetched_at) OVER (ORDER BY fetched_at, id)) AS gap \
          FROM evidence WHERE market_id = {} AND fetched_at >= {}) questions"
}

/// How often the source of a locked market was asked since its deadline.
pub async fn asked(conn: &mut Connection, market: &Market) -> DbResult<Asked> {
    let count = CountQuestions {
        gap_max: ASKED_GAP_MAX_SECONDS,
        market: market.id.0,
        since: market.deadline.datetime(),
    };
    let (times, seconds, last): (i64, i64, Option<DateTime<Utc>>) = count.get_result(conn).await?;
    Ok(Asked {
        times,
        seconds,
        last: last.map(Timestamp::from),
    })
}

/// What became of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// There is evidence that decides the market: settle it.
    Decided,
    /// It decided nothing; the next fetch is due later.
    Undecided,
    /// The market is not locked any more: somebody else settled it.
    Settled,
}

/// Keeps a fetch that was made to decide a locked market. One that decides nothing puts the next off
/// by [`retry_seconds`], or by as long as the source asked for (`wait_seconds`).
pub async fn record(
    conn: &mut Connection,
    id: MarketId,
    fetch: &NewEvidence,
    wait_seconds: Option<i64>,
) -> DbResult<Recorded> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let market = locked_market(conn, id).await?;
        if market.status != MarketStatus::Locked {
            return Ok(Recorded::Settled);
        }
        keep_evidence(conn, id, fetch).await?;
        if matches!(
            fetch.finding,
            Finding::Read {
                decides: Some(_),
                ..
            }
        ) {
            return Ok(Recorded::Decided);
        }
        let attempts = market.attempts.saturating_add(1);
        let pause = retry_seconds(attempts).max(wait_seconds.unwrap_or(0));
        let next = crate::now(conn).await?.plus_seconds(pause);
        diesel::update(markets::table.find(id.0))
            .set((
                markets::attempts.eq(attempts),
                markets::next_try_at.eq(next.datetime()),
            ))
            .execute(conn)
            .await?;
        Ok(Recorded::Undecided)
    })
    .await
}

/// A market that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledMarket {
    pub id: MarketId,
    pub status: MarketStatus,
    pub outcome: Option<String>,
    pub bets: usize,
    /// Whether the pool was paid; if not, stakes came back.
    pub paid: bool,
    /// As it stands from then on.
    pub market: Market,
}

/// Settles a locked market by the evidence that decides it, in one transaction. `None` if it is
/// settled already, or nothing decides it yet: a repeated call pays nothing twice.
///
/// # Errors
/// [`Refusal::MarketPaused`] or [`Refusal::ArenaPaused`] while an operator holds what is decided.
pub async fn settle(conn: &mut Connection, id: MarketId) -> DbResult<Option<SettledMarket>> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let market = locked_market(conn, id).await?;
        if market.status != MarketStatus::Locked {
            return Ok(None);
        }
        match deciding_side(conn, id).await? {
            Some(side) => {
                market.view().unless_paused()?;
                let ending = Ending::Decided(side);
                close(conn, market, ending, WhilePaused::Refuse)
                    .await
                    .map(Some)
            }
            None => Ok(None),
        }
    })
    .await
}

async fn deciding_side(conn: &mut Connection, id: MarketId) -> DbResult<Option<Side>> {
    let side: Option<Option<SqlSide>> = evidence::table
        .filter(evidence::market_id.eq(id.0))
        .filter(evidence::side.is_not_null())
        .select(evidence::side)
        .first(conn)
        .await
        .optional()?;
    Ok(side.flatten().map(|side| side.0))
}

/// Who calls a market off.
#[derive(Debug, Clone, Copy)]
pub enum VoidBy<'a> {
    /// An operator, who may do it to any market that is not settled.
    Operator(&'a Operator),
    /// The oracle, whose sources have not answered for too long.
    Patience(&'a EconomyRules),
}

/// Calls a market off: the living get their stakes back. With an audit row, in one transaction.
/// Research has no open stakes: what a wrong answer lost stays lost.
///
/// # Errors
/// [`Refusal::MarketSettled`] for one that is settled; for [`VoidBy::Patience`] also while there is
/// evidence that decides it, or time left.
pub async fn void(
    conn: &mut Connection,
    id: MarketId,
    reason: &str,
    by: VoidBy<'_>,
    hook: Option<&Remember<'_, SettledMarket>>,
) -> DbResult<SettledMarket> {
    tx::run(conn, hook, async |conn| {
        let market = locked_market(conn, id).await?;
        let settled = Refusal::MarketSettled {
            market: id,
            status: market.status,
        };
        if market.status.is_settled() {
            return Err(settled.into());
        }
        let (actor, while_paused) = match by {
            VoidBy::Operator(who) => (who.to_string(), WhilePaused::Proceed),
            VoidBy::Patience(in_force) => {
                let rules = crate::rules::of(conn, market.rules, in_force).await?;
                let patience = rules.markets.settle_patience_seconds;
                let now = crate::now(conn).await?;
                let late = asked(conn, &market).await?.enough(patience, now);
                if !late || deciding_side(conn, id).await?.is_some() {
                    return Err(settled.into());
                }
                market.view().unless_paused()?;
                ("oracle".to_owned(), WhilePaused::Refuse)
            }
        };
        let row = AuditRow {
            actor: &actor,
            action: "MARKET_VOID",
            bot_id: None,
            observation_id: None,
            detail: json!({ "market_id": id, "reason": reason }),
        };
        audit_log::write(conn, row).await?;
        let voided = close(conn, market, Ending::Void(reason.to_owned()), while_paused).await?;
        Ok(voided)
    })
    .await
}

/// Why a market ends.
enum Ending {
    Decided(Side),
    Void(String),
}

impl Ending {
    /// What the market's row says from then on.
    fn apply(&self, market: &mut Market) {
        match self {
            Ending::Decided(side) => {
                market.status = MarketStatus::Resolved;
                market.outcome = Some(side.to_string());
            }
            Ending::Void(reason) => {
                market.status = MarketStatus::Void;
                market.void_reason = Some(reason.clone());
            }
        }
    }

    fn resolution(&self) -> Resolution {
        match self {
            Ending::Decided(side) => Resolution::Decided(*side),
            Ending::Void(_) => Resolution::Void,
        }
    }
}

/// A bet that is open under its market's lock.
struct OpenBet {
    bot_id: BotId,
    staked: StakedBet,
}

/// The rest of every settlement, under the market's lock: wallets in ascending order, entries in
/// bulk, bets, totals, posts, events, and the market's end.
async fn close(
    conn: &mut Connection,
    mut market: Market,
    mut ending: Ending,
    while_paused: WhilePaused,
) -> DbResult<SettledMarket> {
    let mut open = open_bets(conn, market.id).await?;
    let bots: Vec<BotId> = open.iter().map(|bet| bet.bot_id).collect();
    let wallets = ledger::lock_all(conn, while_paused, &bots).await?;
    if wallets.len() != bots.len() {
        return Err(DbError::corrupt("a bet without a wallet"));
    }
    // One bet a bot and market, so wallets and bets are each other's.
    let wallets: BTreeMap<BotId, Locked> = wallets
        .into_iter()
        .map(|locked| (locked.wallet.head.bot_id, locked))
        .collect();
    for bet in &mut open {
        let owner = wallets.get(&bet.bot_id).map(|locked| locked.wallet.status);
        bet.staked.owner_dead = owner != Some(BotStatus::Alive);
    }
    let staked: Vec<StakedBet> = open.iter().map(|bet| bet.staked).collect();
    let payable = market::settle(market.id, &staked, market.bounty, ending.resolution())
        .filter(|settlement| fits(&open, settlement, &wallets));
    let settlement = match payable {
        Some(settlement) => settlement,
        None => {
            ending = Ending::Void("a payout would leave the range of money".to_owned());
            market::settle(market.id, &staked, market.bounty, Resolution::Void)
                .ok_or(Refusal::Overflow)?
        }
    };
    let at = match wallets.values().next() {
        Some(locked) => locked.now,
        None => crate::now(conn).await?,
    };
    let at = super::no_earlier_than_its_rows(conn, market.id, at).await?;
    let (work, ended) = closing_entries(&open, &settlement, wallets)?;
    ending.apply(&mut market);
    let sealed = ledger::seal(work)?;
    let moved = sealed
        .entries
        .iter()
        .filter(|entry| !entry.amount.is_zero());
    let drafts = moved.map(ledger::entry_event).collect();
    // One pipeline: while Postgres writes one part, the next is on its way.
    let (appended, closed, added, told) = join4(
        sealed.write(conn, Cause::House),
        close_bets(conn, &open, &settlement, at),
        totals::add_ended(conn, &ended),
        tell(conn, &market, &open, &settlement, drafts, at),
    )
    .await;
    first_cause([appended, closed, added, told])?;
    conclude(conn, &market, settlement.paid, at).await?;
    Ok(SettledMarket {
        id: market.id,
        status: market.status,
        outcome: market.outcome.clone(),
        bets: open.len(),
        paid: settlement.paid,
        market,
    })
}

type Work = Vec<(Locked, Vec<Movement>)>;

/// Each bet's closing movement on its wallet, in ascending order of bots, and what it adds to the
/// bot's totals.
fn closing_entries(
    open: &[OpenBet],
    settlement: &MarketSettlement,
    mut wallets: BTreeMap<BotId, Locked>,
) -> DbResult<(Work, Vec<Ended>)> {
    let mut by_bot: BTreeMap<BotId, (&OpenBet, &market::BetSettlement)> = BTreeMap::new();
    for (bet, end) in open.iter().zip(&settlement.bets) {
        by_bot.insert(bet.bot_id, (bet, end));
    }
    let mut work = Vec::with_capacity(open.len());
    let mut ended = Vec::with_capacity(open.len());
    for (bot, (bet, end)) in by_bot {
        let locked = wallets.remove(&bot);
        let locked = locked.ok_or_else(|| DbError::corrupt("a bet without a wallet"))?;
        ended.extend(ended_as(&locked, bet, end));
        work.push((locked, vec![end.movement.clone()]));
    }
    Ok((work, ended))
}

/// Whether every wallet can hold what it is paid.
fn fits(
    open: &[OpenBet],
    settlement: &MarketSettlement,
    wallets: &BTreeMap<BotId, Locked>,
) -> bool {
    open.iter().zip(&settlement.bets).all(|(bet, end)| {
        wallets
            .get(&bet.bot_id)
            .and_then(|locked| locked.wallet.balance().checked_add(end.payout))
            .is_some()
    })
}

fn ended_as(locked: &Locked, bet: &OpenBet, end: &market::BetSettlement) -> Option<Ended> {
    let how = match end.state {
        BetState::Won => End::Won,
        BetState::Lost | BetState::Forfeit => End::Lost,
        BetState::Void | BetState::Open => return None,
    };
    let stake = bet.staked.stake.money();
    Some(Ended {
        bounty: end.movement.minted(),
        brier: end.brier,
        ..Ended::of(&locked.wallet, stake, end.payout, how)
    })
}

async fn open_bets(conn: &mut Connection, market: MarketId) -> DbResult<Vec<OpenBet>> {
    type Row = (i64, i64, Option<SqlSide>, SqlMoney, SqlMoney);
    let rows: Vec<Row> = bets::table
        .filter(bets::market_id.eq(market.0))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "state = 'OPEN'",
        ))
        .order(bets::id)
        .select((
            bets::id,
            bets::bot_id,
            bets::side,
            bets::stake,
            bets::confidence,
        ))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(id, bot_id, side, stake, confidence)| {
            let side = side.ok_or_else(|| DbError::corrupt(format!("bet {id} has no side")))?;
            Ok(OpenBet {
                bot_id: BotId(bot_id),
                staked: StakedBet {
                    id: BetId(id),
                    side: side.0,
                    stake: Stake::kept(stake.0).map_err(DbError::corrupt)?,
                    confidence: Confidence::new(confidence.0).map_err(DbError::corrupt)?,
                    owner_dead: false,
                },
            })
        })
        .collect()
}

statement! {
    struct CloseBets {
        at: DateTime<Utc> as Timestamptz,
        id: Vec<i64> as Array<BigInt>,
        state: Vec<&'static str> as Array<Text>,
        payout: Vec<SqlMoney> as Array<Numeric>,
        minted: Vec<SqlMoney> as Array<Numeric>,
        burned: Vec<SqlMoney> as Array<Numeric>,
        brier: Vec<Option<SqlMoney>> as Array<Nullable<Numeric>>,
    } returns Untyped =
    "UPDATE bets b \
        SET resolved_at = {}, state = n.state::bet_state, payout = n.payout, minted = n.minted, \
            burned = n.burned, brier = n.brier \
       FROM UNNEST({}, {}, {}, {}, {}, {}) AS n (id, state, payout, minted, burned, brier) \
      WHERE b.id = n.id AND b.state = 'OPEN'"
}

async fn close_bets(
    mut conn: &Connection,
    open: &[OpenBet],
    settlement: &MarketSettlement,
    at: Timestamp,
) -> DbResult<()> {
    let each = || settlement.bets.iter();
    let close = CloseBets {
        at: at.datetime(),
        id: open.iter().map(|bet| bet.staked.id.0).collect(),
        state: each().map(|bet| bet.state.as_str()).collect(),
        payout: each().map(|bet| SqlMoney(bet.payout)).collect(),
        minted: each().map(|bet| SqlMoney(bet.movement.minted())).collect(),
        burned: each().map(|bet| SqlMoney(bet.movement.burned())).collect(),
        brier: each().map(|bet| bet.brier.map(SqlMoney)).collect(),
    };
    if close.execute(&mut conn).await? == open.len() {
        Ok(())
    } else {
        Err(DbError::corrupt("a bet was not open"))
    }
}

/// Writes down how the market ended.
async fn conclude(
    conn: &mut Connection,
    market: &Market,
    paid: bool,
    at: Timestamp,
) -> DbResult<()> {
    let changed = diesel::update(markets::table.find(market.id.0))
        .set((
            markets::status.eq(SqlMarketStatus(market.status)),
            markets::outcome.eq(&market.outcome),
            markets::void_reason.eq(&market.void_reason),
            markets::paid.eq(paid),
            markets::resolved_at.eq(at.datetime()),
        ))
        .execute(conn)
        .await?;
    if changed == 1 {
        Ok(())
    } else {
        Err(DbError::corrupt(format!("market {} is gone", market.id)))
    }
}

/// The bettors of one settlement whose post is written: those with the largest stakes. Everybody
/// else's payout is told by its entry, and a feed of ten thousand lines tells nothing.
const POSTS_MAX: usize = 100;

/// Posts for the largest bettors, and the events.
async fn tell(
    conn: &Connection,
    market: &Market,
    open: &[OpenBet],
    settlement: &MarketSettlement,
    mut drafts: Vec<NewEvent>,
    at: Timestamp,
) -> DbResult<()> {
    let reference = economy::market_reference(market.id).to_string();
    let mut told: Vec<(&OpenBet, &market::BetSettlement)> =
        open.iter().zip(&settlement.bets).collect();
    told.sort_by_key(|(bet, _)| (std::cmp::Reverse(bet.staked.stake), bet.staked.id));
    told.truncate(POSTS_MAX);
    let mut new_posts = Vec::with_capacity(told.len());
    for (bet, end) in told {
        let StakedBet { stake, side, .. } = bet.staked;
        let post = NewPost {
            bot_id: bet.bot_id,
            draft: Draft::bet_settlement(stake, side, end, &market.description),
            reference: reference.clone(),
            created_at: at,
        };
        drafts.push(post.event());
        new_posts.push(post);
    }
    drafts.push(market.event());
    let (posted, logged) = join(posts::write(conn, &new_posts), events::write(conn, &drafts)).await;
    first_cause([posted, logged])
}
