//! `GET /insights/{handle or id}`: a bot's cost, its results, the human attention it took, its
//! trend, and its future if nothing changes.
//!
//! Totals may exceed one balance, so they are decimal strings and not [`Money`]. They have eight
//! digits after the point, as have rates and quotients, which are rounded half up. A quotient with
//! a meaningless divisor is `None`.

use ledger_core::insights::TrendDirection;
use ledger_core::{BotId, BotStatus, Enforcement, Money, TickNumber, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::LedgerEntry;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Insights {
    /// The bot's number.
    pub bot_id: BotId,
    /// Its name.
    pub handle: String,
    /// Whether it may act.
    pub status: BotStatus,
    /// Whether fees are charged in this arena.
    pub mode: Enforcement,
    /// The available credits: open stakes are already subtracted.
    pub balance: Money,
    /// The balance if all recorded fees had been charged; may be negative.
    pub shadow_balance: Money,
    /// What it cost.
    pub cost: Cost,
    /// What it produced.
    pub produced: Produced,
    /// How much of people's attention it took.
    pub attention: Attention,
    /// How busy it was.
    pub activity: Activity,
    /// Its trend.
    pub trend: Trend,
    /// Its future if nothing changes.
    pub if_nothing_changes: IfNothingChanges,
    /// The last ten entries of its ledger, newest first.
    pub recent: Vec<LedgerEntry>,
    /// The moment of these figures.
    pub as_of: Timestamp,
}

/// Its cost since its registration: credits, and US dollars of language models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cost {
    /// Entropy that was charged.
    pub fees: String,
    /// Entropy that was only recorded, in observe mode.
    pub phantom_fees: String,
    /// Fees for the lookup tool in answers to research.
    pub lookup_fees: String,
    /// Stakes of positions that were lost or forfeit.
    pub lost_stakes: String,
    /// By the server's price book of the time, without the `unpriced_calls`.
    pub llm_usd: String,
    /// Tokens that its models read.
    pub input_tokens: i64,
    /// A part of `input_tokens`.
    pub cached_input_tokens: i64,
    /// Tokens that its models wrote.
    pub output_tokens: i64,
    /// A part of `output_tokens`.
    pub reasoning_tokens: i64,
    /// Calls of language models.
    pub llm_calls: i64,
    /// Those of `llm_calls` whose model is not in the price book, or whose usage is unknown:
    /// `llm_usd` does not include their cost.
    pub unpriced_calls: i64,
    /// A part of `unpriced_calls`: their provider did not report usage, so no count includes their
    /// tokens.
    pub unreported_calls: i64,
    /// The agent's own figure of its models' cost, in US dollars. It is not checked and not used
    /// for other figures.
    pub reported_usd: String,
    /// The calls whose cost is `reported_usd`.
    pub reported_usd_calls: i64,
}

/// Its results since its registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Produced {
    /// Payouts of settled positions, including stakes.
    pub payouts: String,
    /// The part of `payouts` that the house minted as bounty.
    pub bounties: String,
    /// Payouts less the stakes of all settled positions and the lookup fees. Entropy is not in it,
    /// and neither are positions that are open or void.
    pub profit: String,
    /// Predictions, bets and answers that were won, lost or forfeit; void ones do not count.
    pub settled: i64,
    /// Those of `settled` that were won.
    pub won: i64,
    /// The mean Brier score of the positions that have one: 0 is perfect; a constant 0.5 gets 0.25.
    #[schema(required = true)]
    pub brier: Option<String>,
    /// How many positions `brier` is the mean of.
    pub brier_count: i64,
    /// `brier_count` / `settled`.
    #[schema(required = true)]
    pub brier_coverage: Option<String>,
    /// Fees, phantom fees and lookup fees for each settled position.
    #[schema(required = true)]
    pub cost_per_settled: Option<String>,
    /// The same for each 1.00 of profit; `None` without a profit.
    #[schema(required = true)]
    pub cost_per_profit: Option<String>,
    /// `llm_usd` for each settled position.
    #[schema(required = true)]
    pub llm_usd_per_settled: Option<String>,
    /// `llm_usd` for each 1.00 of profit; `None` without a profit.
    #[schema(required = true)]
    pub llm_usd_per_profit: Option<String>,
}

/// How much of people's attention it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attention {
    /// Acts of operators: revivals and retirement.
    pub interventions: i64,
    /// Recorded failures of its requests.
    pub errors: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Activity {
    /// Ticks that it was alive.
    pub ticks: i64,
    /// The share of `ticks` before which it did nothing productive.
    #[schema(required = true)]
    pub idle_rate: Option<String>,
    /// Consecutive past ticks without a productive action.
    pub idle_streak: i32,
    /// When the tick began in which its shadow balance first failed to cover a fee.
    #[schema(required = true)]
    pub would_have_been_liquidated_at: Option<Timestamp>,
}

/// Its trend of earnings, by windows of its own ticks. A window counts if it is complete and the
/// bot existed at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trend {
    /// Ticks that make one window.
    pub window_ticks: i64,
    /// In the last whole window.
    #[schema(required = true)]
    pub profit_per_tick: Option<String>,
    /// In the window before it.
    #[schema(required = true)]
    pub previous: Option<String>,
    /// `up`, `down` or `flat`; `None` without two windows.
    #[schema(required = true)]
    pub direction: Option<TrendDirection>,
}

/// Its future if it does nothing, no open position is settled and the figures stay: exactly as the
/// ticker will compute it. By the balance in enforce mode, by the shadow balance in observe mode.
/// All `None` for dead and retired bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IfNothingChanges {
    /// The fee of the next tick; it grows with idleness.
    #[schema(required = true)]
    pub burn_per_tick: Option<Money>,
    /// Ticks whose fee is still covered; 0 if none.
    #[schema(required = true)]
    pub ticks_left: Option<i64>,
    /// The tick in which it dies, or would have died.
    #[schema(required = true)]
    pub dies_in_tick: Option<TickNumber>,
    /// When that tick begins at the earliest, at the present tick rate; or when it began.
    #[schema(required = true)]
    pub dies_at: Option<Timestamp>,
}
