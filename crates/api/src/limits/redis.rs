//! Counting in Redis: several requests in one query, and none while Redis does not answer.
//!
//! Answers of wagers that shared a commit go out together, and so the next requests come in
//! together. Requests that arrive during a query go into the next query, which costs little more
//! than one of them. After a failure no request queries Redis until a background probe has counted
//! successfully: a failed Redis does not delay requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache::Cache;
use cache::limits::rate::{RATE_PER_MINUTE_MAX, Rate, Use, Verdict};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Counted;

/// How long Redis may take. It answers in less than a thousandth of it.
const ANSWER_MILLIS: u64 = 1_000;
/// How often a Redis that failed is tried again.
const PROBE_MILLIS: u64 = 250;
/// The most requests of one query: it delays the others for a fraction of a millisecond.
const TOGETHER_MAX: usize = 128;

/// Redis, for limits.
pub(crate) struct SharedRedis(Arc<Shared>);

struct Shared {
    cache: Cache,
    /// The task that queries Redis: not a request's own, which may end before the others' answer.
    runtime: Handle,
    down: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    asking: bool,
}

struct Waiting {
    counted: Arc<[Counted]>,
    verdict: oneshot::Sender<Verdict>,
}

impl SharedRedis {
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(cache: &Cache) -> SharedRedis {
        SharedRedis(Arc::new(Shared {
            cache: cache.clone(),
            runtime: Handle::current(),
            down: AtomicBool::new(false),
            line: Mutex::default(),
        }))
    }

    pub(crate) fn is_down(&self) -> bool {
        self.0.down.load(Ordering::Relaxed)
    }

    /// Counts a request under all of its policies, or none; `None` if Redis cannot be queried.
    pub(crate) async fn admit(&self, counted: &Arc<[Counted]>) -> Option<Verdict> {
        let shared = &self.0;
        if shared.down.load(Ordering::Relaxed) {
            return None;
        }
        let (verdict, answer) = oneshot::channel();
        {
            let mut line = shared.line();
            line.waiting.push(Waiting { counted: Arc::clone(counted), verdict });
            if !line.asking {
                line.asking = true;
                shared.runtime.spawn(Arc::clone(shared).ask_for_all());
            }
        }
        // Without an answer the sender is dropped.
        answer.await.ok()
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queries until no request waits.
    async fn ask_for_all(self: Arc<Self>) {
        while let Some(together) = self.next() {
            let uses: Vec<Vec<Use<'_>>> = together
                .iter()
                .map(|waiting| waiting.counted.iter().map(Counted::once).collect())
                .collect();
            let requests: Vec<_> = uses.iter().map(Vec::as_slice).collect();
            match ask(&self.cache, &requests).await {
                Ok(verdicts) => {
                    for (waiting, verdict) in together.into_iter().zip(verdicts) {
                        // The caller may have gone; its request was counted anyway.
                        let _ = waiting.verdict.send(verdict);
                    }
                }
                Err(error) => self.mark_down(&error),
            }
        }
    }

    /// The next waiting ones; none waits while Redis is down.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut line = self.line();
        if self.down.load(Ordering::Relaxed) {
            line.waiting.clear();
        }
        if line.waiting.is_empty() {
            line.asking = false;
            return None;
        }
        let together = line.waiting.len().min(TOGETHER_MAX);
        Some(line.waiting.drain(..together).collect())
    }

    fn mark_down(self: &Arc<Self>, error: &str) {
        if self.down.swap(true, Ordering::Relaxed) {
            return;
        }
        warn!(error, "Redis cannot count: this process counts reads, and nothing else is accepted");
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            // Not a PING: a Redis that is out of memory or read-only still answers it.
            let probe =
                Use { name: "probe", rate: Rate::per_minute(RATE_PER_MINUTE_MAX, u32::MAX) };
            loop {
                tokio::time::sleep(Duration::from_millis(PROBE_MILLIS)).await;
                if ask(&shared.cache, &[&[probe]]).await.is_ok() {
                    break;
                }
            }
            shared.down.store(false, Ordering::Relaxed);
            info!("Redis counts again");
        });
    }
}

async fn ask(cache: &Cache, requests: &[&[Use<'_>]]) -> Result<Vec<Verdict>, String> {
    let patience = Duration::from_millis(ANSWER_MILLIS);
    match tokio::time::timeout(patience, cache.admit_each(requests)).await {
        Ok(Ok(verdicts)) => Ok(verdicts),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER_MILLIS} ms")),
    }
}
