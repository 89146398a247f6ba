//! Bets: one or several in one transaction, all or none.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules, Movement, Wallet};
use ledger_core::market::{BetState, Side, Taking};
use ledger_core::money::{Confidence, Stake};
use ledger_core::post::Draft;
use ledger_core::{BetId, BotId, Decimal8, Hash, MarketId, Money, Refusal, Timestamp};
use serde_json::json;

use super::{Bet, Market, lock_markets};
use crate::audit_log;
use crate::error::{DbError, DbResult};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::rules::keep;
use crate::schema::bets;
use crate::schema::sql_types::{Array, BetSide, BigInt, Binary, Instant, Text, Units, Uuid};
use crate::sql::{Prepare, column, reached, statement};
use crate::tx;
use crate::usage::{self, Usage};

/// An agent's request for a bet.
#[derive(Debug, Clone)]
pub struct NewBet {
    pub market_id: MarketId,
    pub side: Side,
    pub stake: Stake,
    pub confidence: Confidence,
    /// One clean line, at most 280 characters.
    pub reasoning: String,
}

/// All bets of one request, each on another market.
#[derive(Debug, Clone)]
pub struct Slip {
    pub bot_id: BotId,
    pub bets: Vec<NewBet>,
    pub usage: Option<Usage>,
}

impl Slip {
    fn markets(&self) -> Vec<MarketId> {
        self.bets.iter().map(|bet| bet.market_id).collect()
    }
}

/// Bets that were placed.
#[derive(Debug, Clone)]
pub struct BetsPlaced {
    pub action_id: i64,
    /// In the order of the request.
    pub bets: Vec<Bet>,
    pub new_balance: Money,
}

/// Places all bets of a slip: entries, bets, posts, audit row and events, in one transaction.
///
/// # Errors
/// [`DbError::Refused`] by a rule, for any of the bets; [`DbError::NotFound`] for an unknown bot. Then
/// nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn place(
    conn: &mut Connection,
    slip: &Slip,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, BetsPlaced>>,
) -> DbResult<BetsPlaced> {
    tx::run(conn, hook, async |conn| place_in(conn, slip, rules).await).await
}

/// [`place`] in the caller's transaction.
pub(crate) async fn place_in(
    conn: &mut Connection,
    slip: &Slip,
    rules: &EconomyRules,
) -> DbResult<BetsPlaced> {
    let mut markets = lock_markets(conn, &slip.markets()).await?;
    let locked = ledger::lock(conn, WhilePaused::Refuse, slip.bot_id).await?;
    let now = locked.now;
    let wallet = locked.wallet.clone();
    economy::alive(&wallet)?;
    let there = markets_with_a_bet(conn, slip.bot_id, &slip.markets()).await?;
    // A bet has its entry's time, which is the wallet's last time if a clock was set back.
    let at = wallet.head.next_at(now);
    let movements = decide(slip, &mut markets, &there, wallet, at, rules)?;
    let sealed = ledger::append_all(conn, vec![(locked, movements)], Cause::Action).await?;
    let at = sealed.entries.last().map_or(now, |entry| entry.recorded_at);
    let wallet =
        sealed.wallets().next().ok_or_else(|| DbError::corrupt("bets without a wallet"))?;
    let digest = keep(conn, rules).await?;
    let placed = insert(conn, slip, at, digest).await?;
    count(conn, slip).await?;
    let detail = json!({ "bets": placed.iter().map(|bet| bet.id).collect::<Vec<_>>() });
    let action_id = audit_log::write_by_bot(conn, slip.bot_id, "BET", detail).await?;
    let (usage, mode) = (slip.usage.as_ref(), rules.enforcement);
    usage::record_action(conn, action_id, usage, wallet, mode, at).await?;
    let new_balance = wallet.balance();
    tell(conn, slip, &markets, sealed.events(), at).await?;
    Ok(BetsPlaced { action_id, bets: placed, new_balance })
}

/// Decides one bet after the other, each on the balance after the ones before. Moves the markets'
/// pools along.
fn decide(
    slip: &Slip,
    markets: &mut [Market],
    there: &[MarketId],
    mut wallet: Wallet,
    now: Timestamp,
    rules: &EconomyRules,
) -> Result<Vec<Movement>, Refusal> {
    let mut movements = Vec::with_capacity(slip.bets.len());
    for bet in &slip.bets {
        let id = bet.market_id;
        let market = markets.iter_mut().find(|market| market.id == id);
        let market = market.ok_or(Refusal::NoSuchMarket { market: id })?;
        market.view().admit(Taking::Bet, now)?;
        if there.contains(&id) {
            return Err(Refusal::AlreadyIn { market: id });
        }
        movements.push(economy::bet(&wallet, bet.stake, market.pool(), rules, id)?);
        let stake = bet.stake.money();
        wallet.head.balance = wallet.balance().checked_sub(stake).ok_or(Refusal::Overflow)?;
        market.staked = market.staked.checked_add(stake).ok_or(Refusal::Overflow)?;
        market.bets += 1;
    }
    Ok(movements)
}

