//! Pauses by an operator.

use ledger_core::Pause;
use serde::{Deserialize, Serialize};

/// `POST /arena/pause`, `/bots/{id}/pause` and `/markets/{id}/pause`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Shown to refused callers; at most 280 characters, not empty.
    #[schema(min_length = 1, max_length = 280, example = "we look into a wrong price")]
    pub reason: String,
}

/// `POST /arena/resume`, `/bots/{id}/resume` and `/markets/{id}/resume`, whose body is optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// For the audit log; at most 280 characters.
    #[serde(default)]
    #[schema(max_length = 280)]
    pub reason: String,
}

/// Whether time passes and money moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArenaState {
    /// The operator's pause, with its reason and time; `None` while the arena runs.
    #[schema(required = true)]
    pub paused: Option<Pause>,
}
