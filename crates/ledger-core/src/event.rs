//! Kinds of live events: what happened in the arena, told to whoever listens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// An entry of a bot's ledger. Entropy charges are told by the cycle, as [`EventKind::Tick`].
    Entry,
    Post,
    /// A price prediction was made, or has ended.
    Prediction,
    /// A market was opened, got a bet, was locked, or has ended.
    Market,
    /// A cycle reached every living bot.
    Tick,
    /// The oracle kept a price.
    Price,
    /// A bot was registered, or its status changed.
    Bot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be entry, post, prediction, market, tick, price or bot")]
pub struct EventKindError;

impl EventKind {
    pub const ALL: [EventKind; 7] = [
        EventKind::Entry,
        EventKind::Post,
        EventKind::Prediction,
        EventKind::Market,
        EventKind::Tick,
        EventKind::Price,
        EventKind::Bot,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Entry => "entry",
            EventKind::Post => "post",
            EventKind::Prediction => "prediction",
            EventKind::Market => "market",
            EventKind::Tick => "tick",
            EventKind::Price => "price",
            EventKind::Bot => "bot",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = EventKindError;

    fn from_str(label: &str) -> Result<EventKind, EventKindError> {
        EventKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == label)
            .ok_or(EventKindError)
    }
}
