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

use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use crate::BoxError;
use crate::command_line::{self, Service};
use crate::config::Sources;
use crate::exit::Code;
pub use crate::exit::{EXIT_CONFIG, EXIT_FAILURE, EXIT_OK, EXIT_UNAVAILABLE, exit_code_of};
use crate::log_file::Limits;
use crate::telemetry::{self, chain};
use crate::{metrics, traces};

const WORKER_THREADS: usize = 2;
/// The time for blocking work after the service itself has ended.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A service's `main`: answers its command line, or runs it to its end like [`main`].
pub fn serve(service: &Service, run: impl Future<Output = Result<(), Failure>>) -> ExitCode {
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
pub fn main(service: &str, run: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    ExitCode::from(self::run(service, run))
}

/// Like [`main`], with the exit code as a number.
pub fn run(service: &str, run: impl Future<Output = Result<(), Failure>>) -> u8 {
    telemetry::init(service);
    let result = match Limits::from_sources(&Sources::load()) {
        Ok(_) => run_to_end(run),
        Err(error) => Err(error.into()),
    };
    traces::finish();
    let Err(failure) = result else {
        return EXIT_OK;
    };
    // If stderr is closed, only the exit code reports it.
    let _ = writeln!(std::io::stderr().lock(), "{service}: {failure}");
    failure.exit_code()
}

fn run_to_end(run: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
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
        // One line, whatever a server wrote into its message.
        let reason = chain(&*error.into()).split_whitespace().collect::<Vec<_>>().join(" ");
        self.why = format!("{reason} ({})", self.hint);
        self
    }
}

/// One line that says what is wrong and what to do, with the exit code that it stands for. It must not contain
/// a secret.
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
