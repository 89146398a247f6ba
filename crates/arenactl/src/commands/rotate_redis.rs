//! `arenactl rotate-redis`: another password in REDIS_URL, while everything runs.
//!
//! Redis takes both passwords until the services have gone over. An interrupted run is repeated: before `.env`
//! has the new password it makes another one, and afterwards, by a mark in `.env`, it only waits and removes the
//! old one.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use cache::passwords::{DEFAULT_USER, PasswordAdmin};
use cache::presence::{WAIT_SECONDS_MAX, login_fingerprint};
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use ledger_core::Hash;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use super::debug_auth::{REDIS_SCHEMES, REDIS_URL};
use super::in_file;
use super::roll_call::{RESTART, RollCall, Wrong};
use crate::env_file;
use crate::keys;

const REDIS_ADMIN_URL: &str = "REDIS_ADMIN_URL";
/// In `.env` while the old password is valid too: when `REDIS_URL` got the new one, in seconds of the Unix epoch.
const ROTATED_AT: &str = "REDIS_URL_ROTATED_AT";
const LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The setting that holds the URL of a user who may change users; without it REDIS_URL's own
    #[arg(long, value_name = "NAME", default_value = REDIS_ADMIN_URL)]
    admin_url_env: String,
    /// How long to wait until no session uses the old password
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=WAIT_SECONDS_MAX))]
    wait: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    user: String,
    /// Whether an earlier run had come as far as `.env`.
    resumed: bool,
    /// How many processes reported the new credential.
    processes: usize,
}

/// The step that was just completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Added,
    Written,
    TakenUp,
    Closed,
}

struct Rotation {
    url: SecretString,
    admin_url: SecretString,
    file: PathBuf,
    wait: Duration,
    roll_call: RollCall,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    in_file(sources, &[REDIS_URL])?;
    let url = sources.connection_url(REDIS_URL, REDIS_SCHEMES)?;
    let admin_url = if sources.given(&args.admin_url_env).is_some() {
        sources.connection_url(&args.admin_url_env, REDIS_SCHEMES)?
    } else {
        url.clone()
    };
    let rotation = Rotation {
        url,
        admin_url,
        file: sources.file().to_owned(),
        wait: Duration::from_secs(args.wait),
        roll_call: RollCall::open(sources, Duration::from_secs(args.wait)).await?,
    };
    rotation.run(|_| Ok(())).await
}

impl Rotation {
    /// `after` hears of every step, and may end the run there.
    async fn run(&self, after: impl Fn(Step) -> Result<(), Failure>) -> Result<Report, Failure> {
        let mut url = Url::parse(self.url.expose_secret())
            .map_err(|_| anyhow!("{REDIS_URL} cannot be parsed"))?;
        let user = match url.username() {
            "" => DEFAULT_USER.to_owned(),
            user => user.to_owned(),
        };
        let admin = PasswordAdmin::open(self.admin_url.expose_secret())
            .await
            .context("cannot log in to Redis")?;
        let open = admin.needs_none(&user).await.context("cannot read the users of Redis")?;
        if open {
            fail!(
                "{user} of that Redis needs no password, and a first one would lock out all clients without \
                 it: set one by hand, in Redis and in {REDIS_URL}, while the services are stopped"
            );
        }
        // With only one password, the mark is left from a completed rotation.
        let mark = self.rotated_at()?;
        let good = admin.passwords(&user).await;
        let good = good.context("cannot read the users of Redis")?;
        let (resumed, written) = match mark {
            Some(written) if good > 1 => (true, written),
            Some(_) | None => {
                let written = self.add(&admin, &user, &mut url, &after).await?;
                (false, written)
            }
        };
        let login = login_fingerprint(url.as_str()).context("the new URL cannot be read")?;
        // Its own session must not be taken for one of before.
        self.roll_call.take_up(url.as_str()).await?;
        let processes = self.wait_until_taken_up(&admin, &user, &login, written).await?;
        after(Step::TakenUp)?;
        self.insist_on(&login)?;
        admin
            .only(&user, url.as_str())
            .await
            .context("cannot take the old password away; run `arenactl rotate-redis` again")?;
        after(Step::Closed)?;
        env_file::write(&self.file, vec![(ROTATED_AT, "".into())]).await?;
        Ok(Report { user, resumed, processes })
    }

