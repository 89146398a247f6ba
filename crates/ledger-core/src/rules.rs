//! The figures of the economy: their defaults, their settings, and what would make no sense.

mod canonical;

use std::any::Any;
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::canonical::UnreadableRules;
use crate::money::{Money, MoneyError, Stake};
use crate::prediction::SAMPLE_AGE_MAX_SECONDS;
use crate::sources::{MarketSource, SourceRules, market_sources};

/// The longest span of time that can be configured, in seconds: thirty days.
pub const SPAN_MAX_SECONDS: i64 = 30 * 86_400;
/// Kept rules may be from a build that had no such bound. A longer span than this counts as this: a
/// hundred years, which no calendar and no interval of Postgres has trouble with.
const KEPT_SPAN_MAX_SECONDS: i64 = 100 * 366 * 86_400;

/// The sources that the first rules had, at the head of the registry.
const SOURCES_OF_V1: usize = 4;

/// The largest payout factor that can be configured.
pub(crate) const PAYOUT_FACTOR_MAX: i64 = 100;

labelled! {
    /// Whether entropy is charged or only recorded.
    Enforcement {
        /// Fees are phantom: recorded, never charged. Insolvency is recorded; bots do not die.
        Observe = "observe",
        /// Fees are entries; the insolvent are liquidated.
        Enforce = "enforce",
    }
}

/// Reads figures from an answer of an API that may be older and have fewer.
macro_rules! said {
    ($said:ident as $figures:ident { $($field:ident: $type:ty $(= $before:expr)?,)+ }) => {
        #[derive(Deserialize)]
        struct $said { $($field: Option<$type>,)+ }

        impl TryFrom<$said> for $figures {
            type Error = &'static str;

            fn try_from(said: $said) -> Result<$figures, &'static str> {
                Ok($figures { $(
                    $field: said.$field$(.or(Some($before)))?
                        .ok_or(concat!("missing field `", stringify!($field), "`"))?,
                )+ })
            }
        }
    };
}

