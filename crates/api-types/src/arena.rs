//! The arena gateway: observations, and one action for each.

use ledger_core::prediction::{Direction, PriceSource};
use ledger_core::{Confidence, Money, ObservationId, PredictionId, TickNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::predictions::Prediction;
use crate::usage::Usage;

/// `GET /arena/observation`: an observation, valid for one action until `valid_until`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Observation {
    /// The observation: what `POST /arena/action` takes.
    pub observation_id: ObservationId,
    /// When it was drawn, by the server's clock.
    pub server_time: Timestamp,
    /// From then on the observation is refused.
    pub valid_until: Timestamp,
    /// For orientation: never the price a prediction starts at.
    pub price_snapshot: Money,
    /// Where that price came from.
    pub price_source: PriceSource,
    /// The time of the price at its provider.
    pub price_at: Timestamp,
    /// The bot's open predictions, newest first.
    pub open_positions: Vec<Prediction>,
    /// The latest tick; 0 before the first.
    pub tick: TickNumber,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionType {
    Predict,
    Wait,
}

/// `POST /arena/action`. PREDICT needs `direction`, `wager_amount` and `confidence`; WAIT has none
/// of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// The observation, from `GET /arena/observation`.
    pub observation_id: ObservationId,
    /// What to do.
    pub action_type: ActionType,
    /// Where the price goes from its next sample on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The stake; subtracted from the balance at once. At least the `stake_min` of `GET /economy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ledger_core::openapi::Amount>)]
    pub wager_amount: Option<Money>,
    /// The probability given to `direction`; it decides the Brier score and not the payout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// At most 280 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub reasoning: Option<String>,
    /// The usage of the agent's language models in this turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// An action as an agent means it: what [`ActionRequest::new`] makes a body of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Predict { direction: Direction, wager_amount: Money, confidence: Confidence },
    Wait,
}

impl ActionRequest {
    pub fn new(observation_id: ObservationId, action: Action) -> ActionRequest {
        let waiting = ActionRequest {
            observation_id,
            action_type: ActionType::Wait,
            direction: None,
            wager_amount: None,
            confidence: None,
            reasoning: None,
            usage: None,
        };
        match action {
            Action::Wait => waiting,
            Action::Predict { direction, wager_amount, confidence } => ActionRequest {
                action_type: ActionType::Predict,
                direction: Some(direction),
                wager_amount: Some(wager_amount),
                confidence: Some(confidence),
                ..waiting
            },
        }
    }

    pub fn reasoning(mut self, reasoning: impl Into<String>) -> ActionRequest {
        self.reasoning = Some(reasoning.into());
        self
    }

    pub fn usage(mut self, usage: Option<Usage>) -> ActionRequest {
        self.usage = usage;
        self
    }
}

/// The only way an action succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionStatus {
    Accepted,
}

/// The answer to `POST /arena/action`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Acceptance {
    /// The only value: a refused action is a problem.
    pub status: ActionStatus,
    /// The action in the arena's records.
    pub action_id: i64,
    /// `None` for WAIT.
    #[schema(required = true)]
    pub prediction_id: Option<PredictionId>,
    /// The balance after the action.
    pub new_balance: Money,
}
