//! `arenactl pause` and `arenactl resume`: an operator stops the arena, a bot or a market.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::bots::BotRef;
use db::pauses::{self, PauseChange, Wanted};
use ledger_core::economy::Operator;
use ledger_core::{MarketId, Pause};
use serde::Serialize;

use super::{act_failure, market_failure, services_database};
use crate::arguments;

/// The target; the arena by default.
#[derive(clap::Args)]
pub(crate) struct Subject {
    /// One bot, by handle or id
    #[arg(long, value_name = "BOT", value_parser = arguments::bot_ref, conflicts_with = "market")]
    bot: Option<BotRef>,
    /// One market, by its id
    #[arg(long, value_name = "MARKET", value_parser = arguments::market_id)]
    market: Option<MarketId>,
}

#[derive(clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// The reason, shown to refused callers and recorded in the audit log
    #[arg(long, value_parser = arguments::reason)]
    pub(crate) reason: String,
}

#[derive(clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Why; it is kept in the audit log
    #[arg(long, value_parser = arguments::reason, default_value = "it may go on")]
    pub(crate) reason: String,
}

/// How the subject stands now.
#[derive(Debug, Serialize)]
pub(crate) struct WhilePaused {
    subject: String,
    paused: Option<Pause>,
    /// `false` where it stood so already.
    changed: bool,
}

impl WhilePaused {
    fn of<S>(subject: String, change: PauseChange<S>) -> WhilePaused {
        WhilePaused { subject, paused: change.pause, changed: change.changed }
    }
}

impl fmt::Display for WhilePaused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WhilePaused { subject, paused, .. } = self;
        match (paused, self.changed) {
            (Some(pause), true) => write!(f, "{subject} is paused: {}", pause.reason),
            (Some(pause), false) => {
                write!(f, "{subject} is paused already, since {}: {}", pause.since, pause.reason)
            }
            (None, true) => write!(f, "{subject} goes on"),
            (None, false) => write!(f, "{subject} is not paused"),
        }
    }
}

pub(crate) async fn set(
    sources: &Sources,
    subject: &Subject,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
) -> Result<WhilePaused, Failure> {
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    let verb = match wanted {
        Wanted::Paused => "pause",
        Wanted::Running => "resume",
    };
    if let Some(bot) = &subject.bot {
        let change = pauses::set_bot(&mut conn, bot, wanted, who, reason, None)
            .await
            .map_err(|error| act_failure(&postgres, error, verb, bot))?;
        let subject = format!("{} (bot {})", change.subject.handle, change.subject.id);
        return Ok(WhilePaused::of(subject, change));
    }
    if let Some(market) = subject.market {
        let change = pauses::set_market(&mut conn, market, wanted, who, reason, None)
            .await
            .map_err(|error| market_failure(&postgres, error, verb, market))?;
        return Ok(WhilePaused::of(format!("market {market}"), change));
    }
    let change = match wanted {
        Wanted::Paused => pauses::pause_arena(&mut conn, who, reason, None).await,
        Wanted::Running => pauses::resume_arena(&mut conn, who, reason, None).await,
    };
    let change =
        change.map_err(|error| postgres.failure(error, format!("cannot {verb} the arena")))?;
    Ok(WhilePaused::of("the arena".to_owned(), change))
}
