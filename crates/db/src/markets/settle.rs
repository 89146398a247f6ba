//! How a market ends: decided by evidence, or called off, and paid once.

use std::collections::BTreeMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::{join, join3};
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules, Movement, Operator};
use ledger_core::market::{self, MarketSettlement, MarketStatus, Resolution, Side};
use ledger_core::money::{Confidence, Stake};
use ledger_core::parimutuel::StakedBet;
use ledger_core::post::Draft;
use ledger_core::{BetId, BotId, BotStatus, Decimal8, MarketId, Money, Refusal, Timestamp};
use serde_json::json;

use super::{Market, asked, locked_market};
use crate::audit_log;
use crate::error::{DbError, DbResult, first_cause};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause, Locked};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::schema::sql_types::{Array, BigInt, Bool, Instant, Nullable, Text, Units};
use crate::schema::{bets, evidence, markets};
use crate::sql::{Prepare, Sql, column, reached};
use crate::totals::{self, Ended};
use crate::tx;

/// A market that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledMarket {
    /// Those that were open.
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
/// [`Refusal::MarketPaused`] or [`Refusal::ArenaPaused`] during a pause of the market or the arena.
#[crate::boxed]
pub async fn settle(conn: &mut Connection, id: MarketId) -> DbResult<Option<SettledMarket>> {
    tx::run(conn, None, async |conn| {
        let market = locked_market(conn, id).await?;
        if market.status != MarketStatus::Locked {
            return Ok(None);
        }
        match deciding_side(conn, id).await? {
            Some(side) => {
                market.view().unless_paused()?;
                let ending = Ending::Decided(side);
                close(conn, market, ending, WhilePaused::Refuse).await.map(Some)
            }
            None => Ok(None),
        }
    })
    .await
}

async fn deciding_side(conn: &mut Connection, id: MarketId) -> DbResult<Option<Side>> {
    let side: Option<Option<Side>> = evidence::table
        .filter(evidence::market_id.eq(id.0))
        .filter(evidence::side.is_not_null())
        .select(evidence::side)
        .first(conn)
        .await
        .optional()?;
    Ok(side.flatten())
}

/// The actor who voids a market.
#[derive(Debug, Clone, Copy)]
pub enum VoidBy<'a> {
    /// An operator, for any market that is not settled.
    Operator(&'a Operator),
    /// The oracle, whose sources have not answered for too long.
    Patience(&'a EconomyRules),
}

/// Calls a market off: the living get their stakes back. With an audit row, in one transaction.
/// Research has no open stakes: the stakes of wrong answers stay lost.
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
        let settled = Refusal::MarketSettled { market: id, status: market.status };
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
        audit_log::write(
            conn,
            &actor,
            "MARKET_VOID",
            None,
            json!({ "market_id": id, "reason": reason }),
        )
        .await?;
        close(conn, market, Ending::Void(reason.to_owned()), while_paused).await
    })
    .await
}

/// Why a market ends.
enum Ending {
    Decided(Side),
    Void(String),
}

impl Ending {
    /// The final values of the market's row.
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
    let wallets: BTreeMap<BotId, Locked> =
        wallets.into_iter().map(|locked| (locked.wallet.head.bot_id, locked)).collect();
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
    // One pipeline: while Postgres writes the bets and totals, the entries are sealed.
    let conn: &Connection = conn;
    let entries = async {
        let sealed = ledger::seal(work)?;
        let moved = sealed.entries.iter().filter(|entry| !entry.amount.is_zero());
        let drafts = moved.map(ledger::entry_event).collect();
        let (appended, told) = join(
            sealed.write(conn, Cause::House),
            tell(conn, &market, &open, &settlement, drafts, at),
        )
        .await;
        first_cause([appended, told])
    };
    let (closed, added, appended) =
        join3(close_bets(conn, &open, &settlement, at), totals::add_ended(conn, &ended), entries)
            .await;
    first_cause([closed, added, appended])?;
    conclude(conn, &market, settlement.paid, at).await?;
    Ok(SettledMarket { bets: open.len(), paid: settlement.paid, market })
}

type Work = Vec<(Locked, Vec<Movement>)>;

