//! A turn: observe, decide, act.
//!
//! An observation is valid for seconds and a model call takes longer. So the bot first decides by public data
//! ([`observe`]), and requests its observation after the decision ([`act`]). Thinking begins with one question,
//! what to do with the turn; answering a research question and choosing bets take one or two more. A turn submits
//! at most one action, with the usage of its model calls; without an action, usage is reported separately.
//!
//! A failure only costs the turn; a temporary one ([`Loss::is_passing`]) not even that.

mod act;
mod observe;

use std::time::Duration;

use arena_client::api_types::{Market, USAGE_NAME_MAX_CHARS, Usage};
use arena_client::{Client, ClientError, IdempotencyKey};
use ledger_core::economy::{AnswerResult, Lookup as Tool};
use ledger_core::{BotStatus, PredictionId, Timestamp};
use llm::usage::{TurnUsage, collect};
use llm::{LlmError, Prompt};
use tokio::time::timeout;

use crate::budget::{Mind, MindError};
use crate::decision::{self, Limits, Standing, Unusable, Waiting};
use crate::lookup::{LOOKUP_LIMIT, Lookup};
use crate::persona::Persona;
use crate::portfolio::{self, Purse};
use crate::prompt::{self, Scene};
use crate::research::{self, Proposal, Terms};
use crate::strategy::{self, Strategy};
use act::Intent;

/// The total time for reading the arena, besides the model's calls.
pub const READING_LIMIT: Duration = Duration::from_secs(10);
/// The most calls of a turn: the decision, the answer, the answer after a lookup.
pub const CALLS_MAX: u32 = 3;

/// The longest that a turn's thinking can take with a model that takes so long for a call.
pub fn thinking_limit(call_timeout: Duration) -> Duration {
    READING_LIMIT + LOOKUP_LIMIT + call_timeout * CALLS_MAX
}

/// A bot with all it needs for a turn.
#[derive(Debug)]
pub struct HostedBot {
    pub persona: Persona,
    /// With the bot's credential.
    pub arena: Client,
    pub mind: Mind,
    pub lookup: Lookup,
    /// The longest that observing and thinking may take together: see [`thinking_limit`].
    pub thinking_limit: Duration,
}

