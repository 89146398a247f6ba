//! Which running processes use the new `.env`, by their own reports in Redis.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cache::presence::{BELIEVED, Presence, SAID_EVERY, this_host};
use cache::{Cache, CacheConfig};
use daemon::config::Sources;
use daemon::process::Failure;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::debug_auth::{REDIS_SCHEMES, REDIS_URL};

/// The operator's next step for processes with another credential.
pub(super) const RESTART: &str = "Restart them with that one, then run this again";
const LOOK: Duration = Duration::from_millis(500);
/// In this time a running process uses the new credential, and a process that had read the settings just before
/// the change has reported itself: it first connects to Postgres and Redis, which may take five seconds each.
const SETTLED: Duration = Duration::from_secs(12);

pub(super) struct RollCall {
    cache: Cache,
    settled: Duration,
    /// After that, the command waits this long for slow processes.
    wait: Duration,
}

/// The message for slow processes: the state, and after their names what to do.
#[derive(Clone, Copy)]
pub(super) struct Wrong<'a> {
    pub(super) state: &'a str,
    pub(super) advice: &'a str,
}

/// The result of a check of all processes.
#[derive(Default)]
struct Heard {
    gone_over: usize,
    /// For people: those who use another credential.
    behind: Vec<String>,
}

impl RollCall {
    pub(super) async fn open(sources: &Sources, wait: Duration) -> Result<RollCall, Failure> {
        let url = sources.connection_url(REDIS_URL, REDIS_SCHEMES)?;
        let config = CacheConfig { url: url.expose_secret().to_owned(), namespace: String::new() };
        let cache = Cache::connect(config).await.with_context(|| {
            format!("cannot list the processes in Redis, at {REDIS_URL}; nothing was changed")
        })?;
        Ok(RollCall::over(cache, SETTLED, wait))
    }

    pub(super) const fn over(cache: Cache, settled: Duration, wait: Duration) -> RollCall {
        RollCall { cache, settled, wait }
    }

    /// Gives all processes the time to use the new settings.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(self.settled).await;
    }

    /// Goes on with another login to Redis itself.
    pub(super) async fn take_up(&self, url: &str) -> anyhow::Result<()> {
        let taken_up = self.cache.take_up(url).await;
        taken_up.context("cannot log in to Redis again")
    }

    /// Before an irreversible step: a process without a recent report, for example after Redis lost its data, has
    /// reported after this.
    pub(super) async fn take_twice(
        &self,
        credential: &str,
        fingerprint: &str,
        wrong: Wrong<'_>,
    ) -> Result<usize, Failure> {
        self.take(credential, fingerprint, wrong).await?;
        tokio::time::sleep(self.settled.min(3 * SAID_EVERY)).await;
        self.take(credential, fingerprint, wrong).await
    }

    /// Waits until every process that uses the credential uses the one of this fingerprint, and counts them;
    /// otherwise lists the wrong processes.
    pub(super) async fn take(
        &self,
        credential: &str,
        fingerprint: &str,
        wrong: Wrong<'_>,
    ) -> Result<usize, Failure> {
        let deadline = Instant::now() + self.wait;
        // Most need a moment, and a restart of all would be bad advice.
        let patience = Instant::now() + self.settled;
        let mut told = false;
        loop {
            let heard = self.look(credential, fingerprint).await?;
            if heard.behind.is_empty() {
                return Ok(heard.gone_over);
            }
            let behind = heard.behind.join(", ");
            if Instant::now() >= deadline {
                fail!("{}: {behind}{}", wrong.state, wrong.advice);
            }
            if !told && Instant::now() >= patience {
                told = true;
                tracing::warn!(%behind, "waiting for processes that use another {credential}; a restart helps");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&self, credential: &str, fingerprint: &str) -> Result<Heard, Failure> {
        let present = self.cache.present().await;
        let present = present.context("cannot list the processes in Redis; run this again")?;
        let mut heard = Heard::default();
        for process in present.into_iter().filter(|process| !is_dead(process)) {
            match process.credentials.get(credential) {
                Some(used) if used == fingerprint => heard.gone_over += 1,
                Some(_) => heard.behind.push(in_words(&process)),
                None => {}
            }
        }
        Ok(heard)
    }
}

/// One of this machine without a recent report whose process has ended.
fn is_dead(process: &Presence) -> bool {
    process.silent >= 3 * SAID_EVERY
        && process.host == this_host()
        && Path::new("/proc/self").exists()
        && !Path::new("/proc").join(process.pid.to_string()).exists()
}

fn in_words(process: &Presence) -> String {
    let (name, silent) = (&process.process, process.silent);
    if silent < 3 * SAID_EVERY {
        return name.clone();
    }
    format!(
        "{name} (no report for {} s: if it ended, it is ignored {} s after its last report)",
        silent.as_secs(),
        BELIEVED.as_secs()
    )
}
