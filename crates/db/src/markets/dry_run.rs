//! What a slip or an answer would do: see [`crate::dry_run`].

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::economy::{self, AnswerResult, EconomyRules};
use ledger_core::{MarketId, Money, Refusal};

use super::answers::{NewAnswer, admit};
use super::bets::{Slip, judge};
use super::{Market, MarketRow, find, markets_of};
use crate::dry_run::{DryRun, only_read};
use crate::error::{DbError, DbResult};
use crate::ledger;
use crate::pauses::unless_arena_paused;
use crate::pool::Connection;
use crate::schema::markets;

/// What [`super::place`] would do with a slip.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that is none; a refusal is no error.
pub async fn place_dry_run(
    conn: &mut Connection,
    slip: &Slip,
    rules: &EconomyRules,
) -> DbResult<DryRun> {
    conn.transaction::<_, DbError, _>(async |conn| {
        only_read(conn).await?;
        let mut markets = look_at_markets(conn, &slip.markets()).await?;
        let (wallet, now) = ledger::look(conn, slip.bot_id).await?;
        let balance = wallet.balance();
        let stakes = slip.bets.iter().map(|bet| bet.stake.money());
        // A sum beyond every balance is refused whatever it is.
        let cost = stakes.fold(Money::ZERO, |sum, stake| {
            sum.checked_add(stake).unwrap_or(sum)
        });
        let verdict = async {
            unless_arena_paused(conn).await?;
            judge(conn, slip, &mut markets, wallet, now, rules).await
        };
        let verdict = verdict.await;
        DryRun::of(cost, balance, verdict.map(drop))
    })
    .await
}

/// What [`super::answer`] would do with an answer, except whether it is right: the commitment is not
/// looked at, and what a wrong answer would cost is what any answer costs.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that is none; a refusal is no error.
pub async fn answer_dry_run(
    conn: &mut Connection,
    new: &NewAnswer,
    rules: &EconomyRules,
) -> DbResult<DryRun> {
    conn.transaction::<_, DbError, _>(async |conn| {
        only_read(conn).await?;
        let id = new.market_id;
        let (wallet, now) = ledger::look(conn, new.bot_id).await?;
        let (stake, fee) = economy::answer_cost(new.lookup, rules);
        let cost = stake.checked_add(fee).ok_or(Refusal::Overflow)?;
        let verdict = async {
            unless_arena_paused(conn).await?;
            let market = match find(conn, id).await {
                Err(DbError::NotFound(_)) => {
                    return Err(Refusal::NoSuchMarket { market: id }.into());
                }
                found => found?,
            };
            admit(conn, new, &market, &wallet, now).await?;
            let wrong = AnswerResult::Wrong;
            economy::answer(&wallet, wrong, new.lookup, market.bounty, rules, id)?;
            Ok(())
        };
        let verdict = verdict.await;
        DryRun::of(cost, wallet.balance(), verdict)
    })
    .await
}

/// The markets of these ids as this transaction sees them. One that does not exist is left out.
async fn look_at_markets(conn: &mut Connection, ids: &[MarketId]) -> DbResult<Vec<Market>> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = markets::table
        .filter(markets::id.eq_any(ids))
        .order(markets::id)
        .select(MarketRow::as_select())
        .load(conn)
        .await?;
    markets_of(rows)
}
