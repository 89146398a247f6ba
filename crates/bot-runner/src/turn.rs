//! A turn: observe, decide, act.
//!
//! A ticket lives for seconds and a model thinks for longer. So the bot thinks first, on what
//! anyone may see, and takes its ticket when it knows what to do. What its model calls used goes
//! with the action. Whatever fails costs the turn and nothing else; what passes by itself
//! ([`Loss::is_passing`]) not even that.

use std::time::Duration;

use arena_client::api_types::{
    Acceptance, Action as ArenaAction, ActionRequest, MyProfile, ProblemKind, USAGE_NAME_MAX_CHARS,
    Usage,
};
use arena_client::{Client, ClientError, IdempotencyKey, PageQuery};
use ledger_core::{BotStatus, PredictionId};
use llm::usage::{TurnUsage, collect};
use llm::{LlmError, Model};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::decision::{self, Action, Limits, Standing, Unusable, Waiting};
use crate::persona::Persona;
use crate::prompt::{self, PRICES_MAX, Scene};

/// What reading the arena may take in all, beside the model's call.
pub const READING_LIMIT: Duration = Duration::from_secs(10);
/// What a ticket and its action may take in all, retries included.
const ACTING_LIMIT: Duration = Duration::from_secs(20);

/// A bot with all it needs for a turn.
#[derive(Debug)]
pub struct HostedBot {
    pub persona: Persona,
    /// With the bot's credential.
    pub arena: Client,
    pub model: Model,
    /// The longest that reading the arena and asking the model may take together:
    /// [`READING_LIMIT`] and the model's own time-out.
    pub thinking_limit: Duration,
}

/// What became of a turn.
#[derive(Debug)]
pub enum Outcome {
    Wagered {
        prediction_id: Option<PredictionId>,
    },
    Waited,
    /// Nothing was done, for this reason.
    Lost(Loss),
    /// The bot acts no more.
    NotAlive(BotStatus),
    /// The arena does not know the bot by this key.
    KeyRefused,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    #[error("the arena is halted: there is no fresh price")]
    Halted,
    #[error("{0}")]
    NoRoom(Waiting),
    #[error("this turn's action was performed before")]
    ActedBefore,
    #[error("thinking took too long")]
    ThinkingTimeout,
    #[error("acting took too long")]
    ActingTimeout,
    #[error(transparent)]
    Model(#[from] LlmError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error(transparent)]
    Arena(#[from] ClientError),
}

impl Loss {
    /// Whether the arena could not take the action just now, through no fault of the bot: the same
    /// turn may come to something a little later. Its key keeps an action that did arrive from
    /// being performed again.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Loss::Halted | Loss::ActingTimeout => true,
            Loss::Arena(error) => {
                // A ticket is spent unused when Redis is emptied; a conflict means that the
                // action of a runner that was stopped is still being performed.
                let passes = [ProblemKind::TicketSpent, ProblemKind::IdempotencyConflict];
                error.is_unavailable() || error.kind().is_some_and(|kind| passes.contains(&kind))
            }
            Loss::NoRoom(_)
            | Loss::ActedBefore
            | Loss::ThinkingTimeout
            | Loss::Model(_)
            | Loss::Unusable(_) => false,
        }
    }
}

/// What thinking led to, when it led to anything.
enum Thought {
    Decided(Action),
    Nothing(Loss),
    NotAlive(BotStatus),
    KeyRefused,
}

impl HostedBot {
    /// The longest that a turn can take; a lease has to last longer.
    #[must_use]
    pub fn turn_limit(&self) -> Duration {
        self.thinking_limit + ACTING_LIMIT
    }

    /// Takes a turn. All actions under one `key` count once, so a turn that another runner began
    /// and did not finish cannot be acted twice.
    pub async fn take_turn(&self, key: &IdempotencyKey) -> Outcome {
        // The time-out is inside, so that what was used by then is still known.
        let (thought, usage) = collect(timeout(self.thinking_limit, self.think())).await;
        let thought = thought.unwrap_or(Thought::Nothing(Loss::ThinkingTimeout));
        let usage = to_report(&usage);
        let (action, loss) = match thought {
            Thought::NotAlive(status) => return Outcome::NotAlive(status),
            Thought::KeyRefused => return Outcome::KeyRefused,
            Thought::Decided(action) => (action, None),
            // What was paid for is reported, even where nothing came of it.
            Thought::Nothing(loss) if usage.is_some() => {
                let why = Waiting::Chosen;
                (
                    Action::Wait {
                        why,
                        reasoning: None,
                    },
                    Some(loss),
                )
            }
            Thought::Nothing(loss) => return Outcome::Lost(loss),
        };
        let acted = timeout(ACTING_LIMIT, self.act(&action, usage, key)).await;
        let acted = acted.unwrap_or(Err(Loss::ActingTimeout));
        match (acted, loss) {
            (Err(Loss::Arena(error)), loss) => self.refused(error, loss).await,
            (Err(failure), loss) => Outcome::Lost(loss.unwrap_or(failure)),
            (Ok(_), Some(loss)) => Outcome::Lost(loss),
            (Ok(acceptance), None) => self.accepted(&action, &acceptance),
        }
    }

