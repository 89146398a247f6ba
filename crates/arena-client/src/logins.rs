//! One queue for the logins of all bots that share a transport.
//!
//! A login is the dearest thing an arena does for a stranger, so it admits few of them from one address.
//! A process that starts with many bots must not spend all of them at once and then have every bot
//! refused: a few log in at a time, and a wait that the arena requests from one applies to all.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::ClientError;

/// Logins at the same time.
const AT_ONCE: usize = 2;

pub(crate) struct LoginQueue {
    seats: Semaphore,
    /// Until when the arena refuses logins, and its error.
    closed: Mutex<Option<(Instant, ClientError)>>,
}

impl LoginQueue {
    pub(crate) fn new() -> LoginQueue {
        LoginQueue { seats: Semaphore::new(AT_ONCE), closed: Mutex::new(None) }
    }

    /// Logs in when it is this caller's turn. If the arena has requested a wait longer than `patience`, no login
    /// is sent, and the caller gets the arena's earlier error.
    pub(crate) async fn wait_for<T>(
        &self,
        patience: Duration,
        login: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        // The queue is never closed, so there is always a seat in the end.
        let _seat = self.seats.acquire().await;
        if let Some((opens_at, refusal)) = self.closed() {
            let left = opens_at.saturating_duration_since(Instant::now());
            if left > patience {
                return Err(refusal.with_wait(left));
            }
            tokio::time::sleep_until(opens_at).await;
        }
        let result = login.await;
        if let Err(error) = &result
            && let Some(wait) = error.retry_after()
        {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            *closed = Some((Instant::now() + wait, error.clone()));
        }
        result
    }

    fn closed(&self) -> Option<(Instant, ClientError)> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.take_if(|(opens_at, _)| *opens_at <= Instant::now());
        closed.clone()
    }
}
