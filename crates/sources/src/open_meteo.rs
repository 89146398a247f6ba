//! Open-Meteo: the temperature at a place, two metres above the ground.
//!
//! Times are requested and read in GMT. A value of the future would be a forecast, so none is requested.

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::NaiveDateTime;
use ledger_core::criteria::{Comparison, Criteria, Reading, TemperatureCriteria, Times};
use ledger_core::economy::MarketRules;
use ledger_core::market::MarketSource;
use ledger_core::money::UNITS_PER_CREDIT;
use ledger_core::sources::weather::{City, Degrees, Place, weather_instant};
use ledger_core::{Decimal8, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use crate::error::{given, nonsense};
use crate::http::{self, Http};
use crate::played::{Asked, Played, World};
use crate::source::{address, choose, list, made};
use crate::{
    Evidence, Feed, Fetched, NoProposal, Proposal, Settings, SetupError, Source, SourceError, json,
    number,
};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.open-meteo.com";
/// The age in seconds above which a "current" value is not current.
pub const AGE_MAX_SECONDS: i64 = 30 * 60;
/// The service may be ahead of us by so much, in seconds.
pub const AHEAD_MAX_SECONDS: i64 = 15 * 60;
const QUARTER_HOUR_MICROS: i64 = 15 * 60 * 1_000_000;
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M";

/// A little beyond what was ever measured on the ground, in degrees Celsius.
const CELSIUS_MIN: Decimal8 = Decimal8::hundredths(-9_000);
const CELSIUS_MAX: Decimal8 = Decimal8::hundredths(6_000);
/// Cities, unless `MARKET_CITIES` names others.
const CITIES: &str = "Berlin:52.52:13.41,London:51.51:-0.13,New York:40.71:-74.01,Tokyo:35.68:139.69,\
    Sydney:-33.87:151.21,São Paulo:-23.55:-46.63,Nairobi:-1.29:36.82,Mumbai:19.08:72.88,\
    Cairo:30.04:31.24,Reykjavík:64.15:-21.94,Singapore:1.35:103.82,Chicago:41.88:-87.63,\
    Madrid:40.42:-3.7,Warsaw:52.23:21.01,Seoul:37.57:126.98,Cape Town:-33.93:18.42";

/// Temperatures of cities.
pub(crate) struct Weather;

impl Source for Weather {
    fn name(&self) -> &'static str {
        "open-meteo"
    }

    fn feed(
        &self,
        settings: &mut dyn Settings,
        http: &Http,
        _: &MarketRules,
    ) -> Option<Arc<dyn Feed>> {
        let url = address(settings, "OPEN_METEO_URL", DEFAULT_URL)?;
        let client = OpenMeteo::new(http.clone(), url);
        let client = made(settings, client, ["OPEN_METEO_URL", "OPEN_METEO_URL"]);
        let towns = list(settings, "MARKET_CITIES", CITIES);
        Some(Arc::new(WeatherFeed { client: client?, towns: towns? }))
    }

    fn derive(
        &self,
        criteria: &Criteria,
        times: &Times,
        _: Timestamp,
        body: &[u8],
    ) -> Result<Reading, SourceError> {
        let Criteria::Weather(_) = criteria else {
            return Err(SourceError::MISPLACED);
        };
        parse_at(body, weather_instant(times.deadline)).map(celsius_read)
    }

    fn address(&self) -> (&'static str, &'static str) {
        ("OPEN_METEO_URL", "")
    }

    /// Each place has its own day: coldest at its ends and warmest in its middle, with gusts.
    fn answer(&self, world: &World, asked: &Asked<'_>) -> Option<Played> {
        const QUARTER: i64 = 900;
        const DAY: i64 = 86_400;
        if asked.path != "/v1/forecast" {
            return None;
        }
        let place = [asked.parameter("latitude")?, asked.parameter("longitude")?].join(" ");
        let roll = |below, what: &str, at| world.roll(below, &format!("{what} {place}"), at);
        let read = |at: i64| {
            let swing = 30 + roll(50, "swing", 0);
            let of_day = (at + roll(86_400, "noon", 0)).rem_euclid(DAY);
            let day = swing - (of_day - DAY / 2).abs() * 2 * swing * 2 / DAY;
            let tenths = roll(250, "mean", 0) - 20 + day + roll(21, "gust", at) - 10;
            // From its text, so that no float is reckoned with.
            let (sign, size) = (if tenths < 0 { "-" } else { "" }, tenths.abs());
            serde_json::from_str::<Value>(&format!("{sign}{}.{}", size / 10, size % 10)).ok()
        };
        let units = json!({ "time": "iso8601", "temperature_2m": "°C" });
        Some(Played::json(&match asked.parameter("start_minutely_15") {
            Some(time) => {
                let at = NaiveDateTime::parse_from_str(&time, TIME_FORMAT).ok()?;
                json!({
                    "utc_offset_seconds": 0,
                    "minutely_15_units": units,
                    "minutely_15": { "time": [time], "temperature_2m": [read(at.and_utc().timestamp())] },
                })
            }
            None => {
                let time = weather_instant(asked.now);
                json!({
                    "utc_offset_seconds": 0,
                    "current_units": units,
                    "current": {
                        "time": time.datetime().format(TIME_FORMAT).to_string(),
                        "temperature_2m": read(asked.seconds() / QUARTER * QUARTER),
                    },
                })
            }
        }))
    }

    fn example(&self, word: &str) -> Value {
        json!({
            "city": format!("Town {word}"), "latitude": "52.52", "longitude": "13.41",
            "comparison": ">", "celsius": 21,
        })
    }
}

