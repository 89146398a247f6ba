//! What a bot's running totals mean: how long it lasts if nobody acts, whether it earns more or
//! less than before, and what its results cost.
//!
//! Everything is exact: whole units of 10⁻⁸, rounded once, where a quotient is shown. [`forecast`]
//! must name the exact tick in which [`economy::tick`](crate::economy::tick) liquidates the bot. If a charge
//! has no exact total ([`Ahead::NeverMore`](crate::charges::Ahead)), the bot may last longer.

use crate::charges::{self, Payer};
use crate::economy::{BotStatus, EconomyRules, Enforcement, Wallet};
use crate::ids::TickNumber;
use crate::money::{Money, UNITS_PER_CREDIT};
use crate::time::Timestamp;

/// What decides how long a bot lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    pub status: BotStatus,
    pub balance: Money,
    pub phantom_fees: Money,
    pub idle_streak: i32,
    /// Whether a productive action happened since the last tick: the next one charges no idleness.
    pub productive: bool,
    pub shadow_died_in: Option<TickNumber>,
}

impl Reserve {
    /// The input of its charges.
    pub fn payer(&self, enforcement: Enforcement) -> Payer {
        let left = match enforcement {
            Enforcement::Enforce => self.balance,
            Enforcement::Observe => shadow_balance(self.balance, self.phantom_fees),
        };
        let streak = if self.productive { 0 } else { self.idle_streak };
        Payer { left, streak, productive: self.productive }
    }
}

impl From<&Wallet> for Reserve {
    fn from(wallet: &Wallet) -> Reserve {
        Reserve {
            status: wallet.status,
            balance: wallet.balance(),
            phantom_fees: wallet.phantom_fees,
            idle_streak: wallet.idle_streak,
            productive: wallet.productive,
            shadow_died_in: wallet.shadow_died_in,
        }
    }
}

/// What happens to a living bot if nobody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// The sum of all charges of its next tick.
    pub burn_per_tick: Money,
    /// Ticks that it still pays.
    pub ticks_left: i64,
    /// The tick it dies in (enforce), or would die in or would have died in (observe).
    pub dies_in: TickNumber,
}

/// Foretells a bot's end from its balance in enforce mode and from its shadow balance in observe
/// mode. `next` is the next tick that reaches it. `None` for who is not alive.
pub fn forecast(reserve: &Reserve, rules: &EconomyRules, next: TickNumber) -> Option<Forecast> {
    if reserve.status != BotStatus::Alive {
        return None;
    }
    let payer = reserve.payer(rules.enforcement);
    let burn_per_tick = charges::due(&payer, rules);
    if let (Enforcement::Observe, Some(dies_in)) = (rules.enforcement, reserve.shadow_died_in) {
        return Some(Forecast { burn_per_tick, ticks_left: 0, dies_in });
    }
    let ticks_left = charges::ticks_paid(&payer, rules);
    let dies_in = TickNumber(next.0.saturating_add(ticks_left));
    Some(Forecast { burn_per_tick, ticks_left, dies_in })
}

/// When ticks begin, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTimes {
    /// The next tick that reaches the bot.
    pub next: TickNumber,
    /// When it began; `None` if it is yet to begin.
    pub next_began_at: Option<Timestamp>,
    /// When the latest tick of all began; `None` before the first.
    pub latest_began_at: Option<Timestamp>,
    /// When the tick began in which the bot's shadow died.
    pub shadow_died_at: Option<Timestamp>,
    pub now: Timestamp,
    pub rate_seconds: u64,
}

impl Forecast {
    /// When the bot dies; `None` for what is beyond the years of four digits that RFC 3339 has.
    pub fn dies_at(&self, ticks: &TickTimes) -> Option<Timestamp> {
        const END_MICROS: i64 = 253_402_300_800_000_000;
        if self.dies_in < ticks.next {
            return ticks.shadow_died_at;
        }
        let rate = i64::try_from(ticks.rate_seconds).unwrap_or(i64::MAX);
        let next = ticks.next_began_at.unwrap_or_else(|| {
            let due = ticks.latest_began_at.map(|began| began.plus_seconds(rate));
            // Overdue ones begin at any moment.
            due.map_or(ticks.now, |due| due.max(ticks.now))
        });
        let left = self.ticks_left.checked_mul(rate)?.checked_mul(1_000_000)?;
        let micros = next.micros().checked_add(left)?;
        Timestamp::from_micros(micros).filter(|at| at.micros() < END_MICROS)
    }
}

