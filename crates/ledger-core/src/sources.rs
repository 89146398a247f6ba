//! The sources of markets: the registry, and a file for each.
//!
//! A file has a source's questions, their decision, and its words for people. The I/O with the
//! service is in the crate `sources`, because this crate is pure.

pub mod github;
pub mod news;
pub mod research;
pub mod weather;

use serde::{Deserialize, Serialize};

use crate::money::Money;

/// The registry. A source is a line: its variant, its file and figures, its label, its criteria,
/// and the contract's text for its figures. The registry passes all lines to a macro.
macro_rules! market_sources {
    ($then:ident) => {
        $then! {
            /// Questions of fact, answered at once.
            Research, research, "RESEARCH", ArticleCriteria;
            /// Temperatures, by Open-Meteo.
            Weather, weather, "WEATHER", TemperatureCriteria;
            /// Stars of repositories.
            Github, github, "GITHUB", StarCriteria;
            /// Keywords in headlines.
            News, news, "NEWS", HeadlineCriteria;
        }
    };
}
pub(crate) use market_sources;

macro_rules! source_labels {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:tt, $criteria:ident;)+) => {
        labelled! {
            /// Where the data comes from that decides a market.
            MarketSource { $($variant = $label),+ }
        }
    };
}
market_sources!(source_labels);

/// The kind of an agent's request: the two kinds of markets accept different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    Bet,
    Answer,
}

/// The figures of the markets of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceRules {
    /// How often the market maker chooses it, relative to the others; 0 for never.
    pub weight: u32,
    /// What the house adds to the pool; minted when it is paid.
    pub bounty: Money,
    /// From opening to deadline.
    pub seconds: i64,
}

/// The shortest and the longest duration of a market in seconds, with the error for others.
const LIFE_LEAST: (i64, &str) = (10, "must be at least 10 seconds away");
const LIFE_MOST: (i64, &str) = (30 * 86_400, "must be at most 30 days away");

/// A source's constants besides its criteria.
#[derive(Debug)]
pub struct About {
    /// For people.
    pub name: &'static str,
    /// How its markets are decided, for people.
    pub about: &'static str,
    pub takes: Taking,
    /// The shortest duration of its markets, and the error for a shorter one.
    pub(crate) least_seconds: (i64, &'static str),
    pub(crate) most_seconds: (i64, &'static str),
    /// Its figures, unless settings say otherwise.
    pub(crate) rules: SourceRules,
}

impl About {
    /// The shortest duration of its markets, in seconds.
    pub const fn shortest_life(&self) -> i64 {
        self.least_seconds.0
    }
}

macro_rules! about {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        impl MarketSource {
            pub const fn about(self) -> &'static About {
                match self {
                    $(MarketSource::$variant => &$module::ABOUT),+
                }
            }
        }
    };
}
market_sources!(about);
