use ledger_core::chain::seal_onto;
use ledger_core::economy::{self, BotStatus, EconomyRules, Enforcement, Fate, Wallet};
use ledger_core::{EntryType, Money, ObservationId, Refusal, TickNumber, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{money, wallet};

fn rules(enforcement: Enforcement) -> EconomyRules {
    EconomyRules { enforcement, ..EconomyRules::default() }
}

/// The one movement of a tick.
fn only(outcome: &economy::TickOutcome) -> economy::Movement {
    let [movement] = &outcome.movements[..] else { panic!("{outcome:?}") };
    movement.clone()
}

/// Ticks until the bot dies, really or by its shadow balance; returns the number of ticks it survived.
fn lifespan(mut wallet: Wallet, rules: &EconomyRules, productive_every: usize) -> Option<i64> {
    for tick in 1..100_000 {
        let number = TickNumber(tick);
        wallet.productive =
            productive_every > 0 && usize::try_from(tick).unwrap().is_multiple_of(productive_every);
        let outcome = economy::tick(&wallet, rules, number, &economy::tick_reference(number));
        if outcome.fate != Fate::Lives {
            return Some(tick - 1);
        }
        for movement in outcome.movements {
            let now = Timestamp::from_micros(tick).unwrap();
            seal_onto(&mut wallet, movement, now, &mut Vec::new()).unwrap();
        }
        wallet.idle_streak = outcome.idle_streak;
        wallet.phantom_fees = outcome.phantom_fees;
        wallet.shadow_died_in = outcome.shadow_died_in;
        wallet.productive = false;
    }
    None
}

#[test]
fn an_idle_bot_of_a_thousand_lasts_356_ticks() {
    let ticks = lifespan(wallet("1000.00"), &rules(Enforcement::Enforce), 0);
    assert_eq!(ticks, Some(356));
}

proptest! {
    #[test]
    fn the_shadow_dies_with_its_twin(units in 0..30_000_000_000i64, productive_every in 0..9usize) {
        let mut one = wallet("0.00");
        one.head.balance = Money::from_units(units).unwrap();
        prop_assert_eq!(
            lifespan(one.clone(), &rules(Enforcement::Observe), productive_every),
            lifespan(one, &rules(Enforcement::Enforce), productive_every)
        );
    }

    #[test]
    fn entropy_grows_with_idleness_and_stays_within_bounds(a in any::<i32>(), b in any::<i32>()) {
        let rules = EconomyRules::default();
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(rules.entropy(low) <= rules.entropy(high));
        prop_assert!(rules.entropy(high) <= rules.entropy_max);
        prop_assert!(rules.entropy(low) >= rules.entropy_base);
    }

    #[test]
    fn an_accepted_wager_respects_every_limit(
        balance in 0..20_000_000_000i64,
        stake in 1..20_000_000_000i64,
        open in 0..25i32,
        at_stake in 0..11_000_000_000i64,
    ) {
        let rules = EconomyRules::default();
        let Ok(stake) = rules.stake(Money::from_units(stake).unwrap()) else { return Ok(()) };
        let mut wallet = wallet("0.00");
        wallet.head.balance = Money::from_units(balance).unwrap();
        wallet.open_predictions = open;
        wallet.open_stake = Money::from_units(at_stake).unwrap();
        let decided = economy::wager(&wallet, stake, &rules, ObservationId(Uuid::nil()));
        let allowed = stake.money() <= wallet.balance()
            && open < rules.open_predictions_max
            && wallet.open_stake.checked_add(stake.money()).unwrap() <= rules.open_stake_max;
        prop_assert_eq!(decided.is_ok(), allowed);
        if let Ok(movement) = decided {
            prop_assert_eq!(movement.posting.amount, stake.money().negated());
            prop_assert_eq!(movement.productive, stake.money() >= rules.productive_stake_min);
        }
    }
}

#[test]
fn who_holds_exactly_the_fee_pays_it_and_lives_at_zero() {
    let rules = rules(Enforcement::Enforce);
    let number = TickNumber(1);
    let reference = economy::tick_reference(number);
    let mut poor = wallet("0.50");
    let outcome = economy::tick(&poor, &rules, number, &reference);
    assert_eq!(outcome.fate, Fate::Lives);
    let now = Timestamp::from_micros(1).unwrap();
    seal_onto(&mut poor, only(&outcome), now, &mut Vec::new()).unwrap();
    assert!(economy::is_reapable(&poor, &rules));
    let outcome = economy::tick(&poor, &rules, TickNumber(2), &reference);
    let movement = only(&outcome);
    assert_eq!(outcome.fate, Fate::Liquidated);
    assert_eq!(movement.posting.entry_type, EntryType::Liquidation);
    assert_eq!(movement.posting.amount, Money::ZERO);
    assert_eq!(movement.status(), Some(BotStatus::Dead));
}

#[test]
fn rent_is_due_in_cash_whatever_is_open() {
    let mut invested = wallet("0.49");
    invested.open_predictions = 3;
    invested.open_stake = money("90.00");
    let number = TickNumber(1);
    let rules = rules(Enforcement::Enforce);
    let outcome = economy::tick(&invested, &rules, number, &economy::tick_reference(number));
    assert_eq!(outcome.fate, Fate::Liquidated);
    assert_eq!(only(&outcome).posting.amount, money("-0.49"));
}

#[test]
fn a_productive_action_makes_this_tick_cheap_and_leaves_a_streak_of_zero() {
    let mut busy = wallet("50.00");
    busy.idle_streak = 30;
    busy.productive = true;
    let number = TickNumber(1);
    let outcome = economy::tick(
        &busy,
        &rules(Enforcement::Enforce),
        number,
        &economy::tick_reference(number),
    );
    assert_eq!((outcome.fee, outcome.idle_streak), (money("0.50"), 0));
}

#[test]
fn the_shadow_dies_once() {
    let mut observed = wallet("0.10");
    let rules = rules(Enforcement::Observe);
    let fates: Vec<Fate> = (1..=3)
        .map(|tick| {
            let number = TickNumber(tick);
            let outcome =
                economy::tick(&observed, &rules, number, &economy::tick_reference(number));
            assert!(outcome.movements.is_empty());
            observed.phantom_fees = outcome.phantom_fees;
            observed.shadow_died_in = outcome.shadow_died_in;
            outcome.fate
        })
        .collect();
    assert_eq!(fates, [Fate::WouldHaveBeenLiquidated, Fate::Lives, Fate::Lives]);
    assert_eq!(observed.shadow_died_in, Some(TickNumber(1)));
    assert_eq!(observed.shadow_balance(), money("-1.40"));
}

#[test]
fn only_the_dead_are_revived_and_only_with_something() {
    let who = "ops".parse().unwrap();
    let mut bot = wallet("0.00");
    let amount = money("5.00");
    assert!(matches!(economy::revive(&bot, amount, &who), Err(Refusal::NotDead { .. })));
    bot.status = BotStatus::Retired;
    assert_eq!(economy::revive(&bot, amount, &who), Err(Refusal::Retired));
    assert_eq!(economy::retire(&bot, &who), Err(Refusal::Retired));
    bot.status = BotStatus::Dead;
    for nothing in ["0.00", "-1.00"] {
        let refused = economy::revive(&bot, money(nothing), &who);
        assert!(matches!(refused, Err(Refusal::ReviveAmount { .. })));
    }
    let revived = economy::revive(&bot, amount, &who).unwrap();
    assert_eq!(revived.status(), Some(BotStatus::Alive));
    assert_eq!(revived.minted(), amount);
}

#[test]
fn settings_are_read_and_every_problem_is_named() {
    let set = |pairs: &'static [(&str, &str)]| {
        EconomyRules::from_settings(move |name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    let rules = set(&[("ENFORCEMENT_MODE", "enforce"), ("GENESIS_GRANT", "50.00")]).unwrap();
    assert_eq!((rules.enforcement, rules.genesis_grant), (Enforcement::Enforce, money("50.00")));
    let names = |problems: Vec<economy::SettingProblem>| -> Vec<&str> {
        problems.into_iter().map(|problem| problem.name).collect()
    };
    let problems = set(&[("ENFORCEMENT_MODE", "maybe"), ("STAKE_MIN", "1e9")]).unwrap_err();
    assert!(problems.iter().all(|problem| !problem.problem.contains("1e9")), "{problems:?}");
    assert_eq!(names(problems), ["ENFORCEMENT_MODE", "STAKE_MIN"]);
    let problems = set(&[("ENTROPY_MAX", "0.10"), ("PAYOUT_FACTOR", "1")]).unwrap_err();
    assert_eq!(names(problems), ["ENTROPY_MAX", "PAYOUT_FACTOR"]);
    // ENTROPY_MAX is below the default of what cannot be read, and may be above what was meant.
    let problems = set(&[("ENTROPY_BASE", "0,10"), ("ENTROPY_MAX", "0.30")]).unwrap_err();
    assert_eq!(names(problems), ["ENTROPY_BASE"]);
}

#[test]
fn no_span_of_time_is_without_end() {
    let problems = |name: &str, seconds: i64| -> Vec<&str> {
        let set = EconomyRules::from_settings(|known| {
            // As long as the grace may be.
            let patience = (known == "SAMPLE_PATIENCE_SECONDS").then_some(2_592_000);
            let set = if known == name { Some(seconds) } else { patience };
            set.map(|seconds| seconds.to_string())
        });
        let problems = set.err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.name).collect()
    };
    for (name, most) in [
        ("SAMPLE_LAG_SECONDS", 3_600),
        ("PREDICTION_HORIZON", 2_592_000),
        ("SAMPLE_GRACE_SECONDS", 2_592_000),
        ("SAMPLE_PATIENCE_SECONDS", 2_592_000),
        ("PRICE_TTL_SECONDS", 600),
        ("TICKET_TTL_SECONDS", 2_592_000),
        ("SETTLE_PATIENCE_SECONDS", 2_592_000),
        ("RESEARCH_SECONDS", 2_592_000),
    ] {
        assert_eq!(problems(name, most), Vec::<&str>::new(), "{name}");
        for more in [most + 1, i64::MAX] {
            assert!(problems(name, more).contains(&name), "{name}={more}");
        }
    }
}

#[test]
fn kept_spans_can_be_reckoned_with() {
    let plain = EconomyRules::default();
    assert_eq!(plain.clone().within_calendar(), plain);
    let absurd = EconomyRules {
        prediction_horizon_seconds: i64::MAX,
        sample_grace_seconds: i64::MAX,
        sample_patience_seconds: -1,
        ..plain
    };
    let kept = absurd.within_calendar();
    assert!((1..=3_200_000_000).contains(&kept.prediction_horizon_seconds));
    assert!((1..=3_200_000_000).contains(&kept.sample_grace_seconds));
    assert_eq!(kept.sample_patience_seconds, 0);
}

#[test]
fn beyond_the_calendar_is_its_end_and_not_now() {
    let now = ledger_core::Timestamp::from_micros(1_790_000_000_000_000).unwrap();
    assert!(now.plus_seconds(i64::MAX) > now.plus_seconds(86_400));
    assert!(now.plus_seconds(i64::MIN) < now.plus_seconds(-86_400));
}
