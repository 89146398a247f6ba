//! The figures of the economy: their defaults, their settings, and what would make no sense.

mod canonical;

use serde::{Deserialize, Serialize};

pub use self::canonical::UnreadableRules;
use crate::economy::Enforcement;
use crate::market::MarketSource;
use crate::money::{Money, MoneyError, Stake};
use crate::prediction::SAMPLE_AGE_MAX_SECONDS;
use crate::sources::market_sources;

/// The longest span of time that can be configured, in seconds: thirty days.
pub const SPAN_MAX_SECONDS: i64 = 30 * 86_400;
/// Kept rules may be from a build that had no such bound. A longer span than this counts as this: a
/// hundred years, which no calendar and no interval of Postgres has trouble with.
const KEPT_SPAN_MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// The largest payout factor that can be configured.
pub(crate) const PAYOUT_FACTOR_MAX: i64 = 100;

/// The figures of the economy. [`EconomyRules::default`] holds the published ones; each can be
/// configured, and `GET /economy` shows those in force.
///
/// A figure belongs into the table of [`canonical`] too, by which positions name the rules that
/// settle them; a test fails for one that is missing there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EconomyRules {
    pub enforcement: Enforcement,
    /// What a new bot is granted.
    pub genesis_grant: Money,
    /// Entropy of a bot that is not idle, per tick.
    pub entropy_base: Money,
    /// Added for each full [`idle_ticks_per_step`](Self::idle_ticks_per_step) of idleness.
    pub entropy_step: Money,
    pub idle_ticks_per_step: i32,
    /// Entropy never exceeds this, per tick.
    pub entropy_max: Money,
    /// The smallest wager or bet.
    pub stake_min: Money,
    /// The smallest wager or bet that counts as productive and ends an idle streak.
    pub productive_stake_min: Money,
    /// A right prediction pays its wager times this.
    pub payout_factor: i64,
    pub open_predictions_max: i32,
    /// The most a bot may have at stake in open predictions.
    pub open_stake_max: Money,
    /// From a prediction's creation to the earliest time of its first price: a provider's average lags
    /// the market, and nobody must win by having seen what the average does not show yet.
    pub sample_lag_seconds: i64,
    /// From a prediction's first price to its second.
    pub prediction_horizon_seconds: i64,
    /// A price that is later than its due time by more than this is not the one that was due; and for
    /// so long nobody but the prediction's own source is asked for it.
    pub sample_grace_seconds: i64,
    /// A prediction whose prices no source has told this long after they were due is void.
    pub sample_patience_seconds: i64,
    /// The most that price predictions may have the house mint within any hour.
    pub house_loss_budget_per_hour: Money,
    /// A price older than this halts the arena.
    pub price_ttl_seconds: i64,
    /// How long an observation is good for.
    pub ticket_ttl_seconds: i64,
    pub markets: MarketRules,
}

macro_rules! market_rules {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        /// The figures of markets.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct MarketRules {
            /// Places on the board that the market maker keeps taken. A place is free again at its market's
            /// deadline, however early that was settled.
            pub places: i64,
            /// All bounties that are put out within any hour.
            pub bounty_budget_per_hour: Money,
            $($(#[$about])* pub $module: SourceRules,)+
            /// A question about stars asks for the next multiple of this.
            pub star_step: i64,
            /// What an attempt at a research answer stakes.
            pub answer_stake: Money,
            /// What an answer costs more that used the lookup tool.
            pub lookup_fee: Money,
            /// Bets that one request may place.
            pub bets_per_request_max: i64,
            /// The largest pool, bounty included: what a bet would lift above it is refused, so that every
            /// pool can be paid.
            pub pool_max: Money,
            /// A market whose source has not answered so long after its deadline is void.
            pub settle_patience_seconds: i64,
        }

        impl MarketRules {
            /// The figures of one source.
            #[must_use]
            pub const fn of(&self, source: MarketSource) -> &SourceRules {
                match source {
                    $(MarketSource::$variant => &self.$module),+
                }
            }

            pub const fn of_mut(&mut self, source: MarketSource) -> &mut SourceRules {
                match source {
                    $(MarketSource::$variant => &mut self.$module),+
                }
            }
        }

        impl Default for MarketRules {
            fn default() -> MarketRules {
                MarketRules {
                    places: 6,
                    bounty_budget_per_hour: Money::cents(50_000),
                    $($module: crate::sources::$module::ABOUT.rules,)+
                    star_step: 500,
                    answer_stake: Money::cents(100),
                    lookup_fee: Money::cents(50),
                    bets_per_request_max: 3,
                    pool_max: Money::cents(1_000_000_000),
                    settle_patience_seconds: 6 * 3_600,
                }
            }
        }

        /// The settings of a source's figures.
        pub(super) const fn settings_of(source: MarketSource) -> [&'static str; 3] {
            match source {
                $(MarketSource::$variant => [
                    concat!($label, "_BOUNTY"),
                    concat!($label, "_SECONDS"),
                    concat!($label, "_WEIGHT"),
                ]),+
            }
        }
    };
}
market_sources!(market_rules);

