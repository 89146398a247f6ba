//! What decides a market: a predicate over one reading of one source, fixed when it opens.
//!
//! A question's text is made from its criteria, so the two cannot say different things. The reading
//! that decides is the first good one at or after the deadline (for the weather: the one that the
//! source gives for [`weather_instant`]), whenever it is fetched.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::{Decimal8, UNITS_PER_ONE};
use crate::market::{MarketSource, Side};
use crate::subject::{Keyword, Repository};
use crate::time::Timestamp;

/// The shortest life of a question about the weather: bets close half-way, and the instant that
/// decides lies up to a quarter of an hour before the deadline.
pub const WEATHER_SECONDS_MIN: i64 = 1_800;
const QUARTER_HOUR_MICROS: i64 = 900_000_000;
const SECOND_MICROS: i64 = 1_000_000;

/// How what is read compares with the figure of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Comparison {
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
}

impl Comparison {
    #[must_use]
    pub fn holds<T: Ord>(self, found: &T, figure: &T) -> bool {
        match self {
            Comparison::Above => found > figure,
            Comparison::AtLeast => found >= figure,
            Comparison::Below => found < figure,
            Comparison::AtMost => found <= figure,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Comparison::Above => "above",
            Comparison::AtLeast => "at least",
            Comparison::Below => "below",
            Comparison::AtMost => "at most",
        }
    }
}

/// A text with a rule, made by parsing alone.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:ident = $message:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<$name, $error> {
                let rule: fn(&str) -> bool = $rule;
                if rule(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err($error)
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

/// One line of at most `max` characters without control or surrounding white space.
fn one_clean_line(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count())
        && text.trim() == text
        && crate::post::one_line(text) == text
}

checked_text! {
    /// The name of a city, as people read it.
    City, CityError = "must have 1 to 60 characters on one line",
    |text| one_clean_line(text, 60)
}

checked_text! {
    /// The title of an article at Wikipedia.
    ArticleTitle, ArticleTitleError = "must be a title of at most 255 bytes, without any of # < > [ ] | {{ }}",
    |text| {
        text.len() <= 255
            && one_clean_line(text, 255)
            && !text.contains(['#', '<', '>', '[', ']', '|', '{', '}'])
    }
}

/// A latitude or longitude in degrees, with at most four decimals (eleven metres).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degrees(Decimal8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be degrees from -180 to 180 as a decimal string with at most four decimals")]
pub struct DegreesError;

impl Degrees {
    /// As an exact decimal.
    #[must_use]
    pub const fn decimal(self) -> Decimal8 {
        self.0
    }

    /// Whether it may be a latitude: −90 to 90.
    #[must_use]
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

impl Serialize for Degrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Degrees, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A place on Earth, north and east positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub latitude: Degrees,
    pub longitude: Degrees,
}

/// Will a repository have so many stars?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StarCriteria {
    /// Whose stars are counted.
    pub repository: Repository,
    /// How the count must compare with `stars`.
    pub comparison: Comparison,
    /// The figure of the question, from 1 to 100000000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000_000))]
    pub stars: i64,
}

/// Which headlines count, and how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HeadlineRule {
    /// Those published after bets closed and by the deadline; only a date of publication counts. What
    /// cannot be read in full keeps the market from resolving NO, and so does a list whose end does not
    /// reach back to the close of bets.
    #[serde(rename = "AFTER_BETS_CLOSE")]
    AfterBetsClose,
}

/// Will a keyword appear in a technology headline that is published after bets closed?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HeadlineCriteria {
    /// What must appear.
    pub keyword: Keyword,
    /// Set by the arena at the opening, whatever is asked for: a market keeps the rule under which it
    /// was opened. Markets that were opened before there were such rules have none: there, headlines
    /// count from the opening on, and what cannot be read is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<HeadlineRule>,
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
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            latitude: self.latitude,
            longitude: self.longitude,
        }
    }
}

/// What is the page id of an article?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ArticleCriteria {
    /// Whose page id is the answer.
    pub article: ArticleTitle,
}

/// What decides a market, by its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Criteria {
    Github(StarCriteria),
    News(HeadlineCriteria),
    Weather(TemperatureCriteria),
    Research(ArticleCriteria),
}

/// A criterion that is well-formed and makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct CriteriaError {
    pub field: &'static str,
    /// What it must be, as the rest of a sentence.
    pub problem: &'static str,
}

/// When a market opens, stops taking bets, and is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub opens_at: Timestamp,
    pub bets_close_at: Timestamp,
    pub deadline: Timestamp,
}

impl Times {
    /// A headline counts if it was published after the first instant and by the second. Whole
    /// seconds, because the question names them.
    #[must_use]
    pub fn headlines_between(&self) -> (Timestamp, Timestamp) {
        let whole = |at: Timestamp, add: i64| {
            let micros = at.micros().saturating_add(add);
            Timestamp::from_micros(micros - micros.rem_euclid(SECOND_MICROS)).unwrap_or(at)
        };
        (
            whole(self.bets_close_at, SECOND_MICROS - 1),
            whole(self.deadline, 0),
        )
    }
}

impl Criteria {
    /// The same under the rules that a market opened today gets.
    #[must_use]
    pub fn under_present_rules(&self) -> Criteria {
        match self {
            Criteria::News(criteria) => Criteria::News(HeadlineCriteria {
                published: Some(HeadlineRule::AfterBetsClose),
                ..criteria.clone()
            }),
            other => other.clone(),
        }
    }

    #[must_use]
    pub const fn source(&self) -> MarketSource {
        match self {
            Criteria::Github(_) => MarketSource::Github,
            Criteria::News(_) => MarketSource::News,
            Criteria::Weather(_) => MarketSource::Weather,
            Criteria::Research(_) => MarketSource::Research,
        }
    }

