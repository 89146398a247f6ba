//! `arenactl up`, `stop`, `logs`, `reset`, and `status` where it is about processes: the supervisor, with what
//! only this program can do for it.

use std::pin::Pin;

use daemon::config::{ConfigError, Sources};
use daemon::process::Failure;
use ledger_core::economy::Operator;
use supervisor::{Arena, Place};

use super::debug_auth::{REDIS_SCHEMES, REDIS_URL, log_in_to_redis};
use super::status;
use crate::Stopped;
use crate::cli::{Command, ServicesCommand};
use crate::output::Format;
use crate::postgres::{self, Postgres};

#[derive(clap::Args)]
pub(crate) struct LogsArgs {
    /// Whose: postgres, redis, api, ticker, oracle, bot-runner, or build
    name: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct ResetArgs {
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: ServicesCommand, by: Option<Operator>) -> Result<(), Failure> {
    let place = Place::new(&Sources::load())?;
    match command {
        ServicesCommand::Up => supervisor::up(&Own { by }).await?,
        ServicesCommand::Stop => supervisor::stop(&place).await?,
        ServicesCommand::Logs(args) => supervisor::logs(&place, args.name.as_deref())?,
        ServicesCommand::Reset(args) => supervisor::reset(&place, args.yes).await?,
    }
    Ok(())
}

/// The table of processes; its exit code.
pub(crate) async fn status(args: &status::Args) -> Result<u8, Failure> {
    let sources = Sources::load();
    let place = Place::new(&sources)?;
    Ok(if args.watch {
        supervisor::watch(&place, &sources).await?
    } else {
        supervisor::services(&place, &sources).await?
    })
}

struct Own {
    /// The operator's name, for the audit log.
    by: Option<Operator>,
}

impl Arena for Own {
    async fn postgres(&self, setting: &'static str) -> Result<(), String> {
        let url = Sources::load().connection_url(setting, postgres::SCHEMES);
        let url = url.map_err(|error| problem(&error))?;
        let attempt = Postgres::attempt(setting, &url, 1).await;
        attempt.map(drop).map_err(|refused| refused.reason())
    }

    async fn redis(&self) -> Result<(), String> {
        let url = Sources::load().connection_url(REDIS_URL, REDIS_SCHEMES);
        let url = url.map_err(|error| problem(&error))?;
        let answer = log_in_to_redis(&url).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    async fn prepare(&self) -> Result<(), Failure> {
        for command in [Command::Migrate, Command::Genesis, Command::SyncKeys] {
            // On the heap, because `up` itself is dispatched so.
            let done: Pin<Box<dyn Future<Output = Result<(), Stopped>>>> =
                Box::pin(crate::dispatch(command, self.by.clone(), Format::Text));
            done.await.map_err(Stopped::failure)?;
        }
        Ok(())
    }
}

fn problem(error: &ConfigError) -> String {
    let problems = error.problems().iter();
    let texts: Vec<&str> = problems.map(|problem| problem.text.as_str()).collect();
    texts.join("; ")
}
