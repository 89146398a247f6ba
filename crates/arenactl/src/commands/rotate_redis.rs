//! `arenactl rotate-redis`: another password in REDIS_URL, while everything runs.
//!
//! Redis takes both passwords until the services have gone over. A run that is interrupted is simply
//! repeated: it makes one more password, and its end leaves the last one alone.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bus::passwords::{DEFAULT_USER, PasswordAdmin};
use bus::presence::login_fingerprint;
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use super::debug_auth::{REDIS_SCHEMES, REDIS_URL};
use super::in_file;
use super::roll_call::RollCall;
use crate::env_file;
use crate::keys;

const REDIS_ADMIN_URL: &str = "REDIS_ADMIN_URL";
const LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The setting that holds the URL of a user who may change users; without it REDIS_URL's own
    #[arg(long, value_name = "NAME", default_value = REDIS_ADMIN_URL)]
    admin_url_env: String,
    /// How long to wait until nobody is logged in by the old password
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    user: String,
}

/// What has just been done.
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
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(REDIS_URL, REDIS_SCHEMES);
    let url = reader.finish_with(url)?;
    let named = sources
        .get(&args.admin_url_env)
        .is_some_and(|url| !url.is_empty());
    let admin_url = if named {
        let mut reader = Reader::new(sources);
        let url = reader.connection_url(&args.admin_url_env, REDIS_SCHEMES);
        reader.finish_with(url)?
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
        let open = admin
            .needs_none(&user)
            .await
            .context("cannot look at the users of Redis")?;
        if open {
            return Err(anyhow!(
                "{user} of that Redis needs no password, and a first one would lock everybody out who \
                 comes without: set one by hand, in Redis and in {REDIS_URL}, while the services are \
                 stopped"
            )
            .into());
        }
        let password = keys::password()?;
        url.set_password(Some(password.expose_secret()))
            .map_err(|()| anyhow!("{REDIS_URL} names no server to log in to"))?;
        let sha256 = hex(&Sha256::digest(password.expose_secret()));
        admin.add(&user, &sha256).await.with_context(|| {
            format!("cannot give {user} another password; {REDIS_ADMIN_URL} may name who can")
        })?;
        after(Step::Added)?;
        // It must work before anybody is told to use it.
        PasswordAdmin::open(url.as_str())
            .await
            .context("Redis refuses the new password; nothing was changed in the settings")?;
        let text = String::from(url);
        let login = login_fingerprint(&text).context("the new URL cannot be read")?;
        let file = self.file.clone();
        let shown = file.display().to_string();
        tokio::task::spawn_blocking(move || env_file::replace(&file, REDIS_URL, &text))
            .await
            .context("writing the settings panicked")?
            .with_context(|| format!("cannot write {REDIS_URL} to {shown}"))?;
        let written = Instant::now();
        after(Step::Written)?;
        self.wait_until_taken_up(&admin, &user, &login, written)
            .await?;
        after(Step::TakenUp)?;
        self.insist_on(&login)?;
        admin
            .only(&user, password.expose_secret())
            .await
            .context("cannot take the old password away; run `arenactl rotate-redis` again")?;
        after(Step::Closed)?;
        Ok(Report { user })
    }

    /// The settings must still say what was written: else somebody would be told a password that is
    /// void in a moment.
    fn insist_on(&self, login: &str) -> Result<(), Failure> {
        let sources = Sources::from_file(&self.file);
        let url = sources.get(REDIS_URL).unwrap_or_default();
        if login_fingerprint(&url).is_ok_and(|now| now == login) {
            return Ok(());
        }
        Err(anyhow!(
            "{REDIS_URL} was changed by somebody else meanwhile; every password of before is still good: \
             run `arenactl rotate-redis` again"
        )
        .into())
    }

    /// Until every process says that it has gone over, and every session of the user began after the new
    /// password was written, also those of whoever else has it.
    async fn wait_until_taken_up(
        &self,
        admin: &PasswordAdmin,
        user: &str,
        login: &str,
        written: Instant,
    ) -> Result<(), Failure> {
        self.roll_call.settle().await;
        let behind = self.roll_call.behind(REDIS_URL, login).await?;
        if !behind.is_empty() {
            return Err(anyhow!(
                "{REDIS_URL} has the new password, but some go by another one: {}. Restart them, then \
                 run this again; until then both passwords are good",
                behind.join(", ")
            )
            .into());
        }
        let deadline = written + self.wait;
        loop {
            // Redis counts whole seconds.
            let age = written.elapsed() + Duration::from_secs(1);
            let old = admin
                .sessions_older_than(user, age)
                .await
                .context("cannot list the sessions of Redis; run `arenactl rotate-redis` again")?;
            if old.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(anyhow!(
                    "{REDIS_URL} has the new password, but sessions of before are still open, from \
                     {}. Restart those services, then run this again; until then both passwords \
                     are good",
                    old.join(", ")
                )
                .into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{REDIS_URL} has another password for {}; the old one is void",
            self.user
        )
    }
}

#[cfg(test)]
#[path = "rotate_redis_tests.rs"]
mod tests;
