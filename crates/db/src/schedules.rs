//! Each hosted bot's next turn, its runner, and today's cost of its model calls: the bot runner's use of the
//! database. A restart neither skips nor repeats a turn, and does not lose the spent amount.

use std::fmt;

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::{BotId, Money, Timestamp};

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::bot_schedules;
use crate::schema::sql_types::{BigInt, Bool, Date, Instant, Text, Units};
use crate::sql::{Prepare, statement};

/// A turn that this runner may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub bot_id: BotId,
    /// The fencing token of the lease.
    pub token: i64,
    /// Turns taken before this one.
    pub turns: i64,
    pub due_at: Timestamp,
}

/// Enters a bot in the schedule, its first turn due `first_in_seconds` from now. A bot that is
/// in it already keeps its times.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn enrol(conn: &mut Connection, bot_id: BotId, first_in_seconds: i64) -> DbResult<()> {
    diesel::sql_query(
        "INSERT INTO bot_schedules (bot_id, next_turn_at) \
         VALUES ($1, clock_timestamp() + make_interval(secs => $2::float8)) \
         ON CONFLICT (bot_id) DO NOTHING",
    )
    .bind::<BigInt, _>(bot_id.0)
    .bind::<BigInt, _>(first_in_seconds)
    .prepared()
    .execute(conn)
    .await?;
    Ok(())
}

statement! {
    struct ClaimTurn<'a> { holder: &'a str as Text, lease_seconds: i64 as BigInt, bot_id: i64 as BigInt }
    returns (BigInt, BigInt, Instant) =
    "UPDATE bot_schedules \
        SET lease_holder = {}, lease_token = lease_token + 1, \
            lease_expires_at = clock_timestamp() + make_interval(secs => {}::float8) \
      WHERE bot_id = {} AND next_turn_at <= clock_timestamp() \
        AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp()) \
     RETURNING lease_token, turns, next_turn_at"
}

/// Claims a bot's turn if it is due and no other runner has it. The claim lasts `lease_seconds`:
/// should this runner die, another takes the same turn after that.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn claim(
    conn: &mut Connection,
    bot_id: BotId,
    holder: &str,
    lease_seconds: i64,
) -> DbResult<Option<Turn>> {
    let claim = ClaimTurn { holder, lease_seconds, bot_id: bot_id.0 };
    let claimed = claim.get_result(conn).await.optional()?;
    Ok(claimed.map(|(token, turns, due_at)| Turn { bot_id, token, turns, due_at }))
}

/// Ends a claimed turn and sets the next `interval_seconds` after the moment this one was due, or
/// from now where that has passed: turns missed while no runner ran are skipped. Answers
/// whether the claim still held; if not, another runner has taken the turn.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn complete(conn: &mut Connection, turn: &Turn, interval_seconds: i64) -> DbResult<bool> {
    let set = "last_turn_at = clock_timestamp(), turns = turns + 1, \
        next_turn_at = CASE \
            WHEN next_turn_at + make_interval(secs => $3::float8) > clock_timestamp() \
                THEN next_turn_at + make_interval(secs => $3::float8) \
            ELSE clock_timestamp() + make_interval(secs => $3::float8) END, \
        lease_expires_at = NULL";
    give_back(conn, turn, set, interval_seconds).await
}

/// Defers a claimed turn by `seconds`, 0 for not at all: it stays the same turn, with its number
/// and its due time, for the next claim. Answers whether the claim still held.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn defer(conn: &mut Connection, turn: &Turn, seconds: i64) -> DbResult<bool> {
    let set = "lease_expires_at = clock_timestamp() + make_interval(secs => $3::float8)";
    give_back(conn, turn, set, seconds).await
}

