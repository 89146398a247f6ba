//! Why a request to a service failed, or its answer decides nothing.

/// Why a client cannot be set up. Messages hold no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A name and password in the URL would be sent and shown; a query or fragment would be lost.
    #[error(
        "must be an http:// or https:// URL with a host and without a name, password or fragment; \
         a base URL has no query either"
    )]
    Url,
    #[error("must be printable ASCII, valid in an HTTP header")]
    Key,
    #[error("must be printable ASCII such as an address or URL, valid in an HTTP header")]
    Contact,
    #[error("cannot be used: no HTTPS client could be made; are CA certificates installed?")]
    Client,
}

/// Why a service gave nothing. No message contains a key, a URL or a part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// 429, or the service's equivalent.
    #[error("asks us to go slower")]
    RateLimited {
        /// The requested wait, in seconds.
        retry_after_seconds: Option<i64>,
    },
    /// 403: the service, or the wall before it, has had enough of this address or key.
    #[error("refuses the request (403); check its key, or whether the address is blocked")]
    Forbidden,
    /// 403, 410, 451 and the like about the requested subject.
    #[error("refuses this one subject ({0}); other subjects are still queried")]
    Refused(u16),
    /// Absence would decide, and is not shown.
    #[error(
        "lists {items} items that cannot be read in full and may be the wanted one, so that the list decides \
         nothing"
    )]
    InDoubt { items: usize },
    /// 404, or a page that the answer calls missing.
    #[error("has nothing with that name")]
    NotFound,
    /// 5xx.
    #[error("fails on its side ({0})")]
    Server(u16),
    /// 3xx that is not followed: to another host, once too often, or where none belongs.
    #[error("redirects to another place ({0}), which is not followed")]
    Redirected(u16),
    #[error("answers with the unexpected status {0}; check its address and key in the settings")]
    Status(u16),
    #[error("answers with more bytes than allowed")]
    TooLarge,
    /// A web page, or anything else that cannot be read.
    #[error("answers with something that is not the expected JSON")]
    NotJson,
    #[error("answers with something that is not an RSS or Atom feed")]
    NotFeed,
    #[error("leaves out {0}")]
    MissingField(&'static str),
    /// The one reading of it that is left would be a guess.
    #[error("gives a {field} that {problem}")]
    Nonsense { field: &'static str, problem: &'static str },
    #[error("gives a value that is {age_seconds} s old")]
    Stale { age_seconds: i64 },
    #[error("has or was asked for a time {ahead_seconds} s in the future")]
    FromTheFuture { ahead_seconds: i64 },
}

/// A field that makes no sense.
pub(crate) fn nonsense<T>(field: &'static str, problem: &'static str) -> Result<T, SourceError> {
    Err(SourceError::Nonsense { field, problem })
}

/// A field that must be there.
pub(crate) fn given<T>(field: &'static str, value: Option<T>) -> Result<T, SourceError> {
    value.ok_or(SourceError::MissingField(field))
}

/// A service's request for a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peace {
    /// For how long, if given.
    pub retry_after_seconds: Option<i64>,
}

impl SourceError {
    /// For a request that a source never decides.
    pub(crate) const MISPLACED: SourceError = SourceError::Nonsense {
        field: "question",
        problem: "is not decided by a fetch from this source",
    };

    /// Whether the service requests a wait, and for how many seconds, if given.
    pub const fn wants_peace(&self) -> Option<Peace> {
        match self {
            SourceError::RateLimited { retry_after_seconds } => {
                Some(Peace { retry_after_seconds: *retry_after_seconds })
            }
            // Requests at the usual rate would extend a block.
            SourceError::Forbidden => Some(Peace { retry_after_seconds: None }),
            SourceError::Timeout
            | SourceError::Unreachable(_)
            | SourceError::NotFound
            | SourceError::Refused(_)
            | SourceError::InDoubt { .. }
            | SourceError::Server(_)
            | SourceError::Redirected(_)
            | SourceError::Status(_)
            | SourceError::TooLarge
            | SourceError::NotJson
            | SourceError::NotFeed
            | SourceError::MissingField(_)
            | SourceError::Nonsense { .. }
            | SourceError::Stale { .. }
            | SourceError::FromTheFuture { .. } => None,
        }
    }
}
