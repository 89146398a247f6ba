//! Money as whole units of 10⁻⁸, with checked arithmetic. Its text is that of [`Decimal8`].
//!
//! The column type is `numeric(18,8)`, whose largest value is 9999999999.99999999: eighteen digits,
//! which an `i64` holds with room to spare. It never uses floats, no operation rounds, and every
//! operation that could leave the range returns an error instead of wrapping.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

pub use crate::confidence::{Confidence, Outcome};
use crate::decimal::{Decimal8, DecimalError, UNITS_PER_ONE};
pub use crate::decimal::{MAX_UNITS, SCALE};

/// Units in 1.00.
pub const UNITS_PER_CREDIT: i64 = UNITS_PER_ONE;

/// An amount of credits: a signed, whole number of 10⁻⁸ units within `numeric(18,8)`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, derive_more::Display,
)]
#[serde(transparent)]
pub struct Money(Decimal8);

/// Why a text is no amount of money. The message may be shown to the author of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    #[error("must be at least {min}")]
    TooSmall { min: Money },
}

impl Money {
    /// The largest amount there is: 9999999999.99999999.
    pub const MAX: Money = Money(Decimal8::MAX);

    pub const ZERO: Money = Money(Decimal8::ZERO);

    /// One unit: 0.00000001.
    pub(crate) const SMALLEST: Money = Money(Decimal8::SMALLEST);

    /// From whole 10⁻⁸ units; `None` outside `numeric(18,8)`.
    pub const fn from_units(units: i64) -> Option<Money> {
        match Decimal8::from_units(units) {
            Some(amount) => Some(Money(amount)),
            None => None,
        }
    }

    /// From hundredths of a credit, for the small constants of the economy.
    pub const fn cents(cents: i32) -> Money {
        Money(Decimal8::hundredths(cents))
    }

    pub const fn units(self) -> i64 {
        self.0.units()
    }

    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.units().checked_add(other.units()).and_then(Money::from_units)
    }

    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.units().checked_sub(other.units()).and_then(Money::from_units)
    }

    pub fn checked_mul(self, factor: i64) -> Option<Money> {
        self.units().checked_mul(factor).and_then(Money::from_units)
    }

    /// The same amount with the other sign. The range is symmetric, so this cannot fail.
    pub const fn negated(self) -> Money {
        Money(self.0.negated())
    }

    pub const fn is_zero(self) -> bool {
        self.units() == 0
    }

    pub const fn is_negative(self) -> bool {
        self.units() < 0
    }

    pub const fn is_positive(self) -> bool {
        self.units() > 0
    }

    /// Appends the canonical text: see [`Decimal8::write_canonical`].
    pub fn write_canonical(self, out: &mut Vec<u8>) {
        self.0.write_canonical(out);
    }
}

shown_as_text!(Money);

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Money, MoneyError> {
        Ok(Money(text.parse()?))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        Decimal8::deserialize_as("money", deserializer).map(Money)
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

    /// The stake of an accepted position: valid even if the smallest stake has changed since.
    pub fn kept(amount: Money) -> Result<Stake, MoneyError> {
        Stake::checked(amount, amount)
    }

    pub const fn money(self) -> Money {
        self.0
    }
}

/// A price of one coin in US dollars: money above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, derive_more::Display)]
#[serde(transparent)]
pub struct Price(Money);

impl Price {
    pub fn new(amount: Money) -> Result<Price, MoneyError> {
        if amount.is_positive() {
            Ok(Price(amount))
        } else {
            Err(MoneyError::TooSmall { min: Money::SMALLEST })
        }
    }

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
