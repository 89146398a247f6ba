//! The only access of a bot to its model, and the daily limit of its cost.
//!
//! Before each call its highest possible cost is reserved in Postgres, where every runner sees it; after the call
//! the real cost replaces it. The cost of a call without an answer is unknown, so its reservation stays, unless
//! the provider certainly did nothing. If a runner crashes in between, the reservation stays: the limit may be
//! reached early, and can be exceeded only if a provider ignores its own token limit.
//!
//! A [`Mind`] does not expose its model: no call can bypass the limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use db::schedules::{self, Allowance, LlmReservation, SpendingDay};
use db::{Database, DbError};
use ledger_core::price_book::PriceBook;
use ledger_core::{BotId, Money};
use llm::usage::{TurnUsage, collect};
use llm::{Completion, LlmError, Model, Prompt};
use service::clock;
use tracing::{info, warn};

use crate::metrics;

/// The most tokens that a chat's format adds to the texts of a prompt.
pub const OVERHEAD_TOKENS: u64 = 500;

/// Whether a bot's thinking has a price and an end.
#[derive(Clone)]
pub enum Spending {
    /// Without a limit.
    Unlimited,
    Capped(DailyCap),
}

/// The most that one bot's thinking may cost from midnight to midnight, UTC.
#[derive(Clone)]
pub struct DailyCap {
    pub usd: Money,
    pub database: Database,
}

/// A bot's model behind its cap.
#[derive(Debug)]
pub struct Mind {
    model: Model,
    spending: Spending,
    /// The prices for calls, limited or not.
    prices: Arc<PriceBook>,
    /// The day for which the used-up limit was already logged.
    said: Mutex<Option<SpendingDay>>,
}

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
pub enum MindError {
    /// The call was not made.
    #[error("the bot's model calls have used up today's limit (LLM_DAILY_USD)")]
    Spent,
    /// The call was not made.
    #[error("{model} has no price in the price book, so LLM_DAILY_USD cannot limit its calls")]
    Unpriced { model: String },
    /// The call was not made.
    #[error("today's cost of model calls cannot be read: {0}")]
    Database(#[from] DbError),
    #[error(transparent)]
    Model(#[from] LlmError),
}

impl Mind {
    pub fn new(model: Model, spending: Spending, prices: Arc<PriceBook>) -> Mind {
        Mind { model, spending, prices, said: Mutex::new(None) }
    }

    /// Asks the model once, for that bot.
    ///
    /// # Errors
    /// See [`MindError`].
    pub async fn complete(&self, bot_id: BotId, prompt: &Prompt) -> Result<Completion, MindError> {
        // Before anything is reserved or counted: no call would be made.
        self.model.is_open()?;
        let cap = match &self.spending {
            Spending::Unlimited => return Ok(self.call(prompt).await.0?),
            Spending::Capped(cap) => cap,
        };
        let most = self.greatest_cost(prompt)?;
        if most.is_zero() {
            return Ok(self.call(prompt).await.0?);
        }
        let reservation = self.reserve(cap, bot_id, most).await?;
        let (result, used) = self.call(prompt).await;
        let cost = match &result {
            Err(error) if error.is_unserved() => Money::ZERO,
            _ => self.real_cost(&used).unwrap_or(most),
        };
        settle(cap, &reservation, cost).await;
        Ok(result?)
    }

    /// The call itself, which is always counted.
    async fn call(&self, prompt: &Prompt) -> (Result<Completion, LlmError>, TurnUsage) {
        let began = Instant::now();
        let (result, used) = collect(self.model.complete(prompt)).await;
        let cost = self.real_cost(&used);
        let model = self.model.model_name();
        metrics::call(model, result.as_ref().err(), began.elapsed(), &used, cost);
        (result, used)
    }

    async fn reserve(
        &self,
        cap: &DailyCap,
        bot_id: BotId,
        most: Money,
    ) -> Result<LlmReservation, MindError> {
        // The connection is returned before the call of the model.
        let mut conn = cap.database.get().await?;
        match schedules::reserve_llm(&mut conn, bot_id, most, cap.usd).await? {
            Allowance::Granted(reservation) => Ok(reservation),
            Allowance::Refused { day } => {
                self.say_once(day, bot_id, cap);
                Err(MindError::Spent)
            }
        }
    }

    fn say_once(&self, day: SpendingDay, bot_id: BotId, cap: &DailyCap) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.replace(day) != Some(day) {
            let cap_usd = cap.usd;
            info!(%bot_id, %day, %cap_usd, "no more model calls today: LLM_DAILY_USD is reached");
        }
    }

    /// A text has at most as many tokens as bytes, and an answer at most the requested number. Whether the
    /// input is cached is not known beforehand, so the dearer price counts.
    fn greatest_cost(&self, prompt: &Prompt) -> Result<Money, MindError> {
        let bytes = prompt.system.len().saturating_add(prompt.user.len());
        let input = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(OVERHEAD_TOKENS);
        let output = u64::from(prompt.max_output_tokens);
        let (provider, model) = (self.model.provider_name(), self.model.model_name());
        let at = clock::now();
        let cost = |cached| self.prices.cost(provider, model, at, input, cached, output);
        cost(0)
            .zip(cost(input))
            .map(|(new, cached)| new.max(cached))
            .ok_or_else(|| MindError::Unpriced { model: format!("{provider}/{model}") })
    }

    /// The cost of one call, by the price of the answering model; `None` if it has none, or if the provider did
    /// not report usage.
    fn real_cost(&self, used: &TurnUsage) -> Option<Money> {
        if used.llm_calls != 1 || used.unreported_calls != 0 {
            return None;
        }
        let (provider, model) = (used.provider.as_deref()?, used.model.as_deref()?);
        let tokens = used.tokens;
        self.prices.cost(provider, model, clock::now(), tokens.input, tokens.cached, tokens.output)
    }
}

/// Without this the reservation stands, which errs on the side of the cap.
async fn settle(cap: &DailyCap, reservation: &LlmReservation, cost: Money) {
    if cost == reservation.usd {
        return;
    }
    let settled = async {
        let mut conn = cap.database.get().await?;
        schedules::settle_llm(&mut conn, reservation, cost).await
    };
    if let Err(error) = settled.await {
        let (bot_id, usd) = (reservation.bot_id, reservation.usd);
        warn!(%bot_id, %usd, %error, "a reservation stays, because its real cost cannot be written");
    }
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spending::Unlimited => f.write_str("Unlimited"),
            Spending::Capped(cap) => write!(f, "Capped({})", cap.usd),
        }
    }
}
