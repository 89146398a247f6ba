//! What a question is about: a repository, a place, a keyword. Each is checked once, where it
//! comes in, and is from then on fit for a URL.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Written as a string, and read back through the same rules.
macro_rules! as_string {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

const OWNER_MAX_CHARS: usize = 39;
const REPOSITORY_MAX_CHARS: usize = 100;

/// A repository at GitHub, as `owner/name`. Whoever compares two should know that GitHub ignores
/// case, and this type does not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    owner: String,
    name: String,
}

/// Why a text names no repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    #[error("must be owner/name such as rust-lang/rust, without a host and with one slash")]
    Form,
    #[error(
        "must have an owner of 1 to {OWNER_MAX_CHARS} ASCII letters, digits, hyphens and \
         underscores that does not begin with a hyphen"
    )]
    Owner,
    #[error(
        "must have a name of 1 to {REPOSITORY_MAX_CHARS} ASCII letters, digits, hyphens, \
         underscores and points that is neither . nor .. and does not end in .git"
    )]
    Name,
}

impl Repository {
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Repository, RepositoryError> {
        let (owner, name) = text.split_once('/').ok_or(RepositoryError::Form)?;
        if name.contains('/') {
            return Err(RepositoryError::Form);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=OWNER_MAX_CHARS).contains(&owner.len())
            || !owner.bytes().all(plain)
            || owner.starts_with('-')
        {
            return Err(RepositoryError::Owner);
        }
        let dots = name == "." || name == ".." || name.to_ascii_lowercase().ends_with(".git");
        if !(1..=REPOSITORY_MAX_CHARS).contains(&name.len())
            || !name.bytes().all(|byte| plain(byte) || byte == b'.')
            || dots
        {
            return Err(RepositoryError::Name);
        }
        Ok(Repository {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

as_string!(Repository);

const COORDINATE_DECIMALS: usize = 4;
/// Ten-thousandths in a degree.
const PARTS_PER_DEGREE: i32 = 10_000;

/// Degrees of latitude or longitude in whole ten-thousandths, about eleven metres.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinate(i32);

impl Coordinate {
    /// `None` unless `text` is a plain decimal within ±`limit` degrees.
    fn read(text: &str, limit: i32) -> Option<Coordinate> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let superfluous_zero = integer.len() > 1 && integer.starts_with('0');
        if !(1..=3).contains(&integer.len())
            || superfluous_zero
            || fraction.len() > COORDINATE_DECIMALS
            || !all_digits(integer)
            || !all_digits(fraction)
        {
            return None;
        }
        let parts: i32 = format!("{integer}{fraction:0<COORDINATE_DECIMALS$}")
            .parse()
            .ok()?;
        if parts > limit * PARTS_PER_DEGREE {
            return None;
        }
        Some(Coordinate(if negative { -parts } else { parts }))
    }
}

impl fmt::Display for Coordinate {
    /// Without superfluous zeros: `52.52`, `-0.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let parts = self.0.unsigned_abs();
        let degree = PARTS_PER_DEGREE.unsigned_abs();
        let text = format!("{sign}{}.{:04}", parts / degree, parts % degree);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Debug for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place on Earth, as `latitude,longitude` in degrees: `52.52,13.41`. Equal places are equal
/// however many zeros they were written with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    latitude: Coordinate,
    longitude: Coordinate,
}

/// Why a text names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("must be latitude,longitude in degrees such as 52.52,13.41, without spaces")]
    Form,
    #[error("must have a latitude from -90 to 90, a plain decimal with at most 4 decimals")]
    Latitude,
    #[error("must have a longitude from -180 to 180, a plain decimal with at most 4 decimals")]
    Longitude,
}

impl Place {
    /// From degrees as texts, north and east positive.
    ///
    /// # Errors
    /// When one of them is no plain decimal, has more than four decimals, or lies off the map.
    pub fn new(latitude: &str, longitude: &str) -> Result<Place, PlaceError> {
        Ok(Place {
            latitude: Coordinate::read(latitude, 90).ok_or(PlaceError::Latitude)?,
            longitude: Coordinate::read(longitude, 180).ok_or(PlaceError::Longitude)?,
        })
    }

    #[must_use]
    pub const fn latitude(&self) -> Coordinate {
        self.latitude
    }

    #[must_use]
    pub const fn longitude(&self) -> Coordinate {
        self.longitude
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        let (latitude, longitude) = text.split_once(',').ok_or(PlaceError::Form)?;
        if longitude.contains(',') {
            return Err(PlaceError::Form);
        }
        Place::new(latitude, longitude)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude, self.longitude)
    }
}

as_string!(Place);

const KEYWORD_MAX_CHARS: usize = 50;

/// A word or a few of them, looked for in headlines as they stand: `Rust`, `GPT-5`, `Raspberry Pi`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyword(String);

/// Why a text is no keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    #[error("must have 1 to {KEYWORD_MAX_CHARS} characters")]
    Length,
    #[error("must hold a letter or digit")]
    NoWord,
    #[error("must have no spaces around it, single ones within, and no control characters")]
    Spacing,
}

