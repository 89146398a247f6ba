//! The audit log: who did what, in the transaction of what was done.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::{BotId, ObservationId};
use serde_json::Value;

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::audit_log;

/// A line of the audit log that is yet to be written. Holds no secret.
#[derive(Debug, Clone)]
pub(crate) struct AuditRow<'a> {
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) bot_id: Option<BotId>,
    pub(crate) observation_id: Option<ObservationId>,
    pub(crate) detail: Value,
}

/// Writes a line and answers its id.
pub(crate) async fn write(mut conn: &Connection, row: AuditRow<'_>) -> DbResult<i64> {
    Ok(diesel::insert_into(audit_log::table)
        .values((
            audit_log::actor.eq(row.actor),
            audit_log::action.eq(row.action),
            audit_log::bot_id.eq(row.bot_id.map(|bot| bot.0)),
            audit_log::observation_id.eq(row.observation_id.map(|observation| observation.0)),
            audit_log::detail.eq(row.detail),
        ))
        .returning(audit_log::id)
        .get_result(&mut conn)
        .await?)
}
