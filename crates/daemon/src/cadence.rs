//! One turn after another, for ever: the loop of every background service.
//!
//! This is the outer one of two error boundaries. Inside a turn one bot's failure must not stop the others; here
//! one turn's failure, an error or a panic, must not stop the next.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, error, warn};

use crate::BoxError;
use crate::failure::chain;
use crate::shutdown::Shutdown;

/// Runs turns until a stop is requested, and returns after the current one has finished.
///
/// A turn begins `period` after the beginning of the one before, or at once if that one took longer: an overrun
/// delays, turns never overlap, and missed turns are skipped. Errors and panics are logged here, with their
/// causes, and the next turn comes at its time.
pub async fn run<C, F, E>(period: Duration, shutdown: &Shutdown, mut turn: C)
where
    C: FnMut() -> F + Send,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    while !shutdown.is_requested() {
        let began = Instant::now();
        if let Err(failure) = run_once(&mut turn).await {
            error!(error = failure, "turn failed; the next one follows in time");
        }
        let took = began.elapsed();
        if took > period {
            warn!(?took, ?period, "turn took longer than its period");
        }
        shutdown.sleep_until(began + period).await;
    }
}

/// Runs turns that choose their own beginnings, until a stop is requested.
///
/// The turn itself waits for its time (and must notice a requested stop meanwhile); there is a `pause` before the
/// next try only after a failure. The error boundary is that of [`run`].
pub async fn repeat<C, F, E>(pause: Duration, shutdown: &Shutdown, mut turn: C)
where
    C: FnMut() -> F + Send,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    while !shutdown.is_requested() {
        if let Err(failure) = run_once(&mut turn).await {
            error!(error = failure, ?pause, "turn failed; another try follows");
            shutdown.sleep(pause).await;
        }
    }
}

/// One turn in its own task, so that a panic ends only that task.
async fn run_once<C, F, E>(turn: &mut C) -> Result<(), String>
where
    C: FnMut() -> F,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    let future = catch_unwind(AssertUnwindSafe(turn))
        .map_err(|panic| format!("panicked: {}", panic_text(&*panic)))?;
    match tokio::spawn(future.in_current_span()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(chain(&*error.into())),
        Err(join) => match join.try_into_panic() {
            Ok(panic) => Err(format!("panicked: {}", panic_text(&*panic))),
            Err(join) => Err(chain(&join)),
        },
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}