/// Each bet's closing movement on its wallet, in ascending order of bots, and its change of the bot's totals.
fn closing_entries(
    open: &[OpenBet],
    settlement: &MarketSettlement,
    mut wallets: BTreeMap<BotId, Locked>,
) -> DbResult<(Work, Vec<Ended>)> {
    let mut by_bot: Vec<_> = open.iter().zip(&settlement.bets).collect();
    by_bot.sort_by_key(|(bet, _)| bet.bot_id);
    let mut work = Vec::with_capacity(open.len());
    let mut ended = Vec::with_capacity(open.len());
    for (bet, end) in by_bot {
        let locked = wallets.remove(&bet.bot_id);
        let locked = locked.ok_or_else(|| DbError::corrupt("a bet without a wallet"))?;
        let stake = bet.staked.stake.money();
        ended.extend(Ended::of(&locked.wallet, stake, &end.movement, end.brier));
        work.push((locked, vec![end.movement.clone()]));
    }
    Ok((work, ended))
}

/// Whether every wallet stays in range with its payout.
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

async fn open_bets(conn: &mut Connection, market: MarketId) -> DbResult<Vec<OpenBet>> {
    type Row = (i64, i64, Option<Side>, Money, Decimal8);
    let rows: Vec<Row> = bets::table
        .filter(bets::market_id.eq(market.0))
        .filter(sql::<Bool>("state = 'OPEN'"))
        .order(bets::id)
        .select((bets::id, bets::bot_id, bets::side, bets::stake, bets::confidence))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(id, bot_id, side, stake, confidence)| {
            let side = side.ok_or_else(|| DbError::corrupt(format!("bet {id} has no side")))?;
            Ok(OpenBet {
                bot_id: BotId(bot_id),
                staked: StakedBet {
                    id: BetId(id),
                    side,
                    stake: Stake::kept(stake).map_err(DbError::corrupt)?,
                    confidence: Confidence::new(confidence).map_err(DbError::corrupt)?,
                    owner_dead: false,
                },
            })
        })
        .collect()
}

async fn close_bets(
    mut conn: &Connection,
    open: &[OpenBet],
    settlement: &MarketSettlement,
    at: Timestamp,
) -> DbResult<()> {
    let ends = &settlement.bets;
    let closed = diesel::sql_query(
        "UPDATE bets b \
            SET resolved_at = $1, state = n.state::bet_state, payout = n.payout, minted = n.minted, \
                burned = n.burned, brier = n.brier \
           FROM UNNEST($2, $3, $4, $5, $6, $7) AS n (id, state, payout, minted, burned, brier) \
          WHERE b.id = n.id AND b.state = 'OPEN'",
    )
    .bind::<Instant, _>(at)
    .bind::<Array<BigInt>, _>(column(open, |bet| bet.staked.id.0))
    .bind::<Array<Text>, _>(column(ends, |end| end.state.as_str()))
    .bind::<Array<Units>, _>(column(ends, |end| end.payout))
    .bind::<Array<Units>, _>(column(ends, |end| end.movement.minted()))
    .bind::<Array<Units>, _>(column(ends, |end| end.movement.burned()))
    .bind::<Array<Nullable<Units>>, _>(column(ends, |end| end.brier))
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(closed, open.len(), "a bet was not open")
}

/// Writes down how the market ended.
pub(super) async fn conclude(
    mut conn: &Connection,
    market: &Market,
    paid: bool,
    at: Timestamp,
) -> DbResult<()> {
    let changed = diesel::update(markets::table.find(market.id.0))
        .set((
            markets::status.eq(Sql(market.status)),
            markets::bets.eq(market.bets),
            markets::outcome.eq(&market.outcome),
            markets::void_reason.eq(&market.void_reason),
            markets::paid.eq(paid),
            markets::resolved_at.eq(Some(at)),
        ))
        .execute(&mut conn)
        .await?;
    reached(changed, 1, format_args!("market {} is gone", market.id))
}

/// The bettors of one settlement whose post is written: those with the largest stakes. The entries
/// show all other payouts, and a feed of ten thousand lines would be useless.
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
    let post = |(bet, end): (&OpenBet, &market::BetSettlement)| {
        let StakedBet { stake, side, .. } = bet.staked;
        NewPost {
            bot_id: bet.bot_id,
            draft: Draft::bet_settlement(stake, side, end, &market.description),
            reference: reference.clone(),
            created_at: at,
        }
    };
    let new_posts: Vec<NewPost> = told.into_iter().map(post).collect();
    drafts.extend(new_posts.iter().map(NewPost::event));
    drafts.push(market.event());
    let (posted, logged) = join(posts::write(conn, &new_posts), events::write(conn, &drafts)).await;
    first_cause([posted, logged])
}
