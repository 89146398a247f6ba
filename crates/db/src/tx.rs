//! The one runner of transactions that write.
//!
//! A public function of this crate that writes is one transaction: one call of [`run`], or one
//! statement, which is its own transaction. Its helpers are `pub(crate)` and write in the
//! transaction of their caller. Each transaction goes the same way:
//!
//! 1. BEGIN. The time-outs of [`crate::opening`] hold from here on; behind a pooler they are set here.
//! 2. The work: it takes its locks (markets or predictions, then wallets, then the house's row) and
//!    checks in the same round trip whether the arena is [paused](crate::pauses::WhilePaused). A
//!    rule of `ledger-core` decides. The work writes entries, rows, audit row and events.
//! 3. The answer for a retry is kept, if the request has an `Idempotency-Key`.
//! 4. COMMIT; or, of a dry run, ROLLBACK.
//!
//! After a deadlock or serialization failure the runner starts again, at most [`ATTEMPTS_MAX`]
//! times. So work may run more than once and must have no effect outside of Postgres.
//!
//! The ticker's chunks are written by COPY on their own connection: see [`crate::ticks`].

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};

use crate::error::{DbError, DbResult};
use crate::idempotency::{self, Remember};
use crate::pool::Connection;

type Manager = AnsiTransactionManager;

/// How often a transaction is tried that others are in the way of.
const ATTEMPTS_MAX: u32 = 3;

/// How long a dry run waits for each lock: nothing that is real should wait behind it for long.
const DRY_LOCK_SECONDS: u32 = 1;

/// How a transaction ends whose work succeeded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    /// A dry run: its writes are never visible. It only uses up numbers of sequences.
    Rollback,
}

/// Runs `work` in one transaction, and stores its answer there for a retry if `hook` requires it.
///
/// # Errors
/// Those of `work`, after which nothing was done. [`DbError::OutcomeUnknown`] if the commit itself got no
/// answer. [`crate::error::Conflict::IdempotencyKey`] if a twin of the request was first.
pub(crate) async fn run<T>(
    conn: &mut Connection,
    hook: Option<&Remember<'_, T>>,
    work: impl AsyncFnOnce(&mut Connection) -> DbResult<T> + Clone,
) -> DbResult<T> {
    run_to(conn, End::Commit, hook, work).await
}

/// [`run`] without a second attempt, for work that has another way where others are in its way.
///
/// # Errors
/// Those of [`run`].
pub(crate) async fn run_once<T>(
    conn: &mut Connection,
    work: impl AsyncFnOnce(&mut Connection) -> DbResult<T>,
) -> DbResult<T> {
    attempt(conn, End::Commit, None, work).await
}

/// [`run`], or its dry run: the same work with the same locks, whose result is taken before all of
/// it is undone. It waits for each lock at most [`DRY_LOCK_SECONDS`], and others wait for its locks
/// until its work is done.
///
/// # Errors
/// Those of [`run`]. [`DbError::Unavailable`] if a lock was held for longer.
pub(crate) async fn run_to<T>(
    conn: &mut Connection,
    end: End,
    hook: Option<&Remember<'_, T>>,
    work: impl AsyncFnOnce(&mut Connection) -> DbResult<T> + Clone,
) -> DbResult<T> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt(conn, end, hook, work.clone()).await {
            Err(DbError::Contended(_)) => {}
            done => return done,
        }
    }
    attempt(conn, end, hook, work).await
}

async fn attempt<T>(
    conn: &mut Connection,
    end: End,
    hook: Option<&Remember<'_, T>>,
    work: impl AsyncFnOnce(&mut Connection) -> DbResult<T>,
) -> DbResult<T> {
    Manager::begin_transaction(conn).await?;
    let done = async {
        if end == End::Rollback {
            let patience = format!("SET LOCAL lock_timeout = '{DRY_LOCK_SECONDS}s'");
            conn.batch_execute(&patience).await?;
        }
        let outcome = work(conn).await?;
        idempotency::remember(conn, hook, &outcome).await?;
        Ok(outcome)
    };
    let done = done.await;
    if done.is_ok() && end == End::Commit {
        let committed = Manager::commit_transaction(conn).await;
        return committed.map_err(|error| of_commit(error.into())).and(done);
    }
    // Without an answer to it, the connection is broken and goes, and its transaction with it.
    let _ = Manager::rollback_transaction(conn).await;
    done
}

/// The work was complete: after a failed COMMIT the outcome is unknown.
fn of_commit(error: DbError) -> DbError {
    match error {
        DbError::Unavailable(why) | DbError::Aborted(why) | DbError::Query(why) => {
            DbError::OutcomeUnknown(why)
        }
        // Among them deadlocks and serialization failures, whose outcome is known.
        other => other,
    }
}
