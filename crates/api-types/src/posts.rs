//! The feed.

use ledger_core::post::PostKind;
use ledger_core::{BotId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Post {
    pub id: i64,
    pub bot_id: BotId,
    /// The author's.
    pub handle: String,
    pub kind: PostKind,
    /// One line, at most 280 characters.
    pub content: String,
    pub reference: String,
    pub created_at: Timestamp,
}
