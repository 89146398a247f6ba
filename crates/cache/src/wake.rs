//! Notifications: after a commit, inform the followers of the event log that it has grown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use redis::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::error::CacheResult;
use crate::{Cache, within};

/// How long to wait before listening again after the connection broke.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The one channel. A message on it only means that Postgres has new events.
pub const EVENTS_CHANNEL: &str = "arena:events";

impl Cache {
    /// Tells the readers now. Returns how many listened.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`crate::CacheError`].
    pub async fn wake(&self) -> CacheResult<u64> {
        let channel = self.key(EVENTS_CHANNEL);
        self.run(redis::cmd("PUBLISH").arg(&channel).arg("new")).await
    }

    /// Tells the readers in the background, best effort. Call it after the commit; calls that come
    /// before the message is sent share it.
    pub fn wake_soon(&self) {
        if self.wake_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        let cache = self.clone();
        tokio::spawn(async move {
            // Before sending: later commits need their own message.
            cache.wake_pending.store(false, Ordering::Release);
            if let Err(error) = cache.wake().await {
                debug!(%error, "no wake-up was sent; readers find the events by themselves");
            }
        });
    }

    /// Listens from now on, on its own connection that reconnects automatically.
    pub fn wake_ups(&self) -> WakeUps {
        let heard = Arc::new(Notify::new());
        // The listener outlives the cache that made it.
        let (link, channel) = (Arc::clone(&self.link), self.key(EVENTS_CHANNEL));
        let mut news = link.subscribe();
        let tell = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            // Held here, so that there is always a sender.
            let _link = link;
            loop {
                let client = news.borrow_and_update().client.clone();
                tokio::select! {
                    listened = listen(&client, &channel, &tell) => {
                        if let Err(error) = listened {
                            debug!(%error, "cannot listen for wake-ups; trying again");
                        }
                        tokio::time::sleep(AGAIN_AFTER).await;
                    }
                    // Other credentials were taken up: listen by those.
                    _ = news.changed() => {}
                }
            }
        });
        WakeUps { heard, task }
    }
}

/// Wake-ups as they come. Some may be lost while Redis is down: callers should also query Postgres at regular
/// intervals.
pub struct WakeUps {
    heard: Arc<Notify>,
    task: JoinHandle<()>,
}

impl WakeUps {
    /// Returns with the next wake-up, at once if there was one since the last call. Many at once
    /// are one. A cancelled wait loses nothing.
    pub async fn next(&self) {
        self.heard.notified().await;
    }
}

impl Drop for WakeUps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes messages on until the connection breaks.
async fn listen(client: &Client, channel: &str, heard: &Notify) -> CacheResult<()> {
    let mut subscription = within(async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription)
    })
    .await?;
    // For messages before there was a listener.
    heard.notify_one();
    let mut messages = subscription.on_message();
    while messages.next().await.is_some() {
        heard.notify_one();
    }
    Ok(())
}
