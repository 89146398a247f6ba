//! Wake-ups: after a commit, tell whoever follows the event log that it has grown.

use std::sync::atomic::Ordering;

use tracing::debug;

use crate::Bus;
use crate::error::BusResult;

/// The one channel. A message on it says nothing but that there is something new in Postgres.
pub const EVENTS_CHANNEL: &str = "arena:events";

impl Bus {
    /// Tells the readers now. Returns how many listened.
    pub async fn wake(&self) -> BusResult<u64> {
        let channel = self.key(EVENTS_CHANNEL);
        self.run(redis::cmd("PUBLISH").arg(&channel).arg("new"))
            .await
    }

    /// Tells the readers in the background, best effort. Call it after the commit; calls that come
    /// before the message is sent share it.
    pub fn wake_soon(&self) {
        if self.wake_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        let bus = self.clone();
        tokio::spawn(async move {
            // Before sending: what commits from here on needs a message of its own.
            bus.wake_pending.store(false, Ordering::Release);
            if let Err(error) = bus.wake().await {
                debug!(%error, "no wake-up was sent; readers find the events by themselves");
            }
        });
    }
}