const fn celsius_read(value: Decimal8) -> Reading {
    Reading::Decimal { value, unit: "°C" }
}

/// A city and where it is.
struct Town {
    city: City,
    place: Place,
}

#[derive(Debug, thiserror::Error)]
#[error("must be a city, its latitude and its longitude, as in Berlin:52.52:13.41")]
struct TownError;

impl FromStr for Town {
    type Err = TownError;

    fn from_str(text: &str) -> Result<Town, TownError> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let [city, latitude, longitude] = parts.try_into().map_err(|_| TownError)?;
        let city: City = city.parse().map_err(|_| TownError)?;
        let degrees = |text: &str| text.parse::<Degrees>().map_err(|_| TownError);
        let (latitude, longitude) = (degrees(latitude)?, degrees(longitude)?);
        if !latitude.is_latitude() {
            return Err(TownError);
        }
        let place = Place { latitude, longitude };
        Ok(Town { city, place })
    }
}

struct WeatherFeed {
    client: OpenMeteo,
    towns: Vec<Town>,
}

#[async_trait]
impl Feed for WeatherFeed {
    fn source(&self) -> MarketSource {
        MarketSource::Weather
    }

    async fn propose(
        &self,
        taken: &[String],
        draw: u64,
        now: Timestamp,
    ) -> Result<Proposal, NoProposal> {
        let subject = |town: &Town| town.city.as_str().to_lowercase();
        let town = choose(&self.towns, taken, draw, subject)?;
        let Fetched { evidence, value } = self.client.temperature_now(town.place, now).await;
        let celsius = value.map_err(NoProposal::about(Some(subject(town))))?;
        // Another bit than those that chose the city.
        let comparison = match draw >> 63 {
            0 => Comparison::Above,
            _ => Comparison::Below,
        };
        // The present whole degree: to the nearest.
        let half = UNITS_PER_CREDIT / 2;
        Ok(Proposal {
            criteria: Criteria::Weather(TemperatureCriteria {
                city: town.city.clone(),
                latitude: town.place.latitude,
                longitude: town.place.longitude,
                comparison,
                celsius: (celsius.units() + half).div_euclid(UNITS_PER_CREDIT),
            }),
            answer: None,
            evidence,
            value: celsius_read(celsius).to_string(),
        })
    }

