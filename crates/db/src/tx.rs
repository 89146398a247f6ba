//! The one runner of transactions that are answered: whoever asked for one knows afterwards that it was
//! carried out, that it was not, or that nobody can say.

use diesel_async::{AnsiTransactionManager, TransactionManager};

use crate::error::{DbError, DbResult};
use crate::idempotency::{self, Remember};
use crate::pool::Connection;

type Manager = AnsiTransactionManager;

/// Carries `work` out in one transaction, and keeps its answer there for a retry where `hook` says so.
///
/// # Errors
/// Those of `work`, after which nothing was done. [`DbError::OutcomeUnknown`] if the commit itself got no
/// answer. [`crate::error::Conflict::IdempotencyKey`] if a twin of the request was first.
pub(crate) async fn run<T>(
    conn: &mut Connection,
    hook: Option<&Remember<'_, T>>,
    work: impl AsyncFnOnce(&mut Connection) -> DbResult<T>,
) -> DbResult<T> {
    Manager::begin_transaction(conn).await?;
    let done = match work(conn).await {
        Ok(outcome) => idempotency::remember(conn, hook, &outcome)
            .await
            .map(|()| outcome),
        Err(error) => Err(error),
    };
    match done {
        Ok(outcome) => match Manager::commit_transaction(conn).await {
            Ok(()) => Ok(outcome),
            Err(error) => Err(of_commit(error.into())),
        },
        Err(error) => {
            // Without an answer to it, the connection is broken and goes, and its transaction with it.
            let _ = Manager::rollback_transaction(conn).await;
            Err(error)
        }
    }
}

/// Only the commit was left: whatever went wrong then, nobody knows how it ended.
fn of_commit(error: DbError) -> DbError {
    match error {
        DbError::Unavailable(why) | DbError::Aborted(why) | DbError::Query(why) => {
            DbError::OutcomeUnknown(why)
        }
        other => other,
    }
}
