//! The totals of ticks, and a bot's state after them.

use ledger_core::economy::Enforcement;
use ledger_core::{BotId, Money, TickNumber, Timestamp};
use serde::{Deserialize, Serialize};

/// The fewest and the most points of a history.
pub const HISTORY_POINTS_MIN: u32 = 10;
pub const HISTORY_POINTS_MAX: u32 = 500;
pub const HISTORY_POINTS_DEFAULT: u32 = 200;

/// One tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tick {
    /// The first is 1.
    pub number: TickNumber,
    /// Whether fees were charged or only recorded.
    pub mode: Enforcement,
    /// When it began.
    pub started_at: Timestamp,
    /// When every living bot had been reached; `None` while it is under way.
    #[schema(required = true)]
    pub closed_at: Option<Timestamp>,
    /// Bots that were reached; 0 while it is under way.
    pub bots: i64,
    /// The sum of charged or recorded fees: it may exceed one balance's range.
    pub fees: String,
    /// Bots that were liquidated.
    pub liquidated: i64,
    /// Bots that were passed over because charging them failed.
    pub failed: i64,
}

/// How a bot stood after a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HistoryPoint {
    /// Which tick.
    pub tick: TickNumber,
    /// When the bot was reached.
    pub at: Timestamp,
    /// The balance then.
    pub balance: Money,
    /// The balance if all fees had been charged.
    pub shadow_balance: Money,
    /// Ticks since it last did something productive.
    pub idle_streak: i32,
}

/// A bot's life in so many points, evenly spaced over the ticks that are kept, the latest among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct History {
    /// Whose it is.
    pub bot_id: BotId,
    /// The bot's.
    pub handle: String,
    /// The oldest first.
    pub items: Vec<HistoryPoint>,
}
