//! The bot's action in its turn, and its result.

use std::time::Duration;

use arena_client::api_types::{
    Action as ArenaAction, ActionRequest, AnswerRequest, BetOn, BetsRequest, ProblemKind, Usage,
    UsageReport,
};
use arena_client::{ClientError, IdempotencyKey};
use ledger_core::economy::Lookup as Tool;
use ledger_core::{BotStatus, MarketId};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{HostedBot, Loss, Outcome};
use crate::decision::{Action, Waiting};
use crate::portfolio::Stake;
use crate::research::Proposal;

/// The total time for an action, with its observation if it needs one, including retries.
pub(super) const ACTING_LIMIT: Duration = Duration::from_secs(20);
/// The time for reporting usage without an action.
pub(super) const REPORTING_LIMIT: Duration = Duration::from_secs(5);

/// The bot's decision: one action.
#[derive(Debug)]
pub(super) enum Intent {
    /// A wager or a wait.
    Act(Action),
    Answer {
        market: MarketId,
        proposal: Proposal,
        tool: Tool,
    },
    /// At least one.
    Bets(Vec<Stake>),
}

impl Intent {
    pub(super) const fn wait(why: Waiting, reasoning: Option<String>) -> Intent {
        Intent::Act(Action::Wait { why, reasoning })
    }

    /// Gives an answer, if it is sure enough.
    pub(super) fn answer(market: MarketId, proposal: Proposal, tool: Tool) -> Intent {
        if !proposal.is_sure() {
            return Intent::wait(Waiting::Unsure, proposal.reasoning);
        }
        Intent::Answer { market, proposal, tool }
    }

    /// Places the stakes, if any.
    pub(super) fn bets(stakes: Vec<Stake>) -> Intent {
        if stakes.is_empty() {
            return Intent::wait(Waiting::Unsure, None);
        }
        Intent::Bets(stakes)
    }

    const fn is_wait(&self) -> bool {
        matches!(self, Intent::Act(Action::Wait { .. }))
    }
}

/// Why an action was not accepted.
enum Failure {
    /// Nothing was sent yet.
    Before(ClientError),
    /// It was sent; the error shows whether it may have been performed.
    Sent(ClientError),
    Timeout,
}

impl Failure {
    /// Whether the arena has certainly not kept the usage that went with the action.
    fn left_usage_out(&self) -> bool {
        match self {
            Failure::Before(_) => true,
            Failure::Timeout => false,
            Failure::Sent(error) => {
                let is_refusal = error.status().is_some_and(|status| status < 500);
                // The twin that got there first may be this very request.
                is_refusal && error.kind() != Some(ProblemKind::IdempotencyConflict)
            }
        }
    }

    fn is_halt(&self) -> bool {
        match self {
            Failure::Before(error) | Failure::Sent(error) => {
                error.kind() == Some(ProblemKind::PriceStale)
            }
            Failure::Timeout => false,
        }
    }
}

impl HostedBot {
    /// Performs the action, and reports usage separately if the action could not carry it. `loss` is why
    /// the turn was lost before.
    pub(super) async fn act(
        &self,
        intent: &Intent,
        usage: Option<Usage>,
        key: &IdempotencyKey,
        loss: Option<Loss>,
    ) -> Outcome {
        let sent = timeout(ACTING_LIMIT, self.send(intent, usage.clone(), key)).await;
        let failure = match sent.unwrap_or(Err(Failure::Timeout)) {
            Ok(outcome) => return loss.map_or(outcome, Outcome::Lost),
            Err(failure) => failure,
        };
        if failure.left_usage_out() {
            self.report(usage).await;
        }
        if intent.is_wait() && failure.is_halt() {
            // Without a price there are no observations, and it takes none to do nothing.
            return loss.map_or(Outcome::Waited, Outcome::Lost);
        }
        match failure {
            Failure::Before(error) | Failure::Sent(error) => self.refused(error, loss).await,
            Failure::Timeout => Outcome::Lost(loss.unwrap_or(Loss::ActingTimeout)),
        }
    }

    async fn send(
        &self,
        intent: &Intent,
        usage: Option<Usage>,
        key: &IdempotencyKey,
    ) -> Result<Outcome, Failure> {
        match intent {
            Intent::Act(action) => self.use_observation(action, usage, key).await,
            Intent::Answer { market, proposal, tool } => {
                let answer = AnswerRequest {
                    answer: proposal.answer.as_str().to_owned(),
                    used_lookup: *tool == Tool::Used,
                    confidence: proposal.confidence,
                    reasoning: proposal.reasoning.clone(),
                    usage,
                };
                self.give_answer(*market, &answer, key).await
            }
            Intent::Bets(stakes) => {
                let bets = stakes.iter().map(bet_on).collect();
                self.place(&BetsRequest { bets, usage }, key).await
            }
        }
    }

