//! The money supply and the arena's size, from running totals: never a sum over history.

use diesel_async::RunQueryDsl;
use ledger_core::Timestamp;
use ledger_core::supply::Supply;

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::sql_types::{BigInt, Instant, Nullable, Units};
use crate::sql::statement;

/// The numbers of bots and the money supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub alive: i64,
    pub dead: i64,
    pub supply: Supply,
}

/// Markets that are not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Before their deadline.
    pub open: i64,
    /// The deadline of the one that waits longest behind it.
    pub due_since: Option<Timestamp>,
}

statement! {
    struct LookAtMarkets {} returns (BigInt, Nullable<Instant>) =
    "SELECT count(*) FILTER (WHERE deadline > clock_timestamp()), \
            min(deadline) FILTER (WHERE deadline <= clock_timestamp()) \
       FROM markets WHERE status IN ('OPEN', 'LOCKED')"
}

/// Looks at unsettled markets alone, by their index.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn board(conn: &mut Connection) -> DbResult<Board> {
    let (open, due_since) = LookAtMarkets {}.get_result(conn).await?;
    Ok(Board { open, due_since })
}

statement! {
    struct CountWallets {} returns (BigInt, BigInt, Units, Units, Units, Units) =
    "SELECT count(*) FILTER (WHERE status = 'ALIVE'), count(*) FILTER (WHERE status = 'DEAD'), \
            coalesce(sum(minted), 0), coalesce(sum(burned), 0), \
            coalesce(sum(open_stake + bet_stake), 0), coalesce(sum(balance), 0) FROM wallets"
}

/// One pass over the wallets, from one snapshot.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn census(conn: &mut Connection) -> DbResult<Census> {
    let (alive, dead, minted, burned, escrow, circulating) =
        CountWallets {}.get_result(conn).await?;
    Ok(Census { alive, dead, supply: Supply { minted, burned, escrow, circulating } })
}
