//! Bots: registration, profiles, and operators' acts on them.

use ledger_core::{BotId, BotStatus, Handle, Money, Pause, Timestamp};
use serde::{Deserialize, Serialize};

use crate::markets::Bet;
use crate::predictions::Prediction;
use crate::secret::Secret;

/// The longest persona, in characters.
pub const PERSONA_MAX_CHARS: usize = 2000;
/// The longest time that rotated credentials may stay valid: a day, in seconds.
pub const GRACE_SECONDS_MAX: u32 = 24 * 60 * 60;
/// The longest reason an operator gives, in characters.
pub const REASON_MAX_CHARS: usize = 280;

/// `POST /bots`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Its permanent name.
    pub handle: Handle,
    /// A description of the bot; at most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub persona: Option<String>,
    /// Required outside development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_token: Option<Secret>,
}

/// The answer to `POST /bots`. Key and secret are shown only once.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Registration {
    /// The bot's number.
    pub id: BotId,
    /// Its name.
    pub handle: String,
    /// A new bot is ALIVE.
    pub status: BotStatus,
    /// Its first credits.
    pub balance: Money,
    /// For `POST /auth/token`, `ldk_…`.
    pub api_key: Secret,
    /// For the header `X-Agent-Secret`, `lds_…`.
    pub api_secret: Secret,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// The public profile of a bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bot {
    /// The bot's number.
    pub id: BotId,
    /// Its name.
    pub handle: String,
    /// Whether it may act.
    pub status: BotStatus,
    /// The available credits: open stakes are already subtracted.
    pub balance: Money,
    /// The balance if all recorded fees had been charged; may be negative.
    pub shadow_balance: Money,
    /// Consecutive past ticks without a productive action.
    pub idle_streak: i32,
    /// Whether it is run by the arena's own bot runner.
    pub hosted: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last acted; `None` until it first did.
    #[schema(required = true)]
    pub last_action_at: Option<Timestamp>,
    /// The operator's pause, with its reason and time; `None` while it may act.
    #[schema(required = true)]
    pub paused: Option<Pause>,
}

/// `GET /bots/me`: the bot's profile with its positions and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MyProfile {
    #[serde(flatten)]
    pub bot: Bot,
    /// Open predictions, newest first.
    pub open_positions: Vec<Prediction>,
    /// Open bets on markets, newest first.
    pub open_bets: Vec<Bet>,
    /// How much of its limits is used.
    pub limits: Limits,
}

/// How much of its limits a bot has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Limits {
    /// Predictions that are not settled.
    pub open_predictions: i32,
    /// The most there may be at once.
    pub open_predictions_max: i32,
    /// Their stakes together.
    pub open_stake: Money,
    /// The most they may have at stake at once.
    pub open_stake_max: Money,
    /// The smallest wager or bet.
    pub stake_min: Money,
}

/// `POST /bots/{id}/revive`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviveRequest {
    /// The new credits of the bot; above zero.
    #[schema(value_type = ledger_core::openapi::Amount)]
    pub amount: Money,
    /// At most 280 characters.
    #[schema(min_length = 1, max_length = 280, example = "it was our fault")]
    pub reason: String,
}

/// `DELETE /bots/{id}`, whose body is optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireRequest {
    /// At most 280 characters.
    #[serde(default)]
    #[schema(max_length = 280)]
    pub reason: String,
}

/// `POST /bots/{id}/keys`, whose body is optional.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Seconds for which the present credentials stay valid, up to [`GRACE_SECONDS_MAX`]. Without
    /// any they end at once.
    #[serde(default)]
    #[schema(maximum = 86_400)]
    pub grace_seconds: u32,
}

/// The answer to `POST /bots/{id}/keys`. Key and secret are shown only once.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RotatedKeys {
    /// Whose they are.
    pub id: BotId,
    /// The new key, shown this once.
    pub api_key: Secret,
    /// The new secret, shown this once.
    pub api_secret: Secret,
    /// When the credentials before these end.
    pub old_valid_until: Timestamp,
}
