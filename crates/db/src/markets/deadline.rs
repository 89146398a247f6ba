//! A market from its deadline to its decision: it takes no more bets, and its source is queried.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::market::{self, MarketSource, MarketStatus, retry_seconds};
use ledger_core::{MarketId, NewEvent, Timestamp};

use super::{Finding, Market, MarketRow, NewEvidence, keep_evidence, locked_market};
use crate::error::DbResult;
use crate::events;
use crate::pool::Connection;
use crate::schema::markets;
use crate::schema::sql_types::{BigInt, Bool, Instant, Nullable};
use crate::sql::{Sql, statement};
use crate::tx;

/// The most markets that one call of [`lock_due`] or [`expire_due`] closes.
const CLOSE_MAX: i64 = 200;

/// Locks markets whose deadline has come: they take no more bets. Committed before any bet is read.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
#[crate::boxed]
pub async fn lock_due(conn: &mut Connection) -> DbResult<Vec<MarketId>> {
    pass_deadline(conn, "source <> 'RESEARCH'", MarketStatus::Locked).await
}

/// Ends unsolved research at its deadline. The house got its stakes as they were lost. A pause extends the
/// deadline: only research that was over before the pause ends.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
#[crate::boxed]
pub async fn expire_due(conn: &mut Connection) -> DbResult<Vec<MarketId>> {
    const WHICH: &str = "source = 'RESEARCH' AND deadline <= coalesce(paused_at, 'infinity') \
         AND deadline <= coalesce((SELECT p.paused_at FROM arena_pause p), 'infinity')";
    pass_deadline(conn, WHICH, MarketStatus::Expired).await
}

async fn pass_deadline(
    conn: &mut Connection,
    which: &'static str,
    status: MarketStatus,
) -> DbResult<Vec<MarketId>> {
    tx::run(conn, None, async |conn| {
        // As an array, and then locked in the order of ids: in that order alone, Postgres may look through
        // all markets for those that are due.
        let due = sql::<Bool>(
            "status = 'OPEN' AND id = ANY (ARRAY(SELECT id FROM markets \
                WHERE status = 'OPEN' AND deadline <= (SELECT clock_timestamp()) AND ",
        )
        .sql(which)
        .sql(" ORDER BY deadline LIMIT ")
        .bind::<BigInt, _>(CLOSE_MAX)
        .sql("))");
        let rows: Vec<MarketRow> = markets::table
            .filter(due)
            .order(markets::id)
            .select(MarketRow::as_select())
            .for_update()
            .load(conn)
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let now = crate::now(conn).await?;
        let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
        let resolved_at = status.is_settled().then_some(now);
        diesel::update(markets::table.filter(markets::id.eq_any(&ids)))
            .set((markets::status.eq(Sql(status)), markets::resolved_at.eq(resolved_at)))
            .execute(conn)
            .await?;
        // An unreadable market does not delay others: it is closed too, and its settlement reports
        // the error.
        let readable = rows.into_iter().filter_map(|row| Market::try_from(row).ok());
        let drafts: Vec<NewEvent> =
            readable.map(|market| Market { status, ..market }.event()).collect();
        events::write(conn, &drafts).await?;
        Ok(ids.into_iter().map(MarketId).collect())
    })
    .await
}

/// Locked markets whose next fetch is due, the longest waiting first, at most `limit`. Markets of
/// sources that may not be queried now are left out, so that they do not delay others. Decided
/// markets that are paused are left out as well; paused undecided ones are due, so that their
/// source is read in time.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn due(
    conn: &mut Connection,
    silent: &[MarketSource],
    limit: i64,
) -> DbResult<Vec<MarketId>> {
    let silent: Vec<&str> = silent.iter().map(|source| source.as_str()).collect();
    let ids: Vec<uuid::Uuid> = markets::table
        .filter(sql::<Bool>("status = 'LOCKED'"))
        .filter(markets::next_try_at.le(crate::sql::clock()))
        .filter(markets::source.ne_all(silent))
        .filter(sql::<Bool>(
            "(paused_at IS NULL AND NOT EXISTS (SELECT FROM arena_pause) OR NOT EXISTS \
              (SELECT FROM evidence e WHERE e.market_id = markets.id AND e.side IS NOT NULL))",
        ))
        .order((markets::next_try_at, markets::id))
        .limit(limit)
        .select(markets::id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(MarketId).collect())
}

