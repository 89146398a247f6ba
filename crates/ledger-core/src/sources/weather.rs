//! Weather: the temperature of a city, from Open-Meteo.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{About, LIFE_MOST, SourceRules, Taking};
use crate::criteria::{
    Comparison, CriteriaError, Question, Reading, Side, Times, need, one_clean_line, second,
};
use crate::decimal::Decimal8;
use crate::money::Money;
use crate::time::Timestamp;

const QUARTER_HOUR_MICROS: i64 = 900_000_000;

pub(crate) const ABOUT: About = About {
    name: "Weather",
    about: "Decided by Open-Meteo's temperature at the deadline.",
    takes: Taking::Bet,
    // The instant that decides lies up to a quarter of an hour before the deadline.
    least_seconds: (
        1_800,
        "must be at least 30 minutes away: bets close half-way, and the weather is known by the \
         quarter of an hour",
    ),
    most_seconds: LIFE_MOST,
    rules: SourceRules { weight: 25, bounty: Money::cents(500), seconds: 1_800 },
};

checked_text! {
    /// The name of a city, as people read it.
    City, CityError = "must have 1 to 60 characters on one line",
    |text| one_clean_line(text, 60)
}

/// A latitude or longitude in degrees, with at most four decimals (eleven metres).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degrees(Decimal8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be degrees from -180 to 180 as a decimal string with at most four decimals")]
pub struct DegreesError;

impl Degrees {
    /// As an exact decimal.
    pub const fn decimal(self) -> Decimal8 {
        self.0
    }

    /// Whether it may be a latitude: −90 to 90.
    pub fn is_latitude(self) -> bool {
        self.0.units().unsigned_abs() <= 90 * 100_000_000
    }
}

impl FromStr for Degrees {
    type Err = DegreesError;

    fn from_str(text: &str) -> Result<Degrees, DegreesError> {
        let value: Decimal8 = text.parse().map_err(|_| DegreesError)?;
        let units = value.units();
        if units.unsigned_abs() <= 180 * 100_000_000 && units % 10_000 == 0 {
            Ok(Degrees(value))
        } else {
            Err(DegreesError)
        }
    }
}

impl fmt::Display for Degrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.plain())
    }
}

as_string!(Degrees);

/// A place on Earth, north and east positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub latitude: Degrees,
    pub longitude: Degrees,
}

/// Will it be so warm in a city?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TemperatureCriteria {
    /// Where, for people.
    pub city: City,
    /// Where, for the source: from -90 to 90, north positive.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Latitude))]
    pub latitude: Degrees,
    /// From -180 to 180, east positive.
    pub longitude: Degrees,
    /// How the temperature must compare with `celsius`.
    pub comparison: Comparison,
    /// Whole degrees, from -90 to 60.
    #[cfg_attr(feature = "openapi", schema(minimum = -90, maximum = 60))]
    pub celsius: i64,
}

impl TemperatureCriteria {
    pub const fn place(&self) -> Place {
        Place { latitude: self.latitude, longitude: self.longitude }
    }
}

impl Question for TemperatureCriteria {
    fn check(&self) -> Result<(), CriteriaError> {
        let rule = "must be a whole degree from -90 to 60";
        need((-90..=60).contains(&self.celsius), "celsius", rule)?;
        let rule = "must be from -90 to 90";
        need(self.latitude.is_latitude(), "latitude", rule)
    }

    fn subject(&self) -> String {
        self.city.as_str().to_lowercase()
    }

    fn question(&self, times: &Times) -> String {
        let TemperatureCriteria { city, latitude, longitude, comparison, celsius } = self;
        format!(
            "Will the temperature in {city} ({latitude}, {longitude}) be {} {celsius} °C at {}?",
            comparison.words(),
            second(weather_instant(times.deadline))
        )
    }

    fn condition(&self) -> String {
        let TemperatureCriteria { city, latitude, longitude, comparison, celsius } = self;
        let than = comparison.than();
        format!("YES if it is {than} {celsius} °C in {city} ({latitude}, {longitude}).")
    }

    fn decide(&self, reading: &Reading) -> Option<Side> {
        let figure = Decimal8::from_units(self.celsius.checked_mul(100_000_000)?)?;
        match reading {
            Reading::Decimal { value, .. } => {
                Some(Side::yes_if(self.comparison.holds(value, &figure)))
            }
            _ => None,
        }
    }
}

/// The instant whose temperature decides: the last full quarter of an hour by the deadline, the
/// resolution of the source.
pub fn weather_instant(deadline: Timestamp) -> Timestamp {
    let micros = deadline.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(QUARTER_HOUR_MICROS)).unwrap_or(deadline)
}
