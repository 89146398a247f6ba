//! `arenactl revive BOT --amount A --reason R`: revives a dead bot.

use daemon::config::Sources;
use daemon::process::Failure;
use db::bots::{self, BotRef};
use ledger_core::Money;
use ledger_core::economy::Operator;

use super::{ActReport, act_failure, services_database};
use crate::arguments;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handle or id of a dead bot
    #[arg(value_parser = arguments::bot_ref)]
    bot: BotRef,
    /// Its new credits, such as 100.00
    #[arg(long, value_parser = arguments::positive_amount)]
    amount: Money,
    /// Why; it is posted and kept in the audit log
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

pub(crate) async fn run(
    sources: &Sources,
    args: &Args,
    who: &Operator,
) -> Result<ActReport, Failure> {
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    bots::revive(&mut conn, &args.bot, args.amount, who, &args.reason, None)
        .await
        .map(ActReport::from)
        .map_err(|error| act_failure(&postgres, error, "revive", &args.bot))
}
