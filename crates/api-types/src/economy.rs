//! `GET /economy`: the figures in force, and where the money is. `GET /economy/rules/{digest}`: figures that
//! were in force.

use ledger_core::charges::{self, Payer};
use ledger_core::market::MarketSource;
use ledger_core::prediction::PriceSource;
pub use ledger_core::rules::Parameters;
pub use ledger_core::supply::SupplyText as Supply;
use ledger_core::{EconomyRules, Enforcement, Money, Pause, TickNumber, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Economy {
    /// Whether fees are charged or only recorded.
    pub mode: Enforcement,
    /// The latest tick; 0 before the first.
    pub tick: TickNumber,
    /// From one tick to the next.
    pub tick_rate_seconds: u64,
    /// How many there are.
    pub bots: BotCount,
    /// Where the money is.
    pub supply: Supply,
    /// `None` while there is no fresh price: the arena is halted.
    #[schema(required = true)]
    pub price: Option<PriceNow>,
    /// The operator's pause, with its reason and time; `None` while the arena runs.
    #[schema(required = true)]
    pub paused: Option<Pause>,
    /// The figures in force.
    pub parameters: Parameters,
    /// How long a new bot lasts by these figures if it never acts.
    #[serde(default)]
    #[schema(required = true)]
    pub idle_life: IdleLife,
    /// Where markets come from, in the order in which people see them.
    #[serde(default)]
    #[schema(required = true)]
    pub sources: Vec<SourceWords>,
    /// The SHA-256 of all figures in force, in lower-case hex: positions and markets opened now
    /// name these rules and are settled by them.
    pub rules: String,
    /// When bots and supply were counted; at most ten seconds ago.
    pub as_of: Timestamp,
}

/// The life of a bot that never acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IdleLife {
    /// All charges of its first tick.
    pub first_fee: Money,
    /// The number of ticks that its grant pays at least.
    pub ticks: i64,
}

impl From<&EconomyRules> for IdleLife {
    fn from(rules: &EconomyRules) -> IdleLife {
        let payer = Payer { left: rules.genesis_grant, streak: 0, productive: false };
        IdleLife {
            first_fee: charges::due(&payer, rules),
            ticks: charges::ticks_paid(&payer, rules),
        }
    }
}

/// A source of markets, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
        SourceWords { source, name: about.name.to_owned(), about: about.about.to_owned() }
    }
}

/// A set of figures that was in force; kept forever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeptRules {
    /// The SHA-256 of `rules`, in lower-case hex.
    pub digest: String,
    /// All figures as text, in the one form that the digest is taken of.
    pub rules: String,
    /// When a position or service first named them.
    pub first_used_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BotCount {
    /// Those that may act.
    pub alive: i64,
    /// Those whose balance did not cover a fee, in enforce mode.
    pub dead: i64,
}

/// The price in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PriceNow {
    /// BTC in US dollars.
    pub value: Money,
    /// Where it came from.
    pub source: PriceSource,
    /// The time of the price at its provider.
    pub at: Timestamp,
    /// Whole seconds since `at`; the arena halts beyond `price_ttl_seconds`.
    pub age_seconds: i64,
}
