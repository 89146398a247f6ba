//! What time costs: the charges of a tick, each a file of its own and a line in [`CHARGES`].
//!
//! A new charge also wants an entry type of its own ([`crate::entry_types`]) and its figures among the
//! rules ([`crate::rules`]). Ticks, forecasts, hosted bots and the page go over [`CHARGES`] and name none.

use crate::entry_types::EntryType;
use crate::money::Money;
use crate::rules::EconomyRules;

mod entropy;

/// What a charge is computed from, beside the rules; among these is how long a tick lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// What the bot has: its balance, or its shadow balance where fees are only recorded. So the shadow pays
    /// what the bot would have paid.
    pub left: Money,
    /// For how many ticks it has done nothing productive.
    pub streak: i32,
    /// Whether it did something productive since the last tick: then the streak is 0 now, and still 0 after
    /// the coming tick.
    pub productive: bool,
}

/// One thing that a living bot pays for when a tick comes.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The type of its entry, whose amount is negative and burned.
    pub entry_type: EntryType,
    /// What is due of this bot in the coming tick; zero where nothing is.
    pub due: fn(&Payer, &EconomyRules) -> Money,
    pub ahead: Ahead,
}

/// What a charge comes to over several ticks in which its bot does nothing. Forecasts go by it.
#[derive(Debug, Clone, Copy)]
pub enum Ahead {
    /// Never more in a tick than in the coming one. A forecast counts that much for each tick, so that the
    /// bot lives at least as long as it says.
    NeverMore,
    /// Exactly this in so many ticks together, in units of 10⁻⁸.
    Exactly(fn(&Payer, &EconomyRules, i128) -> i128),
}

/// In the order in which they are paid. Who cannot pay all of them is liquidated.
pub const CHARGES: &[Charge] = &[entropy::CHARGE];

/// All charges of the coming tick together.
pub fn due(payer: &Payer, rules: &EconomyRules) -> Money {
    sum(CHARGES.iter().map(|charge| (charge.due)(payer, rules)))
}

pub(crate) fn sum(dues: impl Iterator<Item = Money>) -> Money {
    let mut dues = dues.filter(|due| due.is_positive());
    // Only figures that no rules may have leave the range; they are then more than anybody has.
    dues.try_fold(Money::ZERO, Money::checked_add).unwrap_or(Money::MAX)
}

/// How many ticks a bot pays that does nothing from now on. This must never count ticks one by one,
/// because a rich bot under mild rules lasts for a quintillion of them.
pub fn ticks_paid(payer: &Payer, rules: &EconomyRules) -> i64 {
    ticks_paid_of(CHARGES, payer, rules)
}

