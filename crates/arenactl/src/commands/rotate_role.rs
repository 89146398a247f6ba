//! `arenactl rotate-role`: another Postgres role takes the place of the one in `.env`.
//!
//! Completed steps are read from Postgres and from `.env`, so that an interrupted run can be repeated: before
//! `.env` names the new role it is created again, and afterwards only the removal of the old one is left.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use cache::presence::{self, WAIT_SECONDS_MAX};
use clap::ValueEnum;
use daemon::config::{ConfigError, Reader, Sources, workspace_root};
use daemon::process::Failure;
use db::DbError;
use db::roles::{self, RoleAdmin, Standing};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use super::migrate::DATABASE_OWNER_URL;
use super::roll_call::{RESTART, RollCall, Wrong};
use super::{DATABASE_URL, TAKE_UP, in_file};
use crate::env_file;
use crate::keys;
use crate::postgres;

const DATABASE_ADMIN_URL: &str = "DATABASE_ADMIN_URL";
/// The longest name Postgres keeps whole.
const NAME_MAX_BYTES: usize = 63;
const LOOK: Duration = Duration::from_millis(200);
const OWN_SESSION_ENDS: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which role: the one of DATABASE_URL or of DATABASE_OWNER_URL
    #[arg(value_enum, default_value = "app")]
    role: Which,
    /// The setting that holds a superuser's URL; a private Postgres needs none
    #[arg(long, value_name = "NAME", default_value = DATABASE_ADMIN_URL)]
    admin_url_env: String,
    /// How long to wait until no session uses the old role
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=WAIT_SECONDS_MAX))]
    wait: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Which {
    App,
    Owner,
}

impl Which {
    const fn setting(self) -> &'static str {
        match self {
            Which::App => DATABASE_URL,
            Which::Owner => DATABASE_OWNER_URL,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    setting: &'static str,
    old_role: String,
    new_role: String,
    /// Whether an earlier run had come as far as `.env`.
    resumed: bool,
}

/// The step that was just completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Created,
    HandedOver,
    LoggedIn,
    Written,
    Quiet,
    Closed,
    Removed,
}

/// Everything one rotation needs to know.
struct Rotation {
    which: Which,
    url: SecretString,
    admin_url: SecretString,
    file: PathBuf,
    wait: Duration,
    quiet: Duration,
    /// The owner's role needs no check, because no service has it.
    roll_call: Option<RollCall>,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let setting = args.role.setting();
    in_file(sources, &[setting])?;
    let url = sources.connection_url(setting, postgres::SCHEMES)?;
    if db::opening::is_pooled(url.expose_secret()) {
        let problem = "leads through a pooler, which accepts only configured roles: change the password of \
            the present one instead (docs/operators.md, Credentials)";
        return Err(ConfigError::single(setting, problem).into());
    }
    let wait = Duration::from_secs(args.wait);
    let roll_call = match args.role {
        Which::App => Some(RollCall::open(sources, wait).await?),
        Which::Owner => None,
    };
    let rotation = Rotation {
        which: args.role,
        roll_call,
        admin_url: admin_url(sources, &args.admin_url_env, &url)?,
        url,
        file: sources.file().to_owned(),
        wait,
        // A service that has the old role but no session now would open one within this time.
        quiet: TAKE_UP,
    };
    rotation.run(|_| Ok(())).await
}

/// The superuser's access to the database: by a setting, or by the file of the private cluster.
fn admin_url(
    sources: &Sources,
    setting: &str,
    target: &SecretString,
) -> Result<SecretString, Failure> {
    let target = parsed(target)?;
    if sources.given(setting).is_some() {
        let mut url = parsed(&sources.connection_url(setting, postgres::SCHEMES)?)?;
        // Ownership is moved inside the arena's database.
        url.set_path(target.path());
        return Ok(SecretString::from(String::from(url)));
    }
    let mut reader = Reader::new(sources);
    let private = reader.raw("ARENA_PRIVATE_SERVICES").unwrap_or_default();
    if !private.split(',').any(|name| matches!(name.trim(), "postgres" | "1")) {
        let problem = "is not set: rotating a role needs the URL of a superuser";
        return Err(ConfigError::single(setting, problem).into());
    }
    let data = reader.path_or("ARENA_DATA_DIR", ".data");
    let file = workspace_root().join(data).join("postgres/superuser");
    let password = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the superuser's password in {}", file.display()))?;
    with_login(target, "postgres", password.trim_end()).map_err(Failure::from)
}

