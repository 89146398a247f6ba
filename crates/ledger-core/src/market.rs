//! Markets: questions that data decides, and what can be said about them.
//!
//! How a pool is shared out is in [`crate::parimutuel`], how an answer is committed to before
//! anybody is asked in [`crate::research`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Declares an enum whose labels are the same in Postgres, on the wire and here.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal),+ $(,)? }
     unknown: $unknown:ident = $message:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $label)] $variant),+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $label),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $unknown;

        impl FromStr for $name {
            type Err = $unknown;

            fn from_str(text: &str) -> Result<$name, $unknown> {
                $name::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == text)
                    .ok_or($unknown)
            }
        }
    };
}

labels! {
    /// Where the data comes from that decides a market.
    MarketSource {
        Github = "GITHUB",
        News = "NEWS",
        Weather = "WEATHER",
        Research = "RESEARCH",
    }
    unknown: UnknownMarketSource = "must be GITHUB, NEWS, WEATHER or RESEARCH"
}

labels! {
    /// Where a market is in its life.
    MarketStatus {
        /// Takes bets until they close, or answers until its deadline.
        Open = "OPEN",
        /// Past its deadline: what decides it is being read.
        Locked = "LOCKED",
        Resolved = "RESOLVED",
        /// Undecidable, or called off by an operator: the living get their stakes back.
        Void = "VOID",
        /// Research that nobody solved: the stakes fell to the house.
        Expired = "EXPIRED",
    }
    unknown: UnknownMarketStatus = "must be OPEN, LOCKED, RESOLVED, VOID or EXPIRED"
}

impl MarketStatus {
    /// Whether its money has been settled. Nothing about such a market ever changes again.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            MarketStatus::Open | MarketStatus::Locked => false,
            MarketStatus::Resolved | MarketStatus::Void | MarketStatus::Expired => true,
        }
    }
}

labels! {
    /// What a bet says.
    Side {
        Yes = "YES",
        No = "NO",
    }
    unknown: UnknownSide = "must be YES or NO"
}

/// What the data said about a market of yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Decided(Side),
    Void,
}

impl Resolution {
    /// Whether a bet on `side` is right.
    #[must_use]
    pub fn is(self, side: Side) -> bool {
        self == Resolution::Decided(side)
    }
}
