use ledger_core::money::{MAX_UNITS, Outcome};
use ledger_core::{
    Confidence, Decimal8, DecimalError, EconomyRules, Handle, Money, Price, Reference,
};
use proptest::prelude::*;

use crate::money;

proptest! {
    #[test]
    fn text_survives_the_round_trip(units in -MAX_UNITS..=MAX_UNITS) {
        let amount = Money::from_units(units).unwrap();
        let text = amount.to_string();
        prop_assert_eq!(text.parse::<Money>().unwrap(), amount);
        let mut canonical = Vec::new();
        amount.write_canonical(&mut canonical);
        prop_assert_eq!(String::from_utf8(canonical).unwrap(), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,30}") {
        let _ = text.parse::<Money>();
        let _ = text.parse::<Handle>();
        let _ = Reference::new(&text);
    }

    #[test]
    fn sums_leave_the_range_or_are_exact(a in -MAX_UNITS..=MAX_UNITS, b in -MAX_UNITS..=MAX_UNITS) {
        let sum = Money::from_units(a).unwrap().checked_add(Money::from_units(b).unwrap());
        let exact = i128::from(a) + i128::from(b);
        match sum {
            Some(sum) => prop_assert_eq!(i128::from(sum.units()), exact),
            None => prop_assert!(exact.abs() > i128::from(MAX_UNITS)),
        }
    }
}

#[test]
fn zero_has_one_canonical_form() {
    let mut out = Vec::new();
    money("-0.00").write_canonical(&mut out);
    assert_eq!(out, b"0.00000000");
}

#[test]
fn what_is_no_plain_decimal_is_refused() {
    for text in [
        "", "-", ".", "1.", ".5", "+1", " 1", "1 ", "1,5", "0x1", "NaN", "inf", "1e9", "1E-2",
        "--1", "1.2.3", "٣", "01", "00.1", "1_000", "1.-5",
    ] {
        assert_eq!(text.parse::<Money>(), Err(DecimalError::NotADecimal.into()), "{text:?}");
    }
    assert_eq!("0.000000001".parse::<Money>(), Err(DecimalError::TooManyDecimals.into()));
    let huge = format!("1{}", "0".repeat(30));
    for text in ["10000000000", &huge, "-10000000000.00000000"] {
        assert_eq!(text.parse::<Money>(), Err(DecimalError::OutOfRange.into()), "{text:?}");
    }
}

#[test]
fn a_number_in_place_of_a_string_is_refused_with_a_word() {
    for json in ["12.5", "12", "null", "true", "[\"1\"]"] {
        let error = serde_json::from_str::<Money>(json).unwrap_err().to_string();
        assert!(error.contains("money as a decimal string"), "{json}: {error}");
        let error = serde_json::from_str::<Decimal8>(json).unwrap_err();
        assert!(error.to_string().contains("a number as a decimal string"));
    }
    assert_eq!(serde_json::from_str::<Money>("\"12.5\"").unwrap(), money("12.50"));
}

#[test]
fn stakes_prices_and_confidences_have_their_bounds() {
    let rules = EconomyRules::default();
    for small in ["0.00", "0.00999999", "-5.00"] {
        assert!(rules.stake(money(small)).is_err(), "{small}");
    }
    assert_eq!(rules.stake(money("0.01")).unwrap().money(), money("0.01"));
    for no_price in ["0.00", "-1.00"] {
        assert!(no_price.parse::<Price>().is_err());
    }
    for outside in ["0", "1", "7", "0.00999999", "0.99000001"] {
        assert!(outside.parse::<Confidence>().is_err(), "{outside}");
    }
}

fn decimal(text: &str) -> Decimal8 {
    text.parse().unwrap()
}

#[test]
fn brier_scores_are_squares_of_the_miss() {
    let score = |p: &str, outcome| p.parse::<Confidence>().unwrap().brier(outcome);
    assert_eq!(score("0.50", Outcome::Happened), decimal("0.25"));
    assert_eq!(score("0.50", Outcome::DidNotHappen), decimal("0.25"));
    assert_eq!(score("0.90", Outcome::Happened), decimal("0.01"));
    assert_eq!(score("0.90", Outcome::DidNotHappen), decimal("0.81"));
    // 0.33333333² = 0.1111111088888889, rounded half up.
    assert_eq!(score("0.33333333", Outcome::DidNotHappen), decimal("0.11111111"));
}
