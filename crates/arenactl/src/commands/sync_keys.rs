//! `arenactl sync-keys`: the database gets the hash of each key in `.env.bots`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use db::bots;
use ledger_core::BotId;
use ledger_core::economy::Operator;
use personas::key_name;
use secrecy::SecretString;
use serde::Serialize;

use super::DATABASE_URL;
use crate::credentials::{self, Credentials};
use crate::keys::{self, Verdict};
use crate::output::{Plain, counted};
use crate::postgres::{self, Postgres};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    credentials_file: PathBuf,
    /// Handles whose stored hash is new.
    updated: Vec<String>,
    /// Handles whose stored hash was right.
    unchanged: Vec<String>,
    bots_without_key: Vec<KeylessBot>,
    /// Names of lines that belong to no hosted bot.
    keys_without_bot: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct KeylessBot {
    pub(super) handle: String,
    bot_id: BotId,
    /// The line that the file lacks.
    pub(super) variable: String,
}

pub(crate) async fn run(sources: &Sources, who: &Operator) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(DATABASE_URL, postgres::SCHEMES);
    let path = reader.path_or(credentials::SETTING, credentials::DEFAULT_NAME);
    reader.finish()?;
    let postgres = Postgres::connect_migrated(DATABASE_URL, &url, 1).await?;
    let mut conn = postgres.connection().await?;
    let hosted = bots::hosted(&mut conn).await;
    let hosted = hosted.map_err(|error| postgres.failure(error, "cannot list the hosted bots"))?;
    // After the bots: genesis writes each key before its bot, so every bot seen above has its line.
    let file = Credentials::read(&path)?;
    if !file.exists() && !hosted.is_empty() {
        let problem = format!(
            "names {}, which does not exist: run `arenactl genesis`, which gives the bots of {} \
             new keys",
            path.display(),
            crate::personas::SETTING
        );
        return Err(ConfigError::single(credentials::SETTING, problem).into());
    }
    let pairing = Pairing::of(hosted, &file);
    let actor = who.to_string();
    let verdicts = pairing.verdicts().await?;
    let (mut updated, mut unchanged) = (Vec::new(), Vec::new());
    for (bot, verdict) in pairing.keyed.into_iter().zip(verdicts) {
        if verdict == Verdict::Matches {
            unchanged.push(bot.handle);
            continue;
        }
        let hash = keys::hash(&bot.key).await?;
        let stored = db::credentials::replace_api_key(&mut conn, bot.id, &hash, &actor).await;
        stored.map_err(|error| {
            postgres.failure(error, format!("cannot store the hash of {}'s key", bot.handle))
        })?;
        updated.push(bot.handle);
    }
    Ok(Report {
        credentials_file: path,
        updated,
        unchanged,
        bots_without_key: pairing.bots_without_key,
        keys_without_bot: pairing.keys_without_bot.into_iter().collect(),
    })
}

/// A bot with its key and the hash that is stored. Without `Debug`: it holds a secret.
pub(super) struct KeyedBot {
    id: BotId,
    pub(super) handle: String,
    key: SecretString,
    hash: String,
}

/// Hosted bots and the keys on file.
pub(super) struct Pairing {
    pub(super) keyed: Vec<KeyedBot>,
    pub(super) bots_without_key: Vec<KeylessBot>,
    pub(super) keys_without_bot: BTreeSet<String>,
}

impl Pairing {
    pub(super) fn of(hosted: Vec<(BotId, String, String)>, file: &Credentials) -> Pairing {
        let mut keys_without_bot = file.variables();
        let (mut keyed, mut bots_without_key) = (Vec::new(), Vec::new());
        for (id, handle, hash) in hosted {
            let variable = key_name(&handle);
            keys_without_bot.remove(&variable);
            match file.get(&variable) {
                Some(key) => keyed.push(KeyedBot { id, handle, key, hash }),
                None => bots_without_key.push(KeylessBot { handle, bot_id: id, variable }),
            }
        }
        Pairing { keyed, bots_without_key, keys_without_bot }
    }

    /// How each key stands to its stored hash.
    pub(super) async fn verdicts(&self) -> anyhow::Result<Vec<Verdict>> {
        let pairs = self.keyed.iter();
        let pairs = pairs.map(|bot| (bot.key.clone(), bot.hash.clone()));
        keys::compare(pairs.collect()).await
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for handle in &self.updated {
            writeln!(f, "updated  {handle}")?;
        }
        for KeylessBot { handle, bot_id, variable } in &self.bots_without_key {
            writeln!(f, "no key   {handle} (bot {bot_id}): there is no {variable}")?;
        }
        for variable in &self.keys_without_bot {
            writeln!(f, "no bot   {}: no hosted bot has this key", Plain(variable))?;
        }
        let (updated, unchanged) = (counted(self.updated.len(), "key"), self.unchanged.len());
        let file = self.credentials_file.display();
        write!(f, "{updated} updated, {unchanged} unchanged, from {file}")
    }
}
