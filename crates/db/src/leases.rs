//! Leases for work that only one process may do at a time.
//!
//! A lease is a row with an expiry and a fencing token that grows with each change of holder. It is
//! never a session-level lock, so that a pooler in transaction mode works, and a holder that froze
//! finds out that its token is old.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::Timestamp;

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::source_cooldowns;
use crate::schema::sql_types::{BigInt, Bool, Instant, Text};
use crate::sql::{Prepare, statement};
use crate::tx;

statement! {
    struct Acquire<'a> { name: &'a str as Text, holder: &'a str as Text, seconds: i64 as BigInt }
    returns BigInt =
    "INSERT INTO leases AS l (name, holder, expires_at) \
     VALUES ({}, {}, clock_timestamp() + make_interval(secs => {}::float8)) \
     ON CONFLICT (name) DO UPDATE \
        SET token = CASE WHEN l.holder = EXCLUDED.holder THEN l.token ELSE l.token + 1 END, \
            holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at \
      WHERE l.holder = EXCLUDED.holder OR l.expires_at <= clock_timestamp() \
     RETURNING token"
}

/// Takes or renews the lease `name` for `seconds`. Returns the fencing token while `holder` has the
/// lease, `None` while another does.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn acquire(
    conn: &mut Connection,
    name: &str,
    holder: &str,
    seconds: i64,
) -> DbResult<Option<i64>> {
    let acquire = Acquire { name, holder, seconds };
    Ok(acquire.get_result(conn).await.optional()?)
}

/// Gives the lease up, so that another need not wait for its expiry. Keeps the token's count.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn release(conn: &mut Connection, name: &str, holder: &str) -> DbResult<()> {
    diesel::sql_query(
        "UPDATE leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2",
    )
    .bind::<Text, _>(name)
    .bind::<Text, _>(holder)
    .prepared()
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins the oracle's next round and answers its number.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn next_oracle_round(conn: &mut Connection) -> DbResult<i64> {
    use crate::schema::oracle_rounds::dsl;
    Ok(diesel::update(dsl::oracle_rounds)
        .set(dsl::number.eq(dsl::number + 1))
        .returning(dsl::number)
        .get_result(conn)
        .await?)
}

/// Since when oracles have settled predictions without interruption, as of a round at `now`. Longer than
/// `gap_seconds` between two rounds is an interruption, and so is a clock that was set back. Kept outside
/// the process: a restart is no interruption.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn settling_since(
    conn: &mut Connection,
    now: Timestamp,
    gap_seconds: i64,
) -> DbResult<Timestamp> {
    let earliest = now.plus_seconds(-gap_seconds);
    let since = SettlingSince { earliest, latest: now, otherwise: now, now };
    Ok(since.get_result(conn).await?)
}

statement! {
    struct SettlingSince {
        earliest: Timestamp as Instant,
        latest: Timestamp as Instant,
        otherwise: Timestamp as Instant,
        now: Timestamp as Instant,
    } returns Instant =
    "UPDATE oracle_rounds \
        SET settling_since = CASE WHEN settled_at BETWEEN {} AND {} THEN settling_since ELSE {} END, \
            settled_at = {} \
     RETURNING settling_since"
}

/// Nothing is settled now: [`settling_since`] is reset.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn interrupt_settling(conn: &mut Connection) -> DbResult<()> {
    use crate::schema::oracle_rounds::dsl;
    diesel::update(dsl::oracle_rounds.filter(dsl::settled_at.is_not_null()))
        .set(dsl::settled_at.eq(None::<Timestamp>))
        .execute(conn)
        .await?;
    Ok(())
}

/// A source that requested fewer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct Cooldown {
    /// Rate-limit answers in a row.
    pub strikes: i32,
    pub until: Timestamp,
    /// Whether it still lasts, by Postgres' clock.
    pub active: bool,
}

/// The cooldown of a source, past ones included.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn cooldown(conn: &mut Connection, source: &str) -> DbResult<Option<Cooldown>> {
    use source_cooldowns::dsl;
    Ok(dsl::source_cooldowns
        .find(source)
        .select((dsl::strikes, dsl::until, sql::<Bool>("until > clock_timestamp()")))
        .prepared()
        .get_result(conn)
        .await
        .optional()?)
}

/// Adds a strike to a source and starts a cooldown of `seconds` of its strikes. Refusals that come
/// while it cools down already are answers to questions from before: they may prolong the cooldown,
/// but are no strikes.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
pub async fn strike(
    conn: &mut Connection,
    source: &str,
    seconds: impl Fn(i32) -> i64 + Sync,
) -> DbResult<Struck> {
    use source_cooldowns::dsl;
    tx::run(conn, None, async |conn| {
        // Of several at once, one adds the strike; without a row, each would add the first.
        let row: Option<(i32, bool)> = dsl::source_cooldowns
            .find(source)
            .select((dsl::strikes, sql::<Bool>("until > clock_timestamp()")))
            .for_update()
            .first(conn)
            .await
            .optional()?;
        let strikes = match row {
            Some((strikes, true)) => strikes,
            Some((strikes, false)) => strikes.saturating_add(1),
            None => 1,
        };
        let seconds = seconds(strikes);
        cool_down(conn, source, strikes, seconds).await?;
        Ok(Struck { strikes, seconds })
    })
    .await
}

/// The result of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struck {
    /// In a row.
    pub strikes: i32,
    /// For how long the source is left alone at least.
    pub seconds: i64,
}

/// Starts or prolongs a source's cooldown.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn cool_down(
    conn: &mut Connection,
    source: &str,
    strikes: i32,
    seconds: i64,
) -> DbResult<()> {
    diesel::sql_query(
        "INSERT INTO source_cooldowns (source, strikes, until) \
         VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3::float8)) \
         ON CONFLICT (source) DO UPDATE \
            SET strikes = EXCLUDED.strikes, \
                until = greatest(source_cooldowns.until, EXCLUDED.until)",
    )
    .bind::<Text, _>(source)
    .bind::<diesel::sql_types::Integer, _>(strikes)
    .bind::<BigInt, _>(seconds)
    .prepared()
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a source's strikes after it answered, unless another answer has it cooling down again.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn clear_cooldown(conn: &mut Connection, source: &str) -> DbResult<()> {
    use source_cooldowns::dsl;
    let over = dsl::source_cooldowns.find(source).filter(dsl::until.le(crate::sql::clock()));
    diesel::delete(over).execute(conn).await?;
    Ok(())
}
