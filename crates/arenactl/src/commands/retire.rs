//! `arenactl retire BOT --reason R`: retires a bot permanently. This cannot be undone, so it asks for
//! confirmation.

use std::io::{self, BufRead, IsTerminal as _, Write};

use anyhow::{Context as _, bail};
use daemon::config::Sources;
use daemon::process::Failure;
use db::bots::{self, BotProfile, BotRef};
use ledger_core::BotStatus;
use ledger_core::economy::Operator;

use super::{ActReport, act_failure, services_database};
use crate::arguments;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handle or id
    #[arg(value_parser = arguments::bot_ref)]
    bot: BotRef,
    /// Why; it is kept in the audit log
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
    /// Do not ask; required without a terminal
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(
    sources: &Sources,
    args: &Args,
    who: &Operator,
) -> Result<ActReport, Failure> {
    if !args.yes && !io::stdin().is_terminal() {
        let text = "nothing was done: retirement is permanent and without a terminal needs --yes";
        fail!(text);
    }
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    let failure = |error| act_failure(&postgres, error, "retire", &args.bot);
    let profile = bots::find(&mut conn, &args.bot).await.map_err(failure)?;
    // A retired bot is refused below without a question.
    if !args.yes && profile.status != BotStatus::Retired {
        let asked = profile.clone();
        tokio::task::spawn_blocking(move || {
            confirm(&asked, &mut io::stdin().lock(), &mut io::stderr().lock())
        })
        .await
        .context("the question panicked")??;
    }
    // By its id: exactly this bot, whatever changed during the question.
    bots::retire(&mut conn, &BotRef::Id(profile.id), who, &args.reason, None)
        .await
        .map(ActReport::from)
        .map_err(failure)
}

/// Goes on only when the handle is typed.
fn confirm(
    bot: &BotProfile,
    answers: &mut impl BufRead,
    prompt: &mut impl Write,
) -> anyhow::Result<()> {
    let BotProfile { handle, id, status, balance, .. } = bot;
    writeln!(prompt, "This retires {handle} (bot {id}, {status}) forever and burns {balance}.")?;
    write!(prompt, "Type its handle to go on: ")?;
    prompt.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim() == handle {
        return Ok(());
    }
    bail!("nothing was done: that is not its handle")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use ledger_core::{BotId, Money, Timestamp};

    use super::*;

    fn mia() -> BotProfile {
        BotProfile {
            id: BotId(7),
            handle: "Mia".to_owned(),
            status: BotStatus::Alive,
            balance: "3.50".parse().unwrap(),
            shadow_balance: Money::ZERO,
            idle_streak: 0,
            hosted: true,
            created_at: Timestamp::from_micros(0).unwrap(),
            last_action_at: None,
            open_predictions: 0,
            open_stake: Money::ZERO,
            open_bets: 0,
            bet_stake: Money::ZERO,
            pause: None,
        }
    }

    fn answer(text: &str) -> (anyhow::Result<()>, String) {
        let mut prompt = Vec::new();
        let result = confirm(&mia(), &mut text.as_bytes(), &mut prompt);
        (result, String::from_utf8(prompt).unwrap())
    }

    #[test]
    fn the_question_says_what_is_lost_and_the_handle_is_the_yes() {
        let (result, prompt) = answer("Mia\n");
        assert!(result.is_ok());
        assert!(prompt.contains("Mia (bot 7, ALIVE) forever and burns 3.50000000"), "{prompt}");
    }

    #[test]
    fn anything_else_is_a_no() {
        for text in ["", "\n", "y\n", "yes\n", "mia\n", "Mia!\n"] {
            let (result, _) = answer(text);
            assert!(result.unwrap_err().to_string().starts_with("nothing was done"), "{text:?}");
        }
    }
}
