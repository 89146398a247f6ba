//! Probabilities that agents give, and how they are scored.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::decimal::{Decimal8, DecimalError, UNITS_PER_ONE};

/// The probability that an agent gives to its prediction: 0.01 to 0.99, a plain decimal string.
///
/// 0 and 1 are excluded: a certain forecast that is wrong has infinite log loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Confidence(Decimal8);

impl Confidence {
    pub const MIN: Decimal8 = Decimal8::hundredths(1);
    pub const MAX: Decimal8 = Decimal8::hundredths(99);

    pub fn new(value: Decimal8) -> Result<Confidence, DecimalError> {
        value.within(Self::MIN, Self::MAX).map(Confidence)
    }

    pub const fn decimal(self) -> Decimal8 {
        self.0
    }

    /// The Brier score `(p − outcome)²`, rounded half up to eight digits (Brier 1950).
    pub fn brier(self, came_true: Outcome) -> Decimal8 {
        let miss = match came_true {
            Outcome::Happened => UNITS_PER_ONE - self.0.units(),
            Outcome::DidNotHappen => self.0.units(),
        };
        // miss ≤ 1e8, so its square is ≤ 1e16: no overflow.
        Decimal8::from_units((miss * miss + UNITS_PER_ONE / 2) / UNITS_PER_ONE).unwrap_or_default()
    }
}

/// Whether the thing a probability was given for came to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Happened,
    DidNotHappen,
}

impl FromStr for Confidence {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Confidence, DecimalError> {
        Confidence::new(text.parse()?)
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Confidence, D::Error> {
        Confidence::new(Decimal8::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
