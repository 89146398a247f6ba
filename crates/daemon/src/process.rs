//! How a process starts and how it ends: the runtime, one clear message on stderr, and an exit
//! code that a supervisor can act on.
//!
//! ```no_run
//! use daemon::process::{self, Failure};
//!
//! async fn run() -> Result<(), Failure> {
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     process::main("ticker", run())
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use crate::BoxError;
use crate::command_line::{self, Service};
use crate::config::{ConfigError, Problems, Sources};
use crate::log_file::Limits;
use crate::telemetry::{self, chain};
use crate::{metrics, traces};

/// Asked-for stop.
pub const EXIT_OK: u8 = 0;
/// Any failure that has no code of its own.
pub const EXIT_FAILURE: u8 = 1;
/// A dependency cannot be reached (`EX_UNAVAILABLE` of sysexits.h): waiting may help.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration cannot be used (`EX_CONFIG`): only a person helps.
pub const EXIT_CONFIG: u8 = 78;

const WORKER_THREADS: usize = 2;
/// What blocking work may still take once the service itself has ended.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// What a service's `main` does: answers its command line, or runs it to its end as [`main`] does.
pub fn serve<F>(service: &Service, run: F) -> ExitCode
where
    F: Future<Output = Result<(), Failure>>,
{
    let asked = command_line::parse(std::env::args_os().skip(1));
    if let Some(code) = service.answer(&asked) {
        return ExitCode::from(code);
    }
    telemetry::init(service.name);
    tracing::info!(build = %service.build, "built from");
    metrics::tell_build(&service.build);
    main(service.name, run)
}

/// Runs a program to its end: starts the logs, a runtime of two worker threads, and `run` in it.
/// A failure is printed to stderr as one message with what to do about it.
pub fn main<F>(service: &str, run: F) -> ExitCode
where
    F: Future<Output = Result<(), Failure>>,
{
    ExitCode::from(self::run(service, run))
}

/// Like [`main`], with the exit code as a number.
pub fn run<F>(service: &str, run: F) -> u8
where
    F: Future<Output = Result<(), Failure>>,
{
    telemetry::init(service);
    let result = match Limits::from_sources(&Sources::load()) {
        Ok(_) => run_to_end(run),
        Err(error) => Err(error.into()),
    };
    traces::finish();
    let Err(failure) = result else {
        return EXIT_OK;
    };
    // If stderr is gone there is nobody left to tell; the exit code still does.
    let _ = writeln!(std::io::stderr().lock(), "{service}: {failure}");
    failure.exit_code()
}

fn run_to_end<F>(run: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()?;
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run)));
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    result.unwrap_or_else(|_| Err("panicked; the log says where".into()))
}

/// Why a process ends before anybody asked it to.
///
/// `?` makes one of any error, `anyhow::Error` included. A [`ConfigError`] or an [`Unavailable`]
/// anywhere in the chain of causes decides the exit code, however much context lies around it.
#[derive(Debug)]
pub enum Failure {
    Config(ConfigError),
    Unavailable(Unavailable),
    Other(BoxError),
}

impl Failure {
    /// A dependency that cannot be reached. `what` names it and its endpoint ("Postgres at
    /// 127.0.0.1:5432"), `hint` says what to do; neither may contain a secret.
    pub fn unavailable(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unavailable(Unavailable::new(what, hint))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Other(error) => exit_code_of(&**error),
        }
    }
}

/// The exit code that an error stands for, looking through all its causes.
pub fn exit_code_of(error: &(dyn Error + 'static)) -> u8 {
    let mut next = Some(error);
    while let Some(error) = next {
        // The inner types are looked for too: an error wrapped by anyhow without context is not
        // visible as itself, but its source is.
        if error.is::<ConfigError>() || error.is::<Problems>() {
            return EXIT_CONFIG;
        }
        if error.is::<Unavailable>() || error.is::<Cause>() {
            return EXIT_UNAVAILABLE;
        }
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return refusal.exit_code;
        }
        next = error.source();
    }
    EXIT_FAILURE
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => f.write_str(&chain(error)),
            Self::Unavailable(error) => f.write_str(&chain(error)),
            Self::Other(error) => f.write_str(&chain(&**error)),
        }
    }
}

// `Failure` itself is deliberately not an `Error`: that is what allows this blanket.
impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let error = match error.downcast::<ConfigError>() {
            Ok(config) => return Self::Config(*config),
            Err(error) => error,
        };
        match error.downcast::<Unavailable>() {
            Ok(unavailable) => Self::Unavailable(*unavailable),
            Err(error) => Self::Other(error),
        }
    }
}

/// A dependency that cannot be reached, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {what}: {cause}")]
pub struct Unavailable {
    what: String,
    #[source]
    cause: Cause,
}

impl Unavailable {
    /// See [`Failure::unavailable`].
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), cause: Cause { reason: None, hint: hint.into() } }
    }

    /// Adds why, with all its causes. The error's text must not contain a secret.
    pub fn because(mut self, error: impl Into<BoxError>) -> Self {
        // One line, whatever a server wrote into its message.
        let reason = chain(&*error.into()).split_whitespace().collect::<Vec<_>>().join(" ");
        self.cause.reason = Some(reason);
        self
    }
}

#[derive(Debug)]
struct Cause {
    reason: Option<String>,
    hint: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason} ({})", self.hint),
            None => f.write_str(&self.hint),
        }
    }
}

impl Error for Cause {}

/// One line that says what is wrong and what to do, with the exit code that it stands for. It must not contain
/// a secret.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    exit_code: u8,
    text: String,
}

impl Refusal {
    pub fn new(exit_code: u8, text: impl Into<String>) -> Self {
        Self { exit_code, text: text.into() }
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
        self.exit_code
    }
}
