//! The charges of a tick. Each is one file and one line in [`CHARGES`].
//!
//! A new charge also needs its own entry type ([`crate::entry_types`]) and its figures in the rules
//! ([`crate::rules`]). Ticks, forecasts, hosted bots and the page use all [`CHARGES`] and name none.

use crate::entry_types::EntryType;
use crate::money::Money;
use crate::rules::EconomyRules;

mod entropy;

/// The input of a charge, in addition to the rules, which also have the length of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// The bot's balance, or its shadow balance if fees are only recorded. So the shadow pays what the bot
    /// would have paid.
    pub left: Money,
    /// The number of ticks since its last productive action.
    pub streak: i32,
    /// Whether it acted productively since the last tick: then the streak is 0 now, and still 0 after the
    /// coming tick.
    pub productive: bool,
}

/// One charge that a living bot pays in each tick.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The type of its entry, whose amount is negative and burned.
    pub entry_type: EntryType,
    /// The amount that this bot must pay in the coming tick; it can be zero.
    pub due: fn(&Payer, &EconomyRules) -> Money,
    pub ahead: Ahead,
}

/// The total of a charge over several ticks in which its bot does nothing. Forecasts use it.
#[derive(Debug, Clone, Copy)]
pub enum Ahead {
    /// No later tick costs more than the coming one. A forecast counts the coming tick's amount for each
    /// tick, so the bot lives at least as long as the forecast says.
    NeverMore,
    /// The exact total of so many ticks, in units of 10⁻⁸.
    Exactly(fn(&Payer, &EconomyRules, i128) -> i128),
}

/// In the order of payment. A bot that cannot pay all of them is liquidated.
pub const CHARGES: &[Charge] = &[entropy::CHARGE];

/// The sum of all charges of the coming tick.
pub fn due(payer: &Payer, rules: &EconomyRules) -> Money {
    sum(CHARGES.iter().map(|charge| (charge.due)(payer, rules)))
}

pub(crate) fn sum(dues: impl Iterator<Item = Money>) -> Money {
    let mut dues = dues.filter(|due| due.is_positive());
    // Only figures outside the bounds of all rules exceed the range; they are more than any bot
    // has.
    dues.try_fold(Money::ZERO, Money::checked_add).unwrap_or(Money::MAX)
}

/// The number of ticks that a bot can pay if it does nothing from now on. This must never count ticks
/// one by one, because a rich bot under mild rules lasts for a quintillion of them.
pub fn ticks_paid(payer: &Payer, rules: &EconomyRules) -> i64 {
    ticks_paid_of(CHARGES, payer, rules)
}

fn ticks_paid_of(charges: &[Charge], payer: &Payer, rules: &EconomyRules) -> i64 {
    let left = i128::from(payer.left.units());
    // This stays far below 2¹²⁷: a tick costs less than 10¹⁸, and there are fewer than 10¹⁹ ticks.
    let ahead = |ticks: i128| {
        let of = |charge: &Charge| match charge.ahead {
            Ahead::NeverMore => i128::from((charge.due)(payer, rules).units()).max(0) * ticks,
            Ahead::Exactly(ahead) => ahead(payer, rules, ticks),
        };
        charges.iter().map(of).fold(0, i128::saturating_add)
    };
    // The total never falls with more ticks, so a binary search finds the last paid one.
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
            // The wallet counts every charge as a fee; the audit counts the types that are declared as fees.
            assert_eq!(declared.total, Total::Fees, "{}", declared.label);
            let others = CHARGES.iter().take(place);
            assert!(others.into_iter().all(|other| other.entry_type != charge.entry_type));
        }
    }

    /// The entropy fee, and a second charge of a hundredth of the balance, which borrows an entry type.
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
        // A charge of zero makes no entry.
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
        // The hundredth falls from tick to tick, so the bot lives longer than the forecast says.
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
