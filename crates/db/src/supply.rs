//! The money supply and the arena's size, from running totals: never a sum over history.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Numeric, Timestamptz};
use diesel_async::RunQueryDsl;
use ledger_core::Timestamp;
use ledger_core::supply::Supply;

use crate::error::DbResult;
use crate::pool::Connection;
use crate::sql::{Prepare, SqlTotal};

/// Who is there and how much money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub alive: i64,
    pub dead: i64,
    pub supply: Supply,
}

#[derive(QueryableByName)]
struct CensusRow {
    #[diesel(sql_type = BigInt)]
    alive: i64,
    #[diesel(sql_type = BigInt)]
    dead: i64,
    #[diesel(sql_type = Numeric)]
    minted: SqlTotal,
    #[diesel(sql_type = Numeric)]
    burned: SqlTotal,
    #[diesel(sql_type = Numeric)]
    escrow: SqlTotal,
    #[diesel(sql_type = Numeric)]
    circulating: SqlTotal,
}

/// Markets that are not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Before their deadline.
    pub open: i64,
    /// The deadline of the one that waits longest behind it.
    pub due_since: Option<Timestamp>,
}

/// Looks at unsettled markets alone, by their index.
pub async fn board(conn: &mut Connection) -> DbResult<Board> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        open: i64,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        due_since: Option<DateTime<Utc>>,
    }
    let row: Row = diesel::sql_query(
        "SELECT count(*) FILTER (WHERE deadline > clock_timestamp()) AS open, \
                min(deadline) FILTER (WHERE deadline <= clock_timestamp()) AS due_since \
           FROM markets WHERE status IN ('OPEN', 'LOCKED')",
    )
    .prepared()
    .get_result(conn)
    .await?;
    Ok(Board {
        open: row.open,
        due_since: row.due_since.map(Timestamp::from),
    })
}

/// One pass over the wallets, from one snapshot.
pub async fn census(conn: &mut Connection) -> DbResult<Census> {
    let row: CensusRow = diesel::sql_query(
        "SELECT count(*) FILTER (WHERE status = 'ALIVE') AS alive, \
                count(*) FILTER (WHERE status = 'DEAD') AS dead, \
                coalesce(sum(minted), 0) AS minted, coalesce(sum(burned), 0) AS burned, \
                coalesce(sum(open_stake + bet_stake), 0) AS escrow, coalesce(sum(balance), 0) AS circulating \
           FROM wallets",
    )
    .prepared()
    .get_result(conn)
    .await?;
    Ok(Census {
        alive: row.alive,
        dead: row.dead,
        supply: Supply {
            minted: row.minted.0,
            burned: row.burned.0,
            escrow: row.escrow.0,
            circulating: row.circulating.0,
        },
    })
}