/// A market becomes void for a silent source only after at least this many requests for it.
pub const ASKED_MIN: i64 = 10;

/// A longer gap between two requests counts as this: none was made, or none was allowed. Twice the
/// longest pause after a failure.
pub const ASKED_GAP_MAX_SECONDS: i64 = 2 * market::RETRY_MAX_SECONDS;

/// How often, and for how long, a market's source was queried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub times: i64,
    /// From the first question to the last, interruptions left out.
    pub seconds: i64,
    pub last: Option<Timestamp>,
}

impl Asked {
    /// Whether the waiting limit is reached: the source was queried often enough, for long enough,
    /// and just now. Time without possible requests, by a cooldown or an outage, does not count.
    pub fn enough(&self, patience_seconds: i64, now: Timestamp) -> bool {
        let just_now = self
            .last
            .is_some_and(|last| (0..=ASKED_GAP_MAX_SECONDS).contains(&now.seconds_since(last)));
        self.times >= ASKED_MIN && self.seconds >= patience_seconds && just_now
    }
}

statement! {
    struct CountQuestions {
        gap_max: i64 as BigInt,
        market: uuid::Uuid as diesel::sql_types::Uuid,
        since: Timestamp as Instant,
    } returns (BigInt, BigInt, Nullable<Instant>) =
    "SELECT count(*), coalesce(floor(sum(least(gap, {})) FILTER (WHERE gap IS NOT NULL)), 0)::bigint, \
            max(fetched_at) FROM ( \
        SELECT fetched_at, extract(epoch FROM fetched_at - lag(fetched_at) OVER (ORDER BY fetched_at, id)) AS gap \
          FROM evidence WHERE market_id = {} AND fetched_at >= {}) questions"
}

/// How often the source of a locked market was queried since its deadline.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn asked(conn: &mut Connection, market: &Market) -> DbResult<Asked> {
    let count = CountQuestions {
        gap_max: ASKED_GAP_MAX_SECONDS,
        market: market.id.0,
        since: market.deadline,
    };
    let (times, seconds, last): (i64, i64, Option<Timestamp>) = count.get_result(conn).await?;
    Ok(Asked { times, seconds, last })
}

/// The result of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// There is evidence that decides the market: settle it.
    Decided,
    /// It decided nothing; the next fetch is due later.
    Undecided,
    /// The market is no longer locked: another process settled it.
    Settled,
}

/// Keeps a fetch that was made to decide a locked market. After one that decides nothing, the next
/// waits [`retry_seconds`], or as long as the source requested (`wait_seconds`).
///
/// # Errors
/// [`crate::DbError::NotFound`] for an unknown market. Then nothing was written. Otherwise see
/// [`crate::DbError`].
#[crate::boxed]
pub async fn record(
    conn: &mut Connection,
    id: MarketId,
    fetch: &NewEvidence,
    wait_seconds: Option<i64>,
) -> DbResult<Recorded> {
    tx::run(conn, None, async |conn| {
        let market = locked_market(conn, id).await?;
        if market.status != MarketStatus::Locked {
            return Ok(Recorded::Settled);
        }
        keep_evidence(conn, id, fetch).await?;
        if matches!(fetch.finding, Finding::Read { decides: Some(_), .. }) {
            return Ok(Recorded::Decided);
        }
        let attempts = market.attempts.saturating_add(1);
        let pause = retry_seconds(attempts).max(wait_seconds.unwrap_or(0));
        let next = crate::now(conn).await?.plus_seconds(pause);
        diesel::update(markets::table.find(id.0))
            .set((markets::attempts.eq(attempts), markets::next_try_at.eq(Sql(next))))
            .execute(conn)
            .await?;
        Ok(Recorded::Undecided)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::MarketSource;
    use ledger_core::market::Taking;

    #[test]
    fn statements_and_the_schema_name_each_source_that_takes_answers() {
        let takes_answers: Vec<_> = MarketSource::ALL
            .iter()
            .filter(|source| source.about().takes == Taking::Answer)
            .collect();
        assert_eq!(
            takes_answers,
            [&MarketSource::Research],
            "lock_due and expire_due here, audit/markets.rs, and in the schema markets_research_is_committed, \
             markets_research_stood_still and the arena's pause name RESEARCH: let them name the other one, too",
        );
    }
}