/// The result of a turn.
#[derive(Debug)]
pub enum Outcome {
    Wagered {
        prediction_id: Option<PredictionId>,
    },
    /// A research question was answered.
    Answered {
        result: AnswerResult,
    },
    /// So many bets were placed.
    Bet {
        count: usize,
    },
    Waited,
    /// Nothing was done, for this reason.
    Lost(Loss),
    /// The bot no longer acts.
    NotAlive(BotStatus),
    /// The arena does not know the bot by this key.
    KeyRefused,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    #[error("the arena is halted: there is no fresh price")]
    Halted,
    #[error("an operator paused the arena or this bot: {0}")]
    Paused(String),
    #[error("{0}")]
    NoRoom(Waiting),
    #[error("this turn's action was performed before")]
    ActedBefore,
    #[error("the model calls took too long")]
    ThinkingTimeout,
    #[error("the action took too long")]
    ActingTimeout,
    #[error(transparent)]
    Model(#[from] LlmError),
    /// The model was not called, because its cost could not be limited.
    #[error(transparent)]
    Budget(MindError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error(transparent)]
    Arena(#[from] ClientError),
}

impl Loss {
    /// Whether the arena could not take the action just now, through no fault of the bot: the same
    /// turn may come to something a little later. Its key keeps an action that did arrive from
    /// being performed again.
    pub fn is_passing(&self) -> bool {
        use arena_client::api_types::ProblemKind::{IdempotencyConflict, TicketSpent};
        match self {
            Loss::Halted | Loss::ActingTimeout => true,
            Loss::Arena(error) => {
                // An observation is spent unused when Redis is emptied; a conflict means that the
                // action of a runner that was stopped is still being performed.
                let passes = [TicketSpent, IdempotencyConflict];
                error.is_unavailable()
                    || error.retry_after().is_some()
                    || error.kind().is_some_and(|kind| passes.contains(&kind))
            }
            // A bot that was asked to wait has not had its turn.
            Loss::Model(error) => error.retry_after().is_some(),
            // Until the next turn: an operator takes longer than a moment.
            Loss::Paused(_)
            | Loss::NoRoom(_)
            | Loss::ActedBefore
            | Loss::ThinkingTimeout
            | Loss::Budget(_)
            | Loss::Unusable(_) => false,
        }
    }

    /// The wait that the arena, or the model's provider, requests.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Loss::Model(error) => error.retry_after(),
            Loss::Arena(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl<L: Into<Loss>> From<L> for Outcome {
    fn from(loss: L) -> Outcome {
        Outcome::Lost(loss.into())
    }
}

impl From<MindError> for Loss {
    fn from(error: MindError) -> Loss {
        match error {
            MindError::Model(error) => error.into(),
            error => Loss::Budget(error),
        }
    }
}

impl HostedBot {
    /// The longest that a turn can take; a lease has to last longer.
    pub fn turn_limit(&self) -> Duration {
        self.thinking_limit + act::ACTING_LIMIT + act::REPORTING_LIMIT
    }

    /// Takes the turn that was due at that time. All actions of one kind with one `key` count once, and a bot
    /// that has acted since the due time has completed its turn: so a turn that another runner began and did not
    /// finish cannot act twice.
    pub async fn take_turn(&self, key: &IdempotencyKey, due_at: Timestamp) -> Outcome {
        // The time-out is inside, so that usage until then is still known.
        let (thought, usage) = collect(timeout(self.thinking_limit, self.think(due_at))).await;
        let thought = thought.unwrap_or_else(|_| Err(Loss::ThinkingTimeout.into()));
        let usage = to_report(&usage);
        let (intent, loss) = match thought {
            Ok(intent) => (intent, None),
            // No more model calls are allowed today.
            Err(Outcome::Lost(Loss::Budget(MindError::Spent))) => {
                (Intent::wait(Waiting::Spent, None), None)
            }
            // The same turn comes again, and its action must not be taken until then.
            Err(Outcome::Lost(loss)) if loss.is_passing() => {
                self.report(usage).await;
                return Outcome::Lost(loss);
            }
            // Paid usage is reported, even without a result.
            Err(Outcome::Lost(loss)) if usage.is_some() => {
                (Intent::wait(Waiting::Chosen, None), Some(loss))
            }
            Err(ended) => return ended,
        };
        self.act(&intent, usage, key, loss).await
    }

    async fn think(&self, due_at: Timestamp) -> Result<Intent, Outcome> {
        let scene = self.observe(due_at).await?;
        let text = self.ask(&scene, &prompt::build(&self.persona, &scene)).await?;
        let chosen = strategy::choose(&text)?;
        if !scene.options().allow(chosen) {
            return Ok(Intent::wait(Waiting::NotPossible, None));
        }
        match (chosen, &scene.question) {
            (Strategy::Research, Some(question)) => self.research(&scene, question).await,
            (Strategy::Portfolio, _) => self.portfolio(&scene).await,
            (Strategy::Research | Strategy::Wager | Strategy::Wait, _) => {
                let limits = limits(&scene, &self.persona);
                let action = decision::decide(&text, &standing(&scene), &limits)?;
                Ok(Intent::Act(action))
            }
        }
    }

    async fn ask(&self, scene: &Scene, prompt: &Prompt) -> Result<String, Outcome> {
        let completion = self.mind.complete(scene.me.bot.id, prompt).await?;
        Ok(completion.text)
    }

    /// Thinks of an answer, looks it up if need be, and thinks again.
    async fn research(&self, scene: &Scene, question: &Market) -> Result<Intent, Outcome> {
        let terms = terms(scene);
        let first = self.answer(scene, prompt::research(&self.persona, scene, question, None));
        let first = first.await?;
        let title = research::title_of(question).filter(|_| first.wants_lookup());
        let found = match title {
            Some(title) if terms.afford_lookup() => self.lookup.article(&title).await,
            _ => None,
        };
        let Some(article) = found else {
            return Ok(Intent::answer(question.id, first, Tool::NotUsed));
        };
        let again = prompt::research(&self.persona, scene, question, Some(&article));
        let second = self.answer(scene, again).await?;
        Ok(Intent::answer(question.id, second, Tool::Used))
    }

    async fn answer(&self, scene: &Scene, prompt: Prompt) -> Result<Proposal, Outcome> {
        let text = self.ask(scene, &prompt).await?;
        Ok(research::read(&text)?)
    }

    async fn portfolio(&self, scene: &Scene) -> Result<Intent, Outcome> {
        let prompt = prompt::portfolio(&self.persona, scene);
        let text = self.ask(scene, &prompt).await?;
        let pool_max = scene.economy.parameters.markets.pool_max;
        let picks = portfolio::read(&text, &scene.markets, pool_max)?;
        Ok(Intent::bets(portfolio::allot(picks, &purse(scene))))
    }
}

fn standing(scene: &Scene) -> Standing {
    Standing {
        balance: scene.me.bot.balance,
        open_predictions: scene.me.limits.open_predictions.into(),
        open_stake: scene.me.limits.open_stake,
    }
}

fn limits(scene: &Scene, persona: &Persona) -> Limits {
    let limits = &scene.me.limits;
    Limits {
        stake_min: limits.stake_min,
        open_predictions_max: limits.open_predictions_max.into(),
        open_stake_max: limits.open_stake_max,
        max_stake_fraction: persona.max_stake_fraction,
        min_confidence: persona.min_confidence,
    }
}

fn terms(scene: &Scene) -> Terms {
    let rules = &scene.economy.parameters.markets;
    Terms { balance: scene.me.bot.balance, stake: rules.answer_stake, lookup_fee: rules.lookup_fee }
}

fn purse(scene: &Scene) -> Purse {
    let bot = &scene.me.bot;
    Purse::new(bot.balance, bot.idle_streak, &scene.economy.parameters)
}

/// The turn's usage as the arena takes it; `None` when no call was answered.
fn to_report(usage: &TurnUsage) -> Option<Usage> {
    let tokens = usage.tokens;
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let provider = usage.provider.as_deref()?;
    let model = usage.model.as_deref()?;
    Some(Usage {
        provider: name(provider),
        model: name(model),
        input_tokens: count(tokens.input),
        output_tokens: count(tokens.output),
        // Parts of the above: the arena would refuse a report with larger values.
        cached_input_tokens: Some(count(tokens.cached.min(tokens.input))),
        reasoning_tokens: Some(count(tokens.reasoning.min(tokens.output))),
        cost_usd: None,
        llm_calls: i32::try_from(usage.llm_calls).unwrap_or(i32::MAX),
        unreported_calls: Some(usage.unreported_calls)
            .filter(|calls| *calls > 0)
            .map(|calls| i32::try_from(calls).unwrap_or(i32::MAX)),
    })
}

/// A provider's or model's name within the arena's bounds.
fn name(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    let name: String = printable.take(USAGE_NAME_MAX_CHARS).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}
