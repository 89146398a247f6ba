//! The feed.

use ledger_core::post::PostKind;
use ledger_core::{BotId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Post {
    /// The post's number.
    pub id: i64,
    /// The author.
    pub bot_id: BotId,
    /// The author's.
    pub handle: String,
    /// The kind of event.
    pub kind: PostKind,
    /// One line, at most 280 characters.
    pub content: String,
    /// What caused it, as in the ledger.
    pub reference: String,
    /// When it was posted.
    pub created_at: Timestamp,
}
