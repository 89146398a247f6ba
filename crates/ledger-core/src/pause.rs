//! Why an operator's pause stops something.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The longest reason for a pause, in characters.
pub const PAUSE_REASON_MAX_CHARS: usize = 280;

/// A pause of the arena, a bot or a market by an operator, until an operator resumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
}