    async fn think(&self) -> Thought {
        let newest = PageQuery::newest(u32::try_from(PRICES_MAX).unwrap_or(1));
        let (me, economy, prices) = tokio::join!(
            self.arena.me(),
            self.arena.economy(),
            self.arena.prices(&newest)
        );
        let me = match me {
            Ok(me) => me,
            Err(error) if error.status() == Some(401) => return Thought::KeyRefused,
            Err(error) if error.kind() == Some(ProblemKind::BotNotAlive) => {
                return Thought::NotAlive(BotStatus::Dead);
            }
            Err(error) => return Thought::Nothing(error.into()),
        };
        if me.bot.status != BotStatus::Alive {
            return Thought::NotAlive(me.bot.status);
        }
        let (economy, prices) = match (economy, prices) {
            (Ok(economy), Ok(prices)) => (economy, prices.items),
            (Err(error), _) | (_, Err(error)) => return Thought::Nothing(error.into()),
        };
        // Without a price nothing could come of any thought, so none is paid for.
        if economy.price.is_none() || prices.is_empty() {
            return Thought::Nothing(Loss::Halted);
        }
        let (standing, limits) = (standing(&me), limits(&me, &self.persona));
        let room = match decision::room(&standing, &limits) {
            Ok(room) => room,
            Err(why) => return Thought::Nothing(Loss::NoRoom(why)),
        };
        let scene = Scene {
            me,
            economy,
            prices,
            room,
        };
        let completion = match self
            .model
            .complete(&prompt::build(&self.persona, &scene))
            .await
        {
            Ok(completion) => completion,
            Err(error) => return Thought::Nothing(error.into()),
        };
        match decision::decide(&completion.text, &standing, &limits) {
            Ok(action) => Thought::Decided(action),
            Err(unusable) => Thought::Nothing(unusable.into()),
        }
    }

    async fn act(
        &self,
        action: &Action,
        usage: Option<Usage>,
        key: &IdempotencyKey,
    ) -> Result<Acceptance, Loss> {
        let ticket = self.arena.observation().await?.observation_id;
        let (action, reasoning) = match action {
            Action::Predict {
                direction,
                stake,
                confidence,
                reasoning,
            } => {
                let predict = ArenaAction::Predict {
                    direction: *direction,
                    wager_amount: *stake,
                    confidence: *confidence,
                };
                (predict, reasoning)
            }
            Action::Wait { reasoning, .. } => (ArenaAction::Wait, reasoning),
        };
        let mut request = ActionRequest::new(ticket, action).usage(usage);
        request.reasoning.clone_from(reasoning);
        Ok(self.arena.act_once(&request, key).await?)
    }

    fn accepted(&self, action: &Action, acceptance: &Acceptance) -> Outcome {
        let bot = &self.persona.handle;
        match action {
            Action::Predict {
                direction,
                stake,
                confidence,
                ..
            } => {
                info!(
                    %bot, %direction, %stake, confidence = %confidence.decimal(),
                    balance = %acceptance.new_balance, "wagered"
                );
                Outcome::Wagered {
                    prediction_id: acceptance.prediction_id,
                }
            }
            Action::Wait { why, .. } => {
                debug!(%bot, %why, "waited");
                Outcome::Waited
            }
        }
    }

    /// What the arena's no to an action means for the bot. `loss` is why the turn was lost before.
    async fn refused(&self, error: ClientError, loss: Option<Loss>) -> Outcome {
        let by_arena = match error.kind() {
            Some(ProblemKind::BotNotAlive) => return self.ended(error).await,
            Some(ProblemKind::Unauthorized) => return Outcome::KeyRefused,
            Some(ProblemKind::IdempotencyMismatch) => Loss::ActedBefore,
            Some(ProblemKind::PriceStale) => Loss::Halted,
            _ => error.into(),
        };
        if let Some(loss) = loss {
            warn!(bot = %self.persona.handle, error = %by_arena, "usage could not be reported");
            return Outcome::Lost(loss);
        }
        Outcome::Lost(by_arena)
    }

    /// The arena says that the bot does not live; which way it ended is in its profile.
    async fn ended(&self, error: ClientError) -> Outcome {
        match self.arena.me().await {
            // An operator was quicker: the turn is lost, the bot is not.
            Ok(me) if me.bot.status == BotStatus::Alive => Outcome::Lost(error.into()),
            Ok(me) => Outcome::NotAlive(me.bot.status),
            Err(_) => Outcome::NotAlive(BotStatus::Dead),
        }
    }
}

fn standing(me: &MyProfile) -> Standing {
    Standing {
        balance: me.bot.balance,
        open_predictions: me.limits.open_predictions.into(),
        open_stake: me.limits.open_stake,
    }
}

fn limits(me: &MyProfile, persona: &Persona) -> Limits {
    Limits {
        stake_min: me.limits.stake_min,
        open_predictions_max: me.limits.open_predictions_max.into(),
        open_stake_max: me.limits.open_stake_max,
        max_stake_fraction: persona.max_stake_fraction,
        min_confidence: persona.min_confidence,
    }
}

/// The turn's usage as the arena takes it; `None` when no call was answered.
fn to_report(usage: &TurnUsage) -> Option<Usage> {
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let provider = usage.provider.as_deref()?;
    let model = usage.model.as_deref()?;
    Some(Usage {
        provider: name(provider),
        model: name(model),
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cached_input_tokens: Some(count(usage.cached_input_tokens)),
        reasoning_tokens: Some(count(usage.reasoning_tokens)),
        cost_usd: None,
        llm_calls: i32::try_from(usage.llm_calls).unwrap_or(i32::MAX),
    })
}

/// A provider's or model's name within the arena's bounds.
fn name(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    let name: String = printable.take(USAGE_NAME_MAX_CHARS).collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}
