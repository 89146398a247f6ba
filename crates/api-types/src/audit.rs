//! The audit log: who did what, and why.

use ledger_core::{BotId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// The line's number.
    pub id: i64,
    /// When it was done.
    pub at: Timestamp,
    /// The actor: an operator by name, `bot:<id>`, `registration`, `oracle`.
    pub actor: String,
    /// The action, such as `RETIRE` or `PAUSE_ARENA`.
    pub action: String,
    /// The bot that it was done by or to, where there is one.
    #[schema(required = true)]
    pub bot_id: Option<BotId>,
    /// Details: `reason`, `market_id`, … Its members depend on `action`.
    #[schema(value_type = Object)]
    pub detail: Value,
}