impl Keyword {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Keyword {
    type Err = KeywordError;

    fn from_str(text: &str) -> Result<Keyword, KeywordError> {
        if !(1..=KEYWORD_MAX_CHARS).contains(&text.chars().count()) {
            return Err(KeywordError::Length);
        }
        let strange_space = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
        if text.trim() != text || text.contains("  ") || text.contains(strange_space) {
            return Err(KeywordError::Spacing);
        }
        if !text.contains(char::is_alphanumeric) {
            return Err(KeywordError::NoWord);
        }
        Ok(Keyword(text.to_owned()))
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_string!(Keyword);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for text in [
            "rust-lang/rust",
            "a/b",
            "torvalds/linux",
            "o_corp/x.y-z_1",
            "a/.github",
        ] {
            assert_eq!(text.parse::<Repository>().unwrap().to_string(), text);
        }
        let long = format!("{}/x", "a".repeat(40));
        let long_name = format!("a/{}", "x".repeat(101));
        for (text, error) in [
            ("", RepositoryError::Form),
            ("rust", RepositoryError::Form),
            ("https://github.com/rust-lang/rust", RepositoryError::Form),
            ("a/b/c", RepositoryError::Form),
            ("/b", RepositoryError::Owner),
            ("-a/b", RepositoryError::Owner),
            ("ä/b", RepositoryError::Owner),
            ("a.b/c", RepositoryError::Owner),
            (long.as_str(), RepositoryError::Owner),
            ("a/", RepositoryError::Name),
            ("a/..", RepositoryError::Name),
            ("a/.", RepositoryError::Name),
            ("a/b.git", RepositoryError::Name),
            ("a/b?c", RepositoryError::Name),
            ("a/b c", RepositoryError::Name),
            (long_name.as_str(), RepositoryError::Name),
        ] {
            assert_eq!(text.parse::<Repository>(), Err(error), "{text}");
        }
    }

    #[test]
    fn places() {
        for (text, shown) in [
            ("52.52,13.41", "52.52,13.41"),
            ("52.5200,13.4100", "52.52,13.41"),
            ("-33.8688,151.2093", "-33.8688,151.2093"),
            ("90,-180", "90,-180"),
            ("0,0", "0,0"),
            ("-0.0,10", "0,10"),
            ("-0.1278,0.0001", "-0.1278,0.0001"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
        }
        for (text, error) in [
            ("", PlaceError::Form),
            ("52.52", PlaceError::Form),
            ("52,52,13,41", PlaceError::Form),
            ("90.0001,0", PlaceError::Latitude),
            ("-91,0", PlaceError::Latitude),
            ("52.52001,0", PlaceError::Latitude),
            ("5e1,0", PlaceError::Latitude),
            ("+5,0", PlaceError::Latitude),
            ("05,0", PlaceError::Latitude),
            ("5.,0", PlaceError::Latitude),
            (".5,0", PlaceError::Latitude),
            ("NaN,0", PlaceError::Latitude),
            ("--5,0", PlaceError::Latitude),
            ("0,180.1", PlaceError::Longitude),
            ("0, 5", PlaceError::Longitude),
            ("0,", PlaceError::Longitude),
        ] {
            assert_eq!(text.parse::<Place>(), Err(error), "{text}");
        }
    }

    #[test]
    fn keywords() {
        for text in [
            "Rust",
            "C++",
            ".NET",
            "Raspberry Pi",
            "Künstliche Intelligenz",
            "GPT-5",
            "人",
        ] {
            assert_eq!(text.parse::<Keyword>().unwrap().as_str(), text);
        }
        let long = "x".repeat(51);
        for (text, error) in [
            ("", KeywordError::Length),
            (long.as_str(), KeywordError::Length),
            ("+++", KeywordError::NoWord),
            (" Rust", KeywordError::Spacing),
            ("Raspberry  Pi", KeywordError::Spacing),
            ("a\nb", KeywordError::Spacing),
            ("a\u{a0}b", KeywordError::Spacing),
            ("a\0b", KeywordError::Spacing),
        ] {
            assert_eq!(text.parse::<Keyword>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn subjects_are_strings_in_json_and_checked_on_the_way_in() {
        let place: Place = serde_json::from_str("\"52.520,13.41\"").unwrap();
        assert_eq!(serde_json::to_string(&place).unwrap(), "\"52.52,13.41\"");
        let error = serde_json::from_str::<Place>("\"99,0\"").unwrap_err();
        assert!(
            error.to_string().contains("latitude from -90 to 90"),
            "{error}"
        );
        assert!(serde_json::from_str::<Repository>("\"rust\"").is_err());
        assert!(serde_json::from_str::<Keyword>("7").is_err());
    }
}
