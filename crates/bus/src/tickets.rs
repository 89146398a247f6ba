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

/// One script, so that of many who hand in the same ticket exactly one is told `redeemed`.
static REDEEM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[2]) == 0 then return 'halted' end \
         local owner = redis.call('GET', KEYS[1]) \
         if not owner then return 'gone' end \
         if owner ~= ARGV[1] then return 'foreign' end \
         redis.call('DEL', KEYS[1]) \
         return 'redeemed'",
    )
});

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
        let ticket = self.ticket_key(observation);
        let price = self.key(prices::PRICE_KEY);
        // A second try after a lost answer finds the ticket gone: used up for nothing, never twice.
        let answer: String = self
            .invoke(REDEEM.key(&ticket).key(&price).arg(bot.0))
            .await?;
        match answer.as_str() {
            "redeemed" => Ok(Redemption::Redeemed),
            "foreign" => Ok(Redemption::Foreign),
            "gone" => Ok(Redemption::Gone),
            "halted" => Ok(Redemption::Halted),
            _ => Err(BusError::Corrupt("the answer to a ticket".to_owned())),
        }
    }

    fn ticket_key(&self, observation: ObservationId) -> String {
        self.key(&format!("ticket:{observation}"))
    }
}
