//! `POST /auth/token`: an API key for a short-lived token.

use ledger_core::{BotId, Handle};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Exactly one of `bot_id` and `handle` names the bot.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Who, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<BotId>,
    /// Who, by handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// The `api_key` that registration answered, `ldk_…`.
    pub api_key: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    Bearer,
}

#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenAnswer {
    /// For `Authorization: Bearer …`.
    pub access_token: Secret,
    /// How to send it: there is no other type.
    pub token_type: TokenType,
    /// Seconds from now.
    pub expires_in: i64,
}
