//! Deletion by age: days of metrics, and evidence that decided nothing.
//!
//! Never the ledger, the audit log, or deciding evidence. Insights, standings and supply use
//! running totals, so they do not change when these rows are deleted.

use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::error::DbResult;
use crate::pool::Connection;
use crate::sql::statement;

statement! {
    struct DropOldestMetrics { days: i32 as Integer } returns Nullable<Text> =
    "SELECT drop_oldest_metrics({})"
}

statement! {
    struct ForgetEvidence { days: i32 as Integer, rows_max: i32 as Integer } returns BigInt =
    "SELECT forget_evidence({}, {})"
}

/// Drops the oldest day of metrics that ended more than `days` days ago. Its table's name; `None` if
/// there is none.
///
/// # Errors
/// If the metrics were in use for half a second without a break: try again later.
#[crate::boxed]
pub async fn drop_oldest_metrics(conn: &mut Connection, days: i32) -> DbResult<Option<String>> {
    Ok(DropOldestMetrics { days }.get_result(conn).await?)
}

/// Forgets at most `rows_max` rows of evidence that decided nothing, of markets that were settled more
/// than `days` days ago. How many it was.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn forget_evidence(conn: &mut Connection, days: i32, rows_max: i32) -> DbResult<i64> {
    Ok(ForgetEvidence { days, rows_max }.get_result(conn).await?)
}
