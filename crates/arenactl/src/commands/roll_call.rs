//! Which running processes have gone over to what was written to `.env`, by what they say of themselves.

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

/// What is to be done about those who go by another credential.
pub(super) const RESTART: &str = "Restart them with that one, then run this again";
const LOOK: Duration = Duration::from_millis(500);
/// In this time a running process has gone over, and one that had just read the settings when they
/// changed has said that it is there: first it connects to Postgres and Redis, which may take five
/// seconds each.
const SETTLED: Duration = Duration::from_secs(12);

pub(super) struct RollCall {
    cache: Cache,
    settled: Duration,
    /// After that, for this long, whoever is behind is waited for.
    wait: Duration,
}

/// What is said when processes are behind: how things stand, and after their names what to do.
#[derive(Clone, Copy)]
pub(super) struct Wrong<'a> {
    pub(super) state: &'a str,
    pub(super) advice: &'a str,
}

/// What a look at all processes comes to.
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
            format!("cannot ask Redis, at {REDIS_URL}, which processes run; nothing was changed")
        })?;
        Ok(RollCall::over(cache, SETTLED, wait))
    }

    pub(super) const fn over(cache: Cache, settled: Duration, wait: Duration) -> RollCall {
        RollCall { cache, settled, wait }
    }

    /// Gives everybody the time to go over to what was just written.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(self.settled).await;
    }

    /// Goes on with another login to Redis itself.
    pub(super) async fn take_up(&self, url: &str) -> anyhow::Result<()> {
        let taken_up = self.cache.take_up(url).await;
        taken_up.context("cannot log in to Redis anew")
    }

    /// Before something is done that cannot be undone: who was not to be heard a moment ago, as when Redis
    /// had just come back empty, has said something after this.
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

    /// Waits until every process that uses the credential uses the one of this fingerprint, and counts them; or
    /// says of which processes what is wrong.
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
        let present = present.context("cannot ask Redis which processes run; run this again")?;
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

/// One of this machine that is silent and has no process any more.
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
        "{name} (silent for {} s: if it died, it is forgotten {} s after its last word)",
        silent.as_secs(),
        BELIEVED.as_secs()
    )
}
