//! When each hosted bot thinks next, and which runner has it: the one thing for which the bot
//! runner uses the database. No restart skips a turn or repeats one.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use ledger_core::{BotId, Timestamp};

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::bot_schedules;

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
pub async fn enrol(conn: &mut Connection, bot_id: BotId, first_in_seconds: i64) -> DbResult<()> {
    diesel::sql_query(
        "INSERT INTO bot_schedules (bot_id, next_turn_at) \
         VALUES ($1, clock_timestamp() + make_interval(secs => $2::float8)) \
         ON CONFLICT (bot_id) DO NOTHING",
    )
    .bind::<BigInt, _>(bot_id.0)
    .bind::<BigInt, _>(first_in_seconds)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct TurnRow {
    #[diesel(sql_type = BigInt)]
    lease_token: i64,
    #[diesel(sql_type = BigInt)]
    turns: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    next_turn_at: DateTime<Utc>,
}

/// Claims a bot's turn if it is due and no other runner has it. The claim lasts `lease_seconds`:
/// should this runner die, another takes the same turn after that.
pub async fn claim(
    conn: &mut Connection,
    bot_id: BotId,
    holder: &str,
    lease_seconds: i64,
) -> DbResult<Option<Turn>> {
    let row: Option<TurnRow> = diesel::sql_query(
        "UPDATE bot_schedules \
            SET lease_holder = $2, lease_token = lease_token + 1, \
                lease_expires_at = clock_timestamp() + make_interval(secs => $3::float8) \
          WHERE bot_id = $1 AND next_turn_at <= clock_timestamp() \
            AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp()) \
         RETURNING lease_token, turns, next_turn_at",
    )
    .bind::<BigInt, _>(bot_id.0)
    .bind::<Text, _>(holder)
    .bind::<BigInt, _>(lease_seconds)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map(|row| Turn {
        bot_id,
        token: row.lease_token,
        turns: row.turns,
        due_at: row.next_turn_at.into(),
    }))
}

/// Ends a claimed turn and sets the next `interval_seconds` after the moment this one was due, or
/// from now where that has passed: turns missed while no runner ran are not made up for. Answers
/// whether the claim still held; if not, another runner has taken the turn.
pub async fn complete(conn: &mut Connection, turn: &Turn, interval_seconds: i64) -> DbResult<bool> {
    let changed = diesel::sql_query(
        "UPDATE bot_schedules \
            SET last_turn_at = clock_timestamp(), turns = turns + 1, \
                next_turn_at = CASE \
                    WHEN next_turn_at + make_interval(secs => $3::float8) > clock_timestamp() \
                        THEN next_turn_at + make_interval(secs => $3::float8) \
                    ELSE clock_timestamp() + make_interval(secs => $3::float8) END, \
                lease_holder = NULL, lease_expires_at = NULL \
          WHERE bot_id = $1 AND lease_token = $2 AND lease_holder IS NOT NULL",
    )
    .bind::<BigInt, _>(turn.bot_id.0)
    .bind::<BigInt, _>(turn.token)
    .bind::<BigInt, _>(interval_seconds)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Puts a claimed turn off by `seconds`, 0 for not at all: it stays the same turn, with its number
/// and its due time, for whoever claims it then. Answers whether the claim still held.
pub async fn defer(conn: &mut Connection, turn: &Turn, seconds: i64) -> DbResult<bool> {
    let changed = diesel::sql_query(
        "UPDATE bot_schedules \
            SET lease_holder = NULL, \
                lease_expires_at = clock_timestamp() + make_interval(secs => $3::float8) \
          WHERE bot_id = $1 AND lease_token = $2 AND lease_holder IS NOT NULL",
    )
    .bind::<BigInt, _>(turn.bot_id.0)
    .bind::<BigInt, _>(turn.token)
    .bind::<BigInt, _>(seconds)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// When a bot's next turn is due.
pub async fn next_turn_at(conn: &mut Connection, bot_id: BotId) -> DbResult<Option<Timestamp>> {
    let at: Option<DateTime<Utc>> = bot_schedules::table
        .find(bot_id.0)
        .select(bot_schedules::next_turn_at)
        .first(conn)
        .await
        .optional()?;
    Ok(at.map(Timestamp::from))
}
