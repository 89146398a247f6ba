use ledger_core::chain::seal_onto;
use ledger_core::economy::{self, BotStatus, EconomyRules, Enforcement, Fate, Wallet};
use ledger_core::insights::{
    Forecast, Reserve, TickTimes, TrendDirection, forecast, lived_through, per, ratio, trend,
};
use ledger_core::money::MAX_UNITS;
use ledger_core::{Money, TickNumber, Timestamp};
use proptest::prelude::*;

use crate::{money, wallet};

fn units(units: i64) -> Money {
    Money::from_units(units).unwrap()
}

/// What `economy::tick` does to a bot that nobody helps: its next fee, the ticks it pays, and the
/// one it dies in.
fn lived(mut wallet: Wallet, rules: &EconomyRules, next: TickNumber) -> Forecast {
    let mut first = None;
    for ticks in 0..100_000 {
        let number = TickNumber(next.0 + ticks);
        let outcome = economy::tick(&wallet, rules, number, &economy::tick_reference(number));
        let burn_per_tick = *first.get_or_insert(outcome.fee);
        if outcome.fate != Fate::Lives {
            return Forecast { burn_per_tick, ticks_left: ticks, dies_in: number };
        }
        for movement in outcome.movements {
            let now = Timestamp::from_micros(ticks).unwrap();
            seal_onto(&mut wallet, movement, now, &mut Vec::new()).unwrap();
        }
        wallet.idle_streak = outcome.idle_streak;
        wallet.phantom_fees = outcome.phantom_fees;
        wallet.productive = false;
    }
    panic!("it lives for ever");
}

fn foretold(wallet: &Wallet, rules: &EconomyRules, next: i64) -> Option<Forecast> {
    forecast(&Reserve::from(wallet), rules, TickNumber(next))
}

fn rules() -> impl Strategy<Value = EconomyRules> {
    let modes = prop_oneof![Just(Enforcement::Observe), Just(Enforcement::Enforce)];
    let steps = prop_oneof![Just(0), 0..100_000_000i64];
    let figures = (1_000_000..200_000_000i64, steps, 0..500_000_000i64);
    (modes, figures, 1..12i32).prop_map(|(enforcement, (base, step, room), n)| EconomyRules {
        enforcement,
        entropy_base: units(base),
        entropy_step: units(step),
        idle_ticks_per_step: n,
        entropy_max: units(base + room),
        ..EconomyRules::default()
    })
}

fn streaks() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), 0..200, (i32::MAX - 60)..=i32::MAX]
}

proptest! {
    #[test]
    fn a_bot_dies_when_it_was_foretold(
        rules in rules(),
        balance in 0..2_000_000_000i64,
        phantom in prop_oneof![Just(0), 0..2_500_000_000i64],
        idle_streak in streaks(),
        productive in any::<bool>(),
        next in 1..1_000_000i64,
    ) {
        let mut one = wallet("0.00");
        one.head.balance = units(balance);
        one.phantom_fees = units(phantom);
        one.idle_streak = idle_streak;
        one.productive = productive;
        let told = foretold(&one, &rules, next).unwrap();
        prop_assert_eq!(told, lived(one, &rules, TickNumber(next)));
    }

    #[test]
    fn mode_makes_no_difference_to_a_new_bot(balance in 0..=MAX_UNITS, streak in streaks()) {
        let mut one = wallet("0.00");
        one.head.balance = units(balance);
        one.idle_streak = streak;
        let told = |enforcement| {
            foretold(&one, &EconomyRules { enforcement, ..EconomyRules::default() }, 1)
        };
        prop_assert_eq!(told(Enforcement::Observe), told(Enforcement::Enforce));
    }

    #[test]
    fn a_quotient_is_the_nearest_and_halves_go_up(
        dividend in -10i128.pow(30)..10i128.pow(30),
        divisor in 1..i64::MAX,
    ) {
        let (found, divisor) = (per(dividend, divisor).unwrap(), i128::from(divisor));
        let twice = 2 * (dividend - found * divisor);
        prop_assert!(-divisor <= twice && twice < divisor);
        let wide = ratio(dividend, divisor).unwrap();
        let twice = 2 * (dividend * 100_000_000 - wide * divisor);
        prop_assert!(-divisor <= twice && twice < divisor);
    }
}

#[test]
fn an_idle_bot_of_a_thousand_is_told_356_ticks() {
    for enforcement in [Enforcement::Observe, Enforcement::Enforce] {
        let rules = EconomyRules { enforcement, ..EconomyRules::default() };
        let told = foretold(&wallet("1000.00"), &rules, 42).unwrap();
        assert_eq!(
            told,
            Forecast { burn_per_tick: money("0.50"), ticks_left: 356, dies_in: TickNumber(398) }
        );
    }
}

#[test]
fn who_holds_exactly_the_fee_pays_it() {
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    let left = |balance| foretold(&wallet(balance), &rules, 1).unwrap().ticks_left;
    assert_eq!([left("0.00"), left("0.49999999"), left("0.50"), left("2.00")], [0, 0, 1, 4]);
}