/// Those of `markets` on which a bot has its one bet or answer.
pub(super) async fn markets_with_a_bet(
    conn: &mut Connection,
    bot_id: BotId,
    markets: &[MarketId],
) -> DbResult<Vec<MarketId>> {
    let ids: Vec<uuid::Uuid> = markets.iter().map(|id| id.0).collect();
    let found: Vec<uuid::Uuid> = bets::table
        .filter(bets::market_id.eq_any(ids))
        .filter(bets::bot_id.eq(bot_id.0))
        .select(bets::market_id)
        .load(conn)
        .await?;
    Ok(found.into_iter().map(MarketId).collect())
}

statement! {
    struct InsertBets<'a> {
        bot_id: i64 as BigInt,
        at: Timestamp as Instant,
        rules: Vec<u8> as Binary,
        market_id: Vec<uuid::Uuid> as Array<Uuid>,
        side: Vec<Side> as Array<BetSide>,
        stake: Vec<Money> as Array<Units>,
        confidence: Vec<Decimal8> as Array<Units>,
        reasoning: Vec<&'a str> as Array<Text>,
    } returns (BigInt, Uuid) =
    "INSERT INTO bets (bot_id, created_at, rules, market_id, side, stake, confidence, reasoning) \
     SELECT {}, {}, {}, m, s, a, c, r \
       FROM UNNEST({}, {}, {}, {}, {}) AS b (m, s, a, c, r) \
     RETURNING id, market_id"
}

async fn insert(
    mut conn: &Connection,
    slip: &Slip,
    at: Timestamp,
    rules: Hash,
) -> DbResult<Vec<Bet>> {
    let insert = InsertBets {
        bot_id: slip.bot_id.0,
        at,
        rules: rules.0.to_vec(),
        market_id: column(&slip.bets, |bet| bet.market_id.0),
        side: column(&slip.bets, |bet| bet.side),
        stake: column(&slip.bets, |bet| bet.stake.money()),
        confidence: column(&slip.bets, |bet| bet.confidence.decimal()),
        reasoning: column(&slip.bets, |bet| bet.reasoning.as_str()),
    };
    let ids: Vec<(i64, uuid::Uuid)> = insert.load(&mut conn).await?;
    let placed = slip.bets.iter().map(|bet| {
        let (id, _) = ids.iter().find(|(_, market)| *market == bet.market_id.0)?;
        Some(Bet {
            id: BetId(*id),
            market_id: bet.market_id,
            bot_id: slip.bot_id,
            side: Some(bet.side),
            answer: None,
            used_lookup: None,
            stake: bet.stake.money(),
            confidence: bet.confidence.decimal(),
            reasoning: bet.reasoning.clone(),
            state: BetState::Open,
            created_at: at,
            resolved_at: None,
            payout: None,
            brier: None,
        })
    });
    placed.collect::<Option<Vec<Bet>>>().ok_or_else(|| DbError::corrupt("a bet was not written"))
}

/// Adds the bets to their markets' pools.
async fn count(mut conn: &Connection, slip: &Slip) -> DbResult<()> {
    let counted = diesel::sql_query(
        "UPDATE markets m SET bets = m.bets + 1, staked = m.staked + b.stake \
           FROM UNNEST($1, $2) AS b (market_id, stake) WHERE m.id = b.market_id",
    )
    .bind::<Array<Uuid>, _>(column(&slip.bets, |bet| bet.market_id.0))
    .bind::<Array<Units>, _>(column(&slip.bets, |bet| bet.stake.money()))
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(counted, slip.bets.len(), "a bet did not reach its market")
}

/// Posts and events of the bets.
async fn tell(
    conn: &Connection,
    slip: &Slip,
    markets: &[Market],
    mut drafts: Vec<NewEvent>,
    at: Timestamp,
) -> DbResult<()> {
    let post = |bet: &NewBet| {
        let market = markets.iter().find(|market| market.id == bet.market_id);
        let question = market.map_or("", |market| market.description.as_str());
        let (stake, side, confidence) = (bet.stake, bet.side, bet.confidence);
        NewPost {
            bot_id: slip.bot_id,
            draft: Draft::bet(stake, side, confidence, question, &bet.reasoning),
            reference: economy::market_reference(bet.market_id).to_string(),
            created_at: at,
        }
    };
    let new_posts: Vec<NewPost> = slip.bets.iter().map(post).collect();
    drafts.extend(new_posts.iter().map(NewPost::event));
    drafts.extend(markets.iter().map(Market::event));
    posts::write(conn, &new_posts).await?;
    events::write(conn, &drafts).await
}
