//! `arenactl debug-auth`: tests every configured credential, reports failures with their reasons, and checks
//! whether the database grants more rights than the migrations.
//!
//! It shows where a credential was tried and what the other side answered, never the credential.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cache::{Cache, CacheConfig, CacheError, CacheResult};
use daemon::config::{ConfigError, Reader, Sources, endpoint};
use daemon::process::Failure;
use db::roles::{self, Standing};
use db::{backup, bots, catalogue};
use personas::key_name;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::DATABASE_URL;
use super::migrate::DATABASE_OWNER_URL;
use super::restore;
use super::sync_keys::Pairing;
use crate::backup_key::{BACKUP_KEY, Keys};
use crate::credentials::{self, Credentials};
use crate::keys::Verdict;
use crate::output::{Judged, Plain, counted};
use crate::postgres::{self, Postgres};

pub(crate) const REDIS_URL: &str = "REDIS_URL";
pub(crate) const REDIS_SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "unix"];
const REDIS_ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// Differences of the schema that are named one by one.
const NAMED_MAX: usize = 20;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Compare the bots' keys and secrets with this manifest of a backup, right after restoring it
    #[arg(long, value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
}

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
    /// Not configured, or the server for the test cannot be reached.
    NotTried,
}

impl Check {
    fn new(credential: impl Into<String>, state: State, detail: impl Into<String>) -> Check {
        Check { credential: credential.into(), state, detail: detail.into() }
    }
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let bots_env_file = reader.path_or(credentials::SETTING, credentials::DEFAULT_NAME);
    reader.finish()?;
    let mut reader = Reader::new(sources);
    let keys = Keys::read(&mut reader);
    let keys = reader.finish().map(|()| keys);
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
    let (owner, check) = owner;
    checks.push(if sources.given(DATABASE_OWNER_URL).is_some() {
        check
    } else {
        Check::new(DATABASE_OWNER_URL, State::NotTried, "is not set; only migrating needs it")
    });
    checks.push(redis);
    checks.push(backup_key_check(&keys));
    let any = owner.as_ref().or(services.as_ref());
    checks.extend(try_schema(any).await);
    checks.push(try_services(sources, any).await);
    if let Some(manifest) = &args.manifest {
        checks.push(try_manifest(any, manifest, keys.ok()).await?);
    }
    try_keys(services.as_ref(), &bots_env_file, &mut checks).await?;
    let failed = checks.iter().filter(|check| check.state == State::Fails).count();
    Ok(Report { failed, checks })
}

async fn try_postgres(sources: &Sources, setting: &'static str) -> (Option<Postgres>, Check) {
    let fails = |detail: String| (None, Check::new(setting, State::Fails, detail));
    match sources.connection_url(setting, postgres::SCHEMES) {
        Err(error) => fails(problem(&error)),
        Ok(url) => match Postgres::attempt(setting, &url, 1).await {
            Err(refused) => fails(refused.to_string()),
            Ok(postgres) => {
                let what = postgres.what();
                // Before the first migration there is no ledger.
                let standing = db::roles::standing(url.expose_secret()).await.ok();
                let (state, detail) = match standing
                    .and_then(|standing| misplaced(setting, standing))
                {
                    None => (State::Works, format!("logs in to {what}")),
                    Some(problem) => (State::Fails, format!("logs in to {what}, and {problem}")),
                };
                (Some(postgres), Check::new(setting, state, detail))
            }
        },
    }
}

/// Faults in the rights of the setting's role.
fn misplaced(setting: &str, standing: Standing) -> Option<&'static str> {
    if setting == DATABASE_OWNER_URL {
        (!standing.owns_ledger).then_some("its role does not own the schema")
    } else if standing.owns_ledger || standing.rewrites {
        Some("its role may rewrite the ledger: the services need one that may not")
    } else if !standing.appends {
        Some("its role may not append to the ledger")
    } else {
        None
    }
}

fn backup_key_check(keys: &Result<Keys, ConfigError>) -> Check {
    let check = |state, detail: String| Check::new(BACKUP_KEY, state, detail);
    match keys.as_ref().map(|keys| &keys.present) {
        Err(error) => check(State::Fails, problem(error)),
        Ok(Some(key)) => check(State::Works, format!("is the key {} of backups", key.id())),
        Ok(None) => {
            let detail = "is not set; backups that are made without it are not authenticated";
            check(State::NotTried, detail.to_owned())
        }
    }
}

/// Compares schema, triggers, functions, privileges, owners and roles with the migrations.
async fn try_schema(postgres: Option<&Postgres>) -> Vec<Check> {
    let one = |state, detail: &str| vec![Check::new("schema", state, detail)];
    let Some(postgres) = postgres else {
        return one(State::NotTried, "needs a DATABASE_URL or DATABASE_OWNER_URL that works");
    };
    let mut differences = match catalogue::differences(postgres.database()).await {
        Err(error) => return one(State::Fails, &error.to_string()),
        Ok(differences) => differences,
    };
    if differences.is_empty() {
        let detail =
            "is what the migrations make, with its triggers, functions, owners and privileges";
        return one(State::Works, detail);
    }
    let unnamed = differences.split_off(differences.len().min(NAMED_MAX)).len();
    if unnamed > 0 {
        differences.push(format!("differs in {} more", counted(unnamed, "place")));
    }
    differences.iter().flat_map(|difference| one(State::Fails, difference)).collect()
}

