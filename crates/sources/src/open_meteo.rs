//! Open-Meteo: the temperature at a place, two metres above the ground.
//!
//! Times are asked for and read in GMT. What is asked about the future would be a forecast and no
//! fact, so nothing is.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use ledger_core::criteria::Place;
use ledger_core::money::UNITS_PER_CREDIT;
use ledger_core::{Decimal8, DecimalError, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use url::Url;

use crate::http::{self, Http};
use crate::{Evidence, Fetched, SetupError, SourceError, json, number};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.open-meteo.com";
/// An older "current" value says nothing about now, in seconds.
pub const AGE_MAX_SECONDS: i64 = 30 * 60;
/// The service may be ahead of us by so much, in seconds.
pub const AHEAD_MAX_SECONDS: i64 = 15 * 60;
const QUARTER_HOUR_MICROS: i64 = 15 * 60 * 1_000_000;
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M";

/// A temperature in degrees Celsius: an exact decimal from −90 to +60, a little beyond what was
/// ever measured on the ground.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Celsius(Decimal8);

impl Celsius {
    pub const MIN: Decimal8 = Decimal8::hundredths(-9_000);
    pub const MAX: Decimal8 = Decimal8::hundredths(6_000);

    /// # Errors
    /// Outside of −90 to +60.
    pub fn new(degrees: Decimal8) -> Result<Celsius, DecimalError> {
        degrees.within(Self::MIN, Self::MAX).map(Celsius)
    }

    /// As a decimal with eight digits.
    #[must_use]
    pub const fn decimal(self) -> Decimal8 {
        self.0
    }

    /// The whole degree at or below: −0.5 gives −1.
    #[must_use]
    pub const fn whole_degree_floor(self) -> i64 {
        self.0.units().div_euclid(UNITS_PER_CREDIT)
    }
}

impl fmt::Display for Celsius {
    /// Without superfluous zeros: `21.4`, `-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.plain())
    }
}

impl fmt::Debug for Celsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Celsius {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Celsius, DecimalError> {
        Celsius::new(text.parse()?)
    }
}

impl Serialize for Celsius {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Celsius {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Celsius, D::Error> {
        Celsius::new(Decimal8::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The Open-Meteo client.
#[derive(Clone)]
pub struct OpenMeteo {
    http: Http,
    base: Url,
}

impl OpenMeteo {
    /// `base_url` is [`DEFAULT_URL`] or the like.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(http: Http, base_url: Url) -> Result<OpenMeteo, SetupError> {
        let base = http::checked_base(base_url)?;
        Ok(OpenMeteo { http, base })
    }

    /// The temperature now.
    pub async fn temperature_now(&self, place: Place, now: Timestamp) -> Fetched<Celsius> {
        let mut url = self.forecast(place);
        url.query_pairs_mut()
            .append_pair("current", "temperature_2m");
        self.ask(&url, now, |body| parse_now(body, now)).await
    }

    /// The temperature at a full quarter of an hour that has passed. Nothing is asked about another
    /// instant.
    pub async fn temperature_at(
        &self,
        place: Place,
        instant: Timestamp,
        now: Timestamp,
    ) -> Fetched<Celsius> {
        let mut url = self.forecast(place);
        let time = instant.datetime().format(TIME_FORMAT).to_string();
        url.query_pairs_mut()
            .append_pair("minutely_15", "temperature_2m")
            .append_pair("start_minutely_15", &time)
            .append_pair("end_minutely_15", &time);
        let refusal = if instant > now {
            let ahead_seconds = instant.seconds_since(now);
            Err(SourceError::FromTheFuture { ahead_seconds })
        } else {
            full_quarter_hour(instant)
        };
        if let Err(error) = refusal {
            return Fetched {
                evidence: Evidence::unanswered(url.to_string(), now),
                value: Err(error),
            };
        }
        self.ask(&url, now, |body| parse_at(body, instant)).await
    }

    fn forecast(&self, place: Place) -> Url {
        let mut url = http::below(&self.base, &["v1", "forecast"]);
        url.query_pairs_mut()
            .append_pair("latitude", &place.latitude.to_string())
            .append_pair("longitude", &place.longitude.to_string())
            .append_pair("timezone", "GMT");
        url
    }

    async fn ask(
        &self,
        url: &Url,
        now: Timestamp,
        parse: impl FnOnce(&[u8]) -> Result<Celsius, SourceError>,
    ) -> Fetched<Celsius> {
        let headers = http::accepting("application/json");
        self.http.get(url, headers, now).await.understand(parse)
    }
}

#[derive(Deserialize)]
struct Units {
    time: Option<String>,
    temperature_2m: Option<String>,
}

#[derive(Deserialize)]
struct NowAnswer<'a> {
    #[serde(borrow)]
    utc_offset_seconds: Option<&'a RawValue>,
    current_units: Option<Units>,
    #[serde(borrow)]
    current: Option<Now<'a>>,
}

#[derive(Deserialize)]
struct Now<'a> {
    time: Option<String>,
    #[serde(borrow)]
    temperature_2m: Option<&'a RawValue>,
}

/// Reads the answer about now.
///
/// # Errors
/// When the answer is no JSON, is not about now, or gives no temperature in degrees Celsius.
pub fn parse_now(body: &[u8], now: Timestamp) -> Result<Celsius, SourceError> {
    let answer: NowAnswer<'_> = json::object(body)?;
    check_frame(
        answer.utc_offset_seconds,
        answer.current_units,
        "current_units",
    )?;
    let current = answer.current.ok_or(SourceError::MissingField("current"))?;
    let time = current
        .time
        .ok_or(SourceError::MissingField("current.time"))?;
    let at = read_time("current.time", &time)?;
    let age_seconds = now.seconds_since(at);
    if age_seconds > AGE_MAX_SECONDS {
        return Err(SourceError::Stale { age_seconds });
    }
    if age_seconds < -AHEAD_MAX_SECONDS {
        return Err(SourceError::FromTheFuture {
            ahead_seconds: -age_seconds,
        });
    }
    read_celsius("current.temperature_2m", current.temperature_2m)
}

#[derive(Deserialize)]
struct AtAnswer<'a> {
    #[serde(borrow)]
    utc_offset_seconds: Option<&'a RawValue>,
    minutely_15_units: Option<Units>,
    #[serde(borrow)]
    minutely_15: Option<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    time: Option<Vec<String>>,
    #[serde(borrow)]
    temperature_2m: Option<Vec<Option<&'a RawValue>>>,
}