    async fn use_observation(
        &self,
        action: &Action,
        usage: Option<Usage>,
        key: &IdempotencyKey,
    ) -> Result<Outcome, Failure> {
        let observation = self.arena.observation().await.map_err(Failure::Before)?;
        let (wanted, reasoning) = match action {
            Action::Predict { direction, stake, confidence, reasoning } => {
                let predict = ArenaAction::Predict {
                    direction: *direction,
                    wager_amount: *stake,
                    confidence: *confidence,
                };
                (predict, reasoning)
            }
            Action::Wait { reasoning, .. } => (ArenaAction::Wait, reasoning),
        };
        let mut request = ActionRequest::new(observation.observation_id, wanted).usage(usage);
        request.reasoning.clone_from(reasoning);
        let accepted = self.arena.act_once(&request, key).await;
        let accepted = accepted.map_err(Failure::Sent)?;
        let bot = &self.persona.handle;
        Ok(match action {
            Action::Predict { direction, stake, confidence, .. } => {
                info!(
                    %bot, %direction, %stake, confidence = %confidence.decimal(),
                    balance = %accepted.new_balance, "wagered"
                );
                Outcome::Wagered { prediction_id: accepted.prediction_id }
            }
            Action::Wait { why, .. } => {
                debug!(%bot, %why, "waited");
                Outcome::Waited
            }
        })
    }

    async fn give_answer(
        &self,
        market: MarketId,
        answer: &AnswerRequest,
        key: &IdempotencyKey,
    ) -> Result<Outcome, Failure> {
        let judged = self.arena.answer_once(market, answer, key).await;
        let judged = judged.map_err(Failure::Sent)?;
        info!(
            bot = %self.persona.handle, %market, result = ?judged.result,
            used_lookup = answer.used_lookup, balance = %judged.new_balance, "answered"
        );
        Ok(Outcome::Answered { result: judged.result })
    }

    async fn place(&self, bets: &BetsRequest, key: &IdempotencyKey) -> Result<Outcome, Failure> {
        let placed = self.arena.bet_all_once(bets, key).await;
        let placed = placed.map_err(Failure::Sent)?;
        let count = bets.bets.len();
        info!(bot = %self.persona.handle, count, balance = %placed.new_balance, "bet");
        Ok(Outcome::Bet { count })
    }

    /// With its own key: each attempt at a turn has its own model calls.
    pub(super) async fn report(&self, usage: Option<Usage>) {
        let Some(usage) = usage else { return };
        let note = Some("a turn without an action".to_owned());
        let report = UsageReport { usage, note };
        let key = IdempotencyKey::random();
        let bot = &self.persona.handle;
        match timeout(REPORTING_LIMIT, self.arena.report_usage(&report, &key)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(%bot, %error, "usage could not be reported"),
            Err(_) => warn!(%bot, "usage could not be reported in time"),
        }
    }

    /// The bot's next step after the arena refused an action.
    async fn refused(&self, error: ClientError, loss: Option<Loss>) -> Outcome {
        let by_arena = match error.kind() {
            Some(ProblemKind::BotNotAlive) => return self.ended(error).await,
            Some(ProblemKind::Unauthorized) => return Outcome::KeyRefused,
            Some(ProblemKind::IdempotencyMismatch) => Loss::ActedBefore,
            Some(ProblemKind::PriceStale) => Loss::Halted,
            Some(ProblemKind::ArenaPaused | ProblemKind::BotPaused | ProblemKind::HouseBudget) => {
                Loss::Paused(error.to_string())
            }
            _ => error.into(),
        };
        Outcome::Lost(loss.unwrap_or(by_arena))
    }

    /// The bot is not alive; its profile shows whether it is dead or retired.
    async fn ended(&self, error: ClientError) -> Outcome {
        match self.arena.me().await {
            // An operator was quicker: the turn is lost, the bot is not.
            Ok(me) if me.bot.status == BotStatus::Alive => Outcome::Lost(error.into()),
            Ok(me) => Outcome::NotAlive(me.bot.status),
            Err(_) => Outcome::NotAlive(BotStatus::Dead),
        }
    }
}

fn bet_on(staked: &Stake) -> BetOn {
    let pick = &staked.pick;
    BetOn {
        market_id: pick.market,
        side: pick.side,
        stake: staked.stake,
        confidence: pick.confidence,
        reasoning: pick.reasoning.clone(),
    }
}
