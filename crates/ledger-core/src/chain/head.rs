//! The end of a bot's chain.

use crate::entry::{Entry, Hash};
use crate::ids::BotId;
use crate::money::Money;
use crate::time::Timestamp;

/// The end of a bot's chain: what the next entry must continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub bot_id: BotId,
    /// Sequence of the last entry; 0 for an empty chain.
    pub sequence: i64,
    pub balance: Money,
    /// Hash of the last entry; [`Hash::ZERO`] for an empty chain.
    pub hash: Hash,
    /// When the last entry was recorded; `None` for an empty chain.
    pub recorded_at: Option<Timestamp>,
}

impl Head {
    /// The head of a chain without entries.
    pub const fn empty(bot_id: BotId) -> Head {
        Head { bot_id, sequence: 0, balance: Money::ZERO, hash: Hash::ZERO, recorded_at: None }
    }

    /// When an entry is recorded that is appended at `now`: time never runs backwards in a chain, even
    /// where a clock was set back.
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        self.recorded_at.map_or(now, |last| last.max(now))
    }

    /// The head of a chain whose last entry this is.
    pub fn after(entry: &Entry) -> Head {
        Head {
            bot_id: entry.bot_id,
            sequence: entry.sequence,
            balance: entry.balance_after,
            hash: entry.hash,
            recorded_at: Some(entry.recorded_at),
        }
    }
}
