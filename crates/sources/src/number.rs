//! Numbers, read from the text of their JSON, digit by digit.

use std::cmp::Ordering;

use ledger_core::Decimal8;
use ledger_core::decimal::SCALE;
use serde_json::value::RawValue;

use crate::SourceError;
use crate::error::given;

/// Longer texts are no number of ours; JSON numbers may have any length.
const TEXT_MAX_CHARS: usize = 100;
/// Exponents beyond this are not worth following.
const EXPONENT_MAX: i64 = 40;
/// The largest decimal in digits of 10⁻⁸ units.
const UNIT_DIGITS_MAX: usize = 18;

/// A whole number written as one: no fraction, no exponent, no string.
pub(crate) fn whole(field: &'static str, raw: Option<&RawValue>) -> Result<i64, SourceError> {
    let text = given(field, raw)?.get();
    let problem = |problem| SourceError::Nonsense { field, problem };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem("is no whole number"));
    }
    text.parse().map_err(|_| problem("is out of range"))
}

/// A number with at most eight decimals. One with more is refused and not rounded: rounding could
/// carry it over the threshold that it is compared with.
pub(crate) fn decimal(field: &'static str, raw: &RawValue) -> Result<Decimal8, SourceError> {
    read_decimal(raw.get()).map_err(|problem| SourceError::Nonsense { field, problem })
}

fn read_decimal(text: &str) -> Result<Decimal8, &'static str> {
    match units(text) {
        Ok((units, None)) => Decimal8::from_units(units).ok_or("is out of range"),
        Ok((_, Some(_))) => Err("has more than eight decimals"),
        Err(NoUnits::NotANumber) => Err("is no number"),
        Err(NoUnits::TooSmall | NoUnits::TooLarge) => Err("is out of range"),
    }
}

/// Why a text cannot be converted to units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUnits {
    NotANumber,
    TooSmall,
    TooLarge,
}

/// The whole units of 10⁻⁸ in the text of a JSON number, also with an exponent; and how a remainder, if any,
/// compares with half a unit.
///
/// # Errors
/// When it is no number, or one that is not worth following.
pub fn units(text: &str) -> Result<(i64, Option<Ordering>), NoUnits> {
    let (negative, number) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse()),
        None => (number, Ok(0_i64)),
    };
    let exponent = exponent.map_err(|_| NoUnits::NotANumber)?;
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(NoUnits::NotANumber),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = format!("{integer}{fraction}");
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > TEXT_MAX_CHARS || integer.is_empty() || !are_digits {
        return Err(NoUnits::NotANumber);
    }
    if exponent < -EXPONENT_MAX {
        return Err(NoUnits::TooSmall);
    }
    if exponent > EXPONENT_MAX {
        return Err(NoUnits::TooLarge);
    }
    if digits.bytes().all(|digit| digit == b'0') {
        return Ok((0, None));
    }
    // How many digits, from the left, make up whole units.
    let kept = i64::try_from(integer.len() + SCALE).unwrap_or(i64::MAX);
    let Ok(kept) = usize::try_from(kept + exponent) else {
        return Ok((0, Some(Ordering::Less)));
    };
    let leading_zeros = digits.len() - digits.trim_start_matches('0').len();
    if kept.saturating_sub(leading_zeros) > UNIT_DIGITS_MAX {
        return Err(NoUnits::TooLarge);
    }
    let units = digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(kept)
        .fold(0_i64, |units, digit| units * 10 + i64::from(digit - b'0'));
    let rest = digits.get(kept..).unwrap_or_default();
    let rest = rest.trim_end_matches('0');
    let beyond = (!rest.is_empty()).then(|| rest.cmp("5"));
    Ok((if negative { -units } else { units }, beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_survives() {
        for (text, units) in [
            ("0", 0),
            ("-0.0", 0),
            ("0e40", 0),
            ("21.4", 2_140_000_000),
            ("-3.5", -350_000_000),
            ("2.14e1", 2_140_000_000),
            ("214E-1", 2_140_000_000),
            ("0.00000001", 1),
            ("1e-8", 1),
            ("9999999999.99999999", 999_999_999_999_999_999),
            ("21.40000000000000000", 2_140_000_000),
        ] {
            assert_eq!(read_decimal(text).map(Decimal8::units), Ok(units), "{text}");
        }
    }

    #[test]
    fn what_would_need_a_guess_is_refused() {
        for text in [
            "", "-", "NaN", "null", "\"hot\"", "\"21.4\"", "21.", ".5", "+5", "1e", "1e1.5",
            "1.2.3", "[21.4]", "true", "0x10",
        ] {
            assert_eq!(read_decimal(text), Err("is no number"), "{text}");
        }
        for text in ["0.000000001", "21.3999999999", "1e-9", "1e-40"] {
            assert_eq!(read_decimal(text), Err("has more than eight decimals"), "{text}");
        }
        for text in ["10000000000", "1e30", "1e41", "-1e400"] {
            assert_eq!(read_decimal(text), Err("is out of range"), "{text}");
        }
    }
}
