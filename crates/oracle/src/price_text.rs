//! Reads a price from the text of a JSON number, digit by digit: no float comes near money.

use std::cmp::Ordering;

use ledger_core::Money;
use ledger_core::money::Price;
use sources::NoUnits;

/// Why a text is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceTextError {
    #[error("is not a number")]
    NotANumber,
    #[error("is not above zero")]
    NotPositive,
    #[error("is larger than any price can be")]
    TooLarge,
}

/// Reads a JSON number, exponent forms included. Digits beyond eight decimals are rounded half to even, so that
/// no direction is favoured.
pub(crate) fn parse(text: &str) -> Result<Price, PriceTextError> {
    let (units, beyond) = match sources::units(text) {
        Err(NoUnits::NotANumber) => return Err(PriceTextError::NotANumber),
        Err(NoUnits::TooSmall) => return Err(PriceTextError::NotPositive),
        _ if text.starts_with('-') => return Err(PriceTextError::NotPositive),
        Err(NoUnits::TooLarge) => return Err(PriceTextError::TooLarge),
        Ok(read) => read,
    };
    let up = match beyond {
        Some(Ordering::Equal) => units % 2 == 1,
        Some(Ordering::Greater) => true,
        Some(Ordering::Less) | None => false,
    };
    let money = Money::from_units(units + i64::from(up)).ok_or(PriceTextError::TooLarge)?;
    Price::new(money).map_err(|_| PriceTextError::NotPositive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, PriceTextError> {
        parse(text).map(|price| price.to_string())
    }

    #[test]
    fn every_digit_survives() {
        for (text, price) in [
            ("67187.3358936566", "67187.33589366"),
            ("67187", "67187.00000000"),
            ("0.1", "0.10000000"),
            ("0.00000001", "0.00000001"),
            ("9999999999.99999999", "9999999999.99999999"),
            // A double would make 100000.12345679 of the one and 0.30000000000000004 of the other.
            ("100000.12345678", "100000.12345678"),
            ("0.3", "0.30000000"),
            ("00067187.5", "67187.50000000"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(price), "{text}");
        }
    }

    #[test]
    fn exponents_move_the_point() {
        for (text, price) in [
            ("6.71873e4", "67187.30000000"),
            ("6.71873E+4", "67187.30000000"),
            ("671873e-1", "67187.30000000"),
            ("1e0", "1.00000000"),
            ("1e-8", "0.00000001"),
            ("0.00000000000000000001e25", "100000.00000000"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(price), "{text}");
        }
    }

    #[test]
    fn the_ninth_decimal_rounds_half_to_even() {
        for (text, price) in [
            ("1.000000014", "1.00000001"),
            ("1.000000015", "1.00000002"),
            ("1.000000025", "1.00000002"),
            ("1.0000000250000001", "1.00000003"),
            ("1.000000026", "1.00000003"),
            ("1.999999999", "2.00000000"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(price), "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        use PriceTextError::{NotANumber, NotPositive, TooLarge};
        for (text, error) in [
            ("", NotANumber),
            ("-", NotANumber),
            ("NaN", NotANumber),
            ("Infinity", NotANumber),
            ("\"67187.3\"", NotANumber),
            ("67,187.3", NotANumber),
            ("67187.", NotANumber),
            (".5", NotANumber),
            ("+5", NotANumber),
            ("1e", NotANumber),
            ("1e1.5", NotANumber),
            ("1.2.3", NotANumber),
            ("0x10", NotANumber),
            ("0", NotPositive),
            ("0.0e5", NotPositive),
            ("-0.5", NotPositive),
            ("-67187", NotPositive),
            ("1e-41", NotPositive),
            ("1e-20", NotPositive),
            ("0.000000004", NotPositive),
            ("10000000000", TooLarge),
            ("9999999999.999999999", TooLarge),
            ("1e30", TooLarge),
            ("1e99999999999999999", TooLarge),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        assert_eq!(read(&"1".repeat(101)), Err(NotANumber));
        assert_eq!(read(&"1".repeat(100)), Err(TooLarge));
    }
}
