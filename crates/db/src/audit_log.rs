//! The audit log: who did what, written in the transaction of the act.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use ledger_core::economy::Operator;
use ledger_core::{BotId, ObservationId, Timestamp};
use serde_json::Value;

use crate::PAGE_MAX;
use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::audit_log;

/// Writes a line and answers its id. `bot_id` is the bot that it is about. `detail` contains no secret.
pub(crate) async fn write(
    conn: &Connection,
    actor: &str,
    action: &str,
    bot_id: Option<BotId>,
    detail: Value,
) -> DbResult<i64> {
    write_with_observation(conn, actor, action, bot_id, None, detail).await
}

/// Records a bot's own act.
pub(crate) async fn write_by_bot(
    conn: &Connection,
    bot_id: BotId,
    action: &str,
    detail: Value,
) -> DbResult<i64> {
    write(conn, &format!("bot:{bot_id}"), action, Some(bot_id), detail).await
}

/// [`write`] for an act that uses an observation up.
pub(crate) async fn write_with_observation(
    mut conn: &Connection,
    actor: &str,
    action: &str,
    bot_id: Option<BotId>,
    observation_id: Option<ObservationId>,
    detail: Value,
) -> DbResult<i64> {
    Ok(diesel::insert_into(audit_log::table)
        .values((
            audit_log::actor.eq(actor),
            audit_log::action.eq(action),
            audit_log::bot_id.eq(bot_id.map(|bot| bot.0)),
            audit_log::observation_id.eq(observation_id.map(|observation| observation.0)),
            audit_log::detail.eq(detail),
        ))
        .returning(audit_log::id)
        .get_result(&mut conn)
        .await?)
}

/// Records an operator's act outside of the functions that record it in their own transaction.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn record_act(
    conn: &mut Connection,
    who: &Operator,
    action: &str,
    detail: Value,
) -> DbResult<()> {
    write(conn, &who.to_string(), action, None, detail).await.map(drop)
}

/// Agents' own actions: most of the log, and also in their ledgers, predictions and bets.
pub const AGENTS_ACTIONS: [&str; 5] = ["PREDICT", "WAIT", "BET", "ANSWER", "USAGE"];
/// Indexes cover everything else; their condition lists these words.
const BY_OTHERS: &str = "action NOT IN ('PREDICT', 'WAIT', 'BET', 'ANSWER', 'USAGE')";

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    pub id: i64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub bot_id: Option<BotId>,
    pub detail: Value,
}

/// Which lines a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this action; without one, all but [`AGENTS_ACTIONS`].
    pub action: Option<String>,
    /// Only lines about this bot; not together with one of [`AGENTS_ACTIONS`], for which there is no
    /// index.
    pub bot_id: Option<BotId>,
}

/// Lines, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn page(
    conn: &mut Connection,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: i64,
) -> DbResult<Vec<Line>> {
    type Row = (i64, Timestamp, String, String, Option<i64>, Value);
    let mut query = audit_log::table
        .filter(audit_log::id.lt(before.unwrap_or(i64::MAX)))
        .order(audit_log::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select((
            audit_log::id,
            audit_log::at,
            audit_log::actor,
            audit_log::action,
            audit_log::bot_id,
            audit_log::detail,
        ))
        .into_boxed();
    match filter.action.as_deref() {
        Some(action) if AGENTS_ACTIONS.contains(&action) => {
            query = query.filter(audit_log::action.eq(action));
        }
        Some(action) => {
            query = query.filter(others()).filter(audit_log::action.eq(action));
        }
        None => query = query.filter(others()),
    }
    if let Some(bot_id) = filter.bot_id {
        query = query.filter(audit_log::bot_id.eq(bot_id.0));
    }
    let rows: Vec<Row> = query.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(id, at, actor, action, bot_id, detail)| Line {
            id,
            at,
            actor,
            action,
            bot_id: bot_id.map(BotId),
            detail,
        })
        .collect())
}

fn others() -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql(BY_OTHERS)
}
