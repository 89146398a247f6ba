//! Errors between the arena and Postgres.

use std::error::Error as _;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use ledger_core::{Refusal, SealError};

use crate::sqlstate;

pub type DbResult<T> = Result<T, DbError>;

pub(crate) const READ_ONLY: &str =
    "takes no writes; see who set default_transaction_read_only, and whether its disk is full";

/// Only this module contains SQLSTATEs and names of constraints.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The rules refused; nothing was written.
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
    /// A deadlock, or a serialization failure: Postgres ended this transaction in favour of another.
    /// [`crate::tx`] has tried again; trying later may help.
    #[error("Postgres is unavailable: {0}")]
    Contended(String),
    /// Postgres answers, and takes no writes.
    #[error("Postgres {0}")]
    ReadOnly(&'static str),
    /// The connection was lost, or silent, while the commit was on its way: all of it was done, or
    /// nothing. Look before repeating it.
    #[error("Postgres did not answer to a commit: {0}")]
    OutcomeUnknown(String),
    /// The database itself is not usable, whatever it contains.
    #[error(
        "its encoding is {0}, which cannot hold every text, and must be UTF8: make another one \
         (CREATE DATABASE … ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0)"
    )]
    Encoding(String),
    /// A restore into it was interrupted, or did not come out equal.
    #[error(
        "a restore into this database was interrupted or failed: drop the database, make an empty one \
         and restore into that"
    )]
    Unfinished,
    /// Stored data contradicts itself. Run inspect-ledger.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    /// An earlier statement of the transaction failed, and its error counts.
    #[error("an earlier statement of the transaction failed: {0}")]
    Aborted(String),
    #[error("query failed: {0}")]
    Query(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("this handle is taken")]
    HandleTaken,
    #[error("this observation was used before")]
    ObservationUsed,
    #[error("this bot already has a bet or an answer here")]
    AlreadyIn,
    #[error("a market with this id already exists")]
    MarketExists,
    #[error("these credentials were rotated and are no longer valid")]
    CredentialsSuperseded,
    #[error("other wagers used up the house's budget of this hour")]
    HouseBudget,
    #[error(
        "another request with this Idempotency-Key is running or has already finished; wait a \
         moment and send the same request again"
    )]
    IdempotencyKey,
}

impl DbError {
    /// Whether the same call may succeed later without a repair.
    pub const fn retryable(&self) -> bool {
        match self {
            DbError::Unavailable(_) | DbError::Contended(_) | DbError::ReadOnly(_) => true,
            DbError::Refused(_)
            | DbError::NotFound(_)
            | DbError::Conflict(_)
            | DbError::OutcomeUnknown(_)
            | DbError::Encoding(_)
            | DbError::Unfinished
            | DbError::Corrupt(_)
            | DbError::Aborted(_)
            | DbError::Query(_) => false,
        }
    }

    /// The public text of the error: constant, without a server's message.
    pub fn shown(&self) -> Option<String> {
        matches!(self, DbError::ReadOnly(_)).then(|| self.to_string())
    }

    /// Whether it only reports that an earlier statement of the transaction failed.
    fn is_aftermath(&self) -> bool {
        matches!(self, DbError::Aborted(_))
    }

    pub(crate) fn corrupt(what: impl std::fmt::Display) -> DbError {
        DbError::Corrupt(what.to_string())
    }

    /// Only by the code: texts are in the server's language.
    fn from_code(code: &str, constraint: Option<&str>, message: String) -> DbError {
        // 40: rollback, 53: resources, 55P03: lock time-out, 57: operator, 08: connection, 58: the
        // disk, XX: Postgres itself. Nobody's data is to blame for any of these.
        let is_transient = ["40", "53", "57", "08", "58", "XX", "55P03", "25P03"]
            .iter()
            .any(|class| code.starts_with(class));
        match code {
            "40001" | "40P01" => DbError::Contended(message),
            _ if is_transient => DbError::Unavailable(message),
            "25P02" => DbError::Aborted(message),
            "25006" => DbError::ReadOnly(READ_ONLY),
            _ => DbError::from_constraint(constraint, message),
        }
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

/// The error that made a pipeline fail: Postgres refuses each later statement with an error.
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
                    DatabaseErrorKind::ReadOnlyTransaction => DbError::ReadOnly(READ_ONLY),
                    DatabaseErrorKind::SerializationFailure => DbError::Contended(message),
                    DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand => DbError::Unavailable(message),
                    // For all other codes diesel returns only the text.
                    DatabaseErrorKind::Unknown => match sqlstate::of(&message) {
                        Some(code) => DbError::from_code(&code, info.constraint_name(), message),
                        None => DbError::Query(message),
                    },
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

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> DbError {
        let Some(db) = error.as_db_error() else {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            let message = format!("{error}{cause}");
            // Without a server's answer it is the connection, unless a value would not convert.
            return if error.is_closed() || is_io(&error) {
                DbError::Unavailable(message)
            } else {
                DbError::Query(message)
            };
        };
        DbError::from_code(db.code().code(), db.constraint(), db.message().to_owned())
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|cause| cause.downcast_ref::<std::io::Error>().is_some())
}
