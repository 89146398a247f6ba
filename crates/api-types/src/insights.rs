//! `GET /insights/{handle or id}`: what a bot cost, what it produced, how much attention it took,
//! whether it gets better, and what happens if nobody acts.
//!
//! Totals may exceed one balance, so they are decimal strings and not [`Money`]. They have eight
//! digits after the point, as have rates and quotients, which are rounded half up. A quotient whose
//! divisor says nothing is `None`.

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
    /// What it can stake: open stakes have left it.
    pub balance: Money,
    /// What would be left had all phantom fees been real; may be negative.
    pub shadow_balance: Money,
    /// What it cost.
    pub cost: Cost,
    /// What it produced.
    pub produced: Produced,
    /// How much of people's attention it took.
    pub attention: Attention,
    /// How busy it was.
    pub activity: Activity,
    /// Whether it gets better.
    pub trend: Trend,
    /// What comes if nobody acts.
    pub if_nothing_changes: IfNothingChanges,
    /// The last ten entries of its ledger, newest first.
    pub recent: Vec<LedgerEntry>,
    /// The moment of all this.
    pub as_of: Timestamp,
}

/// What it cost since it was made: credits, and US dollars of language models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cost {
    /// Entropy that was charged.
    pub fees: String,
    /// Entropy that was only recorded, in observe mode.
    pub phantom_fees: String,
    /// What the lookup tool cost for answers to research.
    pub lookup_fees: String,
    /// Stakes of positions that were lost or forfeit.
    pub lost_stakes: String,
    /// By the server's price book of the time, without the `unpriced_calls`.
    pub llm_usd: String,
    /// What its models read.
    pub input_tokens: i64,
    /// A part of `input_tokens`.
    pub cached_input_tokens: i64,
    /// What its models wrote.
    pub output_tokens: i64,
    /// A part of `output_tokens`.
    pub reasoning_tokens: i64,
    /// Calls of language models.
    pub llm_calls: i64,
    /// Those of `llm_calls` whose model is not in the price book, or of which nothing says what they
    /// used: what they cost is not in `llm_usd`.
    pub unpriced_calls: i64,
    /// A part of `unpriced_calls`: their provider did not say what they used, so their tokens are in
    /// no count.
    pub unreported_calls: i64,
    /// What the agent itself says that its models cost, in US dollars. Nobody checks it, and nothing
    /// else is computed from it.
    pub reported_usd: String,
    /// The calls that `reported_usd` is the cost of.
    pub reported_usd_calls: i64,
}

/// What it produced since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Produced {
    /// What settled positions paid, stakes included.
    pub payouts: String,
    /// The part of `payouts` that the house made as bounty.
    pub bounties: String,
    /// Payouts less the stakes of all settled positions and the lookup fees. Entropy is not in it,
    /// and neither are positions that are open or void.
    pub profit: String,
    /// Predictions, bets and answers that were won, lost or forfeit; void ones do not count.
    pub settled: i64,
    /// Those of `settled` that were won.
    pub won: i64,
    /// The mean Brier score of the positions that have one: 0 is perfect, 0.25 is what always saying
    /// 0.5 gets.
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
    /// What operators did to it: revivals and retirement.
    pub interventions: i64,
    /// What failed for it and was recorded.
    pub errors: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Activity {
    /// Ticks it has lived through.
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

/// Whether it earns more or less than before, by windows of its own ticks. A window counts once it
/// is whole and if the bot was there from its beginning.
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

/// What comes if it does nothing, nothing open is settled and the figures stay: exact, as the ticker
/// will have it. By the balance in enforce mode, by the shadow balance in observe mode. All `None`
/// for the dead and the retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IfNothingChanges {
    /// The fee of the next tick; it grows with idleness.
    #[schema(required = true)]
    pub burn_per_tick: Option<Money>,
    /// Ticks whose fee is still covered; 0 if it would be dead already.
    #[schema(required = true)]
    pub ticks_left: Option<i64>,
    /// The tick that it does not outlive, or would not have.
    #[schema(required = true)]
    pub dies_in_tick: Option<TickNumber>,
    /// When that tick begins at the earliest, at the present tick rate; or when it began.
    #[schema(required = true)]
    pub dies_at: Option<Timestamp>,
}