/// Ends the hold on a claimed turn, if it is still held. There are as few texts as callers.
async fn give_back(
    conn: &mut Connection,
    turn: &Turn,
    set: &'static str,
    seconds: i64,
) -> DbResult<bool> {
    let changed = diesel::sql_query(format!(
        "UPDATE bot_schedules SET lease_holder = NULL, {set} \
          WHERE bot_id = $1 AND lease_token = $2 AND lease_holder IS NOT NULL"
    ))
    .bind::<BigInt, _>(turn.bot_id.0)
    .bind::<BigInt, _>(turn.token)
    .bind::<BigInt, _>(seconds)
    .prepared()
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// When a bot's next turn is due.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn next_turn_at(conn: &mut Connection, bot_id: BotId) -> DbResult<Option<Timestamp>> {
    let at: Option<Timestamp> = bot_schedules::table
        .find(bot_id.0)
        .select(bot_schedules::next_turn_at)
        .first(conn)
        .await
        .optional()?;
    Ok(at)
}

/// A day of spending: from midnight to midnight in UTC, by Postgres' clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpendingDay(NaiveDate);

impl fmt::Display for SpendingDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The result of a request to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// The amount is reserved, and counts as spent until [`settle_llm`] sets the real cost.
    Granted(LlmReservation),
    /// It would have lifted the day's sum above the cap. Nothing was written.
    Refused { day: SpendingDay },
}

/// An amount that was reserved for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LlmReservation {
    pub bot_id: BotId,
    pub day: SpendingDay,
    pub usd: Money,
}

statement! {
    struct Reserve {
        usd: Money as Units,
        bot_id: i64 as BigInt,
        same_usd: Money as Units,
        cap_usd: Money as Units,
    } returns (Date, Bool) =
    "WITH clock AS MATERIALIZED ( \
         SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS today \
     ), granted AS ( \
         UPDATE bot_schedules AS s \
            SET llm_usd = CASE WHEN s.llm_day >= today THEN s.llm_usd ELSE 0 END + {}, \
                llm_day = greatest(s.llm_day, today) \
           FROM clock \
          WHERE s.bot_id = {} \
            AND CASE WHEN s.llm_day >= today THEN s.llm_usd ELSE 0 END + {} <= {} \
         RETURNING s.llm_day \
     ) \
     SELECT coalesce(granted.llm_day, today), granted.llm_day IS NOT NULL \
       FROM clock LEFT JOIN granted ON true"
}

/// Reserves the highest cost of a model call, if the bot's sum of the day then stays within `cap_usd`. Of several
/// concurrent runners, as many are granted as fit. A bot that is in no schedule is refused.
///
/// The day never goes back: a statement that waited for another past midnight counts for the new
/// day, as the other does.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn reserve_llm(
    conn: &mut Connection,
    bot_id: BotId,
    usd: Money,
    cap_usd: Money,
) -> DbResult<Allowance> {
    let reserve = Reserve { usd, bot_id: bot_id.0, same_usd: usd, cap_usd };
    let (day, granted): (NaiveDate, bool) = reserve.get_result(conn).await?;
    let day = SpendingDay(day);
    Ok(if granted {
        Allowance::Granted(LlmReservation { bot_id, day, usd })
    } else {
        Allowance::Refused { day }
    })
}

/// Replaces the reserved amount of a call by its real cost. A reservation of a day that has ended
/// is left to that day. Answers whether anything changed.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn settle_llm(
    conn: &mut Connection,
    reservation: &LlmReservation,
    cost_usd: Money,
) -> DbResult<bool> {
    let changed = diesel::sql_query(
        "UPDATE bot_schedules \
            SET llm_usd = least(greatest(llm_usd - $3 + $4, 0), 9999999999.99999999) \
          WHERE bot_id = $1 AND llm_day = $2",
    )
    .bind::<BigInt, _>(reservation.bot_id.0)
    .bind::<Date, _>(reservation.day.0)
    .bind::<Units, _>(reservation.usd)
    .bind::<Units, _>(cost_usd)
    .prepared()
    .execute(conn)
    .await?;
    Ok(changed == 1)
}
