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

use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use crate::command_line::{self, Service};
use crate::config::Sources;
use crate::log_file::Limits;
use crate::{metrics, telemetry, traces};

pub use crate::failure::{
    EXIT_CONFIG, EXIT_FAILURE, EXIT_OK, EXIT_UNAVAILABLE, Failure, Refusal, Unavailable,
    exit_code_of,
};

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
