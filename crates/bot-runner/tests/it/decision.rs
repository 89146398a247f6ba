//! For any output of a model, the stake stays inside every limit.

use bot_runner::decision::{self, Action, Limits, Standing, Unusable, Waiting, decide};
use bot_runner::persona::Fraction;
use ledger_core::prediction::Direction;
use ledger_core::{Confidence, Decimal8, Money};
use llm::output::OutputError;
use proptest::prelude::*;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn standing() -> Standing {
    Standing { balance: money("100.00"), open_predictions: 0, open_stake: Money::ZERO }
}

fn limits() -> Limits {
    Limits {
        stake_min: money("0.01"),
        open_predictions_max: 20,
        open_stake_max: money("100.00"),
        max_stake_fraction: "0.10".parse().unwrap(),
        min_confidence: "0.60".parse().unwrap(),
    }
}

fn wager(fraction: &str, confidence: &str) -> String {
    format!(
        r#"{{"action": "WAGER", "direction": "DOWN", "stake_fraction": {fraction},
            "confidence": {confidence}, "reasoning": "why"}}"#
    )
}

fn stake(fraction: &str, standing: &Standing) -> Money {
    match decide(&wager(fraction, "\"0.7\""), standing, &limits()).unwrap() {
        Action::Predict { stake, .. } => stake,
        Action::Wait { why, .. } => panic!("waited: {why}"),
    }
}

fn waiting(text: &str, standing: &Standing) -> Waiting {
    match decide(text, standing, &limits()).unwrap() {
        Action::Wait { why, .. } => why,
        Action::Predict { stake, .. } => panic!("staked {stake}"),
    }
}

#[test]
fn a_wager_is_taken_as_proposed_when_it_is_within_the_limits() {
    let action = decide(&wager("\"0.05\"", "\"0.70\""), &standing(), &limits()).unwrap();
    assert_eq!(
        action,
        Action::Predict {
            direction: Direction::Down,
            stake: money("5.00"),
            confidence: "0.70".parse().unwrap(),
            reasoning: Some("why".to_owned()),
        }
    );
}

#[test]
fn numbers_are_read_by_their_text() {
    assert_eq!(stake("0.07", &standing()), money("7.00"));
    let thirds = Standing { balance: money("0.00000100"), ..standing() };
    // A third of 100 units is 33 units and not 34, and below the smallest stake.
    assert_eq!(waiting(&wager("0.3333333333333333", "0.9"), &thirds), Waiting::NothingToStake);
    assert_eq!(stake("\"0.099999999999\"", &standing()), money("9.999999"));
}

#[test]
fn a_stake_is_clamped_to_the_persona_and_to_the_open_stake() {
    assert_eq!(stake("\"1.0\"", &standing()), money("10.00"));
    let nearly_full = Standing { open_stake: money("97.50"), ..standing() };
    assert_eq!(stake("\"0.05\"", &nearly_full), money("2.50"));
    let rich = Standing { balance: money("9999999999.99999999"), ..standing() };
    assert_eq!(stake("1", &rich), money("100.00"));
}

#[test]
fn without_room_the_bot_waits() {
    let full = Standing { open_stake: money("100.00"), ..standing() };
    assert_eq!(waiting(&wager("0.05", "0.9"), &full), Waiting::NothingToStake);
    let many = Standing { open_predictions: 20, ..standing() };
    assert_eq!(waiting(&wager("0.05", "0.9"), &many), Waiting::TooManyOpen);
    let poor = Standing { balance: money("0.05"), ..standing() };
    assert_eq!(waiting(&wager("0.05", "0.9"), &poor), Waiting::NothingToStake);
    let broke = Standing { balance: Money::ZERO, ..standing() };
    assert_eq!(decision::room(&broke, &limits()), Err(Waiting::NothingToStake));
    assert_eq!(waiting(&wager("0", "0.9"), &standing()), Waiting::NothingToStake);
}

#[test]
fn below_the_personas_confidence_the_bot_waits() {
    assert_eq!(waiting(&wager("0.05", "0.59"), &standing()), Waiting::Unsure);
    assert!(matches!(
        decide(&wager("0.05", "0.60"), &standing(), &limits()),
        Ok(Action::Predict { .. })
    ));
}

#[test]
fn certainty_is_cut_to_what_the_arena_takes() {
    let action = decide(&wager("0.05", "1"), &standing(), &limits()).unwrap();
    let Action::Predict { confidence, .. } = action else { panic!("waited") };
    assert_eq!(confidence.decimal(), Confidence::MAX);
}

#[test]
fn a_choice_to_wait_keeps_its_reasoning() {
    let text = r#"{"action": "wait", "reasoning": "  too\n quiet\u0007 "}"#;
    let action = decide(text, &standing(), &limits()).unwrap();
    let reasoning = Some("too quiet".to_owned());
    assert_eq!(action, Action::Wait { why: Waiting::Chosen, reasoning });
}

