//! `arenactl debug-auth`: tries every configured credential and says which fail and why.
//!
//! It shows where a credential was tried and what the other side answered, never the credential.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bus::{Bus, BusConfig, BusError};
use daemon::config::{ConfigError, Reader, Sources, endpoint};
use daemon::process::Failure;
use db::bots;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::DATABASE_URL;
use super::migrate::DATABASE_OWNER_URL;
use crate::credentials::{self, Credentials, variable_of};
use crate::keys::{self, Verdict};
use crate::output::{Plain, counted};
use crate::postgres::{self, Postgres};

pub(crate) const REDIS_URL: &str = "REDIS_URL";
pub(crate) const REDIS_SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "unix"];
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(4);

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    failed: usize,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    /// The setting, or the line of the credentials file.
    credential: String,
    state: State,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Works,
    Fails,
    /// Not configured, or what it would be held against cannot be reached.
    NotTried,
}

impl Check {
    fn new(credential: impl Into<String>, state: State, detail: impl Into<String>) -> Check {
        Check {
            credential: credential.into(),
            state,
            detail: detail.into(),
        }
    }
}

pub(crate) async fn run(sources: &Sources) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let bots_env_file = reader.path_or(credentials::SETTING, credentials::DEFAULT_NAME);
    reader.finish()?;
    // One after the other would add up their time-outs.
    let (services, owner, redis) = tokio::join!(
        try_postgres(sources, DATABASE_URL),
        try_postgres(sources, DATABASE_OWNER_URL),
        try_redis(sources),
    );
    let mut checks = Vec::new();
    let (services, check) = services;
    checks.push(check);
    // The services run without it; a machine that never migrates has none.
    let is_owner_known = sources
        .get(DATABASE_OWNER_URL)
        .is_some_and(|url| !url.is_empty());
    checks.push(if is_owner_known {
        owner.1
    } else {
        Check::new(
            DATABASE_OWNER_URL,
            State::NotTried,
            "is not set; only migrating needs it",
        )
    });
    checks.push(redis);
    try_keys(services.as_ref(), &bots_env_file, &mut checks).await?;
    let failed = checks
        .iter()
        .filter(|check| check.state == State::Fails)
        .count();
    Ok(Report { failed, checks })
}

async fn try_postgres(sources: &Sources, setting: &'static str) -> (Option<Postgres>, Check) {
    let fails = |detail: String| (None, Check::new(setting, State::Fails, detail));
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(setting, postgres::SCHEMES);
    match reader.finish_with(url) {
        Err(error) => fails(problem(&error)),
        Ok(url) => match Postgres::attempt(setting, &url, 1).await {
            Err(refused) => fails(refused.to_string()),
            Ok(postgres) => {
                let detail = format!("logs in to {}", postgres.what());
                (Some(postgres), Check::new(setting, State::Works, detail))
            }
        },
    }
}

async fn try_redis(sources: &Sources) -> Check {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(REDIS_URL, REDIS_SCHEMES);
    let url = match reader.finish_with(url) {
        Err(error) => return Check::new(REDIS_URL, State::Fails, problem(&error)),
        Ok(url) => url,
    };
    let url = url.expose_secret();
    let what = match endpoint(url, 6379) {
        Some(endpoint) => format!("Redis at {endpoint}"),
        None => "Redis".to_owned(),
    };
    let config = BusConfig {
        url: url.to_owned(),
        namespace: String::new(),
    };
    let seconds = REDIS_ANSWERS_WITHIN.as_secs();
    let attempt = tokio::time::timeout(REDIS_ANSWERS_WITHIN, Bus::connect(config)).await;
    match attempt.unwrap_or(Err(BusError::Timeout { seconds })) {
        Ok(_) => Check::new(REDIS_URL, State::Works, format!("logs in to {what}")),
        Err(error) => Check::new(REDIS_URL, State::Fails, format!("{what}: {error}")),
    }
}

/// What is wrong with the one setting that was read.
fn problem(error: &ConfigError) -> String {
    error
        .problems()
        .first()
        .map(|problem| problem.text.clone())
        .unwrap_or_default()
}

/// Holds each hosted bot's key against its stored hash.
async fn try_keys(
    postgres: Option<&Postgres>,
    path: &Path,
    checks: &mut Vec<Check>,
) -> Result<(), Failure> {
    let hosted = match postgres {
        None => Err("needs a DATABASE_URL that works".to_owned()),
        Some(postgres) => {
            let mut conn = postgres.connection().await?;
            bots::hosted(&mut conn)
                .await
                .map_err(|error| error.to_string())
        }
    };
    // After the bots, as in sync-keys.
    let file = Credentials::read(path)?;
    let hosted = match hosted {
        Ok(hosted) => hosted,
        Err(reason) => {
            let untried = |name| Check::new(name, State::NotTried, reason.clone());
            checks.extend(file.variables().into_iter().map(untried));
            return Ok(());
        }
    };
    let mut strays = file.variables();
    let (mut names, mut pairs) = (Vec::new(), Vec::new());
    for (_, handle, hash) in hosted {
        let variable = variable_of(&handle);
        strays.remove(&variable);
        match file.get(&variable) {
            Some(key) => {
                names.push((variable, handle));
                pairs.push((key, hash));
            }
            None => {
                let name = path.display();
                let detail = format!("{handle} has no key in {name}: run `arenactl genesis`");
                checks.push(Check::new(variable, State::Fails, detail));
            }
        }
    }
    let verdicts = keys::compare(pairs).await?;
    for ((variable, handle), verdict) in names.into_iter().zip(verdicts) {
        checks.push(key_check(variable, &handle, verdict));
    }
    for variable in strays {
        let detail = "no hosted bot has this key: run `arenactl genesis`, or remove the line";
        checks.push(Check::new(variable, State::Fails, detail));
    }
    Ok(())
}

fn key_check(variable: String, handle: &str, verdict: Verdict) -> Check {
    let (state, detail) = match verdict {
        Verdict::Matches => (State::Works, format!("is the key of {handle}")),
        Verdict::Differs => (
            State::Fails,
            format!("is not the key that {handle} has in the database: run `arenactl sync-keys`"),
        ),
        Verdict::UnusableHash => (
            State::Fails,
            format!("{handle}'s stored hash cannot be used: run `arenactl sync-keys`"),
        ),
    };
    Check::new(variable, state, detail)
}

impl Report {
    /// A failure when any credential fails.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        let failed = counted(self.failed, "credential");
        Err(anyhow::anyhow!("{failed} of {} cannot be used", self.checks.len()).into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let state = match check.state {
                State::Works => "works",
                State::Fails => "FAILS",
                State::NotTried => "-",
            };
            let (credential, detail) = (Plain(&check.credential), Plain(&check.detail));
            writeln!(f, "{state:<6} {credential}: {detail}")?;
        }
        let (count, failed) = (counted(self.checks.len(), "credential"), self.failed);
        write!(f, "{count}, {failed} failing")
    }
}