    /// Reads the criteria of a market of `source`.
    ///
    /// # Errors
    /// Those of the deserializer: missing, unknown and malformed fields.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        source: MarketSource,
        deserializer: D,
    ) -> Result<Criteria, D::Error> {
        Ok(match source {
            MarketSource::Github => Criteria::Github(Deserialize::deserialize(deserializer)?),
            MarketSource::News => Criteria::News(Deserialize::deserialize(deserializer)?),
            MarketSource::Weather => Criteria::Weather(Deserialize::deserialize(deserializer)?),
            MarketSource::Research => Criteria::Research(Deserialize::deserialize(deserializer)?),
        })
    }

    /// # Errors
    /// The first figure that makes no sense.
    pub fn check(&self) -> Result<(), CriteriaError> {
        let need = |holds: bool, field, problem| {
            if holds {
                Ok(())
            } else {
                Err(CriteriaError { field, problem })
            }
        };
        match self {
            Criteria::Github(c) => need(
                (1..=100_000_000).contains(&c.stars),
                "stars",
                "must be from 1 to 100000000",
            ),
            Criteria::Weather(c) => {
                let rule = "must be a whole degree from -90 to 60";
                need((-90..=60).contains(&c.celsius), "celsius", rule)?;
                let rule = "must be from -90 to 90";
                need(c.latitude.is_latitude(), "latitude", rule)
            }
            Criteria::News(_) | Criteria::Research(_) => Ok(()),
        }
    }

    /// What the market is about, in one spelling: only one open market for each.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Criteria::Github(c) => c.repository.subject(),
            Criteria::News(c) => c.keyword.as_str().to_lowercase(),
            Criteria::Weather(c) => c.city.as_str().to_lowercase(),
            Criteria::Research(c) => c.article.as_str().to_lowercase(),
        }
    }

    /// The question, which says what the criteria say.
    #[must_use]
    pub fn question(&self, times: &Times) -> String {
        let deadline = times.deadline;
        match self {
            Criteria::Github(StarCriteria {
                repository,
                comparison,
                stars,
            }) => format!(
                "Will {repository} have {} {stars} stars when it is first read at or after {}?",
                match comparison {
                    Comparison::Above => "more than",
                    Comparison::Below => "fewer than",
                    other => other.words(),
                },
                second(deadline)
            ),
            Criteria::News(HeadlineCriteria {
                keyword,
                published: None,
            }) => format!(
                "Will '{keyword}' appear in a technology headline published by {}?",
                second(deadline)
            ),
            Criteria::News(HeadlineCriteria {
                keyword,
                published: Some(_),
            }) => {
                let (after, until) = times.headlines_between();
                format!(
                    "Will '{keyword}' appear in a technology headline published after {} and by {}?",
                    second(after),
                    second(until)
                )
            }
            Criteria::Weather(TemperatureCriteria {
                city,
                latitude,
                longitude,
                comparison,
                celsius,
            }) => format!(
                "Will the temperature in {city} ({latitude}, {longitude}) be {} {celsius} °C at {}?",
                comparison.words(),
                second(weather_instant(deadline))
            ),
            Criteria::Research(ArticleCriteria { article }) => {
                format!("What is the Wikipedia page id of the article titled '{article}'?")
            }
        }
    }

    /// What a reading decides; `None` for a reading of another kind, and for research, which its
    /// commitment decides.
    #[must_use]
    pub fn decide(&self, reading: &Reading) -> Option<Side> {
        let holds = match (self, reading) {
            (Criteria::Github(c), Reading::Stars(stars)) => c.comparison.holds(stars, &c.stars),
            (Criteria::Weather(c), Reading::Celsius(found)) => {
                let figure = Decimal8::from_units(c.celsius.checked_mul(UNITS_PER_ONE)?)?;
                c.comparison.holds(found, &figure)
            }
            (Criteria::News(_), Reading::Headline(found)) => found.is_some(),
            (
                Criteria::Github(_)
                | Criteria::News(_)
                | Criteria::Weather(_)
                | Criteria::Research(_),
                _,
            ) => return None,
        };
        Some(if holds { Side::Yes } else { Side::No })
    }
}

/// What was read from a source: the value that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Stars(i64),
    /// Degrees as an exact decimal.
    Celsius(Decimal8),
    /// The first headline with the keyword, if there is one.
    Headline(Option<String>),
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Stars(stars) => write!(f, "{stars} stars"),
            Reading::Celsius(degrees) => write!(f, "{} °C", degrees.plain()),
            Reading::Headline(Some(title)) => write!(f, "headline: {title}"),
            Reading::Headline(None) => f.write_str("no headline"),
        }
    }
}

/// The instant whose temperature decides: the last full quarter of an hour by the deadline, which
/// is how finely the source knows the weather.
#[must_use]
pub fn weather_instant(deadline: Timestamp) -> Timestamp {
    let micros = deadline.micros();
    Timestamp::from_micros(micros - micros.rem_euclid(QUARTER_HOUR_MICROS)).unwrap_or(deadline)
}

/// When bets close: half-way to the deadline. The nearer the reading, the less a bet is a forecast.
/// Research takes answers to the end.
#[must_use]
pub fn bets_close_at(source: MarketSource, opens_at: Timestamp, deadline: Timestamp) -> Timestamp {
    if source == MarketSource::Research {
        return deadline;
    }
    let half = deadline.micros().saturating_sub(opens_at.micros()) / 2;
    Timestamp::from_micros(opens_at.micros().saturating_add(half)).unwrap_or(deadline)
}

/// An instant to the second, for people.
fn second(at: Timestamp) -> String {
    at.datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
