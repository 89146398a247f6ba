//! One oracle works; the others wait for it to die.
//!
//! The oracle with the row `oracle` of the leases is the leader. A separate task renews the lease, so that a long
//! round does not lose it, and while another oracle has it, tries to get it every second. The holder counts the
//! lease from before its request, by its own monotonic clock: so its lease never ends later than in Postgres.
//!
//! Settlement would be right even with two active oracles (each prediction is settled once, under its row's
//! lock); the lease avoids double requests to sources.

use std::sync::Arc;
use std::time::Duration;

use daemon::shutdown::Shutdown;
use db::{Database, DbResult};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use uuid::Uuid;

/// The lease's name.
pub const LEASE: &str = "oracle";
/// How long a lease lasts unless it is renewed.
pub const LEASE_SECONDS: i64 = 8;
/// From one renewal to the next.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// How often a standby tries to get the lease, and a holder retries a failed renewal.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The times of a lease: the constants above, or shorter ones in tests.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    pub lease_seconds: i64,
    pub renew_interval: Duration,
    pub poll_interval: Duration,
}

impl Default for LeaseTimes {
    fn default() -> LeaseTimes {
        LeaseTimes {
            lease_seconds: LEASE_SECONDS,
            renew_interval: RENEW_INTERVAL,
            poll_interval: POLL_INTERVAL,
        }
    }
}

/// The present role of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Active => "active",
            Role::Standby => "standby",
        }
    }
}

/// A lease with its holder's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    token: i64,
    until: Instant,
}

/// The state of the lease for the rest of the process; clones share it.
#[derive(Clone)]
pub struct Leadership {
    held: watch::Receiver<Option<Held>>,
}

/// The task that holds the lease, or tries to.
pub struct Contest {
    database: Database,
    holder: Arc<str>,
    times: LeaseTimes,
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Starts to contend for the lease. Nothing is held yet.
    pub fn contend(database: Database, times: LeaseTimes) -> (Leadership, Contest) {
        let (announce, held) = watch::channel(None);
        let holder: Arc<str> = format!("oracle-{}", Uuid::new_v4()).into();
        // A separate signal from the process' shutdown: the lease must last until the last round has finished.
        let stop = Shutdown::manual();
        let task = tokio::spawn(contend(
            database.clone(),
            Arc::clone(&holder),
            times,
            announce,
            stop.clone(),
        ));
        (Leadership { held }, Contest { database, holder, times, stop, task })
    }

    pub fn role(&self) -> Role {
        match *self.held.borrow() {
            // A process that was frozen finds out here, before its task has run again.
            Some(held) if held.until > Instant::now() => Role::Active,
            _ => Role::Standby,
        }
    }

    pub fn is_active(&self) -> bool {
        self.role() == Role::Active
    }

    /// Waits for the lease. `None` when a stop was requested first; otherwise a term of office: a
    /// shutdown that is requested when the lease is lost or the process stops.
    pub async fn next_term(&self, shutdown: &Shutdown) -> Option<Shutdown> {
        let mut held = self.held.clone();
        let mut watcher = held.clone();
        let gained = held.wait_for(Option::is_some);
        tokio::select! {
            () = shutdown.wait() => return None,
            // The task ends only after us.
            gained = gained => drop(gained.ok()?),
        }
        let term = Shutdown::manual();
        let (ended, shutdown) = (term.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.wait() => {}
                lost = watcher.wait_for(Option::is_none) => drop(lost),
            }
            ended.request();
        });
        Some(term)
    }
}

impl Contest {
    /// Stops contending and gives the lease up, so that another oracle need not wait for its end.
    pub async fn withdraw(mut self) {
        self.stop.request();
        if let Err(error) = (&mut self.task).await {
            warn!(%error, "the lease's task ended badly");
        }
        let limit = self.times.poll_interval.max(Duration::from_secs(1));
        let released = timeout(limit, async {
            db::leases::release(&mut *self.database.get().await?, LEASE, &self.holder).await
        });
        match released.await {
            Ok(Ok(())) => info!("gave up the lease"),
            Ok(Err(error)) => {
                warn!(%error, "could not release the lease; it expires within seconds");
            }
            Err(_) => {
                warn!("could not release the lease in time; it expires within seconds")
            }
        }
    }
}

/// Without a withdrawal the lease is not given up; it ends as if the process had died.
impl Drop for Contest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn contend(
    database: Database,
    holder: Arc<str>,
    times: LeaseTimes,
    announce: watch::Sender<Option<Held>>,
    stop: Shutdown,
) {
    while !stop.is_requested() {
        let before = *announce.borrow();
        let (now_held, pause) = attempt(&database, &holder, times, before).await;
        report(before, now_held);
        announce.send_if_modified(|held| std::mem::replace(held, now_held) != now_held);
        stop.sleep(pause).await;
    }
    announce.send_replace(None);
}

/// Takes or renews the lease: what is held from now on, and when to try again.
async fn attempt(
    database: &Database,
    holder: &str,
    times: LeaseTimes,
    before: Option<Held>,
) -> (Option<Held>, Duration) {
    let asked_at = Instant::now();
    let before = before.filter(|held| held.until > asked_at);
    // A holder waits for an answer at most as long as its lease lasts.
    let lease = Duration::from_secs(times.lease_seconds.unsigned_abs());
    let limit = before.map_or(lease, |held| held.until - asked_at);
    match timeout(limit, acquire(database, holder, times.lease_seconds)).await {
        Ok(Ok(Some(token))) => {
            (Some(Held { token, until: asked_at + lease }), times.renew_interval)
        }
        Ok(Ok(None)) => (None, times.poll_interval),
        Ok(Err(error)) => {
            warn!(%error, "could not request the lease; retrying");
            let left = before.map(|held| held.until.saturating_duration_since(Instant::now()));
            let pause = left.map_or(times.poll_interval, |left| left.min(times.poll_interval));
            (before.filter(|held| held.until > Instant::now()), pause)
        }
        Err(_) => {
            warn!("Postgres did not answer about the lease in time");
            (None, times.poll_interval)
        }
    }
}

async fn acquire(database: &Database, holder: &str, seconds: i64) -> DbResult<Option<i64>> {
    db::leases::acquire(&mut *database.get().await?, LEASE, holder, seconds).await
}

fn report(before: Option<Held>, after: Option<Held>) {
    match (before, after) {
        (None, Some(held)) => info!(token = held.token, "took the lease: this oracle is active"),
        (Some(_), None) => warn!("lost the lease: this oracle stands by"),
        (Some(before), Some(after)) if before.token != after.token => {
            warn!(token = after.token, "lost the lease for a while and took it again");
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}