fn parsed(url: &SecretString) -> anyhow::Result<Url> {
    Url::parse(url.expose_secret()).map_err(|_| anyhow!("the database URL cannot be parsed"))
}

fn with_login(mut url: Url, user: &str, password: &str) -> anyhow::Result<SecretString> {
    url.set_username(user)
        .and_then(|()| url.set_password(Some(password)))
        .map_err(|()| anyhow!("the database URL names no server to log in to"))?;
    Ok(SecretString::from(String::from(url)))
}

/// `arena_app` is followed by `arena_app_2`, that by `arena_app_3`.
fn next_name(name: &str) -> String {
    let (base, number) = match name.rsplit_once('_') {
        Some((base, digits)) if !base.is_empty() && !digits.starts_with('0') => {
            digits.parse::<u32>().map_or((name, 1), |number| (base, number))
        }
        _ => (name, 1),
    };
    let suffix = format!("_{}", number.saturating_add(1));
    let mut end = base.len().min(NAME_MAX_BYTES - suffix.len());
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

impl Rotation {
    /// `after` hears of every step, and may end the run there.
    async fn run(&self, after: impl Fn(Step) -> Result<(), Failure>) -> Result<Report, Failure> {
        let present = roles::role_of(self.url.expose_secret())
            .ok_or_else(|| anyhow!("{} names no role", self.which.setting()))?;
        let mut admin = RoleAdmin::open(self.admin_url.expose_secret())
            .await
            .map_err(|error| self.failed(error, "log in as the superuser"))?;
        let resumed = admin.predecessor(&present).await;
        let resumed = resumed.map_err(|error| self.failed(error, "read the role"))?;
        let (old, new) = match &resumed {
            Some(old) => (old.clone(), present),
            None => {
                let new = self.replace(&mut admin, &present, &after).await?;
                (present, new)
            }
        };
        // Objects created by the old role since must not be dropped with it.
        admin
            .hand_over(&old, &new)
            .await
            .map_err(|error| self.failed(error, "transfer the old role's objects"))?;
        self.wait_until_gone_over(&new).await?;
        self.wait_until_quiet(&admin, &old).await?;
        after(Step::Quiet)?;
        admin.close(&old).await.map_err(|error| self.failed(error, "close the old role"))?;
        after(Step::Closed)?;
        admin.remove(&old, &new).await.map_err(|error| {
            self.failed(error, format!("drop the old role {old}, which is no longer used"))
        })?;
        after(Step::Removed)?;
        Ok(Report {
            setting: self.which.setting(),
            old_role: old,
            new_role: new,
            resumed: resumed.is_some(),
        })
    }

    /// Up to the point where `.env` names the new role.
    async fn replace(
        &self,
        admin: &mut RoleAdmin,
        old: &str,
        after: &impl Fn(Step) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        let look = |error| self.failed(error, "read the role");
        if admin.is_superuser(old).await.map_err(look)? {
            fail!("{old} is a superuser, which no setting should name");
        }
        let mut new = next_name(old);
        while admin.exists(&new).await.map_err(look)?
            && admin.predecessor(&new).await.map_err(look)?.as_deref() != Some(old)
        {
            new = next_name(&new);
        }
        self.insist_on_nobody(admin, old, &new).await?;
        let password = keys::password()?;
        admin
            .succeed(old, &new, password.expose_secret())
            .await
            .map_err(|error| self.failed(error, format!("make the role {new}")))?;
        after(Step::Created)?;
        admin
            .hand_over(old, &new)
            .await
            .map_err(|error| self.failed(error, "transfer the old role's objects"))?;
        after(Step::HandedOver)?;
        let url = with_login(parsed(&self.url)?, &new, password.expose_secret())?;
        let standing = roles::standing(url.expose_secret())
            .await
            .map_err(|error| self.failed(error, format!("log in as {new}")))?;
        self.insist_on(standing, &new)?;
        after(Step::LoggedIn)?;
        let (file, setting) = (self.file.clone(), self.which.setting());
        let shown = file.display().to_string();
        tokio::task::spawn_blocking(move || env_file::replace(&file, setting, url.expose_secret()))
            .await
            .context("writing the settings panicked")?
            .with_context(|| format!("cannot write {setting} to {shown}"))?;
        after(Step::Written)?;
        Ok(new)
    }

    /// A process that already uses the new role has its password from another file, and would lose access.
    async fn insist_on_nobody(
        &self,
        admin: &RoleAdmin,
        old: &str,
        new: &str,
    ) -> Result<(), Failure> {
        // An interrupted run's own session takes a moment to end.
        let deadline = Instant::now() + OWN_SESSION_ENDS;
        loop {
            let held = admin.sessions(new).await;
            let held = held.map_err(|error| self.failed(error, "list the sessions"))?;
            let Some(session) = held.first() else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                fail!(
                    "{new} has taken the place of {old} already, and {} (pid {}) works under it: another \
                     file than {} names it. Copy {} from there",
                    session.application,
                    session.pid,
                    self.file.display(),
                    self.which.setting()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn insist_on(&self, standing: Standing, role: &str) -> anyhow::Result<()> {
        let problem = match self.which {
            Which::App if standing.rewrites => {
                "may change the ledger, which the services never may"
            }
            Which::App if !(standing.reads && standing.appends) => "may not append to the ledger",
            Which::Owner if !standing.owns_ledger => "does not own the ledger",
            _ => return Ok(()),
        };
        Err(anyhow!("{role} {problem}; {} still names the old role", self.file.display()))
    }

    /// Until every process has reported that it uses the role. A process without a session now, or without Redis,
    /// is only found by [`Rotation::wait_until_quiet`].
    async fn wait_until_gone_over(&self, role: &str) -> Result<(), Failure> {
        let Some(roll_call) = &self.roll_call else {
            return Ok(());
        };
        let fingerprint = presence::fingerprint(&[&[role]]);
        let state = format!("{DATABASE_URL} is in force, but some work under another role");
        let wrong = Wrong { state: &state, advice: &format!(". {RESTART}") };
        roll_call.take_twice(DATABASE_URL, &fingerprint, wrong).await?;
        Ok(())
    }

    /// Until no session has used the role for a while.
    async fn wait_until_quiet(&self, admin: &RoleAdmin, old: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait;
        let mut quiet_since = None;
        loop {
            let sessions = admin.sessions(old).await;
            let sessions = sessions.map_err(|error| self.failed(error, "list the sessions"))?;
            let now = Instant::now();
            if sessions.is_empty() {
                let since = *quiet_since.get_or_insert(now);
                if now.duration_since(since) >= self.quiet {
                    return Ok(());
                }
            } else {
                quiet_since = None;
                if now >= deadline {
                    let holders: Vec<String> = sessions
                        .iter()
                        .map(|held| {
                            format!(
                                "{} (pid {}, database {})",
                                held.application, held.pid, held.database
                            )
                        })
                        .collect();
                    fail!(
                        "{} is in force, but the old role {old} still has sessions: {}. Restart \
                         those services, then run this again",
                        self.which.setting(),
                        holders.join(", ")
                    );
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn failed(&self, error: DbError, what: impl fmt::Display) -> Failure {
        let role = match self.which {
            Which::App => "app",
            Which::Owner => "owner",
        };
        anyhow::Error::new(error)
            .context(format!(
                "cannot {what}; when that is mended, run `arenactl rotate-role {role}` again"
            ))
            .into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resumed {
            writeln!(f, "an interrupted rotation was completed")?;
        }
        write!(f, "{} logs in as {}; {} is gone", self.setting, self.new_role, self.old_role)
    }
}

#[cfg(test)]
#[path = "rotate_role_tests.rs"]
mod tests;
