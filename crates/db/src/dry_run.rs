//! Dry runs: what a request would do, asked of the same rules and written nowhere.
//!
//! Each one reads in a transaction of its own that sees one moment and may not write, and locks
//! nothing, so that nobody waits for it. What it says is true of that moment only.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};

use ledger_core::economy::{self, EconomyRules};
use ledger_core::money::Stake;
use ledger_core::{BotId, Money, ObservationId, Refusal};

use crate::error::{Conflict, DbError, DbResult};
use crate::house;
use crate::ledger;
use crate::pauses::unless_arena_paused;
use crate::pool::Connection;
use crate::schema::audit_log;

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// What it takes from the balance at once: stakes and fees, in credits.
    pub cost: Money,
    /// The balance there is.
    pub balance: Money,
    /// Why it would be refused, where it would be.
    pub refusal: Option<DryRefusal>,
}

/// Why a request would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRefusal {
    /// A rule would say no.
    Rule(Refusal),
    /// Its observation was used before.
    ObservationUsed,
}

impl DryRun {
    /// The verdict on a request that costs so much: other errors than a refusal stay errors.
    pub(crate) fn of(cost: Money, balance: Money, verdict: DbResult<()>) -> DbResult<DryRun> {
        let refusal = match verdict {
            Ok(()) => None,
            Err(DbError::Refused(refusal)) => Some(DryRefusal::Rule(refusal)),
            Err(DbError::Conflict(Conflict::ObservationUsed)) => Some(DryRefusal::ObservationUsed),
            Err(error) => return Err(error),
        };
        Ok(DryRun {
            cost,
            balance,
            refusal,
        })
    }

    /// The balance the request would leave: all of it, where it would be refused.
    #[must_use]
    pub fn balance_after(&self) -> Money {
        match &self.refusal {
            None => self.balance.checked_sub(self.cost).unwrap_or_default(),
            Some(_) => self.balance,
        }
    }
}

/// What [`crate::actions::place`] would do with a wager of this stake.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that is none; a refusal is no error.
pub async fn wager(
    conn: &mut Connection,
    bot_id: BotId,
    observation_id: ObservationId,
    stake: Stake,
    rules: &EconomyRules,
) -> DbResult<DryRun> {
    conn.transaction::<_, DbError, _>(async |conn| {
        only_read(conn).await?;
        let (wallet, _) = ledger::look(conn, bot_id).await?;
        let verdict = async {
            unless_arena_paused(conn).await?;
            economy::wager(&wallet, stake, rules, observation_id)?;
            let loss = rules.house_loss_of(stake).ok_or(Refusal::Overflow)?;
            let budget = rules.house_loss_budget_per_hour;
            let exposure = house::look(conn).await?;
            if !exposure.has_room_for(i128::from(loss.units()), budget) {
                return Err(house::refusal(conn, loss, budget).await?.into());
            }
            must_be_unused(conn, observation_id).await
        };
        let verdict = verdict.await;
        DryRun::of(stake.money(), wallet.balance(), verdict)
    })
    .await
}

/// What [`crate::actions::wait`] would do.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that is none; a refusal is no error.
pub async fn wait(
    conn: &mut Connection,
    bot_id: BotId,
    observation_id: ObservationId,
) -> DbResult<DryRun> {
    conn.transaction::<_, DbError, _>(async |conn| {
        only_read(conn).await?;
        let (wallet, _) = ledger::look(conn, bot_id).await?;
        let verdict = async {
            unless_arena_paused(conn).await?;
            economy::alive(&wallet)?;
            must_be_unused(conn, observation_id).await
        };
        let verdict = verdict.await;
        DryRun::of(Money::ZERO, wallet.balance(), verdict)
    })
    .await
}

/// Every action leaves its observation in the audit log, where it can stand but once.
async fn must_be_unused(conn: &mut Connection, observation_id: ObservationId) -> DbResult<()> {
    let used = audit_log::table.filter(audit_log::observation_id.eq(observation_id.0));
    if diesel::select(diesel::dsl::exists(used))
        .get_result(conn)
        .await?
    {
        return Err(DbError::Conflict(Conflict::ObservationUsed));
    }
    Ok(())
}

/// Has a transaction that just began see one moment, and write nothing.
pub(crate) async fn only_read(conn: &mut Connection) -> DbResult<()> {
    let mode = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    Ok(conn.batch_execute(mode).await?)
}
