//! The house's budget for price predictions: a limit on all it mints for them within any hour.
//!
//! The house adds to the stake of a right prediction. `house_exposure` has the amount if every open
//! one were right, `house_minted` the minted amounts by the minute. A wager is accepted while both
//! together, for the last hour, stay within the budget with the wager's own possible cost. So no
//! hour costs more, whenever predictions are settled: all of it was open or paid at the last wager
//! before or within it.
//!
//! Wagers first check without a lock, and may be refused by that. Accepted ones lock the one row
//! last, just before they commit, and check again: many API processes cannot overdraw together.

use diesel_async::RunQueryDsl;
use futures_util::future::join;
use ledger_core::{Money, Refusal, Timestamp};

use crate::error::{Conflict, DbError, DbResult};
use crate::pool::Connection;
use crate::schema::sql_types::{Instant, Nullable, Units, Untyped};
use crate::sql::{Prepare, statement};

/// A minute counts until it lies wholly before the last hour.
const COUNTED_MINUTES: i64 = 61;

/// The reserved and paid amounts, by one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// The cost of all open predictions if all were right.
    pub reserved: i128,
    /// The cost of right ones within the last hour.
    pub minted: i128,
}

impl Exposure {
    /// Whether `more` units fit into the budget.
    pub fn has_room_for(&self, more: i128, budget: Money) -> bool {
        self.reserved + self.minted + more <= i128::from(budget.units())
    }
}

statement! {
    struct Look {} returns (Units, Units) =
    "SELECT (SELECT reserved FROM house_exposure), \
            (SELECT coalesce(sum(minted), 0) FROM house_minted \
              WHERE minute > clock_timestamp() - interval '61 minutes')"
}

/// Looks without a lock.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn look(mut conn: &Connection) -> DbResult<Exposure> {
    let (reserved, minted) = Look {}.get_result(&mut conn).await?;
    Ok(Exposure { reserved, minted })
}

statement! {
    struct Hold {} returns Units = "SELECT reserved FROM house_exposure FOR UPDATE"
}

// A separate statement after the lock: its snapshot includes the amounts minted by the former
// holder.
statement! {
    struct Take { more: i128 as Units, again: i128 as Units, budget: i128 as Units }
    returns Untyped =
    "UPDATE house_exposure SET reserved = reserved + {} \
      WHERE reserved + {} + (SELECT coalesce(sum(minted), 0) FROM house_minted \
                              WHERE minute > clock_timestamp() - interval '61 minutes') <= {}"
}

/// Sets `more` units aside. The transaction's last statements: until it ends, no other wager can be
/// placed.
///
/// # Errors
/// [`Conflict::HouseBudget`] if others were faster and these no longer fit.
pub(crate) async fn take(conn: &Connection, more: i128, budget: Money) -> DbResult<()> {
    let (mut first, mut second) = (conn, conn);
    let taken = Take { more, again: more, budget: i128::from(budget.units()) };
    let held = Hold {}.get_result::<i128>(&mut first);
    let (held, taken) = join(held, taken.execute(&mut second)).await;
    held?;
    if taken? == 1 { Ok(()) } else { Err(DbError::Conflict(Conflict::HouseBudget)) }
}

/// Releases the reserved amounts of settled predictions, and records the minted ones.
pub(crate) async fn settle(conn: &mut Connection, reserved: i128, minted: i128) -> DbResult<()> {
    // A payout alone locks the row too: no wager may look between its minting and its commit.
    if reserved != 0 || minted != 0 {
        // Never below zero: a wrong sum may break the house's limit, but must not stop a payout.
        let less = "UPDATE house_exposure SET reserved = greatest(reserved - $1, 0)";
        let changed =
            diesel::sql_query(less).bind::<Units, _>(reserved).prepared().execute(conn).await?;
        if changed != 1 {
            return Err(DbError::corrupt("house_exposure has no row"));
        }
    }
    if minted != 0 {
        diesel::sql_query(
            "INSERT INTO house_minted AS m (minute, minted) \
             VALUES (date_trunc('minute', clock_timestamp()), $1) \
             ON CONFLICT (minute) DO UPDATE SET minted = m.minted + EXCLUDED.minted",
        )
        .bind::<Units, _>(minted)
        .prepared()
        .execute(conn)
        .await?;
        diesel::sql_query(
            "DELETE FROM house_minted WHERE minute < clock_timestamp() - interval '2 hours'",
        )
        .prepared()
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Recomputes the reserved amount from the open predictions: an older build that settled some
/// during an upgrade released nothing. Every service does so when it starts: see
/// [`crate::rules::adopt`]. In the caller's transaction, which must take no other lock afterwards.
pub(crate) async fn recount(conn: &mut Connection) -> DbResult<()> {
    Hold {}.get_result::<i128>(conn).await?;
    // Concurrent wagers and settlements wait with their own part until this is committed.
    diesel::sql_query(
        "UPDATE house_exposure SET reserved = \
                (SELECT coalesce(sum(reserved), 0) FROM predictions WHERE status = 'OPEN')",
    )
    .prepared()
    .execute(conn)
    .await?;
    Ok(())
}

statement! {
    /// The clock, and when the next open prediction may be settled.
    struct Times {} returns (Instant, Nullable<Instant>) =
    "SELECT clock_timestamp(), (SELECT min(settles_at) FROM predictions WHERE status = 'OPEN')"
}

statement! {
    struct Minutes {} returns (Instant, Units) =
    "SELECT minute, minted FROM house_minted \
      WHERE minute > clock_timestamp() - interval '61 minutes' ORDER BY minute"
}

/// When `more` units may fit into the budget at the earliest: when the next open prediction can be
/// settled, if losses of it and others would free enough; else when enough payouts are an hour old.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn opens_at(mut conn: &Connection, more: Money, budget: Money) -> DbResult<Timestamp> {
    let exposure = look(conn).await?;
    let (now, next): (Timestamp, Option<Timestamp>) = Times {}.get_result(&mut conn).await?;
    let more = i128::from(more.units());
    let lacking = exposure.reserved + exposure.minted + more - i128::from(budget.units());
    if exposure.reserved >= lacking {
        return Ok(next.unwrap_or(now).max(now.plus_seconds(1)));
    }
    let minutes: Vec<(Timestamp, i128)> = Minutes {}.load(&mut conn).await?;
    let mut freed = exposure.reserved;
    for (minute, minted) in minutes {
        freed += minted;
        if freed >= lacking {
            return Ok(minute.plus_seconds(COUNTED_MINUTES * 60));
        }
    }
    // More than the whole budget: it opens when the settings change.
    Ok(now.plus_seconds(COUNTED_MINUTES * 60))
}

/// The refusal of a wager that could cost the house `more`.
pub(crate) async fn refusal(conn: &Connection, more: Money, budget: Money) -> DbResult<Refusal> {
    Ok(Refusal::HouseBudget { limit: budget, opens_at: opens_at(conn, more, budget).await? })
}
