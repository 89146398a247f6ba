//! The request to stop: signals set it, and loops check it.
//!
//! A signal never interrupts anything. It wakes who sleeps or waits; the current round always finishes.

use std::io;
use std::thread;
use std::time::Duration;

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Elapsed,
    ShutdownRequested,
}

/// A handle on the request to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A request that SIGINT and SIGTERM set.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Self::on(&[SIGINT, SIGTERM])
    }

    /// A request that these signals set. A second signal changes nothing: Ctrl-C in a terminal reaches
    /// a service twice, once directly and once from its supervisor.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on(signals: &[i32]) -> io::Result<Self> {
        let shutdown = Self::manual();
        let requested = shutdown.clone();
        let mut signals = Signals::new(signals)?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|_| requested.request()))?;
        Ok(shutdown)
    }

    /// A request that only [`Shutdown::request`] sets.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Asks to stop, as a signal does.
    pub fn request(&self) {
        self.0.cancel();
    }

    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns once a stop was requested.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Sleeps for that long, or until a stop is requested.
    pub async fn sleep(&self, duration: Duration) -> Wake {
        match tokio::time::timeout(duration, self.wait()).await {
            Ok(()) => Wake::ShutdownRequested,
            Err(_) if self.is_requested() => Wake::ShutdownRequested,
            Err(_) => Wake::Elapsed,
        }
    }

    /// Sleeps until that moment, or until a stop is requested.
    pub async fn sleep_until(&self, deadline: Instant) -> Wake {
        self.sleep(deadline.saturating_duration_since(Instant::now())).await
    }
}
