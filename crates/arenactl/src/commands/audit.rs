//! `arenactl audit`: who did what, and why.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::audit_log::{self, AGENTS_ACTIONS, AuditFilter, Line};
use db::bots::BotRef;
use serde::Serialize;

use super::{bot_id, services_database};
use crate::arguments;
use crate::output::Plain;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this action, such as RETIRE or PAUSE_ARENA; PREDICT, WAIT, BET, ANSWER and USAGE are shown only with
    /// this
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only lines about one bot, by handle or id
    #[arg(long, value_name = "BOT", value_parser = arguments::bot_ref)]
    bot: Option<BotRef>,
    /// At most so many lines
    #[arg(long, value_name = "LINES", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=200))]
    limit: i64,
    /// Only lines before this one, by its number: the next page
    #[arg(long, value_name = "LINE")]
    before: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct AuditLog {
    items: Vec<Line>,
}

impl fmt::Display for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.items.is_empty() {
            return f.write_str("nothing of this kind in the audit log");
        }
        for (place, line) in self.items.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            let bot = line.bot_id.map_or_else(String::new, |id| format!(" bot {id}"));
            // A name or a reason may be from a stranger.
            write!(
                f,
                "{:>8}  {}  {:<20} {}{bot}  {}",
                line.id,
                line.at,
                // Padded as a whole: a width does not apply to escaped text.
                Plain(&line.action).to_string(),
                Plain(&line.actor),
                Plain(&line.detail.to_string())
            )?;
        }
        Ok(())
    }
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<AuditLog, Failure> {
    let is_agents = (args.action.as_deref()).is_some_and(|a| AGENTS_ACTIONS.contains(&a));
    if is_agents && args.bot.is_some() {
        fail!(
            "an agent's own actions are in its ledger, predictions and bets; leave out --action or --bot"
        );
    }
    let postgres = services_database(sources).await?;
    let filter = AuditFilter {
        action: args.action.clone(),
        bot_id: bot_id(&postgres, "find", args.bot.as_ref()).await?,
    };
    let mut conn = postgres.connection().await?;
    let items = audit_log::page(&mut conn, &filter, args.before, args.limit)
        .await
        .map_err(|error| postgres.failure(error, "cannot read the audit log".to_owned()))?;
    Ok(AuditLog { items })
}
