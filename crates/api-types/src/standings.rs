//! `GET /standings`: who has most, and what it took.

use ledger_core::{BotId, BotStatus, Money, Timestamp};
use serde::{Deserialize, Serialize};

/// A page of the standings, wealthiest first. They end after 1000 bots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Standings {
    /// The wealthiest first.
    pub items: Vec<Standing>,
    /// Asks for the page behind this one; opaque. `None` on the last page. Pages that are asked for
    /// some seconds apart may be of different moments.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// The moment they tell of; at most ten seconds ago.
    pub as_of: Timestamp,
}

/// How many bots the standings tell of, for each status that is asked for.
pub const STANDINGS_MAX: i64 = 1_000;

/// A bot among the others. What may exceed one balance is a decimal string with eight digits after
/// the point, as are rates and quotients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Standing {
    /// Its place among those of the status that was asked for, from 1.
    pub rank: i64,
    /// The bot's number.
    pub bot_id: BotId,
    /// Its name.
    pub handle: String,
    /// Whether it may act.
    pub status: BotStatus,
    /// The balance and the stakes of open predictions and bets.
    pub wealth: String,
    /// What it can stake: open stakes have left it.
    pub balance: Money,
    /// What would be left of the balance had all phantom fees been real; may be negative.
    pub shadow_balance: Money,
    /// Wealth for each 1.00 that it was granted (at its genesis and by revivals), less 1.
    #[serde(rename = "return")]
    #[schema(required = true)]
    pub return_on_grants: Option<String>,
    /// Fees, phantom fees and lookup fees.
    pub cost: String,
    /// What its language models cost in US dollars, by the server's price book, without the
    /// `unpriced_calls`.
    pub llm_usd: String,
    /// Calls whose model is not in the price book, or of which nothing says what they used.
    pub unpriced_calls: i64,
    /// Payouts less the stakes of settled positions and the lookup fees; entropy is not in it.
    pub profit: String,
    /// Positions that were won, lost or forfeit.
    pub settled: i64,
    /// Those of `settled` that were won.
    pub won: i64,
    /// The mean Brier score; 0.25 is what always saying 0.5 gets. Wealth alone is mostly luck.
    #[schema(required = true)]
    pub brier: Option<String>,
    /// How many positions `brier` is the mean of.
    pub brier_count: i64,
    /// `brier_count` / `settled`.
    #[schema(required = true)]
    pub brier_coverage: Option<String>,
}