    /// Gives the user a second password, in Redis and then in the settings. Answers when those had
    /// it.
    async fn add(
        &self,
        admin: &PasswordAdmin,
        user: &str,
        url: &mut Url,
        after: &impl Fn(Step) -> Result<(), Failure>,
    ) -> Result<SystemTime, Failure> {
        let password = keys::password()?;
        url.set_password(Some(password.expose_secret()))
            .map_err(|()| anyhow!("{REDIS_URL} names no server to log in to"))?;
        let sha256 = Hash(Sha256::digest(password.expose_secret()).into());
        admin.add(user, &sha256.to_string()).await.with_context(|| {
            format!("cannot give {user} another password; {REDIS_ADMIN_URL} may name who can")
        })?;
        after(Step::Added)?;
        // It must work before processes are told to use it.
        PasswordAdmin::open(url.as_str())
            .await
            .context("Redis refuses the new password; nothing was changed in the settings")?;
        let written = SystemTime::now();
        let since_epoch = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settings = vec![
            (REDIS_URL, SecretString::from(url.as_str())),
            (ROTATED_AT, SecretString::from(since_epoch.as_secs().to_string())),
        ];
        env_file::write(&self.file, settings).await?;
        after(Step::Written)?;
        self.roll_call.settle().await;
        Ok(written)
    }

    /// Since when the settings have had a new password, if an earlier run had come so far.
    fn rotated_at(&self) -> Result<Option<SystemTime>, ConfigError> {
        let sources = Sources::from_file(&self.file);
        let mut reader = Reader::new(&sources);
        let seconds: Option<u64> = reader.optional(ROTATED_AT);
        reader.finish()?;
        Ok(seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    /// The settings must still have the written value: else processes would use a password that becomes invalid
    /// in a moment.
    fn insist_on(&self, login: &str) -> Result<(), Failure> {
        let sources = Sources::from_file(&self.file);
        let url = sources.get(REDIS_URL).unwrap_or_default();
        if login_fingerprint(&url).is_ok_and(|now| now == login) {
            return Ok(());
        }
        Err(anyhow!(
            "{REDIS_URL} was changed by another process meanwhile; every earlier password is still valid: \
             run `arenactl rotate-redis` again"
        )
        .into())
    }

    /// Until every process reports the new password, and every session of the user, also of other clients, began
    /// after it was written.
    async fn wait_until_taken_up(
        &self,
        admin: &PasswordAdmin,
        user: &str,
        login: &str,
        written: SystemTime,
    ) -> Result<usize, Failure> {
        let advice = format!(". {RESTART}; until then both passwords are valid");
        let state = format!("{REDIS_URL} has the new password, but some processes use another one");
        let wrong = Wrong { state: &state, advice: &advice };
        self.roll_call.take(REDIS_URL, login, wrong).await?;
        let deadline = Instant::now() + self.wait;
        loop {
            // Redis counts whole seconds, and so does the mark in the settings.
            let age = written.elapsed().map_err(|_| {
                anyhow!(
                    "{ROTATED_AT} is in the future: was the clock set back? Wait until then, or take \
                     that line away"
                )
            })?;
            let age = age + Duration::from_secs(2);
            let old = admin
                .sessions_older_than(user, age)
                .await
                .context("cannot list the sessions of Redis; run `arenactl rotate-redis` again")?;
            if old.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                fail!(
                    "{REDIS_URL} has the new password, but sessions of before are still open, from {}. \
                     Restart those services, then run this again; until then both passwords are valid",
                    old.join(", ")
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        // Once more: a process that did not report a while ago may do so now.
        self.roll_call.take_twice(REDIS_URL, login, wrong).await
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { user, processes, .. } = self;
        if self.resumed {
            // Not "another": an operator may have restored an older one meanwhile.
            return write!(
                f,
                "an interrupted rotation was completed: the password of {user} in {REDIS_URL} is the only \
                 valid one, and {processes} processes use it"
            );
        }
        write!(
            f,
            "{REDIS_URL} has another password for {user}, {processes} processes use it, and the old one is void"
        )
    }
}

#[cfg(test)]
#[path = "rotate_redis_tests.rs"]
mod tests;
