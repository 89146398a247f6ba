//! The time engine: every living bot exactly once a tick, in chunks.
//!
//! A chunk is one transaction: it locks the wallets of the next thousand bots that the tick has not
//! reached, lets [`economy::tick`] decide on each in memory, and writes entries, wallets, metrics,
//! posts and events in bulk. A charged wallet has the tick's number, so a repeated chunk, here or
//! in another ticker, charges no bot twice.
//!
//! Locking and sealing are those of [`crate::ledger`]; only the transport differs. COPY is three
//! times as fast as INSERT here, and the async diesel has no COPY, so the engine has its own
//! connection.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules, Enforcement};
use ledger_core::event::TickEvent;
use ledger_core::post::Draft;
use ledger_core::{BotId, Hash, Pause, Refusal, TickNumber, Timestamp};

use crate::error::{DbError, DbResult};
use crate::events;
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::NewPost;
use crate::rules::keep;
use crate::schema::ticks;
use crate::sql::{Prepare, Sql};
use crate::totals::{self, Attention};
use crate::tx;

mod chunk;
mod engine;
mod statements;

pub use engine::{Prepared, TickEngine};

/// Held by a transaction that begins a tick, and shared by those that make or revive bots: "TICK".
pub(crate) const TICK_BOUNDARY_LOCK: i64 = 0x5449_434b;

/// A tick, as it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct Tick {
    #[diesel(deserialize_as = i64)]
    pub number: TickNumber,
    /// The mode at its beginning, which applies to its end.
    pub enforcement: Enforcement,
    /// The rules at its beginning, which apply to its end; see [`crate::rules::of`].
    pub rules: Option<Hash>,
    pub started_at: Timestamp,
}

/// The work of a ticker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A tick that began now.
    Begun(Tick),
    /// A tick that is open: another ticker is at it, or one died over it.
    Open(Tick),
    /// The next tick begins in so many microseconds.
    NotYet { micros: i64 },
    /// The arena is paused: no tick begins, and one that is open waits.
    Paused(Pause),
}

/// Begins the next tick if the last is closed and `tick_rate_seconds` have passed since it began.
/// Ticks missed while no ticker ran are skipped.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
#[crate::boxed]
pub async fn due(
    conn: &mut Connection,
    rules: &EconomyRules,
    tick_rate_seconds: i64,
) -> DbResult<Due> {
    let enforcement = rules.enforcement;
    tx::run(conn, None, async |conn| {
        crate::sql::lock(conn, TICK_BOUNDARY_LOCK).await?;
        match WhilePaused::Refuse.check(conn).await {
            Err(DbError::Refused(Refusal::ArenaPaused { pause })) => {
                return Ok(Due::Paused(pause));
            }
            other => other?,
        }
        let now = crate::now(conn).await?;
        let tick = (ticks::number, ticks::enforcement, ticks::rules, ticks::started_at);
        let last: Option<(Tick, Option<Timestamp>)> = ticks::table
            .order(ticks::number.desc())
            .select((tick, ticks::closed_at))
            .first(conn)
            .await
            .optional()?;
        let number = match last {
            Some((tick, None)) => return Ok(Due::Open(tick)),
            Some((tick, Some(_))) => {
                let begins = tick.started_at.plus_seconds(tick_rate_seconds);
                let micros = begins.micros() - now.micros();
                // A clock that was set back must not stop time for longer than one rate.
                if micros > 0 && micros <= tick_rate_seconds.saturating_mul(1_000_000) {
                    return Ok(Due::NotYet { micros });
                }
                tick.number.0 + 1
            }
            None => 1,
        };
        let digest = keep(conn, rules).await?;
        diesel::insert_into(ticks::table)
            .values((
                ticks::number.eq(number),
                ticks::rules.eq(Some(digest)),
                ticks::enforcement.eq(Sql(enforcement)),
                ticks::started_at.eq(Sql(now)),
            ))
            .execute(conn)
            .await?;
        Ok(Due::Begun(Tick {
            number: TickNumber(number),
            enforcement,
            rules: Some(digest),
            started_at: now,
        }))
    })
    .await
}

/// The number of the latest tick, open or closed; 0 before the first.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn latest(conn: &mut Connection) -> DbResult<TickNumber> {
    let number: Option<i64> =
        ticks::table.select(diesel::dsl::max(ticks::number)).first(conn).await?;
    Ok(TickNumber(number.unwrap_or(0)))
}

/// When the latest tick began, with its number; `None` before the first.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn latest_begun(conn: &mut Connection) -> DbResult<Option<(TickNumber, Timestamp)>> {
    let row: Option<(i64, Timestamp)> = ticks::table
        .select((ticks::number, ticks::started_at))
        .order(ticks::number.desc())
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(number, at)| (TickNumber(number), at)))
}

/// Makes sure that the days ahead have a place for their metrics.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn ensure_metrics_partitions(conn: &mut Connection) -> DbResult<()> {
    diesel::sql_query("SELECT ensure_metrics_partitions(7)").prepared().execute(conn).await?;
    Ok(())
}