/// Reads the answer about an instant, a full quarter of an hour.
///
/// # Errors
/// When the answer is no JSON, is about other instants, or gives no temperature in degrees Celsius.
pub fn parse_at(body: &[u8], instant: Timestamp) -> Result<Celsius, SourceError> {
    const TIMES: &str = "minutely_15.time";
    const TEMPERATURES: &str = "minutely_15.temperature_2m";
    full_quarter_hour(instant)?;
    let answer: AtAnswer<'_> = json::object(body)?;
    check_frame(
        answer.utc_offset_seconds,
        answer.minutely_15_units,
        "minutely_15_units",
    )?;
    let series = answer
        .minutely_15
        .ok_or(SourceError::MissingField("minutely_15"))?;
    let times = series.time.ok_or(SourceError::MissingField(TIMES))?;
    let temperatures = series
        .temperature_2m
        .ok_or(SourceError::MissingField(TEMPERATURES))?;
    if times.len() != temperatures.len() {
        return Err(SourceError::Nonsense {
            field: TEMPERATURES,
            problem: "has another length than its times",
        });
    }
    let mut found = Vec::new();
    for (time, temperature) in times.iter().zip(temperatures) {
        if read_time(TIMES, time)? == instant {
            found.push(temperature);
        }
    }
    match found.as_slice() {
        [temperature] => read_celsius(TEMPERATURES, *temperature),
        [] => Err(SourceError::Nonsense {
            field: TIMES,
            problem: "lacks the instant that was asked for",
        }),
        _ => Err(SourceError::Nonsense {
            field: TIMES,
            problem: "holds the same instant twice",
        }),
    }
}

fn full_quarter_hour(instant: Timestamp) -> Result<(), SourceError> {
    if instant.micros().rem_euclid(QUARTER_HOUR_MICROS) == 0 {
        return Ok(());
    }
    Err(SourceError::Nonsense {
        field: "instant",
        problem: "is no full quarter of an hour",
    })
}

/// Local times or degrees Fahrenheit would look just like ours.
fn check_frame(
    offset: Option<&RawValue>,
    units: Option<Units>,
    field: &'static str,
) -> Result<(), SourceError> {
    const OFFSET: &str = "utc_offset_seconds";
    if number::whole(OFFSET, offset)? != 0 {
        return Err(SourceError::Nonsense {
            field: OFFSET,
            problem: "is not zero",
        });
    }
    let units = units.ok_or(SourceError::MissingField(field))?;
    if units.time.as_deref() != Some("iso8601") {
        return Err(SourceError::Nonsense {
            field,
            problem: "gives times other than in ISO 8601",
        });
    }
    if units.temperature_2m.as_deref() != Some("°C") {
        return Err(SourceError::Nonsense {
            field,
            problem: "gives temperatures other than in °C",
        });
    }
    Ok(())
}

fn read_time(field: &'static str, text: &str) -> Result<Timestamp, SourceError> {
    const EXAMPLE: &str = "2026-11-24T14:30";
    let problem = SourceError::Nonsense {
        field,
        problem: "is no time such as 2026-11-24T14:30",
    };
    if text.len() != EXAMPLE.len() {
        return Err(problem);
    }
    match NaiveDateTime::parse_from_str(text, TIME_FORMAT) {
        Ok(time) => Ok(Timestamp::from(time.and_utc())),
        Err(_) => Err(problem),
    }
}

fn read_celsius(field: &'static str, raw: Option<&RawValue>) -> Result<Celsius, SourceError> {
    let raw = raw.ok_or(SourceError::MissingField(field))?;
    let degrees = number::decimal(field, raw)?;
    Celsius::new(degrees).map_err(|_| SourceError::Nonsense {
        field,
        problem: "no place on Earth ever had",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn celsius_is_shown_without_superfluous_zeros() {
        for (text, shown, floor) in [
            ("21.4", "21.4", 21),
            ("21.40", "21.4", 21),
            ("20", "20", 20),
            ("0", "0", 0),
            ("-0.5", "-0.5", -1),
            ("-3", "-3", -3),
            ("-3.00000001", "-3.00000001", -4),
        ] {
            let celsius: Celsius = text.parse().unwrap();
            assert_eq!(celsius.to_string(), shown);
            assert_eq!(celsius.whole_degree_floor(), floor, "{text}");
        }
        for text in ["-90.1", "60.00000001", "hot", ""] {
            assert!(text.parse::<Celsius>().is_err(), "{text}");
        }
        let json = serde_json::to_string(&"21.4".parse::<Celsius>().unwrap()).unwrap();
        assert_eq!(json, "\"21.4\"");
        assert_eq!(
            serde_json::from_str::<Celsius>(&json).unwrap().to_string(),
            "21.4"
        );
    }
}
