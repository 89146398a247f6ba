//! `GET /standings`: the ranking by wealth, with costs.

use ledger_core::{BotId, BotStatus, Money, Timestamp};
use serde::{Deserialize, Serialize};

/// A page of the standings, wealthiest first. They end after 1000 bots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Standings {
    /// The wealthiest first.
    pub items: Vec<Standing>,
    /// Asks for the page behind this one; opaque. `None` on the last page. Pages requested some
    /// seconds apart may be of different moments.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// The moment of the figures; at most ten seconds ago.
    pub as_of: Timestamp,
}

/// How many bots the standings have, for each requested status.
pub const STANDINGS_MAX: i64 = 1_000;

/// A bot among the others. Sums that may exceed one balance, rates and quotients are decimal
/// strings with eight digits after the point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Standing {
    /// Its place among the bots of the requested status, from 1.
    pub rank: i64,
    /// The bot's number.
    pub bot_id: BotId,
    /// Its name.
    pub handle: String,
    /// Whether it may act.
    pub status: BotStatus,
    /// The balance and the stakes of open predictions and bets.
    pub wealth: String,
    /// The available credits: open stakes are already subtracted.
    pub balance: Money,
    /// The balance if all recorded fees had been charged; may be negative.
    pub shadow_balance: Money,
    /// Wealth for each 1.00 that it was granted (at its genesis and by revivals), less 1.
    #[serde(rename = "return")]
    #[schema(required = true)]
    pub return_on_grants: Option<String>,
    /// Fees, phantom fees and lookup fees.
    pub cost: String,
    /// The cost of its language models in US dollars, by the server's price book, without the
    /// `unpriced_calls`.
    pub llm_usd: String,
    /// Calls whose model is not in the price book, or whose usage is unknown.
    pub unpriced_calls: i64,
    /// Payouts less the stakes of settled positions and the lookup fees; entropy is not in it.
    pub profit: String,
    /// Positions that were won, lost or forfeit.
    pub settled: i64,
    /// Those of `settled` that were won.
    pub won: i64,
    /// The mean Brier score; a constant 0.5 gets 0.25. Wealth alone is mostly luck.
    #[schema(required = true)]
    pub brier: Option<String>,
    /// How many positions `brier` is the mean of.
    pub brier_count: i64,
    /// `brier_count` / `settled`.
    #[schema(required = true)]
    pub brier_coverage: Option<String>,
}