#[test]
fn the_richest_bot_under_the_mildest_rules_has_an_end_too() {
    let mut rich = wallet("9999999999.99999999");
    let mut rules = EconomyRules {
        enforcement: Enforcement::Enforce,
        entropy_base: units(1),
        entropy_step: Money::ZERO,
        entropy_max: units(1),
        ..EconomyRules::default()
    };
    let told = foretold(&rich, &rules, 1).unwrap();
    assert_eq!(told.ticks_left, MAX_UNITS);
    assert_eq!(told.dies_in, TickNumber(MAX_UNITS + 1));
    // Steps as small and as many as there can be.
    rules.entropy_step = units(1);
    rules.entropy_max = units(MAX_UNITS);
    rules.idle_ticks_per_step = 1;
    let told = foretold(&rich, &rules, 1).unwrap();
    // 1 + 2 + … + n, the last n that a rich bot can pay.
    let n = i128::from(told.ticks_left);
    assert!(n * (n + 1) / 2 <= i128::from(MAX_UNITS));
    assert!((n + 1) * (n + 2) / 2 > i128::from(MAX_UNITS));
    rich.idle_streak = i32::MAX;
    let fee = i64::from(i32::MAX) + 1;
    let told = foretold(&rich, &rules, 1).unwrap();
    assert_eq!(told.ticks_left, MAX_UNITS / fee);
}

#[test]
fn the_dead_are_told_nothing_and_a_dead_shadow_its_end() {
    let rules = EconomyRules::default();
    let mut one = wallet("10.00");
    one.phantom_fees = money("10.25");
    one.shadow_died_in = Some(TickNumber(17));
    let told = foretold(&one, &rules, 90).unwrap();
    assert_eq!((told.ticks_left, told.dies_in), (0, TickNumber(17)));
    // Once fees are real, phantom ones are forgotten.
    let enforced = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    assert!(foretold(&one, &enforced, 90).unwrap().ticks_left > 0);
    for status in [BotStatus::Dead, BotStatus::Retired] {
        one.status = status;
        assert_eq!(foretold(&one, &rules, 90), None);
        assert_eq!(foretold(&one, &enforced, 90), None);
    }
}

#[test]
fn a_trend_compares_whole_windows_exactly() {
    let up = trend(Some(61), Some(60), 60);
    assert_eq!((up.profit_per_tick, up.previous), (Some(1), Some(1)));
    assert_eq!(up.direction, Some(TrendDirection::Up), "before rounding");
    let told = |last, previous| trend(last, previous, 60).direction;
    assert_eq!(told(Some(-5), Some(0)), Some(TrendDirection::Down));
    assert_eq!(told(Some(0), Some(0)), Some(TrendDirection::Flat));
    assert_eq!(told(Some(1), None), None);
    assert_eq!(trend(None, None, 60).profit_per_tick, None);
}

#[test]
fn a_window_counts_for_who_was_there_from_its_beginning() {
    let born = |tick| TickNumber(tick);
    assert!(lived_through(0, 60, born(0)) && !lived_through(0, 60, born(1)));
    assert!(lived_through(2, 60, born(120)) && !lived_through(2, 60, born(121)));
    assert!(!lived_through(-1, 60, born(0)), "there was no such window");
}

#[test]
fn nothing_is_divided_by_nothing() {
    assert_eq!((per(5, 0), per(5, -1)), (None, None));
    assert_eq!((ratio(5, 0), ratio(5, -7)), (None, None));
    assert_eq!((per(5, 2), per(-5, 2), per(4, 3)), (Some(3), Some(-2), Some(1)));
    assert_eq!((per(0, 9), ratio(0, 9)), (Some(0), Some(0)));
    assert_eq!(ratio(1, 3), Some(33_333_333));
    assert_eq!(ratio(i128::MAX, 1), None, "beyond all bounds");
}

#[test]
fn a_bot_dies_when_the_tick_begins_that_it_cannot_pay() {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
    let told = |ticks_left, dies_in| Forecast {
        burn_per_tick: units(1),
        ticks_left,
        dies_in: TickNumber(dies_in),
    };
    let times = TickTimes {
        next: TickNumber(10),
        next_began_at: None,
        latest_began_at: Some(at(100)),
        shadow_died_at: Some(at(50)),
        now: at(105),
        rate_seconds: 10,
    };
    // The next tick is due at 110.
    assert_eq!(told(3, 13).dies_at(&times), Some(at(140)));
    let overdue = TickTimes { now: at(130), ..times };
    assert_eq!(told(3, 13).dies_at(&overdue), Some(at(160)));
    let under_way = TickTimes { next_began_at: Some(at(108)), ..times };
    assert_eq!(told(3, 13).dies_at(&under_way), Some(at(138)));
    // The shadow is dead already.
    assert_eq!(told(0, 9).dies_at(&times), Some(at(50)));
    // In the year 10,000, and beyond all numbers.
    assert_eq!(told(30_000_000_000, 13).dies_at(&times), None);
    assert_eq!(told(i64::MAX, 13).dies_at(&times), None);
}
