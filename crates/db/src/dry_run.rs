//! Dry runs: execute a request and roll it back, to return its result.
//!
//! Each one is the transaction of the real request, ended by ROLLBACK: the same parsing, locks,
//! rules and rows. Nothing of it is kept or published; ids from sequences are used up. It holds the
//! bot's wallet (and the markets, and of a wager the house's row) until its work is done, which
//! takes a few milliseconds. It waits at most a second for each of these, and then fails with
//! [`DbError::Unavailable`]. Its result applies only to that moment.

use ledger_core::economy::{self, EconomyRules};
use ledger_core::{BotId, Money, Refusal};

use crate::actions::{self, Placing, Wager, Wait};
use crate::bots::{self, BotRef};
use crate::error::{Conflict, DbError, DbResult};
use crate::markets::{self, Comparison, NewAnswer, Slip};
use crate::pool::Connection;
use crate::tx::{self, End};

/// The result that a request would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The amount subtracted from the balance at once: stakes and fees, in credits.
    pub cost: Money,
    /// The balance there is.
    pub balance: Money,
    /// Why it would be refused, where it would be.
    pub refusal: Option<DryRefusal>,
}

/// Why a request would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRefusal {
    /// A rule would refuse.
    Rule(Refusal),
    /// Its observation was used before.
    ObservationUsed,
}

impl DryRun {
    /// Does a request's work, which answers the balance it leaves, and takes it back. `told`
    /// converts a failure like the real request does. Other errors than a refusal stay errors.
    async fn of(
        conn: &mut Connection,
        bot_id: BotId,
        cost: Money,
        work: impl AsyncFnOnce(&mut Connection) -> DbResult<Money> + Clone,
        told: impl AsyncFnOnce(&mut Connection, DbError) -> DbError,
    ) -> DbResult<DryRun> {
        let refusal = match tx::run_to(conn, End::Rollback, None, work).await {
            Ok(left) => {
                return Ok(DryRun {
                    cost,
                    balance: left.checked_add(cost).ok_or(Refusal::Overflow)?,
                    refusal: None,
                });
            }
            Err(error) => match told(conn, error).await {
                DbError::Refused(refusal) => DryRefusal::Rule(refusal),
                DbError::Conflict(Conflict::ObservationUsed) => DryRefusal::ObservationUsed,
                error => return Err(error),
            },
        };
        // Refused work may not have come as far as the wallet, so its balance is that of a moment later.
        let balance = bots::find(conn, &BotRef::Id(bot_id)).await?.balance;
        Ok(DryRun { cost, balance, refusal: Some(refusal) })
    }

    /// The balance the request would leave: all of it, where it would be refused.
    pub fn balance_after(&self) -> Money {
        match &self.refusal {
            None => self.balance.checked_sub(self.cost).unwrap_or_default(),
            Some(_) => self.balance,
        }
    }
}

/// The result that [`actions::place`] would have.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot; a refusal is no error.
#[crate::boxed]
pub async fn wager(conn: &mut Connection, wager: &Wager, rules: &EconomyRules) -> DbResult<DryRun> {
    let placing = Placing { wager, hook: None };
    DryRun::of(
        conn,
        wager.bot_id,
        wager.stake.money(),
        async |conn| {
            let accepted = actions::place_in(conn, &placing, rules).await?;
            Ok(accepted.new_balance)
        },
        async |conn, error| actions::refusal_of(conn, error, wager, rules).await,
    )
    .await
}

/// The result that [`actions::wait`] would have.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot; a refusal is no error.
#[crate::boxed]
pub async fn wait(conn: &mut Connection, wait: &Wait, rules: &EconomyRules) -> DbResult<DryRun> {
    DryRun::of(
        conn,
        wait.bot_id,
        Money::ZERO,
        async |conn| Ok(actions::wait_in(conn, wait, rules).await?.new_balance),
        async |_, error| error,
    )
    .await
}

/// The result that [`markets::place`] would have.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot; a refusal is no error.
#[crate::boxed]
pub async fn bets(conn: &mut Connection, slip: &Slip, rules: &EconomyRules) -> DbResult<DryRun> {
    let stakes = slip.bets.iter().map(|bet| bet.stake.money());
    // A sum beyond every balance is always refused.
    let cost = stakes.fold(Money::ZERO, |sum, stake| sum.checked_add(stake).unwrap_or(sum));
    DryRun::of(
        conn,
        slip.bot_id,
        cost,
        async |conn| Ok(markets::place_in(conn, slip, rules).await?.new_balance),
        async |_, error| error,
    )
    .await
}

/// The result that [`markets::answer`] would have, except whether the answer is right, which would
/// reveal the secret: it is not compared with the commitment, and the cost is that of a wrong
/// answer.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot; a refusal is no error.
#[crate::boxed]
pub async fn answer(
    conn: &mut Connection,
    new: &NewAnswer,
    rules: &EconomyRules,
) -> DbResult<DryRun> {
    let (stake, fee) = economy::answer_cost(new.lookup, rules);
    let cost = stake.checked_add(fee).ok_or(Refusal::Overflow)?;
    DryRun::of(
        conn,
        new.bot_id,
        cost,
        async |conn| {
            let judged = markets::answer_in(conn, new, rules, Comparison::LeftOut).await?;
            Ok(judged.new_balance)
        },
        async |_, error| error,
    )
    .await
}
