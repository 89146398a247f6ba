//! What can go wrong between the arena and Postgres.

use std::error::Error as _;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use ledger_core::{Refusal, SealError};

pub type DbResult<T> = Result<T, DbError>;

/// Only this module knows SQLSTATEs and the names of constraints.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The rules said no; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Somebody else was there first; nothing was written.
    #[error("{0}")]
    Conflict(Conflict),
    /// Postgres cannot be reached, or had to give up; trying again may help.
    #[error("Postgres is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost, or silent, while the commit was on its way: all of it was done, or
    /// nothing. Look before repeating it.
    #[error("Postgres did not answer to a commit: {0}")]
    OutcomeUnknown(String),
    /// What is stored contradicts itself. Run inspect-ledger.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    #[error("query failed: {0}")]
    Query(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("this handle is taken")]
    HandleTaken,
    #[error("this observation was used before")]
    ObservationUsed,
    #[error("there is a bet or an answer of this bot already")]
    AlreadyIn,
    #[error("a market of this id is there already")]
    MarketExists,
    #[error("these credentials were rotated away")]
    CredentialsSuperseded,
    #[error("other wagers used up what the house may lose this hour")]
    HouseBudget,
    #[error("a request with this Idempotency-Key is being served or was served otherwise")]
    IdempotencyKey,
}

impl DbError {
    /// Whether the same call may succeed later without anybody mending anything.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            DbError::Unavailable(_) => true,
            DbError::Refused(_)
            | DbError::NotFound(_)
            | DbError::Conflict(_)
            | DbError::OutcomeUnknown(_)
            | DbError::Corrupt(_)
            | DbError::Query(_) => false,
        }
    }

    /// Whether it only says that an earlier statement of the transaction failed.
    fn is_aftermath(&self) -> bool {
        matches!(self, DbError::Query(message) if message.starts_with("current transaction is aborted"))
    }

    pub(crate) fn corrupt(what: impl std::fmt::Display) -> DbError {
        DbError::Corrupt(what.to_string())
    }

    fn from_constraint(constraint: Option<&str>, message: String) -> DbError {
        match constraint {
            Some("bots_handle_key") => DbError::Conflict(Conflict::HandleTaken),
            Some("audit_log_observation_id_key") => DbError::Conflict(Conflict::ObservationUsed),
            Some("bets_one_on_a_market" | "bets_one_answer_a_tick") => {
                DbError::Conflict(Conflict::AlreadyIn)
            }
            Some("markets_pkey") => DbError::Conflict(Conflict::MarketExists),
            Some("idempotency_keys_pkey") => DbError::Conflict(Conflict::IdempotencyKey),
            Some(name @ ("ledger_pkey" | "ledger_chain_unbroken")) => {
                DbError::Corrupt(format!("{name}: {message}"))
            }
            _ => DbError::Query(message),
        }
    }
}

/// The error that made a pipeline fail: Postgres refuses whatever was sent behind it, and says so of
/// each.
pub(crate) fn first_cause(results: impl IntoIterator<Item = DbResult<()>>) -> DbResult<()> {
    let mut aftermath = Ok(());
    for error in results.into_iter().filter_map(Result::err) {
        if !error.is_aftermath() {
            return Err(error);
        }
        aftermath = Err(error);
    }
    aftermath
}

/// The result of a transaction of which it is known whether its work was `done`, so that only the
/// commit was left: whatever went wrong then, nobody knows how it ended.
pub(crate) fn of_commit<T>(result: DbResult<T>, done: bool) -> DbResult<T> {
    match result {
        Err(DbError::Unavailable(why) | DbError::Query(why)) if done => {
            Err(DbError::OutcomeUnknown(why))
        }
        other => other,
    }
}

impl From<SealError> for DbError {
    fn from(error: SealError) -> DbError {
        DbError::Corrupt(error.to_string())
    }
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> DbError {
        match error {
            DieselError::NotFound => DbError::NotFound("row"),
            DieselError::DatabaseError(kind, info) => {
                let message = info.message().to_owned();
                match kind {
                    DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::SerializationFailure
                    | DatabaseErrorKind::UnableToSendCommand => DbError::Unavailable(message),
                    DatabaseErrorKind::Unknown if is_transient(&message) => {
                        DbError::Unavailable(message)
                    }
                    _ => DbError::from_constraint(info.constraint_name(), message),
                }
            }
            DieselError::BrokenTransactionManager => {
                DbError::Unavailable("the connection was lost inside a transaction".to_owned())
            }
            DieselError::DeserializationError(error) => DbError::Corrupt(error.to_string()),
            other => DbError::Query(other.to_string()),
        }
    }
}

/// Diesel hands time-outs and shutdowns on by their message alone.
fn is_transient(message: &str) -> bool {
    const SIGNS: [&str; 12] = [
        "canceling statement due to",
        "deadlock detected",
        "terminating connection",
        "connection closed",
        "connection reset",
        "broken pipe",
        "unexpected eof",
        "the database system is",
        "could not serialize",
        "error communicating with the server",
        "too many clients",
        "could not extend file",
    ];
    let message = message.to_ascii_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> DbError {
        let Some(db) = error.as_db_error() else {
            let cause = error
                .source()
                .map_or_else(String::new, |cause| format!(": {cause}"));
            let message = format!("{error}{cause}");
            // Without a server's answer it is the connection, unless a value would not convert.
            return if error.is_closed() || is_transient(&message) || is_io(&error) {
                DbError::Unavailable(message)
            } else {
                DbError::Query(message)
            };
        };
        // 40: rollback, 53: resources, 55P03: lock time-out, 57: operator, 08: connection, 58: the
        // disk, XX: Postgres itself. Nobody's data is to blame for any of these.
        let code = db.code().code();
        let transient =
            matches!(&code[..2], "40" | "53" | "57" | "08" | "58" | "XX") || code == "55P03";
        if transient {
            DbError::Unavailable(db.message().to_owned())
        } else {
            DbError::from_constraint(db.constraint(), db.message().to_owned())
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some())
}
