//! The sources of markets: the registry, and a file for each.
//!
//! A file says what a source asks about, what decides, and what people are told. Its other half has
//! a file in the crate `sources`: what asks the service does I/O, and this crate is pure.

pub mod github;
pub mod news;
pub mod research;
pub mod weather;

use crate::market::{MarketSource, Taking};
use crate::rules::SourceRules;

/// The registry. A source is a line: its variant, its file and figures, its label, its criteria; and what
/// the contract says of its figures. It hands all of them to a macro.
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

/// The shortest and the longest life of a market in seconds, with what is said of another one.
const LIFE_LEAST: (i64, &str) = (10, "must be at least 10 seconds away");
const LIFE_MOST: (i64, &str) = (30 * 86_400, "must be at most 30 days away");

/// What a source is, beside its criteria.
#[derive(Debug)]
pub struct About {
    /// For people.
    pub name: &'static str,
    /// How its markets are decided, for people.
    pub about: &'static str,
    pub takes: Taking,
    /// The shortest life of its markets, and what is said of a shorter one.
    pub(crate) least_seconds: (i64, &'static str),
    pub(crate) most_seconds: (i64, &'static str),
    /// Its figures, unless settings say otherwise.
    pub(crate) rules: SourceRules,
}

impl About {
    /// The shortest life of its markets, in seconds.
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