/// The totals of a whole tick.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct TickTotals {
    #[diesel(sql_type = BigInt)]
    pub bots: i64,
    #[diesel(sql_type = BigInt)]
    pub liquidated: i64,
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
    #[diesel(sql_type = Text)]
    pub fees: String,
}

/// Closes the tick if every living bot was reached, and writes its totals to a `tick` event. `None`
/// while a bot is left, or if another ticker closed it.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
#[crate::boxed]
pub async fn close(conn: &mut Connection, tick: &Tick) -> DbResult<Option<TickTotals>> {
    tx::run(conn, None, async |conn| {
        let totals: Option<TickTotals> = diesel::sql_query(
            "UPDATE ticks \
                SET closed_at = clock_timestamp(), \
                    failed = (SELECT count(*) FROM tick_failures WHERE tick = $1) \
              WHERE number = $1 AND closed_at IS NULL \
                AND NOT EXISTS (SELECT FROM wallets w \
                                 WHERE w.status = 'ALIVE' AND w.paused_at IS NULL \
                                   AND w.last_tick < $1 \
                                   AND NOT EXISTS (SELECT FROM tick_failures f \
                                                    WHERE f.tick = $1 AND f.bot_id = w.bot_id)) \
             RETURNING bots, liquidated, failed, fees::text AS fees",
        )
        .bind::<BigInt, _>(tick.number.0)
        .prepared()
        .get_result(conn)
        .await
        .optional()?;
        if let Some(totals) = &totals {
            let event = NewEvent::Tick(TickEvent {
                tick: tick.number,
                mode: tick.enforcement,
                bots: totals.bots,
                fees: totals.fees.clone(),
                liquidated: totals.liquidated,
                failed: totals.failed,
            });
            events::write(conn, &[event]).await?;
        }
        Ok(totals)
    })
    .await
}

/// Whether this tick is still open.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn is_open(conn: &mut Connection, tick: &Tick) -> DbResult<bool> {
    let open: i64 = ticks::table
        .filter(ticks::number.eq(tick.number.0))
        .filter(ticks::closed_at.is_null())
        .count()
        .get_result(conn)
        .await?;
    Ok(open > 0)
}

/// Records that a bot could not be charged in this tick: it is skipped without a charge, with a
/// post in its feed. Does nothing for a bot that was charged after all.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
#[crate::boxed]
pub async fn record_failure(
    conn: &mut Connection,
    tick: &Tick,
    bot_id: BotId,
    error: &str,
) -> DbResult<()> {
    tx::run(conn, None, async |conn| {
        // Under the wallet's lock: another ticker may have charged the bot meanwhile.
        let inserted = diesel::sql_query(
            "INSERT INTO tick_failures (tick, bot_id, error) \
             SELECT $1, bot_id, $3 FROM (SELECT bot_id FROM wallets \
                                          WHERE bot_id = $2 AND status = 'ALIVE' \
                                            AND paused_at IS NULL \
                                            AND last_tick < $1 FOR UPDATE) w \
             ON CONFLICT DO NOTHING",
        )
        .bind::<BigInt, _>(tick.number.0)
        .bind::<BigInt, _>(bot_id.0)
        .bind::<Text, _>(error)
        .prepared()
        .execute(conn)
        .await?;
        if inserted == 0 {
            return Ok(());
        }
        totals::add_attention(conn, bot_id, Attention::Error).await?;
        let now = crate::now(conn).await?;
        let post = NewPost {
            bot_id,
            draft: Draft::tick_failed(tick.number),
            reference: economy::tick_reference(tick.number).to_string(),
            created_at: now,
        };
        events::write(conn, &[post.event()]).await?;
        crate::posts::write(conn, &[post]).await
    })
    .await
}

/// Which bots a chunk takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The next bots after `after` with free wallets.
    Free { after: BotId, limit: i64 },
    /// The next bots after `after`, waiting for locks.
    Waiting { after: BotId, limit: i64 },
    /// Only these, waiting for locks.
    Exactly(Vec<BotId>),
}

impl Selection {
    /// The most bots that it takes.
    fn size(&self) -> usize {
        match self {
            Selection::Free { limit, .. } | Selection::Waiting { limit, .. } => {
                usize::try_from(*limit).unwrap_or(0)
            }
            Selection::Exactly(bots) => bots.len(),
        }
    }
}

/// The result of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkReport {
    pub bots: usize,
    /// The highest bot of the chunk; `None` if there was none to take.
    pub last: Option<BotId>,
    /// Fees charged, or noted in observe mode, in units of 10⁻⁸.
    pub fees: i128,
    pub liquidated: Vec<BotId>,
    pub would_have_been_liquidated: Vec<BotId>,
}

/// A chunk that failed and was rolled back, with the bots it had locked.
#[derive(Debug, thiserror::Error)]
#[error("a chunk of {} bots failed: {error}", bots.len())]
pub struct ChunkError {
    pub bots: Vec<BotId>,
    pub error: DbError,
}