/// What a bot has if what was only counted had been charged.
pub fn shadow_balance(balance: Money, phantom_fees: Money) -> Money {
    balance.checked_sub(phantom_fees).unwrap_or_default()
}

/// What a bot's results are judged by. Amounts are in units of 10⁻⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Results {
    /// Fees, phantom fees and lookup fees together.
    pub cost: i128,
    pub profit: i128,
    pub llm_usd: i128,
    pub settled: i64,
    /// The sum of `brier_count` Brier scores.
    pub brier_sum: i128,
    pub brier_count: i64,
}

impl Results {
    pub fn mean_brier(&self) -> Option<i128> {
        per(self.brier_sum, self.brier_count)
    }

    /// The part of the settled positions that has a Brier score.
    pub fn brier_coverage(&self) -> Option<i128> {
        ratio(self.brier_count.into(), self.settled.into())
    }

    pub fn cost_per_settled(&self) -> Option<i128> {
        per(self.cost, self.settled)
    }

    pub fn cost_per_profit(&self) -> Option<i128> {
        ratio(self.cost, self.profit)
    }

    pub fn llm_usd_per_settled(&self) -> Option<i128> {
        per(self.llm_usd, self.settled)
    }

    pub fn llm_usd_per_profit(&self) -> Option<i128> {
        ratio(self.llm_usd, self.profit)
    }
}

/// What came of each 1.00 that was granted, less that 1.00.
pub fn return_on_grants(wealth: i128, granted: i128) -> Option<i128> {
    ratio(wealth, granted).map(|times| times - i128::from(UNITS_PER_CREDIT))
}

/// The profits of the last whole window of ticks and of the one before it, and where they point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trend {
    /// In units of 10⁻⁸, as is the next.
    pub profit_per_tick: Option<i128>,
    pub previous: Option<i128>,
    /// `None` where there are no two windows to compare.
    pub direction: Option<TrendDirection>,
}

labelled! {
    /// Whether a bot earns more or less a tick than in the window before.
    TrendDirection {
        Up = "up",
        Down = "down",
        Flat = "flat",
    }
}

/// Whether a bot that was made in `born` lived through the whole of a window of ticks.
pub const fn lived_through(window: i64, window_ticks: i64, born: TickNumber) -> bool {
    window >= 0 && window.saturating_mul(window_ticks) >= born.0
}

/// Compares two windows of `window_ticks` ticks each by their profits; `None` for one that the bot
/// did not live through.
pub fn trend(last: Option<i128>, previous: Option<i128>, window_ticks: i64) -> Trend {
    let per_tick = |profit: Option<i128>| profit.and_then(|profit| per(profit, window_ticks));
    let direction = last.zip(previous).map(|(last, previous)| {
        // By the profits themselves: rounding must not hide a difference.
        match last.cmp(&previous) {
            std::cmp::Ordering::Greater => TrendDirection::Up,
            std::cmp::Ordering::Less => TrendDirection::Down,
            std::cmp::Ordering::Equal => TrendDirection::Flat,
        }
    });
    Trend { profit_per_tick: per_tick(last), previous: per_tick(previous), direction }
}

/// A total a piece, rounded half up to whole units; `None` where there is no piece.
pub fn per(units: i128, pieces: i64) -> Option<i128> {
    quotient(units, i128::from(pieces))
}

/// One total for each 1.00 of another, as a decimal in units of 10⁻⁸, rounded half up; `None` where
/// the other is zero or less, or the quotient beyond all bounds.
pub fn ratio(of: i128, to: i128) -> Option<i128> {
    quotient(of.checked_mul(i128::from(UNITS_PER_CREDIT))?, to)
}

fn quotient(dividend: i128, divisor: i128) -> Option<i128> {
    if divisor <= 0 {
        return None;
    }
    let (whole, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    // rest ≥ divisor / 2, without a product that could overflow.
    whole.checked_add(i128::from(rest >= divisor - rest))
}
