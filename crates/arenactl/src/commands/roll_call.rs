//! Which running processes have gone over to what was written to `.env`, by what they say of themselves.

use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, BusConfig};
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::TAKE_UP;
use super::debug_auth::{REDIS_SCHEMES, REDIS_URL};

const LOOK: Duration = Duration::from_millis(500);

pub(super) struct RollCall {
    bus: Bus,
    /// In this time whoever can has gone over. A process that is just starting says so within it too.
    quiet: Duration,
    /// After that, for this long, they are waited for.
    wait: Duration,
}

impl RollCall {
    pub(super) async fn open(sources: &Sources, wait: Duration) -> Result<RollCall, Failure> {
        let mut reader = Reader::new(sources);
        let url = reader.connection_url(REDIS_URL, REDIS_SCHEMES);
        let url = reader.finish_with(url)?;
        let config = BusConfig {
            url: url.expose_secret().to_owned(),
            namespace: String::new(),
        };
        let bus = Bus::connect(config).await.with_context(|| {
            format!("cannot ask Redis, at {REDIS_URL}, which processes run; nothing was changed")
        })?;
        Ok(RollCall::over(bus, TAKE_UP, wait))
    }

    pub(super) const fn over(bus: Bus, quiet: Duration, wait: Duration) -> RollCall {
        RollCall { bus, quiet, wait }
    }

    /// Gives everybody the time to go over to what was just written.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(self.quiet).await;
    }

    /// Waits until every process that uses the credential uses the one of this fingerprint. Names
    /// those that do not in the end.
    pub(super) async fn behind(
        &self,
        credential: &str,
        fingerprint: &str,
    ) -> Result<Vec<String>, Failure> {
        let deadline = Instant::now() + self.wait;
        loop {
            let behind = self.behind_now(credential, fingerprint).await?;
            if behind.is_empty() || Instant::now() >= deadline {
                return Ok(behind);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn behind_now(
        &self,
        credential: &str,
        fingerprint: &str,
    ) -> Result<Vec<String>, Failure> {
        let present = self.bus.present().await;
        let present = present.context("cannot ask Redis which processes run; run this again")?;
        let is_behind = |used: Option<&String>| used.is_some_and(|used| used != fingerprint);
        let behind = present
            .into_iter()
            .filter(|process| is_behind(process.credentials.get(credential)));
        Ok(behind.map(|process| process.process).collect())
    }
}
