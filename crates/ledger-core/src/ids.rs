//! Names of things. One type each, so that a bot cannot be passed where a prediction belongs.

use std::str::FromStr;

use derive_more::Display;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($number:ident);)+) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Display, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $number);

        impl From<$number> for $name {
            fn from(number: $number) -> $name {
                $name(number)
            }
        }

        impl FromStr for $name {
            type Err = <$number as FromStr>::Err;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// A bot, and the owner of the chain of the same number.
    BotId(i64);
    /// A price prediction.
    PredictionId(i64);
    /// A row of the price history.
    PriceId(i64);
    /// The number of a tick: 1, 2, 3, …; 0 before the first.
    TickNumber(i64);
    /// A bet on a market. Older bets have lower numbers.
    BetId(i64);
    /// The observation of the arena gateway, valid for one action.
    ObservationId(Uuid);
    /// A market.
    MarketId(Uuid);
}

checked_text! {
    /// A bot's public name: a letter, then 2–31 of `A-Z a-z 0-9 _ -`. Unique without regard to case.
    Handle, HandleError = "must be a letter followed by 2 to 31 of A-Z a-z 0-9 _ -",
    |text| {
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        starts_well && (3..=32).contains(&text.len()) && text.bytes().all(allowed)
    }
}
