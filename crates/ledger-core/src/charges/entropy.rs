//! The entropy fee of each tick: it grows while a bot does nothing productive.

use super::{Ahead, Charge, Payer};
use crate::entry_types::EntryType;
use crate::money::Money;
use crate::rules::EconomyRules;

pub(super) const CHARGE: Charge =
    Charge { entry_type: EntryType::Heartbeat, due, ahead: Ahead::Exactly(ahead) };

fn due(payer: &Payer, rules: &EconomyRules) -> Money {
    rules.entropy(payer.streak)
}

impl EconomyRules {
    /// The entropy fee of one tick: `min(base + step × floor(idle_streak / n), max)`.
    pub fn entropy(&self, idle_streak: i32) -> Money {
        let steps = i64::from(idle_streak.max(0) / self.idle_ticks_per_step.max(1));
        self.entropy_step
            .checked_mul(steps)
            .and_then(|surcharge| self.entropy_base.checked_add(surcharge))
            .map_or(self.entropy_max, |fee| fee.min(self.entropy_max))
    }
}

/// The sum of the next `ticks` fees.
fn ahead(payer: &Payer, rules: &EconomyRules, ticks: i128) -> i128 {
    let stair = Stair::of(rules);
    let streak = i128::from(payer.streak.max(0));
    let past = stair.sum(streak);
    if payer.productive && ticks > 0 {
        // The tick after a productive action leaves the streak at zero, so that fee comes twice.
        let first = stair.sum(streak + 1) - past;
        first + stair.sum(streak + ticks - 1) - past
    } else {
        stair.sum(streak + ticks) - past
    }
}

/// Entropy as a stair: it rises by `rise` each `tread` ticks of idleness until the step `top`.
struct Stair {
    base: i128,
    rise: i128,
    tread: i128,
    /// The step from which on nothing rises any more.
    top: i128,
    top_fee: i128,
}

impl Stair {
    fn of(rules: &EconomyRules) -> Stair {
        let units = |money: Money| i128::from(money.units());
        let tread = i128::from(rules.idle_ticks_per_step.max(1));
        let (base, rise) = (units(rules.entropy_base), units(rules.entropy_step).max(0));
        let ceiling = units(rules.entropy_max);
        // A streak is an i32 and stays at its end.
        let last = i128::from(i32::MAX) / tread;
        let room = (ceiling - base).max(0);
        // Up to the first step that reaches the ceiling.
        let top = match rise {
            0 => last,
            rise => ((room + rise - 1) / rise).min(last),
        };
        let top_fee = (base + rise * top).min(ceiling);
        Stair { base, rise, tread, top, top_fee }
    }

    /// The sum of the fees for the streaks `0..ticks`.
    const fn sum(&self, ticks: i128) -> i128 {
        let step = ticks / self.tread;
        if step >= self.top {
            let climbed = self.climb(self.top);
            return climbed + (ticks - self.top * self.tread) * self.top_fee;
        }
        self.climb(step) + (ticks % self.tread) * (self.base + self.rise * step)
    }

    /// The fees of the first `steps` whole steps, none of them above `top`.
    const fn climb(&self, steps: i128) -> i128 {
        self.tread * (self.base * steps + self.rise * (steps * (steps - 1) / 2))
    }
}
