//! A bot's wallet as input of the rules: the head of its chain, and further values that they need.

pub(crate) mod status;

use crate::chain::head::Head;
use crate::ids::TickNumber;
use crate::money::Money;
use crate::pause::Pause;
pub use status::BotStatus;

/// A bot's locked wallet: the head of its chain and further values that the rules need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    pub head: Head,
    pub status: BotStatus,
    /// Consecutive past ticks without a productive action.
    pub idle_streak: i32,
    /// Whether a productive action happened since the last tick.
    pub productive: bool,
    /// Sum of all phantom fees (observe mode).
    pub phantom_fees: Money,
    /// The tick in which the shadow balance first failed to cover a fee.
    pub shadow_died_in: Option<TickNumber>,
    pub open_predictions: i32,
    /// The stakes of open predictions.
    pub open_stake: Money,
    pub open_bets: i32,
    /// The stakes of open bets on markets.
    pub bet_stake: Money,
    /// The last tick this bot was charged in, or was made in.
    pub last_tick: TickNumber,
    /// Set while this bot is paused: it does not act, is not ticked and not reaped.
    pub pause: Option<Pause>,
}

impl Wallet {
    /// For how many ticks the bot has done nothing productive.
    pub const fn streak(&self) -> i32 {
        if self.productive { 0 } else { self.idle_streak }
    }

    pub const fn balance(&self) -> Money {
        self.head.balance
    }

    /// The balance if recorded fees had been charged; below zero if the bot would have died of
    /// them.
    pub fn shadow_balance(&self) -> Money {
        // Both are within numeric(18,8); a difference beyond it is cut off at the edge.
        self.balance()
            .checked_sub(self.phantom_fees)
            .unwrap_or_else(|| Money::cents(0).checked_sub(self.phantom_fees).unwrap_or_default())
    }
}
