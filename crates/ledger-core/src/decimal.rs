//! Numbers with exactly eight digits after the point, as whole units of 10⁻⁸.
//!
//! [`Decimal8`] is the number without a meaning: probabilities, scores, coordinates and temperatures are made
//! of it. [`Money`](crate::Money) is one that can be paid, with an arithmetic of its own. Both are written and
//! read in the same way, which is here. No float comes near them and nothing rounds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units in 1.
pub const UNITS_PER_ONE: i64 = 100_000_000;
/// Digits after the point, in every answer and every hash.
pub const SCALE: usize = 8;
/// The largest magnitude `numeric(18,8)` holds, in units.
pub const MAX_UNITS: i64 = 999_999_999_999_999_999;
const MAX_INTEGER_DIGITS: usize = 10;

/// A signed, whole number of 10⁻⁸ units within `numeric(18,8)`, of nothing in particular.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal8(i64);

/// Why a text is no such number. The message may be shown to the author of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("must be a plain decimal such as \"12.50\" (digits, optionally a point and digits)")]
    NotADecimal,
    #[error("must have at most {SCALE} digits after the point")]
    TooManyDecimals,
    #[error("must lie within ±9999999999.99999999")]
    OutOfRange,
    #[error("must be between {min} and {max}")]
    Outside { min: Decimal8, max: Decimal8 },
}

impl Decimal8 {
    pub const ZERO: Decimal8 = Decimal8(0);
    pub const ONE: Decimal8 = Decimal8(UNITS_PER_ONE);
    pub const MAX: Decimal8 = Decimal8(MAX_UNITS);
    /// One unit: 0.00000001.
    pub(crate) const SMALLEST: Decimal8 = Decimal8(1);

    /// From whole 10⁻⁸ units; `None` outside `numeric(18,8)`.
    pub const fn from_units(units: i64) -> Option<Decimal8> {
        if units < -MAX_UNITS || units > MAX_UNITS { None } else { Some(Decimal8(units)) }
    }

    /// From hundredths, for small constants.
    pub const fn hundredths(hundredths: i32) -> Decimal8 {
        // An i32 of hundredths is at most 2.1e9 × 1e6 units, far inside the range.
        Decimal8(hundredths as i64 * (UNITS_PER_ONE / 100))
    }

    pub const fn units(self) -> i64 {
        self.0
    }

    /// The same number with the other sign.
    pub(crate) const fn negated(self) -> Decimal8 {
        Decimal8(-self.0)
    }

    /// This number, if it lies between two others or is one of them.
    ///
    /// # Errors
    /// [`DecimalError::Outside`].
    pub fn within(self, min: Decimal8, max: Decimal8) -> Result<Decimal8, DecimalError> {
        if (min..=max).contains(&self) { Ok(self) } else { Err(DecimalError::Outside { min, max }) }
    }

    /// The text without zeros at its end: `21.4`, `-3`.
    pub fn plain(self) -> String {
        let text = self.to_string();
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// Appends the canonical text: optional `-`, integer digits without leading zeros, `.`, exactly
    /// eight digits. Zero is `0.00000000`.
    pub fn write_canonical(self, out: &mut Vec<u8>) {
        if self.0 < 0 {
            out.push(b'-');
        }
        let (units, one) = (self.0.unsigned_abs(), UNITS_PER_ONE.unsigned_abs());
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(units / one).as_bytes());
        out.push(b'.');
        // With a one before them, so that no zero is left out.
        out.extend(digits.format(one + units % one).bytes().skip(1));
    }
}

impl fmt::Display for Decimal8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let one = UNITS_PER_ONE.unsigned_abs();
        write!(f, "{sign}{}.{:08}", units / one, units % one)
    }
}

shown_as_text!(Decimal8);

impl FromStr for Decimal8 {
    type Err = DecimalError;

    /// Accepts what the API accepts: an optional `-`, 1–10 integer digits without superfluous
    /// leading zeros, and optionally a point with 1–8 digits. No exponent, no sign `+`, no spaces.
    fn from_str(text: &str) -> Result<Decimal8, DecimalError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(DecimalError::NotADecimal),
            Some((integer, fraction)) => (integer, fraction),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if integer.is_empty() || !all_digits(integer) || !all_digits(fraction) {
            return Err(DecimalError::NotADecimal);
        }
        if integer.len() > 1 && integer.starts_with('0') {
            return Err(DecimalError::NotADecimal);
        }
        if fraction.len() > SCALE {
            return Err(DecimalError::TooManyDecimals);
        }
        if integer.len() > MAX_INTEGER_DIGITS {
            return Err(DecimalError::OutOfRange);
        }
        let zeros = std::iter::repeat_n(b'0', SCALE - fraction.len());
        let units = integer
            .bytes()
            .chain(fraction.bytes())
            .chain(zeros)
            .fold(0i64, |units, digit| units * 10 + i64::from(digit - b'0'));
        Decimal8::from_units(if negative { -units } else { units }).ok_or(DecimalError::OutOfRange)
    }
}

impl Serialize for Decimal8 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a text; for anything else the error says that `self.0` is expected as a text.
struct DecimalVisitor(&'static str);

impl serde::de::Visitor<'_> for DecimalVisitor {
    type Value = Decimal8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.0;
        write!(f, "{what} as a decimal string such as \"12.50\", not a JSON number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decimal8, E> {
        text.parse().map_err(E::custom)
    }
}

impl Decimal8 {
    pub(crate) fn deserialize_as<'de, D: Deserializer<'de>>(
        what: &'static str,
        deserializer: D,
    ) -> Result<Decimal8, D::Error> {
        deserializer.deserialize_str(DecimalVisitor(what))
    }
}

impl<'de> Deserialize<'de> for Decimal8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal8, D::Error> {
        Decimal8::deserialize_as("a number", deserializer)
    }
}
