//! The criteria of a market: a predicate over one reading of one source, fixed when it opens.
//!
//! A question's text is generated from its criteria, so the two cannot differ. The reading that
//! decides is the first good one at or after the deadline (for the weather: the one that the source
//! gives for [`weather_instant`](crate::sources::weather::weather_instant)), whenever it is
//! fetched. Each source's questions are in a file of [`crate::sources`].

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};

use crate::decimal::Decimal8;
use crate::sources::{MarketSource, Taking, market_sources};
use crate::texts::one_line;
use crate::time::Timestamp;

labelled! {
    /// How what is read compares with the figure of the question.
    Comparison {
        Above = ">",
        AtLeast = ">=",
        Below = "<",
        AtMost = "<=",
    }
}

impl Comparison {
    pub fn holds<T: Ord>(self, found: &T, figure: &T) -> bool {
        match self {
            Comparison::Above => found > figure,
            Comparison::AtLeast => found >= figure,
            Comparison::Below => found < figure,
            Comparison::AtMost => found <= figure,
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Comparison::Above => "above",
            Comparison::AtLeast => "at least",
            Comparison::Below => "below",
            Comparison::AtMost => "at most",
        }
    }

    /// As [`Comparison::words`], of what is counted.
    pub(crate) const fn than(self) -> &'static str {
        match self {
            Comparison::Above => "more than",
            Comparison::Below => "less than",
            other => other.words(),
        }
    }
}

labelled! {
    /// A bet's side of a question.
    Side {
        Yes = "YES",
        No = "NO",
    }
}

impl Side {
    pub(crate) const fn yes_if(holds: bool) -> Side {
        if holds { Side::Yes } else { Side::No }
    }
}

/// The result of the data for a yes-no market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Decided(Side),
    Void,
}

impl Resolution {
    /// Whether a bet on `side` is right.
    pub fn is(self, side: Side) -> bool {
        self == Resolution::Decided(side)
    }
}

/// One line of at most `max` characters without control or surrounding white space.
pub(crate) fn one_clean_line(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count()) && text.trim() == text && one_line(text) == text
}

/// A criterion that is well-formed and makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct CriteriaError {
    pub field: &'static str,
    /// What it must be, as the rest of a sentence.
    pub problem: &'static str,
}

pub(crate) fn need(
    holds: bool,
    field: &'static str,
    problem: &'static str,
) -> Result<(), CriteriaError> {
    if holds { Ok(()) } else { Err(CriteriaError { field, problem }) }
}

/// When a market opens, stops taking bets, and is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub opens_at: Timestamp,
    pub bets_close_at: Timestamp,
    pub deadline: Timestamp,
}

/// The criteria of one source, and by [`Deref`] those of any.
pub trait Question {
    /// The same under the rules that a market opened today gets.
    fn under_present_rules(&self) -> Self
    where
        Self: Clone,
    {
        self.clone()
    }

    /// # Errors
    /// The first figure that makes no sense.
    fn check(&self) -> Result<(), CriteriaError> {
        Ok(())
    }

    /// The market's subject in its canonical spelling: each has at most one open market.
    fn subject(&self) -> String;

    /// The question, generated from the criteria.
    fn question(&self, times: &Times) -> String;

    /// The criteria, in a sentence for people.
    fn condition(&self) -> String;

    /// The outcome by a reading; `None` for a reading of another kind, and for research, which its
    /// commitment decides.
    fn decide(&self, reading: &Reading) -> Option<Side>;
}

macro_rules! criteria {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        $(pub use crate::sources::$module::$criteria;)+

        /// The criteria of a market, by its source.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(untagged)]
        pub enum Criteria {
            $($variant($criteria)),+
        }

        impl Deref for Criteria {
            type Target = dyn Question + Send + Sync;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Criteria::$variant(of) => of),+
                }
            }
        }

        impl Criteria {
            /// The same under the rules that a market opened today gets.
            pub fn under_present_rules(&self) -> Criteria {
                match self {
                    $(Criteria::$variant(of) => Criteria::$variant(of.under_present_rules())),+
                }
            }

            pub const fn source(&self) -> MarketSource {
                match self {
                    $(Criteria::$variant(_) => MarketSource::$variant),+
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
                    $(MarketSource::$variant => {
                        Criteria::$variant(Deserialize::deserialize(deserializer)?)
                    })+
                })
            }
        }
    };
}
market_sources!(criteria);

/// A value read from a source, which decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Whole {
        value: i64,
        unit: &'static str,
    },
    /// An exact decimal.
    Decimal {
        value: Decimal8,
        unit: &'static str,
    },
    /// The first text that was looked for, if there is one.
    Found {
        what: &'static str,
        text: Option<String>,
    },
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Whole { value, unit } => write!(f, "{value} {unit}"),
            Reading::Decimal { value, unit } => write!(f, "{} {unit}", value.plain()),
            Reading::Found { what, text: Some(text) } => write!(f, "{what}: {text}"),
            Reading::Found { what, text: None } => write!(f, "no {what}"),
        }
    }
}

/// When bets close: half-way to the deadline. The nearer the reading, the less a bet is a forecast.
/// Research takes answers to the end.
pub fn bets_close_at(source: MarketSource, opens_at: Timestamp, deadline: Timestamp) -> Timestamp {
    if source.about().takes == Taking::Answer {
        return deadline;
    }
    let half = deadline.micros().saturating_sub(opens_at.micros()) / 2;
    Timestamp::from_micros(opens_at.micros().saturating_add(half)).unwrap_or(deadline)
}

/// An instant to the second, for people.
pub(crate) fn second(at: Timestamp) -> String {
    at.datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
