//! Instants, as Postgres keeps them: microseconds since the Unix epoch, UTC.
//!
//! Nothing here reads a clock. The instant that decides anything comes from the database.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant in whole microseconds: Postgres stores no finer, and a hash over it must survive the
/// round trip.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time such as 2026-02-16T00:00:00.000000Z")]
pub struct TimestampError;

impl Timestamp {
    /// From microseconds since the Unix epoch; `None` beyond the calendar (±262,000 years).
    pub fn from_micros(micros: i64) -> Option<Timestamp> {
        DateTime::from_timestamp_micros(micros).map(Timestamp)
    }

    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    pub const fn datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// This instant moved by whole seconds (negative: earlier). A time beyond the calendar becomes
    /// its first or last instant.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        let micros = self.micros().saturating_add(seconds.saturating_mul(1_000_000));
        let end = if seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        Timestamp::from_micros(micros).unwrap_or_else(|| Timestamp::from(end))
    }

    /// Whole seconds from `earlier` to this instant; negative if it is later.
    pub fn seconds_since(self, earlier: Timestamp) -> i64 {
        (self.micros().saturating_sub(earlier.micros())) / 1_000_000
    }
}

impl From<DateTime<Utc>> for Timestamp {
    /// Truncates to microseconds.
    fn from(at: DateTime<Utc>) -> Timestamp {
        DateTime::from_timestamp_micros(at.timestamp_micros()).map_or(Timestamp(at), Timestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

shown_as_text!(Timestamp);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        DateTime::parse_from_rfc3339(text)
            .map(|at| Timestamp::from(at.with_timezone(&Utc)))
            .map_err(|_| TimestampError)
    }
}

as_string!(Timestamp);
