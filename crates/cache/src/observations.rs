//! Observations of the arena gateway: bound to a bot, valid for one action, short-lived.

use std::sync::LazyLock;
use std::time::Duration;

use ledger_core::{BotId, ObservationId};
use redis::Script;

use crate::error::{CacheError, CacheResult};
use crate::{Cache, prices};

/// The result of redeeming an observation.
#[must_use = "whether the observation was good decides what follows"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// It was this bot's and is used up now.
    Redeemed,
    /// It belongs to another bot, and stays valid for that one.
    Foreign,
    /// It was used, it expired, or it never was.
    Gone,
    /// This same request used it up a moment ago, and may be under way elsewhere.
    Twin,
    /// There is no fresh price: the arena is halted, and the observation stays as it is.
    Halted,
}

/// A request to redeem an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    pub bot: BotId,
    pub observation: ObservationId,
    /// The identity of a request that may be repeated. Its repetition gets [`Redemption::Twin`].
    pub request: Option<[u8; 32]>,
}

/// How long a used observation keeps its request: longer than any request runs.
const REMEMBERED_MILLIS: u64 = 15_000;

/// One script, so that of many requests with the same observation exactly one gets `redeemed`. The first key is
/// the price's, the others are observations, each with its bot and request. The argument is the action on a valid
/// one.
macro_rules! judge_observations {
    ($use:literal) => {
        concat!(
            "local answers = {} \
             local open = redis.call('EXISTS', KEYS[1]) == 1 \
             for i = 2, #KEYS do \
               local observation, claimant, request = KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1] \
               local owner = open and redis.call('GET', observation) \
               local answer = 'redeemed' \
               if not open then answer = 'halted' \
               elseif not owner then answer = 'gone' \
               elseif string.sub(owner, 1, 1) == '#' then \
                 answer = owner == '#' .. request and 'twin' or 'gone' \
               elseif owner ~= claimant then answer = 'foreign' \
               else ",
            $use,
            " end \
               answers[i - 1] = answer \
             end \
             return answers",
        )
    };
}
static REDEEM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(judge_observations!(
        "if request == '' then redis.call('DEL', observation) \
             else redis.call('SET', observation, '#' .. request, 'PX', ARGV[1]) end"
    ))
});
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(judge_observations!("")));

impl Cache {
    /// Creates an observation for `bot`, valid for `ttl`.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn issue_observation(
        &self,
        bot: BotId,
        observation: ObservationId,
        ttl: Duration,
    ) -> CacheResult<()> {
        let key = self.observation_key(observation);
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.run(redis::cmd("SET").arg(&key).arg(bot.0).arg("PX").arg(millis)).await
    }

    /// Compares the observation's owner with `bot` and uses it up, in one step.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn redeem_observation(&self, handed: Handed) -> CacheResult<Redemption> {
        let answers = self.redeem_observations(&[handed]).await?;
        answers.first().copied().ok_or_else(Self::no_such_answer)
    }

    /// [`Cache::redeem_observation`] for many at once, answered in their order.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn redeem_observations(
        &self,
        observations: &[Handed],
    ) -> CacheResult<Vec<Redemption>> {
        // A second try after a lost answer finds the observations gone: used up for nothing, never twice.
        self.judge_observations(&REDEEM, observations).await
    }

    /// The result that [`Cache::redeem_observation`] would return. The observation stays as it is.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn look_at_observation(&self, handed: Handed) -> CacheResult<Redemption> {
        let answers = self.judge_observations(&LOOK, &[handed]).await?;
        answers.first().copied().ok_or_else(Self::no_such_answer)
    }

    /// Forgets which request used an observation up, once that request has come to nothing.
    ///
    /// # Errors
    /// If Redis does not answer in time: see [`CacheError`].
    pub async fn forget_observation(&self, observation: ObservationId) -> CacheResult<()> {
        self.run(redis::cmd("DEL").arg(self.observation_key(observation))).await
    }

    async fn judge_observations(
        &self,
        script: &Script,
        observations: &[Handed],
    ) -> CacheResult<Vec<Redemption>> {
        let mut judge = script.key(self.key(prices::PRICE_KEY));
        judge.arg(REMEMBERED_MILLIS);
        for handed in observations {
            let request = handed.request.map(|request| request.to_vec());
            judge
                .key(self.observation_key(handed.observation))
                .arg(handed.bot.0)
                .arg(request.unwrap_or_default());
        }
        let answers: Vec<String> = self.invoke(&judge).await?;
        if answers.len() != observations.len() {
            return Err(Self::no_such_answer());
        }
        let redemption = |answer: &String| match answer.as_str() {
            "redeemed" => Ok(Redemption::Redeemed),
            "foreign" => Ok(Redemption::Foreign),
            "gone" => Ok(Redemption::Gone),
            "twin" => Ok(Redemption::Twin),
            "halted" => Ok(Redemption::Halted),
            _ => Err(Self::no_such_answer()),
        };
        answers.iter().map(redemption).collect()
    }

    fn no_such_answer() -> CacheError {
        CacheError::Corrupt("the answer to an observation".to_owned())
    }

    fn observation_key(&self, observation: ObservationId) -> String {
        self.key(&format!("ticket:{observation}"))
    }
}
