//! The errors of a call.

use std::fmt;
use std::time::Duration;

use api_types::{Problem, ProblemKind};

/// A call without the answer that was hoped for. No variant holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The arena refused, with a reason.
    #[error("{0}")]
    Problem(Box<ProblemAnswer>),
    /// An error that did not come from the arena itself, e.g. from a proxy in front of it.
    #[error("{endpoint} answered {status} in an unexpected form; is API_URL right?")]
    Status {
        /// Method and URL.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The requested wait.
        retry_after: Option<Duration>,
    },
    /// There was no whole answer in time. Whether a post took effect is not known.
    #[error("{endpoint} did not answer in time")]
    Timeout {
        /// Method and URL.
        endpoint: String,
    },
    /// No connection, or one that broke. Whether a post took effect is not known.
    #[error("{endpoint} cannot be reached; is the api running, and is API_URL right?")]
    Unreachable {
        /// Method and URL.
        endpoint: String,
    },
    /// An answer beyond [`crate::RESPONSE_BYTES_MAX`].
    #[error("{endpoint} answered more than {max} bytes", max = crate::RESPONSE_BYTES_MAX)]
    TooLarge {
        /// Method and URL.
        endpoint: String,
    },
    /// A success whose body is not what this client expects.
    #[error(
        "{endpoint} answered what this client does not understand ({what} at {line}:{column}); are both of one version?"
    )]
    Malformed {
        /// Method and URL.
        endpoint: String,
        /// What is wrong, in words.
        what: &'static str,
        /// Where, from 1; the text itself is not quoted, for it may be a credential.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
    },
    /// The call needs a credential and the client has none.
    #[error("this call needs a bot's credential and the client has none")]
    NoCredential,
    /// The request cannot be written as JSON or as a header.
    #[error("the request cannot be written: {0}")]
    Request(&'static str),
}

impl ClientError {
    /// The problem, if the arena answered one.
    pub fn problem(&self) -> Option<&ProblemAnswer> {
        match self {
            ClientError::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Which problem the arena answered; `None` also for one that this build does not know.
    pub fn kind(&self) -> Option<ProblemKind> {
        self.problem()?.kind
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Problem(problem) => Some(problem.status),
            ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The wait that the arena, or a proxy in front of it, requests.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Problem(problem) => problem.retry_after,
            ClientError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The same error for a later caller, with the remaining wait.
    pub(crate) fn with_wait(mut self, left: Duration) -> ClientError {
        match &mut self {
            ClientError::Problem(problem) => problem.retry_after = Some(left),
            ClientError::Status { retry_after, .. } => *retry_after = Some(left),
            _ => {}
        }
        self
    }

    /// Whether the arena may answer the same call later: it did not answer, or was unavailable.
    pub fn is_unavailable(&self) -> bool {
        match self {
            ClientError::Timeout { .. } | ClientError::Unreachable { .. } => true,
            _ => matches!(self.status(), Some(502..=504)),
        }
    }
}

/// A problem as the arena answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `None` for a type that this build does not know.
    pub kind: Option<ProblemKind>,
    /// The stable path that names the kind of problem.
    pub problem_type: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// What went wrong in this request, and what to do next.
    pub detail: String,
    /// The request's field that is wrong, where one is.
    pub field: Option<String>,
    /// The id by which the operator finds the request.
    pub request_id: String,
    /// The wait that the arena requests.
    pub retry_after: Option<Duration>,
}

impl ProblemAnswer {
    pub(crate) fn new(problem: Problem, status: u16, retry_after: Option<Duration>) -> Self {
        ProblemAnswer {
            status,
            kind: problem.kind(),
            field: problem.field().map(str::to_owned),
            problem_type: problem.problem_type,
            title: problem.title,
            detail: problem.detail,
            request_id: problem.request_id,
            retry_after,
        }
    }
}

impl fmt::Display for ProblemAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)?;
        if let Some(field) = &self.field {
            write!(f, " (field {field})")?;
        }
        if !self.request_id.is_empty() {
            write!(f, " [request {}]", self.request_id)?;
        }
        Ok(())
    }
}

/// A client that cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The base URL is not that of an arena.
    #[error(
        "API_URL must be an http or https URL without user, password, query or fragment, e.g. \
         http://127.0.0.1:8000"
    )]
    BaseUrl,
    /// The credential does not fit a header.
    #[error("the credential has characters that are not allowed in an HTTP header")]
    Credential,
    /// The machine's certificates cannot be read, or the like.
    #[error("the HTTP client cannot be set up; are the system's certificates installed?")]
    Http,
}
