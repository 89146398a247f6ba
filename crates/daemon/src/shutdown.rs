//! The request to stop: a flag that signals set and loops look at.
//!
//! A signal never interrupts anything. Loops check the flag before each cycle and several times
//! a second while they sleep; the current cycle always finishes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a sleeper looks at the flag. A signal handler may only set a flag, it cannot wake a
/// task, so this is the longest time a signal goes unnoticed.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Elapsed,
    ShutdownRequested,
}

/// A handle on the request to stop; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: Arc<AtomicBool>,
    woken: Arc<Notify>,
}

impl Shutdown {
    /// A request that SIGINT and SIGTERM set. A second signal changes nothing: Ctrl-C in a
    /// terminal reaches a service twice, once directly and once from its supervisor.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        let shutdown = Self::manual();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&shutdown.requested))?;
        }
        Ok(shutdown)
    }

    /// A request that only [`Shutdown::request`] sets.
    #[must_use]
    pub fn manual() -> Self {
        Self {
            requested: Arc::new(AtomicBool::new(false)),
            woken: Arc::new(Notify::new()),
        }
    }

    /// Asks to stop, as a signal does.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        self.woken.notify_waiters();
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Returns once a stop was requested.
    pub async fn wait(&self) {
        loop {
            let woken = self.woken.notified();
            if self.is_requested() {
                return;
            }
            // Either way the flag decides.
            let _ = tokio::time::timeout(CHECK_INTERVAL, woken).await;
        }
    }

    /// Sleeps for that long, or until a stop is requested.
    pub async fn sleep(&self, duration: Duration) -> Wake {
        if self.is_requested() {
            return Wake::ShutdownRequested;
        }
        match tokio::time::timeout(duration, self.wait()).await {
            Ok(()) => Wake::ShutdownRequested,
            Err(_) if self.is_requested() => Wake::ShutdownRequested,
            Err(_) => Wake::Elapsed,
        }
    }

    /// Sleeps until that moment, or until a stop is requested.
    pub async fn sleep_until(&self, deadline: Instant) -> Wake {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
            .await
    }
}
