//! `GET /economy`: the figures in force, and where the money is. `GET /economy/rules/{digest}`: figures that
//! were in force.

use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::prediction::PriceSource;
use ledger_core::{CycleNumber, EconomyRules, Enforcement, Money, Pause, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Economy {
    /// Whether fees are charged or only recorded.
    pub mode: Enforcement,
    /// The latest tick cycle; 0 before the first.
    pub tick: CycleNumber,
    /// From one tick cycle to the next.
    pub tick_rate_seconds: u64,
    /// How many there are.
    pub bots: BotCount,
    /// Where the money is.
    pub supply: Supply,
    /// `None` while there is no fresh price: the arena is halted.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub price: Option<PriceNow>,
    /// Why and since when an operator holds the arena; `None` while it runs.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub paused: Option<Pause>,
    /// The figures in force.
    pub parameters: Parameters,
    /// Where markets come from, in the order in which people see them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub sources: Vec<SourceWords>,
    /// The SHA-256 of all figures in force, in lower-case hex: what is opened now names these rules
    /// and is settled by them.
    pub rules: String,
    /// When bots and supply were counted; at most ten seconds ago.
    pub as_of: Timestamp,
}

/// A source of markets, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceWords {
    /// As markets name it.
    pub source: MarketSource,
    /// Its name.
    pub name: String,
    /// How its markets are decided.
    pub about: String,
}

impl From<MarketSource> for SourceWords {
    fn from(source: MarketSource) -> SourceWords {
        let about = source.about();
        SourceWords {
            source,
            name: about.name.to_owned(),
            about: about.about.to_owned(),
        }
    }
}

/// A set of figures that was in force, as it is kept for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeptRules {
    /// The SHA-256 of `rules`, in lower-case hex.
    pub digest: String,
    /// All figures as text, in the one form that the digest is taken of.
    pub rules: String,
    /// When a position or service first named them.
    pub first_used_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BotCount {
    /// Those that may act.
    pub alive: i64,
    /// Those whose balance did not cover a fee, in enforce mode.
    pub dead: i64,
}

/// Totals of the whole journal, as decimal strings: they may exceed one balance's range.
/// `minted − burned − escrow = circulating`, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Supply {
    /// Grants, revivals and what the house paid.
    pub minted: String,
    /// Fees, and what the house took.
    pub burned: String,
    /// Stakes of open predictions and bets.
    pub escrow: String,
    /// The sum of all balances.
    pub circulating: String,
}

impl From<ledger_core::supply::Supply> for Supply {
    fn from(supply: ledger_core::supply::Supply) -> Supply {
        let text = supply.text();
        Supply {
            minted: text.minted,
            burned: text.burned,
            escrow: text.escrow,
            circulating: text.circulating,
        }
    }
}

/// The price the arena goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceNow {
    /// BTC in US dollars.
    pub value: Money,
    /// Where it came from.
    pub source: PriceSource,
    /// When the provider says it was.
    pub at: Timestamp,
    /// Whole seconds since `at`; the arena halts beyond `price_ttl_seconds`.
    pub age_seconds: i64,
}

/// [`EconomyRules`] as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameters {
    /// What a new bot is granted.
    pub genesis_grant: Money,
    /// The fee of each tick for a bot that is not idle.
    pub entropy_base: Money,
    /// Added to it for each full `idle_ticks_per_step` of idleness.
    pub entropy_step: Money,
    /// Idle ticks that make one step.
    pub idle_ticks_per_step: i32,
    /// The most a tick costs.
    pub entropy_max: Money,
    /// The smallest wager or bet.
    pub stake_min: Money,
    /// The smallest wager or bet that ends an idle streak.
    pub productive_stake_min: Money,
    /// A right prediction pays its wager times this.
    pub payout_factor: i64,
    /// The most predictions a bot may have open.
    pub open_predictions_max: i32,
    /// The most a bot may have at stake in open predictions.
    pub open_stake_max: Money,
    /// A prediction's first price is the first one at or after its creation plus this.
    pub sample_lag_seconds: i64,
    /// From a prediction's first price to its second.
    pub prediction_horizon_seconds: i64,
    /// A price later than its due time by more than this is not the one that was due.
    pub sample_grace_seconds: i64,
    /// A prediction whose prices no source has told this long after they were due is void.
    pub sample_patience_seconds: i64,
    /// The most that price predictions may have the house mint within any hour; beyond it wagers are
    /// refused with 503.
    pub house_loss_budget_per_hour: Money,
    /// A price older than this halts the arena.
    pub price_ttl_seconds: i64,
    /// How long an observation is good for.
    pub ticket_ttl_seconds: i64,
    /// The figures of markets.
    pub markets: MarketRules,
}

impl From<&EconomyRules> for Parameters {
    fn from(rules: &EconomyRules) -> Parameters {
        Parameters {
            genesis_grant: rules.genesis_grant,
            entropy_base: rules.entropy_base,
            entropy_step: rules.entropy_step,
            idle_ticks_per_step: rules.idle_ticks_per_step,
            entropy_max: rules.entropy_max,
            stake_min: rules.stake_min,
            productive_stake_min: rules.productive_stake_min,
            payout_factor: rules.payout_factor,
            open_predictions_max: rules.open_predictions_max,
            open_stake_max: rules.open_stake_max,
            prediction_horizon_seconds: rules.prediction_horizon_seconds,
            sample_lag_seconds: rules.sample_lag_seconds,
            sample_grace_seconds: rules.sample_grace_seconds,
            sample_patience_seconds: rules.sample_patience_seconds,
            house_loss_budget_per_hour: rules.house_loss_budget_per_hour,
            price_ttl_seconds: rules.price_ttl_seconds,
            ticket_ttl_seconds: rules.ticket_ttl_seconds,
            markets: rules.markets.clone(),
        }
    }
}