#[test]
fn reasoning_is_cut_to_280_characters() {
    let text = format!(r#"{{"action": "WAIT", "reasoning": "{}"}}"#, "ü".repeat(400));
    let Action::Wait { reasoning, .. } = decide(&text, &standing(), &limits()).unwrap() else {
        panic!("wagered")
    };
    assert_eq!(reasoning.unwrap().chars().count(), 280);
}

#[test]
fn what_makes_no_sense_is_no_decision() {
    for (text, fault) in [
        ("", Unusable::Output(OutputError::Empty)),
        ("I cannot give financial advice.", Unusable::Output(OutputError::Refused)),
        ("the price will rise", Unusable::Output(OutputError::NoObject)),
        (r#"{"action": "WAG"#, Unusable::Output(OutputError::CutOff)),
        (r#"{"direction": "UP"}"#, Unusable::Action),
        (r#"{"action": "BUY"}"#, Unusable::Action),
        (r#"{"action": "WAGER", "direction": "SIDEWAYS"}"#, Unusable::Direction),
        (&wager("0.05", "\"high\""), Unusable::Confidence),
        (&wager("0.05", "70"), Unusable::Confidence),
        (&wager("0.05", "-0.7"), Unusable::Confidence),
        (&wager("5", "0.7"), Unusable::StakeFraction),
        (&wager("\"5%\"", "0.7"), Unusable::StakeFraction),
        (&wager("-0.05", "0.7"), Unusable::StakeFraction),
        (&wager("1e-3", "0.7").replace("1e-3", "\"1e-3\""), Unusable::StakeFraction),
        (&wager("null", "0.7"), Unusable::StakeFraction),
    ] {
        assert_eq!(decide(text, &standing(), &limits()), Err(fault), "{text}");
    }
}

fn any_money(units: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Money> {
    units.prop_map(|units| Money::from_units(units).unwrap())
}

fn any_decimal(units: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Decimal8> {
    units.prop_map(|units| Decimal8::from_units(units).unwrap())
}

fn any_standing() -> impl Strategy<Value = Standing> {
    let most = 999_999_999_999_999_999;
    (any_money(-most..=most), -5_i64..40, any_money(-most..=most)).prop_map(
        |(balance, open_predictions, open_stake)| Standing {
            balance,
            open_predictions,
            open_stake,
        },
    )
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        any_money(1..=10_000_000_000),
        0_i64..40,
        any_money(0..=100_000_000_000),
        any_decimal(1..=20_000_000),
        any_decimal(1_000_000..=99_000_000),
    )
        .prop_map(|(stake_min, open_predictions_max, open_stake_max, fraction, confidence)| {
            Limits {
                stake_min,
                open_predictions_max,
                open_stake_max,
                max_stake_fraction: Fraction::new(fraction).unwrap(),
                min_confidence: Confidence::new(confidence).unwrap(),
            }
        })
}

/// Texts that are decisions, nearly are, or are nothing of the kind.
fn any_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "[0-9]{1,3}(\\.[0-9]{1,12})?",
        "\"-?[0-9]{0,2}\\.?[0-9]{0,12}\"",
        Just("1e308".to_owned()),
        Just("\"NaN\"".to_owned()),
        Just("0.5".to_owned()),
        Just("1".to_owned()),
    ];
    let decision = (number.clone(), number, prop_oneof!["UP", "DOWN", "up", ".{0,4}"]).prop_map(
        |(fraction, confidence, direction)| {
            format!(
                r#"{{"action":"WAGER","direction":{direction:?},"stake_fraction":{fraction},"confidence":{confidence}}}"#
            )
        },
    );
    prop_oneof![4 => decision, 1 => ".{0,200}"]
}

proptest! {
    #[test]
    fn no_text_leaves_the_limits(
        text in any_text(), standing in any_standing(), limits in any_limits(),
    ) {
        let Ok(Action::Predict { stake, confidence, .. }) = decide(&text, &standing, &limits)
        else {
            return Ok(());
        };
        prop_assert!(stake.is_positive() && stake >= limits.stake_min);
        prop_assert!(stake <= standing.balance);
        // stake ≤ balance × fraction, by multiplying out.
        let share = i128::from(standing.balance.units())
            * i128::from(limits.max_stake_fraction.decimal().units());
        prop_assert!(i128::from(stake.units()) * 100_000_000 <= share);
        let open = i128::from(standing.open_stake.units()) + i128::from(stake.units());
        prop_assert!(open <= i128::from(limits.open_stake_max.units()));
        prop_assert!(standing.open_predictions < limits.open_predictions_max);
        prop_assert!(confidence >= limits.min_confidence);
    }

    #[test]
    fn an_honest_wager_within_the_limits_is_never_turned_into_a_wait(
        units in 1_000_000_i64..=10_000_000, balance in 10_000_000_000_i64..=90_000_000_000,
    ) {
        let fraction = Money::from_units(units).unwrap();
        let standing = Standing { balance: Money::from_units(balance).unwrap(), ..standing() };
        let action = decide(&wager(&format!("\"{fraction}\""), "0.8"), &standing, &limits());
        let exact = i128::from(balance) * i128::from(units) / 100_000_000;
        match action {
            Ok(Action::Predict { stake, .. }) => {
                prop_assert_eq!(i128::from(stake.units()), exact.min(10_000_000_000));
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