    async fn fetch(&self, criteria: &Criteria, times: &Times, now: Timestamp) -> Fetched<()> {
        let Criteria::Weather(of) = criteria else {
            return Fetched::misplaced(now);
        };
        let instant = weather_instant(times.deadline);
        let fetched = self.client.temperature_at(of.place(), instant, now);
        fetched.await.kept()
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
    pub async fn temperature_now(&self, place: Place, now: Timestamp) -> Fetched<Decimal8> {
        let mut url = self.forecast(place);
        url.query_pairs_mut().append_pair("current", "temperature_2m");
        self.ask(&url, now, |body| parse_now(body, now)).await
    }

    /// The temperature at a full quarter of an hour that has passed. Only this instant is requested.
    pub async fn temperature_at(
        &self,
        place: Place,
        instant: Timestamp,
        now: Timestamp,
    ) -> Fetched<Decimal8> {
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
        parse: impl FnOnce(&[u8]) -> Result<Decimal8, SourceError>,
    ) -> Fetched<Decimal8> {
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
pub fn parse_now(body: &[u8], now: Timestamp) -> Result<Decimal8, SourceError> {
    let answer: NowAnswer<'_> = json::object(body)?;
    check_frame(answer.utc_offset_seconds, answer.current_units, "current_units")?;
    let current = given("current", answer.current)?;
    let time = given("current.time", current.time)?;
    let at = read_time("current.time", &time)?;
    let age_seconds = now.seconds_since(at);
    if age_seconds > AGE_MAX_SECONDS {
        return Err(SourceError::Stale { age_seconds });
    }
    if age_seconds < -AHEAD_MAX_SECONDS {
        return Err(SourceError::FromTheFuture { ahead_seconds: -age_seconds });
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
pub fn parse_at(body: &[u8], instant: Timestamp) -> Result<Decimal8, SourceError> {
    const TIMES: &str = "minutely_15.time";
    const TEMPERATURES: &str = "minutely_15.temperature_2m";
    full_quarter_hour(instant)?;
    let answer: AtAnswer<'_> = json::object(body)?;
    check_frame(answer.utc_offset_seconds, answer.minutely_15_units, "minutely_15_units")?;
    let series = given("minutely_15", answer.minutely_15)?;
    let times = given(TIMES, series.time)?;
    let temperatures = given(TEMPERATURES, series.temperature_2m)?;
    if times.len() != temperatures.len() {
        return nonsense(TEMPERATURES, "has another length than its times");
    }
    let mut found = Vec::new();
    for (time, temperature) in times.iter().zip(temperatures) {
        if read_time(TIMES, time)? == instant {
            found.push(temperature);
        }
    }
    match found.as_slice() {
        [temperature] => read_celsius(TEMPERATURES, *temperature),
        [] => nonsense(TIMES, "lacks the requested instant"),
        _ => nonsense(TIMES, "holds the same instant twice"),
    }
}

fn full_quarter_hour(instant: Timestamp) -> Result<(), SourceError> {
    if instant.micros().rem_euclid(QUARTER_HOUR_MICROS) == 0 {
        return Ok(());
    }
    nonsense("instant", "is no full quarter of an hour")
}

/// Local times or degrees Fahrenheit would look just like ours.
fn check_frame(
    offset: Option<&RawValue>,
    units: Option<Units>,
    field: &'static str,
) -> Result<(), SourceError> {
    const OFFSET: &str = "utc_offset_seconds";
    if number::whole(OFFSET, offset)? != 0 {
        return nonsense(OFFSET, "is not zero");
    }
    let units = given(field, units)?;
    if units.time.as_deref() != Some("iso8601") {
        return nonsense(field, "gives times other than in ISO 8601");
    }
    if units.temperature_2m.as_deref() != Some("°C") {
        return nonsense(field, "gives temperatures other than in °C");
    }
    Ok(())
}

fn read_time(field: &'static str, text: &str) -> Result<Timestamp, SourceError> {
    const EXAMPLE: &str = "2026-11-24T14:30";
    match NaiveDateTime::parse_from_str(text, TIME_FORMAT) {
        Ok(time) if text.len() == EXAMPLE.len() => Ok(Timestamp::from(time.and_utc())),
        _ => nonsense(field, "is no time such as 2026-11-24T14:30"),
    }
}

fn read_celsius(field: &'static str, raw: Option<&RawValue>) -> Result<Decimal8, SourceError> {
    let raw = given(field, raw)?;
    let degrees = number::decimal(field, raw)?;
    if (CELSIUS_MIN..=CELSIUS_MAX).contains(&degrees) {
        return Ok(degrees);
    }
    nonsense(field, "no place on Earth ever had")
}