/// The figures of the markets of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceRules {
    /// How often the market maker chooses it, relative to the others; 0 for never.
    pub weight: u32,
    /// What the house adds to the pool; minted when it is paid.
    pub bounty: Money,
    /// From opening to deadline.
    pub seconds: i64,
}

impl Default for EconomyRules {
    fn default() -> EconomyRules {
        EconomyRules {
            enforcement: Enforcement::Observe,
            genesis_grant: Money::cents(100_000),
            entropy_base: Money::cents(50),
            entropy_step: Money::cents(25),
            idle_ticks_per_step: 5,
            entropy_max: Money::cents(300),
            stake_min: Money::cents(1),
            productive_stake_min: Money::cents(50),
            payout_factor: 2,
            open_predictions_max: 20,
            open_stake_max: Money::cents(10_000),
            sample_lag_seconds: 60,
            prediction_horizon_seconds: 300,
            sample_grace_seconds: 1_800,
            // Six hours, and more than the longest cooldown of a source.
            sample_patience_seconds: 6 * 3_600 + 900,
            house_loss_budget_per_hour: Money::cents(200_000),
            price_ttl_seconds: 120,
            ticket_ttl_seconds: 5,
            markets: MarketRules::default(),
        }
    }
}

impl EconomyRules {
    /// Every figure that makes no sense, by the name of its setting. Empty means sound.
    #[must_use]
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let mut need = |holds: bool, name: &'static str, problem: &str| {
            if !holds {
                problems.push(SettingProblem {
                    name,
                    problem: problem.to_owned(),
                });
            }
        };
        need(
            self.genesis_grant.is_positive(),
            "GENESIS_GRANT",
            "must be above zero",
        );
        need(
            self.entropy_base.is_positive(),
            "ENTROPY_BASE",
            "must be above zero",
        );
        need(
            !self.entropy_step.is_negative(),
            "ENTROPY_STEP",
            "must not be negative",
        );
        need(
            self.idle_ticks_per_step > 0,
            "IDLE_TICKS_PER_STEP",
            "must be above zero",
        );
        need(
            self.entropy_max >= self.entropy_base,
            "ENTROPY_MAX",
            "must be at least ENTROPY_BASE",
        );
        self.check_positions(&mut need);
        self.markets.check(&mut need);
        problems
    }

    /// The figures of predictions and their prices.
    fn check_positions(&self, need: &mut impl FnMut(bool, &'static str, &str)) {
        let above_zero = "must be above zero";
        need(self.stake_min.is_positive(), "STAKE_MIN", above_zero);
        need(
            !self.productive_stake_min.is_negative(),
            "PRODUCTIVE_STAKE_MIN",
            "must not be negative",
        );
        need(
            (2..=PAYOUT_FACTOR_MAX).contains(&self.payout_factor),
            "PAYOUT_FACTOR",
            "must be from 2 to 100",
        );
        need(
            self.open_predictions_max > 0,
            "OPEN_PREDICTIONS_MAX",
            "must be above zero",
        );
        need(
            self.open_stake_max >= self.stake_min,
            "OPEN_STAKE_MAX",
            "must be at least STAKE_MIN",
        );
        let span = 1..=SPAN_MAX_SECONDS;
        let spans = "must be from 1 to 2592000 seconds";
        need(
            span.contains(&self.prediction_horizon_seconds),
            "PREDICTION_HORIZON",
            spans,
        );
        need(
            (0..=3_600).contains(&self.sample_lag_seconds),
            "SAMPLE_LAG_SECONDS",
            "must be from 0 to 3600",
        );
        need(
            span.contains(&self.sample_grace_seconds),
            "SAMPLE_GRACE_SECONDS",
            spans,
        );
        need(
            (self.sample_grace_seconds..=SPAN_MAX_SECONDS).contains(&self.sample_patience_seconds),
            "SAMPLE_PATIENCE_SECONDS",
            "must be at least SAMPLE_GRACE_SECONDS and at most 2592000",
        );
        need(
            !self.house_loss_budget_per_hour.is_negative(),
            "HOUSE_LOSS_BUDGET_PER_HOUR",
            "must not be negative",
        );
        // An older sample is not kept, so none would be found that is this old and in time.
        need(
            (1..=SAMPLE_AGE_MAX_SECONDS).contains(&self.price_ttl_seconds),
            "PRICE_TTL_SECONDS",
            "must be from 1 to 600 seconds",
        );
        need(
            span.contains(&self.ticket_ttl_seconds),
            "TICKET_TTL_SECONDS",
            spans,
        );
    }

    /// A sample is in time, and decides, if it is of a moment no longer than this after the one at
    /// which it was due.
    #[must_use]
    pub fn in_time_seconds(&self) -> i64 {
        self.price_ttl_seconds.min(self.sample_grace_seconds)
    }

    /// The same rules with no span of time that could not be reckoned with. For rules that were kept.
    #[must_use]
    pub fn within_calendar(mut self) -> EconomyRules {
        for span in [
            &mut self.sample_lag_seconds,
            &mut self.prediction_horizon_seconds,
            &mut self.sample_grace_seconds,
            &mut self.sample_patience_seconds,
            &mut self.price_ttl_seconds,
            &mut self.ticket_ttl_seconds,
            &mut self.markets.settle_patience_seconds,
        ] {
            *span = (*span).clamp(0, KEPT_SPAN_MAX_SECONDS);
        }
        self
    }

    /// An amount as a stake, if it is at least the smallest one.
    pub fn stake(&self, amount: Money) -> Result<Stake, MoneyError> {
        Stake::checked(amount, self.stake_min)
    }

    /// What the house adds to a stake on the price that turns out right. `None` beyond the range of
    /// money.
    #[must_use]
    pub fn house_loss_of(&self, stake: Stake) -> Option<Money> {
        stake.money().checked_mul(self.payout_factor - 1)
    }

    /// The figures of the entropy fee.
    #[must_use]
    pub const fn entropy_fee(&self) -> EntropyFee {
        EntropyFee {
            base: self.entropy_base,
            step: self.entropy_step,
            idle_ticks_per_step: self.idle_ticks_per_step,
            max: self.entropy_max,
        }
    }

    /// The fee of one tick.
    #[must_use]
    pub fn entropy(&self, idle_streak: i32) -> Money {
        self.entropy_fee().of(idle_streak)
    }
}

