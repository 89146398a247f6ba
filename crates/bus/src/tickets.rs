//! Tickets of the arena gateway: bound to a bot, good for one action, short-lived.

use std::sync::LazyLock;
use std::time::Duration;

use ledger_core::{BotId, ObservationId};
use redis::Script;

use crate::error::{BusError, BusResult};
use crate::{Bus, prices};

/// What became of a ticket that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// It was this bot's and is used up now.
    Redeemed,
    /// It is another bot's, and stays good for that one.
    Foreign,
    /// It was used, it expired, or it never was.
    Gone,
    /// There is no fresh price: the arena is halted, and the ticket stays as it is.
    Halted,
}

/// One script, so that of many who hand in the same ticket exactly one is told `redeemed`. The first
/// key is the price's, the others are tickets, each with who hands it in. What is done to a good one
/// is the argument.
macro_rules! judge_tickets {
    ($use:literal) => {
        concat!(
            "local answers = {} \
             local open = redis.call('EXISTS', KEYS[1]) == 1 \
             for i, claimant in ipairs(ARGV) do \
               local ticket = KEYS[i + 1] \
               local owner = open and redis.call('GET', ticket) \
               if not open then answers[i] = 'halted' \
               elseif not owner then answers[i] = 'gone' \
               elseif owner ~= claimant then answers[i] = 'foreign' \
               else ",
            $use,
            " answers[i] = 'redeemed' end \
             end \
             return answers",
        )
    };
}
static REDEEM: LazyLock<Script> =
    LazyLock::new(|| Script::new(judge_tickets!("redis.call('DEL', ticket)")));
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(judge_tickets!("")));

impl Bus {
    /// Makes a ticket for `bot` that is good for `ttl`.
    pub async fn issue_ticket(
        &self,
        bot: BotId,
        observation: ObservationId,
        ttl: Duration,
    ) -> BusResult<()> {
        let key = self.ticket_key(observation);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.run(redis::cmd("SET").arg(&key).arg(bot.0).arg("PX").arg(millis))
            .await
    }

    /// Compares the ticket's owner with `bot` and uses it up, in one step.
    pub async fn redeem_ticket(
        &self,
        bot: BotId,
        observation: ObservationId,
    ) -> BusResult<Redemption> {
        let answers = self.redeem_tickets(&[(bot, observation)]).await?;
        answers.first().copied().ok_or_else(Self::no_such_answer)
    }

    /// [`Bus::redeem_ticket`] for many at once, answered in their order.
    pub async fn redeem_tickets(
        &self,
        tickets: &[(BotId, ObservationId)],
    ) -> BusResult<Vec<Redemption>> {
        // A second try after a lost answer finds the tickets gone: used up for nothing, never twice.
        self.judge_tickets(&REDEEM, tickets).await
    }

    /// What [`Bus::redeem_ticket`] would answer. The ticket stays as it is.
    pub async fn look_at_ticket(
        &self,
        bot: BotId,
        observation: ObservationId,
    ) -> BusResult<Redemption> {
        let answers = self.judge_tickets(&LOOK, &[(bot, observation)]).await?;
        answers.first().copied().ok_or_else(Self::no_such_answer)
    }

    async fn judge_tickets(
        &self,
        script: &Script,
        tickets: &[(BotId, ObservationId)],
    ) -> BusResult<Vec<Redemption>> {
        let mut judge = script.key(self.key(prices::PRICE_KEY));
        for (bot, observation) in tickets {
            judge.key(self.ticket_key(*observation)).arg(bot.0);
        }
        let answers: Vec<String> = self.invoke(&judge).await?;
        if answers.len() != tickets.len() {
            return Err(Self::no_such_answer());
        }
        let redemption = |answer: &String| match answer.as_str() {
            "redeemed" => Ok(Redemption::Redeemed),
            "foreign" => Ok(Redemption::Foreign),
            "gone" => Ok(Redemption::Gone),
            "halted" => Ok(Redemption::Halted),
            _ => Err(Self::no_such_answer()),
        };
        answers.iter().map(redemption).collect()
    }

    fn no_such_answer() -> BusError {
        BusError::Corrupt("the answer to a ticket".to_owned())
    }

    fn ticket_key(&self, observation: ObservationId) -> String {
        self.key(&format!("ticket:{observation}"))
    }
}
