//! Errors between the arena and Redis.

use std::error::Error as _;

use redis::{ErrorKind, RedisError};

use crate::RESPONSE_SECONDS;

pub type CacheResult<T> = Result<T, CacheError>;

/// No message contains the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
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
    /// Redis answers, and takes no writes.
    #[error("Redis refuses writes: {0}")]
    WritesRefused(&'static str),
    /// The URL's CA is invalid.
    #[error("Redis cannot be reached over TLS: {0}")]
    Certificate(String),
    /// Redis answered with an error, such as that it is still loading.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// A stored value, or an answer, does not have this crate's form.
    #[error("Redis holds something unexpected: {0}")]
    Corrupt(String),
}

impl CacheError {
    /// The public text of the error: constant, without a server's message.
    pub fn shown(&self) -> Option<String> {
        matches!(self, CacheError::WritesRefused(_)).then(|| self.to_string())
    }
}

/// Why Redis refuses writes, and what to do, by its error's code.
fn refusal(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => {
            "its memory is full (maxmemory with noeviction); give it more, or remove other data"
        }
        "READONLY" => "it is a read-only replica; let REDIS_URL lead to the primary",
        "MISCONF" => "it could not save to its disk; see its log, and make room",
        "NOREPLICAS" => {
            "it has fewer replicas than min-replicas-to-write; bring them back, or lower it"
        }
        "MASTERDOWN" => "it is a replica that lost its primary; let REDIS_URL lead to the primary",
        _ => return None,
    })
}

/// What to check if TLS failed.
const CERTIFICATE: &str = "is its CA the one of sslrootcert in REDIS_URL, is it made for the host of the URL, \
    and has it not expired?";

fn is_certificate(error: &RedisError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let whole = error.downcast_ref::<rustls::Error>();
        let within = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(_)) = whole.or(within) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<RedisError> for CacheError {
    fn from(error: RedisError) -> CacheError {
        if error.is_timeout() {
            return CacheError::Timeout { seconds: RESPONSE_SECONDS };
        }
        if let Some(why) = error.code().and_then(refusal) {
            return CacheError::WritesRefused(why);
        }
        let mut message = error.to_string();
        if is_certificate(&error) || message.contains("invalid peer certificate") {
            message = format!("{message} ({CERTIFICATE})");
        }
        let wants_password =
            error.code().is_some_and(|code| matches!(code, "NOAUTH" | "WRONGPASS"));
        match error.kind() {
            ErrorKind::AuthenticationFailed => CacheError::Credentials(message),
            _ if wants_password => CacheError::Credentials(message),
            ErrorKind::Server(_) => CacheError::Refused(message),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => CacheError::Corrupt(message),
            _ => CacheError::Unavailable(message),
        }
    }
}