/// Whether only the services' role, or in a rotation its successor, may append to the ledger. The schema's check
/// does not cover this, because it ignores names of roles.
async fn try_services(sources: &Sources, postgres: Option<&Postgres>) -> Check {
    const SERVICES: &str = "services";
    let role = sources.get(DATABASE_URL).and_then(|url| roles::role_of(&url));
    let (Some(postgres), Some(role)) = (postgres, role) else {
        let detail = "needs a DATABASE_URL, and a database that works";
        return Check::new(SERVICES, State::NotTried, detail);
    };
    match roles::others_that_append(postgres.database(), &role).await {
        // The schema's check has reported it.
        Err(error) => Check::new(SERVICES, State::NotTried, error.to_string()),
        Ok(others) if others.is_empty() => {
            let detail = format!("only {role} may append to the ledger");
            Check::new(SERVICES, State::Works, detail)
        }
        Ok(others) => {
            let others = others.join(", ");
            let detail = format!(
                "{others} may append to the ledger, and DATABASE_URL names {role}: find out who let them, and \
                 take away what lets them: REVOKE its INSERT ON ledger, or the membership in a role that has it"
            );
            Check::new(SERVICES, State::Fails, detail)
        }
    }
}

/// Whether the bots' keys and secrets are those of a backup.
async fn try_manifest(
    postgres: Option<&Postgres>,
    path: &Path,
    keys: Option<Keys>,
) -> Result<Check, Failure> {
    const CREDENTIALS: &str = "credentials";
    let check = |state, detail: &str| Ok(Check::new(CREDENTIALS, state, detail));
    let (Some(postgres), Some(keys)) = (postgres, keys) else {
        return check(State::NotTried, "needs a database and a BACKUP_KEY that work");
    };
    let (manifest, authenticated) = restore::read_proven(path, &keys)?;
    let found = backup::credentials(postgres.database())
        .await
        .map_err(|error| postgres.failure(error, "cannot read the bots' credentials"))?;
    match manifest.credentials_digest {
        _ if !authenticated => check(State::Fails, "no key that is set here made this manifest"),
        None => check(State::NotTried, "the manifest has no digest of them"),
        Some(digest) if digest == found => check(State::Works, "are those of the backup"),
        Some(_) => check(
            State::Fails,
            "are not those of the backup: bots were created or keys rotated since, or hashes were replaced",
        ),
    }
}

/// Fails within [`REDIS_ANSWERS_WITHIN`] in any case.
pub(crate) async fn log_in_to_redis(url: &SecretString) -> CacheResult<Cache> {
    let config = CacheConfig { url: url.expose_secret().to_owned(), namespace: String::new() };
    let seconds = REDIS_ANSWERS_WITHIN.as_secs();
    tokio::time::timeout(REDIS_ANSWERS_WITHIN, Cache::connect(config))
        .await
        .unwrap_or(Err(CacheError::Timeout { seconds }))
}

async fn try_redis(sources: &Sources) -> Check {
    let url = match sources.connection_url(REDIS_URL, REDIS_SCHEMES) {
        Err(error) => return Check::new(REDIS_URL, State::Fails, problem(&error)),
        Ok(url) => url,
    };
    let what = match endpoint(url.expose_secret(), 6379) {
        Some(endpoint) => format!("Redis at {endpoint}"),
        None => "Redis".to_owned(),
    };
    match log_in_to_redis(&url).await {
        Ok(_) => Check::new(REDIS_URL, State::Works, format!("logs in to {what}")),
        Err(error) => Check::new(REDIS_URL, State::Fails, format!("{what}: {error}")),
    }
}

/// The fault of the one setting that was read.
fn problem(error: &ConfigError) -> String {
    error.problems().first().map(|problem| problem.text.clone()).unwrap_or_default()
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
            bots::hosted(&mut conn).await.map_err(|error| error.to_string())
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
    let pairing = Pairing::of(hosted, &file);
    let verdicts = pairing.verdicts().await?;
    for bot in pairing.bots_without_key {
        let (handle, name) = (bot.handle, path.display());
        let detail = format!("{handle} has no key in {name}: run `arenactl genesis`");
        checks.push(Check::new(bot.variable, State::Fails, detail));
    }
    for (bot, verdict) in pairing.keyed.iter().zip(verdicts) {
        checks.push(key_check(key_name(&bot.handle), &bot.handle, verdict));
    }
    for variable in pairing.keys_without_bot {
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

impl Judged for Report {
    /// A failure when any credential fails.
    fn verdict(self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        let checks = counted(self.checks.len(), "check");
        Err(anyhow::anyhow!("{} of {checks} failed", self.failed).into())
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
        let (count, failed) = (counted(self.checks.len(), "check"), self.failed);
        write!(f, "{count}, {failed} failing")
    }
}
