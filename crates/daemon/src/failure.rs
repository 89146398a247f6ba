//! Why a process ends without a requested stop, and its exit code for supervisors.

use std::error::Error;
use std::fmt::{self, Write as _};

use crate::BoxError;

/// Asked-for stop.
pub const EXIT_OK: u8 = 0;
/// Any failure without its own code.
pub const EXIT_FAILURE: u8 = 1;
/// A dependency cannot be reached (`EX_UNAVAILABLE` of sysexits.h): waiting may help.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration cannot be used (`EX_CONFIG`): only a person helps.
pub const EXIT_CONFIG: u8 = 78;

/// Why a process ends without a requested stop.
///
/// `?` makes one of any error, `anyhow::Error` included. A [`ConfigError`](crate::config::ConfigError), an
/// [`Unavailable`] or a [`Refusal`] anywhere in the chain of causes decides the exit code, however much context
/// lies around it.
#[derive(Debug)]
pub struct Failure(BoxError);

impl Failure {
    /// A dependency that cannot be reached. `what` names it and its endpoint ("Postgres at
    /// 127.0.0.1:5432"), `hint` says what to do; neither may contain a secret.
    pub fn unavailable(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Unavailable::new(what, hint).into()
    }

    pub fn exit_code(&self) -> u8 {
        exit_code_of(&*self.0)
    }
}

/// The exit code of an error, by all its causes.
pub fn exit_code_of(error: &(dyn Error + 'static)) -> u8 {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref::<Code>()).map_or(EXIT_FAILURE, |code| code.0)
}

/// The last cause of an error with its own exit code and without a text. An error that anyhow has wrapped
/// is not visible as itself, but its causes are.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("")]
pub(crate) struct Code(pub(crate) u8);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.0))
    }
}

// `Failure` itself is deliberately not an `Error`: that is what allows this blanket.
impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// A dependency that cannot be reached, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {what}: {why}")]
pub struct Unavailable {
    what: String,
    hint: String,
    why: String,
    #[source]
    code: Code,
}

impl Unavailable {
    /// See [`Failure::unavailable`].
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        Self { what: what.into(), why: hint.clone(), hint, code: Code(EXIT_UNAVAILABLE) }
    }

    /// Adds why, with all its causes. The error's text must not contain a secret.
    pub fn because(mut self, error: impl Into<BoxError>) -> Self {
        // One line, also for a server's message with several.
        let reason = chain(&*error.into()).split_whitespace().collect::<Vec<_>>().join(" ");
        self.why = format!("{reason} ({})", self.hint);
        self
    }
}

/// One line that says what is wrong and what to do, with its exit code. It must not contain a
/// secret.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    #[source]
    code: Code,
    text: String,
}

impl Refusal {
    pub fn new(exit_code: u8, text: impl Into<String>) -> Self {
        Self { code: Code(exit_code), text: text.into() }
    }

    /// A setting cannot be used.
    pub fn config(text: impl Into<String>) -> Self {
        Self::new(EXIT_CONFIG, text)
    }

    /// Something that is needed cannot be had.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(EXIT_UNAVAILABLE, text)
    }

    pub fn failure(text: impl Into<String>) -> Self {
        Self::new(EXIT_FAILURE, text)
    }

    pub fn exit_code(&self) -> u8 {
        self.code.0
    }
}

/// An error and its causes in one line: `outer: inner: innermost`.
///
/// Causes that an outer message already contains are not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            // Writing into a String cannot fail.
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}