fn ticks_paid_of(charges: &[Charge], payer: &Payer, rules: &EconomyRules) -> i64 {
    let left = i128::from(payer.left.units());
    // Below 2¹²⁷ by far: a tick costs less than 10¹⁸, and there are less than 10¹⁹ ticks.
    let ahead = |ticks: i128| {
        let of = |charge: &Charge| match charge.ahead {
            Ahead::NeverMore => i128::from((charge.due)(payer, rules).units()).max(0) * ticks,
            Ahead::Exactly(ahead) => ahead(payer, rules, ticks),
        };
        charges.iter().map(of).fold(0, i128::saturating_add)
    };
    // The sum only grows with the ticks, so it can be searched.
    let (mut paid, mut unpaid) = (0, i128::from(i64::MAX) + 1);
    while left >= 0 && paid + 1 < unpaid {
        let middle = paid + (unpaid - paid) / 2;
        if ahead(middle) <= left {
            paid = middle;
        } else {
            unpaid = middle;
        }
    }
    i64::try_from(paid).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::economy::{Enforcement, Fate, TickOutcome, tick_of, tick_reference};
    use crate::entry_types::{House, SignRule, Total};
    use crate::{BotId, BotStatus, Hash, Head, TickNumber, Wallet};

    #[test]
    fn each_charge_is_burned_and_has_a_type_of_its_own() {
        for (place, charge) in CHARGES.iter().enumerate() {
            let declared = charge.entry_type.declaration();
            assert_eq!(declared.sign, SignRule::Negative, "{}", declared.label);
            assert_eq!(declared.house, House::Burn, "{}", declared.label);
            // The wallet counts every charge as a fee, and the audit what is declared as one.
            assert_eq!(declared.total, Total::Fees, "{}", declared.label);
            let others = CHARGES.iter().take(place);
            assert!(others.into_iter().all(|other| other.entry_type != charge.entry_type));
        }
    }

    /// The fee, and beside it a hundredth of what a bot has, which needs an entry type and borrows one.
    const TWO: &[Charge] = &[
        entropy::CHARGE,
        Charge {
            entry_type: EntryType::ResearchLookupFee,
            due: |payer, _| Money::from_units(payer.left.units() / 100).unwrap(),
            ahead: Ahead::NeverMore,
        },
    ];

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn ticked(balance: &str, enforcement: Enforcement) -> TickOutcome {
        let wallet = Wallet {
            head: Head {
                bot_id: BotId(7),
                sequence: 1,
                balance: money(balance),
                hash: Hash([1; 32]),
                recorded_at: None,
            },
            status: BotStatus::Alive,
            idle_streak: 0,
            productive: false,
            phantom_fees: money("0.25"),
            shadow_died_in: None,
            open_predictions: 0,
            open_stake: Money::ZERO,
            open_bets: 0,
            bet_stake: Money::ZERO,
            last_tick: TickNumber(0),
            pause: None,
        };
        let rules = EconomyRules { enforcement, ..EconomyRules::default() };
        tick_of(TWO, &wallet, &rules, TickNumber(1), &tick_reference(TickNumber(1)))
    }

    #[test]
    fn each_charge_of_a_tick_is_an_entry_of_its_own() {
        let outcome = ticked("20.00", Enforcement::Enforce);
        assert_eq!((outcome.fate, outcome.fee), (Fate::Lives, money("0.70")));
        let paid = outcome.movements.iter().map(|it| (it.posting.entry_type, it.posting.amount));
        let expected = [
            (EntryType::Heartbeat, money("-0.50")),
            (EntryType::ResearchLookupFee, money("-0.20")),
        ];
        assert_eq!(paid.collect::<Vec<_>>(), expected);
        assert!(outcome.movements.iter().all(|it| it.posting.reference.as_str() == "TICK:1"));
        // What is nothing is no entry.
        assert_eq!(ticked("0.00", Enforcement::Observe).fee, money("0.50"));
    }

    #[test]
    fn who_cannot_pay_all_charges_is_liquidated() {
        let outcome = ticked("0.505", Enforcement::Enforce);
        assert_eq!((outcome.fate, outcome.fee), (Fate::Liquidated, money("0.50505")));
        let types: Vec<_> = outcome.movements.iter().map(|it| it.posting.entry_type).collect();
        assert_eq!(types, [EntryType::Liquidation]);
    }

    #[test]
    fn what_is_only_recorded_is_due_of_the_shadow() {
        let outcome = ticked("20.25", Enforcement::Observe);
        assert_eq!((outcome.fee, outcome.phantom_fees), (money("0.70"), money("0.95")));
        assert!(outcome.movements.is_empty());
    }

    #[test]
    fn a_forecast_counts_all_charges_and_promises_too_little_rather_than_too_much() {
        let rules = EconomyRules::default();
        let payer = |left: &str| Payer { left: money(left), streak: 0, productive: false };
        let paid = |left| ticks_paid_of(TWO, &payer(left), &rules);
        // The hundredth becomes less from tick to tick, so it lives longer than is foretold.
        let mut one = payer("1000.00");
        let mut lived = 0;
        loop {
            let due = sum(TWO.iter().map(|charge| (charge.due)(&one, &rules)));
            if one.left < due {
                break;
            }
            one.left = one.left.checked_sub(due).unwrap();
            (one.streak, lived) = (one.streak + 1, lived + 1);
        }
        assert!((50..lived).contains(&paid("1000.00")), "{} of {lived}", paid("1000.00"));
        assert_eq!([paid("-1.00"), paid("0.00"), paid("0.505"), paid("0.51")], [0, 0, 0, 1]);
        let free = Charge { due: |_, _| Money::ZERO, ..TWO[1] };
        assert_eq!(ticks_paid_of(&[free], &payer("1.00"), &rules), i64::MAX);
    }
}
