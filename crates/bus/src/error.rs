//! What can go wrong between the arena and Redis.

use redis::{ErrorKind, RedisError};

use crate::RESPONSE_SECONDS;

pub type BusResult<T> = Result<T, BusError>;

/// No message contains the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    #[error("the Redis URL cannot be read; it looks like redis://:password@127.0.0.1:6379/0")]
    Url,
    /// Nobody listens, or the connection broke; trying again may help.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    #[error("Redis did not answer within {seconds} seconds")]
    Timeout { seconds: u64 },
    /// Redis wants another password, or another user.
    #[error("Redis refused the credentials: {0}")]
    Credentials(String),
    /// Redis answered with an error: out of memory, read-only, still loading.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// What is stored under a key, or answered, is not what this crate writes.
    #[error("Redis holds something unexpected: {0}")]
    Corrupt(String),
}

impl From<RedisError> for BusError {
    fn from(error: RedisError) -> BusError {
        if error.is_timeout() {
            return BusError::Timeout {
                seconds: RESPONSE_SECONDS,
            };
        }
        let message = error.to_string();
        let wants_password = error
            .code()
            .is_some_and(|code| matches!(code, "NOAUTH" | "WRONGPASS"));
        match error.kind() {
            ErrorKind::AuthenticationFailed => BusError::Credentials(message),
            _ if wants_password => BusError::Credentials(message),
            ErrorKind::Server(_) => BusError::Refused(message),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => BusError::Corrupt(message),
            _ => BusError::Unavailable(message),
        }
    }
}