/// The figures of the entropy fee, which are all that it takes to foretell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntropyFee {
    /// Of a bot that is not idle, per tick.
    pub base: Money,
    /// Added for each full `idle_ticks_per_step` of idleness.
    pub step: Money,
    pub idle_ticks_per_step: i32,
    pub max: Money,
}

impl EntropyFee {
    /// The fee of one tick: `min(base + step × floor(idle_streak / n), max)`.
    #[must_use]
    pub fn of(&self, idle_streak: i32) -> Money {
        let steps = i64::from(idle_streak.max(0) / self.idle_ticks_per_step.max(1));
        self.step
            .checked_mul(steps)
            .and_then(|surcharge| self.base.checked_add(surcharge))
            .map_or(self.max, |fee| fee.min(self.max))
    }
}

impl MarketRules {
    /// Tells `need` of every condition, with its setting and what that must be.
    fn check(&self, need: &mut impl FnMut(bool, &'static str, &str)) {
        let above_zero = "must be above zero";
        need(
            (0..=1_000).contains(&self.places),
            "MARKET_PLACES",
            "must be from 0 to 1000",
        );
        need(
            !self.bounty_budget_per_hour.is_negative(),
            "BOUNTY_BUDGET_PER_HOUR",
            "must not be negative",
        );
        for source in MarketSource::ALL {
            let rules = self.of(*source);
            let [bounty, seconds, weight] = settings_of(*source);
            let fits = !rules.bounty.is_negative() && rules.bounty <= self.pool_max;
            need(fits, bounty, "must be from 0 to MARKET_POOL_MAX");
            let (least, _) = source.about().least_seconds;
            let lasts = (least..=SPAN_MAX_SECONDS).contains(&rules.seconds);
            let within = format!("must be from {least} to {SPAN_MAX_SECONDS}");
            need(lasts, seconds, &within);
            let rule = "must be from 0 to 1000000";
            need(rules.weight <= 1_000_000, weight, rule);
        }
        need(self.star_step > 0, "STAR_STEP", above_zero);
        need(self.answer_stake.is_positive(), "ANSWER_STAKE", above_zero);
        need(self.lookup_fee.is_positive(), "LOOKUP_FEE", above_zero);
        need(
            (1..=20).contains(&self.bets_per_request_max),
            "BETS_PER_REQUEST_MAX",
            "must be from 1 to 20",
        );
        need(self.pool_max.is_positive(), "MARKET_POOL_MAX", above_zero);
        need(
            (1..=SPAN_MAX_SECONDS).contains(&self.settle_patience_seconds),
            "SETTLE_PATIENCE_SECONDS",
            "must be from 1 to 2592000 seconds",
        );
    }
}

/// A setting that is no figure for the economy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    pub name: &'static str,
    /// What it must be; never the value that was found.
    pub problem: String,
}

impl EconomyRules {
    /// The defaults, overridden by whatever `setting` knows under the names of the figures. Every
    /// problem is reported, not only the first.
    pub fn from_settings(
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<EconomyRules, Vec<SettingProblem>> {
        let mut rules = EconomyRules::default();
        let mut problems = Vec::new();
        for name in canonical::NAMES {
            let problem = setting(name).and_then(|text| rules.set(name, &text).err());
            problems.extend(problem.map(|problem| SettingProblem { name, problem }));
        }
        if problems.is_empty() {
            problems = rules.problems();
        }
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }
}
