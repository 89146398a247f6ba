//! The ranking by wealth: a list of the moment, from running totals.

use diesel::QueryableByName;
use diesel_async::RunQueryDsl;
use ledger_core::{BotId, BotStatus, Money};

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::sql_types::{self, BigInt, Text, Units, Untyped};
use crate::sql::statement;
use crate::totals::{Totals, totals_columns};

/// A bot among the others. Amounts that are no [`Money`] are in units of 10⁻⁸.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Standing {
    #[diesel(sql_type = BigInt, deserialize_as = i64)]
    pub bot_id: BotId,
    #[diesel(sql_type = Text)]
    pub handle: String,
    #[diesel(sql_type = sql_types::BotStatus)]
    pub status: BotStatus,
    #[diesel(sql_type = Units)]
    pub balance: Money,
    #[diesel(sql_type = Units)]
    pub phantom_fees: Money,
    /// Balance and the stakes of open predictions and bets.
    #[diesel(sql_type = Units)]
    pub wealth: i128,
    /// Its granted credits: the first grant and revivals.
    #[diesel(sql_type = Units)]
    pub granted: i128,
    /// Entropy that was charged.
    #[diesel(sql_type = Units)]
    pub fees: i128,
    #[diesel(embed)]
    pub totals: Totals,
}

macro_rules! best_of {
    ($status:literal) => {
        concat!(
            "(SELECT bot_id, status, balance, phantom_fees, granted, fees, \
                     balance + open_stake + bet_stake AS wealth \
                FROM wallets WHERE status = '",
            $status,
            "' ORDER BY wealth DESC, bot_id LIMIT {})"
        )
    };
}

statement! {
    /// A pass over the wallets for each status, with a heap of the best: no index on columns that a
    /// tick changes, no sort of all bots, and no lock except the one against dropping the tables.
    struct Best {
        alive: i64 as BigInt,
        dead: i64 as BigInt,
        retired: i64 as BigInt,
    } returns Untyped = concat!(
        "WITH best AS MATERIALIZED (",
        best_of!("ALIVE"), " UNION ALL ", best_of!("DEAD"), " UNION ALL ", best_of!("RETIRED"),
        ") SELECT b.id AS bot_id, b.handle, w.status, w.balance, w.phantom_fees, w.wealth, w.granted, \
                  w.fees",
        totals_columns!(),
        " FROM best w JOIN bots b ON b.id = w.bot_id \
          LEFT JOIN agent_totals t ON t.bot_id = w.bot_id \
         ORDER BY w.wealth DESC, b.id"
    )
}

/// The wealthiest of each status, at most `limit` of each, together in order of wealth; among
/// equals the older bot comes first.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn best(conn: &mut Connection, limit: i64) -> DbResult<Vec<Standing>> {
    let best = Best { alive: limit, dead: limit, retired: limit };
    Ok(best.load(conn).await?)
}
