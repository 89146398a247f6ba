//! Money as whole units of 10⁻⁸, with checked arithmetic.
//!
//! The column type is `numeric(18,8)`, whose largest value is 9999999999.99999999: eighteen digits,
//! which an `i64` holds with room to spare. No float comes near it, no operation rounds, and every
//! operation that could leave the range says so instead of wrapping.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units in 1.00.
pub const UNITS_PER_CREDIT: i64 = 100_000_000;
/// Digits after the point, in every answer and every hash.
pub const SCALE: usize = 8;
/// The largest magnitude `numeric(18,8)` holds, in units.
pub const MAX_UNITS: i64 = 999_999_999_999_999_999;
const MAX_INTEGER_DIGITS: usize = 10;

/// An amount of credits: a signed, whole number of 10⁻⁸ units within `numeric(18,8)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

/// Why a text is no amount of money. The message is fit to be shown to whoever wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("must be a plain decimal such as \"12.50\" (digits, optionally a point and digits)")]
    NotADecimal,
    #[error("must have at most {SCALE} digits after the point")]
    TooManyDecimals,
    #[error("must lie within ±9999999999.99999999")]
    OutOfRange,
    #[error("must be between {min} and {max}")]
    Outside { min: Money, max: Money },
    #[error("must be at least {min}")]
    TooSmall { min: Money },
}

impl Money {
    /// The largest amount there is: 9999999999.99999999.
    pub const MAX: Money = Money(MAX_UNITS);

    pub const ZERO: Money = Money(0);

    /// From whole 10⁻⁸ units; `None` outside `numeric(18,8)`.
    #[must_use]
    pub const fn from_units(units: i64) -> Option<Money> {
        if units < -MAX_UNITS || units > MAX_UNITS {
            None
        } else {
            Some(Money(units))
        }
    }

    /// From hundredths of a credit, for the small constants of the economy.
    #[must_use]
    pub const fn cents(cents: i32) -> Money {
        // An i32 of cents is at most 2.1e9 × 1e6 units, far inside the range.
        Money(cents as i64 * (UNITS_PER_CREDIT / 100))
    }

    #[must_use]
    pub const fn units(self) -> i64 {
        self.0
    }

    #[must_use]
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).and_then(Money::from_units)
    }

    #[must_use]
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).and_then(Money::from_units)
    }

    #[must_use]
    pub fn checked_mul(self, factor: i64) -> Option<Money> {
        self.0.checked_mul(factor).and_then(Money::from_units)
    }

    /// The same amount with the other sign. The range is symmetric, so this cannot fail.
    #[must_use]
    pub const fn negated(self) -> Money {
        Money(-self.0)
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Appends the canonical text: optional `-`, integer digits without leading zeros, `.`, exactly
    /// eight digits. Zero is `0.00000000`.
    pub fn write_canonical(self, out: &mut Vec<u8>) {
        // 1 sign + 10 digits + point + 8 digits; filled from the right.
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        let mut rest = self.0.unsigned_abs();
        for position in 0..20 {
            if position == SCALE {
                at -= 1;
                digits[at] = b'.';
                continue;
            }
            if position > SCALE + 1 && rest == 0 {
                break;
            }
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        if self.0 < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(&digits[at..]);
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let credit = UNITS_PER_CREDIT.unsigned_abs();
        write!(f, "{sign}{}.{:08}", units / credit, units % credit)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Accepts what the API accepts: an optional `-`, 1–10 integer digits without superfluous
    /// leading zeros, and optionally a point with 1–8 digits. No exponent, no sign `+`, no spaces.
    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(MoneyError::NotADecimal),
            Some((integer, fraction)) => (integer, fraction),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if integer.is_empty() || !all_digits(integer) || !all_digits(fraction) {
            return Err(MoneyError::NotADecimal);
        }
        if integer.len() > 1 && integer.starts_with('0') {
            return Err(MoneyError::NotADecimal);
        }
        if fraction.len() > SCALE {
            return Err(MoneyError::TooManyDecimals);
        }
        if integer.len() > MAX_INTEGER_DIGITS {
            return Err(MoneyError::OutOfRange);
        }
        let zeros = std::iter::repeat_n(b'0', SCALE - fraction.len());
        let units = integer
            .bytes()
            .chain(fraction.bytes())
            .chain(zeros)
            .fold(0i64, |units, digit| units * 10 + i64::from(digit - b'0'));
        Money::from_units(if negative { -units } else { units }).ok_or(MoneyError::OutOfRange)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct MoneyVisitor;

impl serde::de::Visitor<'_> for MoneyVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("money as a decimal string such as \"12.50\", not a JSON number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Money, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        deserializer.deserialize_str(MoneyVisitor)
    }
}

/// Money put at risk: at least the arena's smallest stake. Made by
/// [`EconomyRules::stake`](crate::EconomyRules::stake), so holding one proves it was checked, or read
/// from a position by [`Stake::kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stake(Money);

impl Stake {
    pub(crate) fn checked(amount: Money, min: Money) -> Result<Stake, MoneyError> {
        if amount < min || !amount.is_positive() {
            return Err(MoneyError::TooSmall { min });
        }
        Ok(Stake(amount))
    }

    /// The stake of a position that was accepted: it stays one, whatever the smallest stake is by now.
    pub fn kept(amount: Money) -> Result<Stake, MoneyError> {
        Stake::checked(amount, amount)
    }

    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

/// A price of one coin in US dollars: money above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Price(Money);

impl Price {
    pub fn new(amount: Money) -> Result<Price, MoneyError> {
        if amount.is_positive() {
            Ok(Price(amount))
        } else {
            Err(MoneyError::TooSmall { min: Money(1) })
        }
    }

    #[must_use]
    pub const fn money(self) -> Money {
        self.0
    }
}

impl FromStr for Price {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Price, MoneyError> {
        Price::new(text.parse()?)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The probability an agent gives to what it says: 0.01 to 0.99, a plain decimal string.
///
/// The ends are left out because a certain agent that errs has no finite excuse, and because every
/// Brier score then says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Confidence(Money);

impl Confidence {
    pub const MIN: Money = Money::cents(1);
    pub const MAX: Money = Money::cents(99);

    pub fn new(value: Money) -> Result<Confidence, MoneyError> {
        if value < Self::MIN || value > Self::MAX {
            return Err(MoneyError::Outside {
                min: Self::MIN,
                max: Self::MAX,
            });
        }
        Ok(Confidence(value))
    }

    /// As a decimal with eight digits.
    #[must_use]
    pub const fn decimal(self) -> Money {
        self.0
    }

    /// The Brier score `(p − outcome)²`, rounded half up to eight digits (Brier 1950).
    #[must_use]
    pub fn brier(self, came_true: Outcome) -> Money {
        let miss = match came_true {
            Outcome::Happened => UNITS_PER_CREDIT - self.0.units(),
            Outcome::DidNotHappen => self.0.units(),
        };
        // miss ≤ 1e8, so its square is ≤ 1e16: no overflow.
        Money((miss * miss + UNITS_PER_CREDIT / 2) / UNITS_PER_CREDIT)
    }
}

/// Whether the thing a probability was given for came to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Happened,
    DidNotHappen,
}

impl FromStr for Confidence {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Confidence, MoneyError> {
        Confidence::new(text.parse()?)
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Confidence, D::Error> {
        Confidence::new(Money::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
