//! The totals of past ticks, and one bot's state after some of them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::Enforcement;
use ledger_core::{BotId, Money, TickNumber, Timestamp};

use crate::PAGE_MAX;
use crate::bots::BotRef;
use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::sql_types::{Array, BigInt, Instant, Integer, Nullable, Text, Units};
use crate::schema::ticks;
use crate::sql::statement;

/// One tick, with what it did.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct TickSummary {
    #[diesel(deserialize_as = i64)]
    pub number: TickNumber,
    pub enforcement: Enforcement,
    pub started_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub bots: i64,
    /// As a decimal string: it may exceed one balance's range.
    pub fees: String,
    pub liquidated: i64,
    pub failed: i64,
}

/// Ticks, the newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn ticks(
    conn: &mut Connection,
    before: Option<TickNumber>,
    limit: i64,
) -> DbResult<Vec<TickSummary>> {
    Ok(ticks::table
        .filter(ticks::number.lt(before.map_or(i64::MAX, |number| number.0)))
        .order(ticks::number.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select((
            ticks::number,
            ticks::enforcement,
            ticks::started_at,
            ticks::closed_at,
            ticks::bots,
            diesel::dsl::sql::<Text>("fees::text"),
            ticks::liquidated,
            ticks::failed,
        ))
        .load(conn)
        .await?)
}

/// How a bot stood after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Point {
    #[diesel(sql_type = BigInt, deserialize_as = i64)]
    pub tick: TickNumber,
    #[diesel(sql_type = Instant)]
    pub at: Timestamp,
    #[diesel(sql_type = Units)]
    pub balance: Money,
    #[diesel(sql_type = Units)]
    pub shadow_balance: Money,
    #[diesel(sql_type = Integer)]
    pub idle_streak: i32,
}

/// A bot and some of its past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub bot_id: BotId,
    pub handle: String,
    /// The oldest first.
    pub points: Vec<Point>,
}

statement! {
    /// The last tick in which a bot was charged, how many there were, and the oldest whose metrics are kept.
    struct FindSpan { bot_id: i64 as BigInt } returns (BigInt, BigInt, Nullable<BigInt>) =
    "SELECT w.last_tick, w.ticks, \
            (SELECT min(tick) FROM (SELECT tick FROM agent_metrics ORDER BY tick LIMIT 1) oldest) \
       FROM wallets w WHERE w.bot_id = {}"
}

/// At most `points` moments of a bot's life, evenly spaced over its ticks that are kept.
///
/// # Errors
/// [`crate::DbError::NotFound`] for a bot that is not there.
#[crate::boxed]
pub async fn of(conn: &mut Connection, bot: &BotRef, points: u32) -> DbResult<History> {
    let profile = crate::bots::find(conn, bot).await?;
    let bot_id = profile.id;
    let span = FindSpan { bot_id: bot_id.0 };
    let (last, ticks, oldest_kept): (i64, i64, Option<i64>) = span.get_result(conn).await?;
    let first = (last - ticks + 1).max(oldest_kept.unwrap_or(i64::MAX));
    let points = diesel::sql_query(
        // A tick's rows lie in the partitions of its time, and those alone are looked into.
        "SELECT t.number AS tick, m.recorded_at AS at, m.balance, m.shadow_balance, m.idle_streak \
           FROM ticks t CROSS JOIN LATERAL ( \
                SELECT recorded_at, balance, shadow_balance, idle_streak FROM agent_metrics \
                 WHERE tick = t.number AND bot_id = $1 AND kind = 'TICK' \
                   AND recorded_at >= t.started_at \
                   AND recorded_at <= coalesce(t.closed_at, t.started_at + interval '1 day') \
                 LIMIT 1) m \
          WHERE t.number = ANY ($2) ORDER BY t.number",
    )
    .bind::<BigInt, _>(bot_id.0)
    .bind::<Array<BigInt>, _>(spread(first, last, points))
    .load(conn)
    .await?;
    Ok(History { bot_id, handle: profile.handle.to_string(), points })
}

/// So many numbers at most from `first` to `last`, both among them, evenly spaced.
fn spread(first: i64, last: i64, points: u32) -> Vec<i64> {
    let first = first.max(1);
    if first > last {
        return Vec::new();
    }
    let (length, steps) = (last - first, i64::from(points.max(2)) - 1);
    let mut all: Vec<i64> = (0..=steps)
        .map(|step| {
            first
                + i64::try_from(i128::from(length) * i128::from(step) / i128::from(steps))
                    .unwrap_or(0)
        })
        .collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn points_are_even_and_reach_both_ends() {
        assert_eq!(spread(1, 5, 10), [1, 2, 3, 4, 5]);
        assert_eq!(spread(1, 101, 11), [1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 101]);
        assert_eq!(spread(7, 7, 10), [7]);
        assert!(spread(8, 7, 10).is_empty());
        assert!(spread(i64::MAX, 7, 10).is_empty());
        assert_eq!(spread(0, 1, 10), [1]);
        assert_eq!(spread(1, i64::MAX, 2), [1, i64::MAX]);
    }
}
