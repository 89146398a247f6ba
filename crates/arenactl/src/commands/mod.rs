//! One command a file. Each `run` does the work and returns its result; none prints.

pub(crate) mod after_recovery;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod debug_auth;
pub(crate) mod export;
pub(crate) mod genesis;
pub(crate) mod inspect_ledger;
pub(crate) mod migrate;
pub(crate) mod pause;
pub(crate) mod resolve;
pub(crate) mod restore;
pub(crate) mod retire;
pub(crate) mod revive;
mod roll_call;
pub(crate) mod rotate_redis;
pub(crate) mod rotate_role;
pub(crate) mod rotate_secrets;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod sync_keys;
pub(crate) mod verify_export;
pub(crate) mod void_market;

use std::fmt;
use std::time::Duration;

use daemon::config::{ConfigError, Sources};
use daemon::process::Failure;
use db::DbError;
use db::audit::Options;
use db::bots::{self, BotRef, OperatorAct};
use ledger_core::{BotId, BotStatus, Hash, MarketId, Money, Timestamp};
use serde::Serialize;

use crate::output::{Plain, counted};
use crate::postgres::{self, Postgres};

pub(crate) const DATABASE_URL: &str = "DATABASE_URL";

/// After this time every running service uses the new `.env`: longer than the interval at which they read it.
const TAKE_UP: Duration = Duration::from_secs(service::credentials::LOOK_SECONDS * 2 + 1);

/// Refuses settings that come from the environment: a new value in the file would change nothing.
fn in_file(sources: &Sources, settings: &[&'static str]) -> Result<(), ConfigError> {
    match settings.iter().find(|setting| sources.is_from_environment(setting)) {
        None => Ok(()),
        Some(setting) => {
            let problem = format!(
                "comes from the environment, so a new value in {} would change nothing: unset it here \
                 and write it to that file",
                sources.file().display()
            );
            Err(ConfigError::single(*setting, problem))
        }
    }
}

/// The database under the services' role, for commands that need no other setting.
async fn services_database(sources: &Sources) -> Result<Postgres, Failure> {
    let url = sources.connection_url(DATABASE_URL, postgres::SCHEMES)?;
    Postgres::connect_migrated(DATABASE_URL, &url, 1).await
}

/// Differences that an error names; `--accept-schema` and `debug-auth` name more.
const DIFFERENCES_NAMED_MAX: usize = 10;

/// A schema that differs from the migrations: the differences, and what to do.
fn changed_schema(what: &str, differences: &[String], advice: &str) -> Failure {
    let named: Vec<String> = (differences.iter().take(DIFFERENCES_NAMED_MAX))
        .map(|difference| format!("\n  {}", Plain(difference)))
        .collect();
    let more = match differences.len().saturating_sub(DIFFERENCES_NAMED_MAX) {
        0 => String::new(),
        more => format!("\n  … and {more} more"),
    };
    let count = counted(differences.len(), "difference");
    anyhow::anyhow!("{what}: {count}.{}{more}\n{advice}", named.concat()).into()
}

/// The audit with everything: outcomes are derived again by the function that decided them.
fn whole_audit() -> Options {
    Options {
        derive: Some(|criteria, times, fetched_at, body| {
            sources::derive(criteria, times, fetched_at, body)
                .map_err(|problem| format!("the answer {problem}"))
        }),
        ..Options::default()
    }
}

/// The result of an operator's act on one bot.
#[derive(Debug, Serialize)]
pub(crate) struct ActReport {
    bot: BotLine,
    entry: EntryLine,
}

#[derive(Debug, Serialize)]
struct BotLine {
    id: BotId,
    handle: String,
    status: BotStatus,
    balance: Money,
}

#[derive(Debug, Serialize)]
struct EntryLine {
    sequence: i64,
    entry_type: ledger_core::EntryType,
    amount: Money,
    balance_after: Money,
    reference: String,
    recorded_at: Timestamp,
    hash: Hash,
}

impl From<OperatorAct> for ActReport {
    fn from(act: OperatorAct) -> ActReport {
        let OperatorAct { profile, entry } = act;
        ActReport {
            bot: BotLine {
                id: profile.id,
                handle: profile.handle,
                status: profile.status,
                balance: profile.balance,
            },
            entry: EntryLine {
                sequence: entry.sequence,
                entry_type: entry.entry_type,
                amount: entry.amount,
                balance_after: entry.balance_after,
                reference: entry.reference.to_string(),
                recorded_at: entry.recorded_at,
                hash: entry.hash,
            },
        }
    }
}

impl fmt::Display for ActReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ActReport { bot, entry } = self;
        writeln!(f, "{} (bot {}) is now {}", bot.handle, bot.id, bot.status)?;
        writeln!(f, "  balance  {}", bot.balance)?;
        let (sequence, kind, amount) = (entry.sequence, entry.entry_type, entry.amount);
        writeln!(f, "  entry    {sequence}: {kind} {amount}, {}", entry.reference)?;
        write!(f, "  hash     {}", entry.hash)
    }
}

/// An error of an act on one bot, with the bot as the operator named it.
fn act_failure(postgres: &Postgres, error: DbError, verb: &str, bot: &BotRef) -> Failure {
    let name = match bot {
        BotRef::Id(id) => format!("bot {id}"),
        BotRef::Handle(handle) => handle.to_string(),
    };
    let unknown = "no bot has this handle or id; `GET /bots` lists them all";
    failure_of(postgres, error, format!("cannot {verb} {name}"), unknown)
}

/// An error of an act on one market.
fn market_failure(postgres: &Postgres, error: DbError, verb: &str, market: MarketId) -> Failure {
    let unknown = "no market has this id; `GET /markets` lists them all";
    failure_of(postgres, error, format!("cannot {verb} market {market}"), unknown)
}

fn failure_of(postgres: &Postgres, error: DbError, what: String, unknown: &str) -> Failure {
    match error {
        DbError::NotFound(_) => anyhow::anyhow!("{what}: {unknown}").into(),
        other => postgres.failure(other, what),
    }
}

/// The number of the bot in a command, if it names one.
async fn bot_id(
    postgres: &Postgres,
    verb: &str,
    bot: Option<&BotRef>,
) -> Result<Option<BotId>, Failure> {
    let Some(bot) = bot else { return Ok(None) };
    let found = bots::find(&mut *postgres.connection().await?, bot).await;
    let found = found.map_err(|error| act_failure(postgres, error, verb, bot))?;
    Ok(Some(found.id))
}
