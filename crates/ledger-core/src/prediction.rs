//! Price predictions: what decides them, and what they pay.
//!
//! A prediction starts at the first sample whose time *at the provider* is at or after its
//! creation, never at a price its agent had seen, and ends at the first sample at or after that
//! start plus the horizon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::economy::{BotStatus, EconomyRules, Movement};
use crate::entry::{EntryType, Posting, Reference};
use crate::ids::{PredictionId, PriceId};
use crate::money::{Confidence, Money, Outcome, Price, Stake};
use crate::time::Timestamp;

/// Where the price is said to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Up => "UP",
            Direction::Down => "DOWN",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kind of source a price came from. Never the seed or the file: those would tell the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PriceSource {
    Coingecko,
    Replay,
    Simulated,
}

impl PriceSource {
    pub const ALL: [PriceSource; 3] = [
        PriceSource::Coingecko,
        PriceSource::Replay,
        PriceSource::Simulated,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PriceSource::Coingecko => "coingecko",
            PriceSource::Replay => "replay",
            PriceSource::Simulated => "simulated",
        }
    }
}

impl fmt::Display for PriceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be coingecko, replay or simulated")]
pub struct UnknownPriceSource;

impl FromStr for PriceSource {
    type Err = UnknownPriceSource;

    fn from_str(text: &str) -> Result<PriceSource, UnknownPriceSource> {
        PriceSource::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or(UnknownPriceSource)
    }
}

/// A kept price: what settlements are decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceSample {
    pub id: PriceId,
    pub price: Price,
    pub source: PriceSource,
    /// When the provider says the price was.
    pub provider_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum PredictionStatus {
    Open,
    Won,
    Lost,
    Void,
    Forfeit,
}

impl PredictionStatus {
    pub const ALL: [PredictionStatus; 5] = [
        PredictionStatus::Open,
        PredictionStatus::Won,
        PredictionStatus::Lost,
        PredictionStatus::Void,
        PredictionStatus::Forfeit,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PredictionStatus::Open => "OPEN",
            PredictionStatus::Won => "WON",
            PredictionStatus::Lost => "LOST",
            PredictionStatus::Void => "VOID",
            PredictionStatus::Forfeit => "FORFEIT",
        }
    }
}

impl fmt::Display for PredictionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An open prediction, as far as settling it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPrediction {
    pub id: PredictionId,
    pub direction: Direction,
    pub wager: Stake,
    pub confidence: Confidence,
    pub created_at: Timestamp,
}

/// What the samples say about a prediction, the owner's standing aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    Void(VoidReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidReason {
    EqualPrice,
    SourceChanged,
    SampleMissing,
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoidReason::EqualPrice => "the price did not move",
            VoidReason::SourceChanged => "start and end came from different sources",
            VoidReason::SampleMissing => "no price sample came in time",
        })
    }
}

/// Decides a prediction, or `None` while a sample it needs may still come.
///
/// `start` and `end` are the first samples at or after their due times, if any came by `now`. A
/// sample that arrives later than the grace period after it was due counts as missing, whether it
/// came or not, so that the verdict does not depend on when somebody looks.
#[must_use]
pub fn judge(
    prediction: &OpenPrediction,
    start: Option<&PriceSample>,
    end: Option<&PriceSample>,
    rules: &EconomyRules,
    now: Timestamp,
) -> Option<Verdict> {
    let missing = Some(Verdict::Void(VoidReason::SampleMissing));
    let start_deadline = prediction
        .created_at
        .plus_seconds(rules.sample_grace_seconds);
    let start = match start {
        Some(sample) if sample.provider_at <= start_deadline => sample,
        Some(_) => return missing,
        None if now > start_deadline => return missing,
        None => return None,
    };
    let end_deadline = end_due(start, rules).plus_seconds(rules.sample_grace_seconds);
    let end = match end {
        Some(sample) if sample.provider_at <= end_deadline => sample,
        Some(_) => return missing,
        None if now > end_deadline => return missing,
        None => return None,
    };
    if start.source != end.source {
        return Some(Verdict::Void(VoidReason::SourceChanged));
    }
    let moved = match end.price.cmp(&start.price) {
        std::cmp::Ordering::Equal => return Some(Verdict::Void(VoidReason::EqualPrice)),
        std::cmp::Ordering::Greater => Direction::Up,
        std::cmp::Ordering::Less => Direction::Down,
    };
    Some(if moved == prediction.direction {
        Verdict::Right
    } else {
        Verdict::Wrong
    })
}

/// When the end sample of a prediction that starts at `start` is due.
#[must_use]
pub fn end_due(start: &PriceSample, rules: &EconomyRules) -> Timestamp {
    start
        .provider_at
        .plus_seconds(rules.prediction_horizon_seconds)
}

/// How a prediction ends: the closing entry and what the prediction's row says from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionSettlement {
    pub movement: Movement,
    pub status: PredictionStatus,
    /// What came back to the bot.
    pub payout: Money,
    /// The Brier score; `None` where nothing was decided.
    pub brier: Option<Money>,
}

/// Turns a verdict into money. The positions of the dead are forfeit whatever the samples say;
/// `owner` is the status read under the wallet's lock.
///
/// `None` if the payout leaves the range of money, which no stake within the limits can reach.
#[must_use]
pub fn settle(
    prediction: &OpenPrediction,
    verdict: Verdict,
    owner: BotStatus,
    rules: &EconomyRules,
) -> Option<PredictionSettlement> {
    let wager = prediction.wager.money();
    let brier = match verdict {
        Verdict::Right => Some(prediction.confidence.brier(Outcome::Happened)),
        Verdict::Wrong => Some(prediction.confidence.brier(Outcome::DidNotHappen)),
        Verdict::Void(_) => None,
    };
    let (entry_type, amount, status, brier) = match (owner, verdict) {
        (BotStatus::Dead | BotStatus::Retired, _) => (
            EntryType::Forfeit,
            Money::ZERO,
            PredictionStatus::Forfeit,
            None,
        ),
        (BotStatus::Alive, Verdict::Right) => {
            let payout = wager.checked_mul(rules.payout_factor)?;
            (EntryType::Payout, payout, PredictionStatus::Won, brier)
        }
        (BotStatus::Alive, Verdict::Wrong) => {
            (EntryType::Slash, Money::ZERO, PredictionStatus::Lost, brier)
        }
        (BotStatus::Alive, Verdict::Void(_)) => {
            (EntryType::Refund, wager, PredictionStatus::Void, None)
        }
    };
    let reference = Reference::built(&format!("PREDICTION:{}", prediction.id));
    let posting = Posting {
        entry_type,
        amount,
        reference,
    };
    // The stake left escrow: the house adds what a payout exceeds it by, and keeps what is lost.
    let minted = amount
        .checked_sub(wager)
        .filter(|gain| gain.is_positive())
        .unwrap_or_default();
    let burned = wager
        .checked_sub(amount)
        .filter(|loss| loss.is_positive())
        .unwrap_or_default();
    let movement = Movement::closing(posting, wager, minted, burned);
    Some(PredictionSettlement {
        movement,
        status,
        payout: amount,
        brier,
    })
}
