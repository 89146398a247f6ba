//! `arenactl genesis`: every persona gets its bot, its grant and its API key.
//!
//! The key is on disk before the bot exists (or before its hash changes), so that the next run can complete an
//! interrupted one: a key without a bot is used again, and a bot always has its key. An existing key is never
//! replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ::personas::{Filed, Persona, key_name};
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use db::bots::{self, BotProfile, BotRef, NewBot};
use db::error::Conflict;
use db::{Connection, DbError};
use ledger_core::economy::Operator;
use ledger_core::{BotId, EconomyRules, Money};
use secrecy::SecretString;
use serde::Serialize;

use super::DATABASE_URL;
use crate::credentials::{self, LockedCredentials};
use crate::keys;
use crate::output::{Plain, counted};
use crate::personas::{self, RefusedFile};
use crate::postgres::{self, Postgres};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    credentials_file: PathBuf,
    bots: Vec<Provisioned>,
    refused: Vec<RefusedFile>,
}

#[derive(Debug, Serialize)]
struct Provisioned {
    outcome: Outcome,
    handle: String,
    bot_id: BotId,
    balance: Money,
    /// Whether the key was made now; it is in the credentials file either way.
    new_key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Created,
    AlreadyThere,
}

pub(crate) async fn run(sources: &Sources, who: &Operator) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(DATABASE_URL, postgres::SCHEMES);
    let bots_dir = reader.path_or(personas::SETTING, personas::DEFAULT_NAME);
    let credentials_file = reader.path_or(credentials::SETTING, credentials::DEFAULT_NAME);
    // The grant is one of them, and they are only valid together.
    let rules = service::rules(&mut reader);
    reader.finish()?;
    let (personas, mut refused) = personas::read_all(&bots_dir)?;
    insist_on_one(&personas, &refused)?;
    let postgres = Postgres::connect_migrated(DATABASE_URL, &url, 1).await?;
    let mut conn = postgres.connection().await?;
    let actor = who.to_string();
    let credentials = LockedCredentials::acquire(&credentials_file).await?;
    let hosted = bots::hosted(&mut conn).await;
    let hosted = hosted.map_err(|error| postgres.failure(error, "cannot list the hosted bots"))?;
    let mut genesis = Genesis {
        credentials,
        owners: hosted.into_iter().map(|(_, handle, _)| (key_name(&handle), handle)).collect(),
        rules,
        actor,
    };
    let mut provisioned = Vec::with_capacity(personas.len());
    for Filed { file, persona } in personas {
        match genesis.provision(&mut conn, &persona).await {
            Ok(bot) => provisioned.push(bot),
            Err(Refusal::Persona(reason)) => refused.push(RefusedFile { file, reason }),
            Err(Refusal::Failed(error)) => match error.downcast::<DbError>() {
                Ok(error) => {
                    let failed = format!("cannot provide for {}", persona.handle);
                    return Err(postgres.failure(error, failed));
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
    if provisioned.is_empty() {
        insist_on_one(&[], &refused)?;
    }
    Ok(Report { credentials_file, bots: provisioned, refused })
}

/// There are files, but none is usable: the operator should check this before an arena without bots starts. An
/// empty directory is a choice.
fn insist_on_one(personas: &[Filed], refused: &[RefusedFile]) -> Result<(), ConfigError> {
    if !personas.is_empty() || refused.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = refused.iter().map(|file| format!("\n      {file}")).collect();
    let problem = format!("has no usable persona:{}", reasons.concat());
    Err(ConfigError::single(personas::SETTING, problem))
}

/// Why one persona has no bot.
enum Refusal {
    /// It is an error of this persona; the others are processed.
    Persona(String),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal::Failed(error.into())
    }
}

struct Genesis {
    credentials: LockedCredentials,
    /// The owner of the key in a line of the credentials file.
    owners: BTreeMap<String, String>,
    rules: EconomyRules,
    actor: String,
}

impl Genesis {
    async fn provision(
        &mut self,
        conn: &mut Connection,
        persona: &Persona,
    ) -> Result<Provisioned, Refusal> {
        let handle = &persona.handle;
        let variable = key_name(handle.as_str());
        if let Some(owner) = self.owners.get(&variable)
            && !owner.eq_ignore_ascii_case(handle.as_str())
        {
            let reason = format!("handle: {handle} would share the key {variable} with {owner}");
            return Err(Refusal::Persona(reason));
        }
        let provisioned = match find(conn, persona).await? {
            Some(profile) => self.provide_key(conn, profile, &variable).await?,
            None => self.create(conn, persona, &variable).await?,
        };
        self.owners.insert(variable, provisioned.handle.clone());
        Ok(provisioned)
    }

    async fn create(
        &mut self,
        conn: &mut Connection,
        persona: &Persona,
        variable: &str,
    ) -> Result<Provisioned, Refusal> {
        let (key, new_key) = self.key(variable)?;
        let credentials = keys::credentials(&key).await?;
        let new = NewBot {
            handle: &persona.handle,
            persona: &persona.description,
            hosted: true,
            credentials: &credentials,
            actor: &self.actor,
            while_paused: db::pauses::WhilePaused::Proceed,
        };
        match bots::register(conn, &new, &self.rules, None).await {
            Ok(registered) => Ok(Provisioned::of(registered.profile, Outcome::Created, new_key)),
            // Somebody registered the handle just now.
            Err(DbError::Conflict(Conflict::HandleTaken)) => match find(conn, persona).await? {
                Some(profile) => Ok(Provisioned::of(profile, Outcome::AlreadyThere, new_key)),
                None => Err(DbError::Conflict(Conflict::HandleTaken).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// A bot whose key is lost gets a new one. Whether an existing key fits its hash is for
    /// `sync-keys`.
    async fn provide_key(
        &mut self,
        conn: &mut Connection,
        profile: BotProfile,
        variable: &str,
    ) -> Result<Provisioned, Refusal> {
        let (key, new_key) = self.key(variable)?;
        if new_key {
            let hash = keys::hash(&key).await?;
            db::credentials::replace_api_key(conn, profile.id, &hash, &self.actor).await?;
        }
        Ok(Provisioned::of(profile, Outcome::AlreadyThere, new_key))
    }

    /// The key on file, else a new one that is on file now.
    fn key(&mut self, variable: &str) -> anyhow::Result<(SecretString, bool)> {
        if let Some(key) = self.credentials.get(variable) {
            return Ok((key, false));
        }
        let key = keys::generate()?;
        self.credentials.put(variable, &key)?;
        Ok((key, true))
    }
}

/// The persona's bot. A bot with that name may belong to another owner: genesis must never take it over.
async fn find(conn: &mut Connection, persona: &Persona) -> Result<Option<BotProfile>, Refusal> {
    let handle = persona.handle.clone();
    match bots::find(conn, &BotRef::Handle(handle)).await {
        Ok(profile) if profile.hosted => Ok(Some(profile)),
        Ok(profile) => Err(Refusal::Persona(format!(
            "handle: {} is taken by bot {}, which is not hosted here",
            persona.handle, profile.id
        ))),
        Err(DbError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Provisioned {
    fn of(profile: BotProfile, outcome: Outcome, new_key: bool) -> Provisioned {
        Provisioned {
            outcome,
            handle: profile.handle,
            bot_id: profile.id,
            balance: profile.balance,
            new_key,
        }
    }
}

impl fmt::Display for Provisioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Created => "created",
            Outcome::AlreadyThere => "there",
        };
        let (handle, bot_id, balance) = (&self.handle, self.bot_id, self.balance);
        write!(f, "{outcome:<8} {handle:<32} bot {bot_id}, balance {balance}")?;
        if self.new_key { f.write_str(", new key") } else { Ok(()) }
    }
}

impl fmt::Display for RefusedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), Plain(&self.reason))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bot in &self.bots {
            writeln!(f, "{bot}")?;
        }
        for file in &self.refused {
            writeln!(f, "refused  {file}")?;
        }
        let created = self.bots.iter().filter(|bot| bot.outcome == Outcome::Created).count();
        let there = self.bots.len() - created;
        write!(f, "{} created, {there} already there", counted(created, "bot"))?;
        if !self.refused.is_empty() {
            write!(f, ", {} refused", counted(self.refused.len(), "file"))?;
        }
        if self.bots.iter().any(|bot| bot.new_key) {
            write!(f, "; new keys are in {}", Path::new(&self.credentials_file).display())?;
        }
        Ok(())
    }
}
