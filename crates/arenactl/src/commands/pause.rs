//! `arenactl pause` and `arenactl resume`: an operator stops the arena, a bot or a market.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::DbError;
use db::bots::BotRef;
use db::pauses::{self, Wanted};
use ledger_core::economy::Operator;
use ledger_core::{MarketId, Pause};
use serde::Serialize;

use super::{act_failure, services_database};
use crate::cli;
use crate::postgres::Postgres;

/// What is held; the arena, if nothing is named.
#[derive(clap::Args)]
pub(crate) struct Subject {
    /// One bot, by handle or id
    #[arg(long, value_name = "BOT", value_parser = cli::bot_ref, conflicts_with = "market")]
    bot: Option<BotRef>,
    /// One market, by its id
    #[arg(long, value_name = "MARKET", value_parser = cli::market_id)]
    market: Option<MarketId>,
}

#[derive(clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    subject: Subject,
    /// Why; it is told to whoever is refused and kept in the audit log
    #[arg(long, value_parser = cli::reason)]
    reason: String,
}

#[derive(clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    subject: Subject,
    /// Why; it is kept in the audit log
    #[arg(long, value_parser = cli::reason, default_value = "it may go on")]
    reason: String,
}

/// How the subject stands now.
#[derive(Debug, Serialize)]
pub(crate) struct WhilePaused {
    subject: String,
    paused: Option<Pause>,
    /// `false` where it stood so already.
    changed: bool,
}

impl fmt::Display for WhilePaused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WhilePaused {
            subject, paused, ..
        } = self;
        match (paused, self.changed) {
            (Some(pause), true) => write!(f, "{subject} is paused: {}", pause.reason),
            (Some(pause), false) => write!(
                f,
                "{subject} is paused already, since {}: {}",
                pause.since, pause.reason
            ),
            (None, true) => write!(f, "{subject} goes on"),
            (None, false) => write!(f, "{subject} is not paused"),
        }
    }
}

pub(crate) async fn pause(
    sources: &Sources,
    args: &PauseArgs,
    who: &Operator,
) -> Result<WhilePaused, Failure> {
    set(sources, &args.subject, Wanted::Paused, who, &args.reason).await
}

pub(crate) async fn resume(
    sources: &Sources,
    args: &ResumeArgs,
    who: &Operator,
) -> Result<WhilePaused, Failure> {
    set(sources, &args.subject, Wanted::Running, who, &args.reason).await
}

async fn set(
    sources: &Sources,
    subject: &Subject,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
) -> Result<WhilePaused, Failure> {
    let postgres = services_database(sources).await?;
    match (&subject.bot, subject.market) {
        (Some(bot), _) => of_bot(&postgres, bot, wanted, who, reason).await,
        (None, Some(market)) => of_market(&postgres, market, wanted, who, reason).await,
        (None, None) => of_arena(&postgres, wanted, who, reason).await,
    }
}

const fn verb(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Paused => "pause",
        Wanted::Running => "resume",
    }
}

async fn of_arena(
    postgres: &Postgres,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
) -> Result<WhilePaused, Failure> {
    let mut conn = postgres.connection().await?;
    let change = match wanted {
        Wanted::Paused => pauses::pause_arena(&mut conn, who, reason, None).await,
        Wanted::Running => pauses::resume_arena(&mut conn, who, reason, None).await,
    };
    let verb = verb(wanted);
    let change =
        change.map_err(|error| postgres.failure(error, format!("cannot {verb} the arena")))?;
    Ok(WhilePaused {
        subject: "the arena".to_owned(),
        paused: change.pause,
        changed: change.changed,
    })
}

async fn of_bot(
    postgres: &Postgres,
    bot: &BotRef,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
) -> Result<WhilePaused, Failure> {
    let mut conn = postgres.connection().await?;
    let change = pauses::set_bot(&mut conn, bot, wanted, who, reason, None)
        .await
        .map_err(|error| act_failure(postgres, error, verb(wanted), bot))?;
    Ok(WhilePaused {
        subject: format!("{} (bot {})", change.subject.handle, change.subject.id),
        paused: change.pause,
        changed: change.changed,
    })
}

async fn of_market(
    postgres: &Postgres,
    market: MarketId,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
) -> Result<WhilePaused, Failure> {
    let mut conn = postgres.connection().await?;
    let change = pauses::set_market(&mut conn, market, wanted, who, reason, None).await;
    let what = format!("cannot {} market {market}", verb(wanted));
    let change = change.map_err(|error| match error {
        DbError::NotFound(_) => {
            anyhow::anyhow!("{what}: no market has this id; `GET /markets` lists them all").into()
        }
        other => postgres.failure(other, what),
    })?;
    Ok(WhilePaused {
        subject: format!("market {market}"),
        paused: change.pause,
        changed: change.changed,
    })
}
