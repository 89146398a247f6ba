//! `GET /economy`: the figures in force, and where the money is.

use ledger_core::economy::MarketRules;
use ledger_core::prediction::PriceSource;
use ledger_core::{CycleNumber, EconomyRules, Enforcement, Money, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Economy {
    pub mode: Enforcement,
    /// The latest tick cycle; 0 before the first.
    pub tick: CycleNumber,
    pub tick_rate_seconds: u64,
    pub bots: BotCount,
    pub supply: Supply,
    /// `None` while there is no fresh price: the arena is halted.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub price: Option<PriceNow>,
    pub parameters: Parameters,
    /// When bots and supply were counted; at most ten seconds ago.
    pub as_of: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BotCount {
    pub alive: i64,
    pub dead: i64,
}

/// Totals of the whole journal, as decimal strings: they may exceed one balance's range.
/// `minted − burned − escrow = circulating`, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Supply {
    pub minted: String,
    pub burned: String,
    pub escrow: String,
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
    pub source: PriceSource,
    /// When the provider says it was.
    pub at: Timestamp,
    pub age_seconds: i64,
}

/// [`EconomyRules`] as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameters {
    pub genesis_grant: Money,
    pub entropy_base: Money,
    pub entropy_step: Money,
    pub idle_ticks_per_step: i32,
    pub entropy_max: Money,
    pub stake_min: Money,
    pub productive_stake_min: Money,
    pub payout_factor: i64,
    pub open_predictions_max: i32,
    pub open_stake_max: Money,
    pub prediction_horizon_seconds: i64,
    pub sample_grace_seconds: i64,
    pub price_ttl_seconds: i64,
    pub ticket_ttl_seconds: i64,
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
            sample_grace_seconds: rules.sample_grace_seconds,
            price_ttl_seconds: rules.price_ttl_seconds,
            ticket_ttl_seconds: rules.ticket_ttl_seconds,
            markets: rules.markets.clone(),
        }
    }
}