/// Declares all figures, each with its meaning, default, setting and bounds, and generates every list of
/// them. A figure that was added after the first rules also declares its value `before`: the value in stored
/// rules, and in answers of an older API, that do not have the figure.
macro_rules! figures {
    ($rules:ident:
     economy { $($(#[$about:meta])* $field:ident: $type:ident = $default:expr, $name:literal, $range:expr, $problem:literal
                 $(, before $before:expr)?;)+ }
     board { $($(#[$board_about:meta])* $board:ident: $board_type:ident = $board_default:expr, $board_name:literal,
               $board_range:expr, $board_problem:literal $(, before $board_before:expr)?;)+ }
     sources { $($(#[$source_about:meta])* $variant:ident $source:ident $label:literal;)+ }
     markets { $($(#[$market_about:meta])* $market:ident: $market_type:ident = $market_default:expr, $market_name:literal,
                 $market_range:expr, $market_problem:literal $(, before $market_before:expr)?;)+ }) => {
        /// The figures of the economy. [`EconomyRules::default`] holds the published ones; each can be
        /// configured, and `GET /economy` shows those in force.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        pub struct EconomyRules {
            pub enforcement: Enforcement,
            $($(#[$about])* pub $field: $type,)+
            pub markets: MarketRules,
        }

        /// [`EconomyRules`] as an answer.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(try_from = "SaidParameters")]
        pub struct Parameters {
            $($(#[$about])* pub $field: $type,)+
            /// The figures of markets.
            pub markets: MarketRules,
        }

        impl From<&EconomyRules> for Parameters {
            fn from(rules: &EconomyRules) -> Parameters {
                Parameters { $($field: rules.$field,)+ markets: rules.markets.clone() }
            }
        }

        impl Parameters {
            /// The rules with these figures.
            pub fn rules(&self, enforcement: Enforcement) -> EconomyRules {
                EconomyRules { enforcement, $($field: self.$field,)+ markets: self.markets.clone() }
            }
        }

        said! { SaidParameters as Parameters {
            $($field: $type $(= $before)?,)+
            markets: MarketRules,
        } }

        said! { SaidMarketRules as MarketRules {
            $($board: $board_type $(= $board_before)?,)+
            $($source: SourceRules = SourceRules::default(),)+
            $($market: $market_type $(= $market_before)?,)+
        } }

        /// The figures of markets.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(try_from = "SaidMarketRules")]
        pub struct MarketRules {
            $($(#[$board_about])* pub $board: $board_type,)+
            $($(#[$source_about])* pub $source: SourceRules,)+
            $($(#[$market_about])* pub $market: $market_type,)+
        }

        impl Default for EconomyRules {
            fn default() -> EconomyRules {
                EconomyRules {
                    enforcement: Enforcement::Observe,
                    $($field: $default,)+
                    markets: MarketRules::default(),
                }
            }
        }

        impl Default for MarketRules {
            fn default() -> MarketRules {
                MarketRules {
                    $($board: $board_default,)+
                    $($source: crate::sources::$source::ABOUT.rules,)+
                    $($market: $market_default,)+
                }
            }
        }

        impl MarketRules {
            /// The figures of one source.
            pub const fn of(&self, source: MarketSource) -> &SourceRules {
                match source {
                    $(MarketSource::$variant => &self.$source),+
                }
            }
        }

        impl EconomyRules {
            /// Each figure, in the order of the canonical text.
            fn figures(&mut self) -> Vec<Row<'_>> {
                vec![
                    row("ENFORCEMENT_MODE", &mut self.enforcement, None),
                    $(row($name, &mut self.$field, None$(.or(Some($before)))?),)+
                    $(row($board_name, &mut self.markets.$board, None$(.or(Some($board_before)))?),)+
                    $(row(concat!($label, "_BOUNTY"), &mut self.markets.$source.bounty,
                          before(MarketSource::$variant).map(|it| it.bounty)),
                      row(concat!($label, "_SECONDS"), &mut self.markets.$source.seconds,
                          before(MarketSource::$variant).map(|it| it.seconds)),
                      row(concat!($label, "_WEIGHT"), &mut self.markets.$source.weight,
                          before(MarketSource::$variant).map(|it| it.weight)),)+
                    $(row($market_name, &mut self.markets.$market, None$(.or(Some($market_before)))?),)+
                ]
            }

            /// The same rules with no span of time that could not be reckoned with. For rules that were kept.
            pub fn within_calendar(mut self) -> EconomyRules {
                $(bound_span(stringify!($field), &mut self.$field);)+
                $(bound_span(stringify!($board), &mut self.markets.$board);)+
                $(bound_span(stringify!($market), &mut self.markets.$market);)+
                self
            }

            /// Every figure that makes no sense, by the name of its setting. Empty means sound.
            pub fn problems(&self) -> Vec<SettingProblem> {
                let mut problems = Vec::new();
                let mut need = |holds: bool, name: &'static str, problem: &str| {
                    if !holds {
                        problems.push(SettingProblem { name, problem: problem.to_owned() });
                    }
                };
                let $rules = self;
                $(need(($range).contains(&self.$field), $name, $problem);)+
                $(need(($board_range).contains(&self.markets.$board), $board_name, $board_problem);)+
                $(
                    let of = &self.markets.$source;
                    let fits = (Money::ZERO..=self.markets.pool_max).contains(&of.bounty);
                    need(fits, concat!($label, "_BOUNTY"), "must be from 0 to MARKET_POOL_MAX");
                    let (least, _) = crate::sources::$source::ABOUT.least_seconds;
                    let within = format!("must be from {least} to {SPAN_MAX_SECONDS}");
                    let lasts = (least..=SPAN_MAX_SECONDS).contains(&of.seconds);
                    need(lasts, concat!($label, "_SECONDS"), &within);
                    need(of.weight <= 1_000_000, concat!($label, "_WEIGHT"), "must be from 0 to 1000000");
                )+
                $(need(($market_range).contains(&self.markets.$market), $market_name, $market_problem);)+
                problems
            }
        }
    };
}

macro_rules! figures_with_sources {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        figures! { rules:
            economy {
                /// What a new bot is granted.
                genesis_grant: Money = Money::cents(100_000), "GENESIS_GRANT", Money::SMALLEST.., "must be above zero";
                /// The fee of each tick for a bot that is not idle.
                entropy_base: Money = Money::cents(50), "ENTROPY_BASE", Money::SMALLEST.., "must be above zero";
                /// Added to it for each full `idle_ticks_per_step` of idleness.
                entropy_step: Money = Money::cents(25), "ENTROPY_STEP", Money::ZERO.., "must not be negative";
                /// Idle ticks that make one step.
                idle_ticks_per_step: i32 = 5, "IDLE_TICKS_PER_STEP", 1.., "must be above zero";
                /// The most a tick costs.
                entropy_max: Money = Money::cents(300), "ENTROPY_MAX", rules.entropy_base.., "must be at least ENTROPY_BASE";
                /// From the beginning of one tick to that of the next.
                tick_rate_seconds: i64 = 10, "TICK_RATE", 1..=86_400, "must be from 1 to 86400 seconds", before 10;
                /// The smallest wager or bet.
                stake_min: Money = Money::cents(1), "STAKE_MIN", Money::SMALLEST.., "must be above zero";
                /// The smallest wager or bet that ends an idle streak.
                productive_stake_min: Money = Money::cents(50), "PRODUCTIVE_STAKE_MIN", Money::ZERO.., "must not be negative";
                /// A right prediction pays its wager times this.
                payout_factor: i64 = 2, "PAYOUT_FACTOR", 2..=PAYOUT_FACTOR_MAX, "must be from 2 to 100";
                /// The most predictions a bot may have open.
                open_predictions_max: i32 = 20, "OPEN_PREDICTIONS_MAX", 1.., "must be above zero";
                /// The most a bot may have at stake in open predictions.
                open_stake_max: Money = Money::cents(10_000), "OPEN_STAKE_MAX", rules.stake_min.., "must be at least STAKE_MIN";
                /// From a prediction's first price to its second.
                prediction_horizon_seconds: i64 = 300, "PREDICTION_HORIZON",
                    1..=SPAN_MAX_SECONDS, "must be from 1 to 2592000 seconds";
                // A provider's average lags the market, and nobody must win by having seen what the average
                // does not show yet.
                /// A prediction's first price is the first one at or after its creation plus this.
                sample_lag_seconds: i64 = 60, "SAMPLE_LAG_SECONDS", 0..=3_600, "must be from 0 to 3600";
                // For so long nobody but the prediction's own source is asked for it.
                /// A price later than its due time by more than this is not the one that was due.
                sample_grace_seconds: i64 = 1_800, "SAMPLE_GRACE_SECONDS",
                    1..=SPAN_MAX_SECONDS, "must be from 1 to 2592000 seconds";
                // Six hours, and more than the longest cooldown of a source.
                /// A prediction whose prices no source has told this long after they were due is void.
                sample_patience_seconds: i64 = 6 * 3_600 + 900, "SAMPLE_PATIENCE_SECONDS",
                    rules.sample_grace_seconds..=SPAN_MAX_SECONDS, "must be at least SAMPLE_GRACE_SECONDS and at most 2592000";
                /// The most that price predictions may have the house mint within any hour; beyond it wagers are
                /// refused with 503.
                house_loss_budget_per_hour: Money = Money::cents(200_000), "HOUSE_LOSS_BUDGET_PER_HOUR",
                    Money::ZERO.., "must not be negative";
                // An older sample is not kept, so none would be found that is this old and in time.
                /// A price older than this halts the arena.
                price_ttl_seconds: i64 = 120, "PRICE_TTL_SECONDS",
                    1..=SAMPLE_AGE_MAX_SECONDS, "must be from 1 to 600 seconds";
                /// How long an observation is good for.
                ticket_ttl_seconds: i64 = 5, "TICKET_TTL_SECONDS",
                    1..=SPAN_MAX_SECONDS, "must be from 1 to 2592000 seconds";
            }
            board {
                /// Places on the board that the market maker keeps taken. A place is free again at its market's
                /// deadline, however early that was settled.
                places: i64 = 6, "MARKET_PLACES", 0..=1_000, "must be from 0 to 1000";
                /// All bounties that are put out within any hour.
                bounty_budget_per_hour: Money = Money::cents(50_000), "BOUNTY_BUDGET_PER_HOUR",
                    Money::ZERO.., "must not be negative";
            }
            sources { $($(#[$about])* $variant $module $label;)+ }
            markets {
                /// A question about stars asks for the next multiple of this.
                star_step: i64 = 500, "STAR_STEP", 1.., "must be above zero";
                /// What an attempt at a research answer stakes.
                answer_stake: Money = Money::cents(100), "ANSWER_STAKE", Money::SMALLEST.., "must be above zero";
                /// What an answer costs more that used the lookup tool.
                lookup_fee: Money = Money::cents(50), "LOOKUP_FEE", Money::SMALLEST.., "must be above zero";
                /// Bets that one request may place.
                bets_per_request_max: i64 = 3, "BETS_PER_REQUEST_MAX", 1..=20, "must be from 1 to 20";
                /// The largest pool, bounty included: what a bet would lift above it is refused, so that every
                /// pool can be paid.
                pool_max: Money = Money::cents(1_000_000_000), "MARKET_POOL_MAX", Money::SMALLEST.., "must be above zero";
                /// A market whose source has not answered so long after its deadline is void.
                settle_patience_seconds: i64 = 6 * 3_600, "SETTLE_PATIENCE_SECONDS",
                    1..=SPAN_MAX_SECONDS, "must be from 1 to 2592000 seconds";
            }
        }
    };
}
market_sources!(figures_with_sources);

/// A figure with the name of its setting.
struct Row<'a> {
    name: &'static str,
    figure: &'a mut dyn Figure,
    /// Its value in rules that do not have it; `None` for figures of the first rules.
    before: Option<String>,
}

fn row<'a, T: Figure>(name: &'static str, figure: &'a mut T, before: Option<T>) -> Row<'a> {
    Row { name, figure, before: before.map(|before| before.to_string()) }
}

/// The figures of a source in rules from before it was added.
fn before(source: MarketSource) -> Option<SourceRules> {
    let is_later = MarketSource::ALL.iter().skip(SOURCES_OF_V1).any(|later| *later == source);
    is_later.then(SourceRules::default)
}

/// Bounds a figure that is a span of time: its name ends in `_seconds`.
fn bound_span(field: &str, figure: &mut dyn Any) {
    if field.ends_with("_seconds")
        && let Some(span) = figure.downcast_mut::<i64>()
    {
        *span = (*span).clamp(0, KEPT_SPAN_MAX_SECONDS);
    }
}

/// The value of a figure, whatever its type.
trait Figure: Display {
    /// Sets it; the error says what it must be.
    fn set(&mut self, text: &str) -> Result<(), String>;
}

impl<T: Display + FromStr<Err: Display>> Figure for T {
    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = text.trim().parse().map_err(|error: T::Err| error.to_string())?;
        Ok(())
    }
}

impl EconomyRules {
    /// A sample is in time, and decides, if it is of a moment no longer than this after the one at
    /// which it was due.
    pub fn in_time_seconds(&self) -> i64 {
        self.price_ttl_seconds.min(self.sample_grace_seconds)
    }

    /// An amount as a stake, if it is at least the smallest one.
    pub fn stake(&self, amount: Money) -> Result<Stake, MoneyError> {
        Stake::checked(amount, self.stake_min)
    }

    /// What the house adds to a stake on the price that turns out right. `None` beyond the range of
    /// money.
    pub fn house_loss_of(&self, stake: Stake) -> Option<Money> {
        stake.money().checked_mul(self.payout_factor - 1)
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
        for Row { name, figure, .. } in rules.figures() {
            let problem = setting(name).and_then(|text| figure.set(&text).err());
            problems.extend(problem.map(|problem| SettingProblem { name, problem }));
        }
        // An unreadable figure still has its default: neither its own bounds are checked, nor those that name it.
        let is_unread = |found: &SettingProblem| {
            let names = |unread: &SettingProblem| found.problem.contains(unread.name);
            problems.iter().any(|unread| unread.name == found.name || names(unread))
        };
        let senseless: Vec<_> =
            rules.problems().into_iter().filter(|problem| !is_unread(problem)).collect();
        problems.extend(senseless);
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }
}
