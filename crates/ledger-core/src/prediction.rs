//! Price predictions: their decision and their payouts.
//!
//! A prediction starts at the first price whose time *at the provider* is at or after its creation
//! plus a lag, never at a price its agent may have seen, and ends at the first price of the same
//! source at or after that start plus the horizon.
//!
//! A sample that is taken in time decides. If the source returned none, its history decides, and
//! later the history of another source, so that a failing source does not save a losing position.
//! See [`Known::find`].

use std::fmt;

use crate::decimal::Decimal8;
use crate::entry::Reference;
use crate::entry_types::EntryType;
use crate::ids::{PredictionId, PriceId};
use crate::money::{Confidence, Money, Outcome, Price, Stake};
use crate::movement::{Leg, Movement, PositionKind};
use crate::rules::EconomyRules;
use crate::time::Timestamp;
use crate::wallet::BotStatus;

labelled! {
    /// The predicted direction of the price.
    Direction {
        Up = "UP",
        Down = "DOWN",
    }
}

labelled! {
    /// The kind of source a price came from. Never the seed or the file: those would reveal future
    /// prices.
    PriceSource {
        Coingecko = "coingecko",
        Kraken = "kraken",
        Replay = "replay",
        Simulated = "simulated",
    }
}

impl PriceSource {
    /// Whether its prices are those of a market, and not invented or recorded ones.
    pub const fn is_real(self) -> bool {
        match self {
            PriceSource::Coingecko | PriceSource::Kraken => true,
            PriceSource::Replay | PriceSource::Simulated => false,
        }
    }
}

/// A stored price, which decides settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceSample {
    pub id: PriceId,
    pub price: Price,
    pub source: PriceSource,
    /// The time of the price at its provider.
    pub provider_at: Timestamp,
}

labelled! {
    PredictionStatus {
        Open = "OPEN",
        Won = "WON",
        Lost = "LOST",
        Void = "VOID",
        Forfeit = "FORFEIT",
    }
}

/// An open prediction, as far as settling it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPrediction {
    pub id: PredictionId,
    pub direction: Direction,
    pub stake: Stake,
    pub confidence: Confidence,
    pub created_at: Timestamp,
}

/// The result of a prediction by its samples, regardless of the owner's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    Void(VoidReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidReason {
    EqualPrice,
    SampleMissing,
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoidReason::EqualPrice => "the price did not move",
            VoidReason::SampleMissing => "no source has a price of that time",
        })
    }
}

/// No sample is taken or stored whose time at the provider is longer ago than this: for earlier
/// times, the source's history is then complete.
pub const SAMPLE_AGE_MAX_SECONDS: i64 = 600;

/// The known prices of one source from a due time on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The first sample that was taken of them.
    pub taken: Option<PriceSample>,
    /// The end of the time, beginning with that moment, for which the source's history was read.
    pub read_until: Option<Timestamp>,
    /// The first price of any kind, taken or from history, before that end.
    pub told: Option<PriceSample>,
}

/// The price that was due at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Price(PriceSample),
    /// The source's history was read and has none.
    Nothing,
    /// It may still be taken, or read from the source's history.
    NotYet,
}

impl Known {
    /// The price that was due at `due`: the first sample, if that is no later than a price may be
    /// old; else the first price of any kind once the source's history was read, within the grace
    /// period. The result does not depend on the time of the query.
    pub fn find(&self, due: Timestamp, rules: &EconomyRules) -> Found {
        let in_time = due.plus_seconds(rules.in_time_seconds());
        if let Some(sample) = self.taken
            && sample.provider_at <= in_time
        {
            return Found::Price(sample);
        }
        let last = due.plus_seconds(rules.sample_grace_seconds);
        match (self.read_until, self.told) {
            (Some(until), Some(told)) if told.provider_at < until && told.provider_at <= last => {
                Found::Price(told)
            }
            (Some(until), _) if until > last => Found::Nothing,
            _ => Found::NotYet,
        }
    }
}

/// The result of a prediction by two prices of one source.
pub fn judge(direction: Direction, start: &PriceSample, end: &PriceSample) -> Verdict {
    let moved = match end.price.cmp(&start.price) {
        std::cmp::Ordering::Equal => return Verdict::Void(VoidReason::EqualPrice),
        std::cmp::Ordering::Greater => Direction::Up,
        std::cmp::Ordering::Less => Direction::Down,
    };
    if moved == direction { Verdict::Right } else { Verdict::Wrong }
}

/// When the start price of a prediction is due.
pub fn start_due(created_at: Timestamp, rules: &EconomyRules) -> Timestamp {
    created_at.plus_seconds(rules.sample_lag_seconds)
}

/// When the end price of a prediction that starts at `start` is due.
pub fn end_due(start: &PriceSample, rules: &EconomyRules) -> Timestamp {
    start.provider_at.plus_seconds(rules.prediction_horizon_seconds)
}

/// Until when a prediction waits for its prices. After that it is void.
pub fn waits_until(created_at: Timestamp, rules: &EconomyRules) -> Timestamp {
    start_due(created_at, rules)
        .plus_seconds(rules.prediction_horizon_seconds)
        .plus_seconds(rules.sample_patience_seconds)
}

/// The end of a prediction: the closing entry and the final values of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionSettlement {
    pub movement: Movement,
    pub status: PredictionStatus,
    /// The payout to the bot.
    pub payout: Money,
    /// The Brier score; `None` where nothing was decided.
    pub brier: Option<Decimal8>,
}

/// Turns a verdict into money. The positions of dead bots are forfeit, whatever the samples;
/// `owner` is the status read under the wallet's lock.
///
/// `None` if the payout leaves the range of money, which no stake within the limits can reach.
pub fn settle(
    prediction: &OpenPrediction,
    verdict: Verdict,
    owner: BotStatus,
    rules: &EconomyRules,
) -> Option<PredictionSettlement> {
    let stake = prediction.stake.money();
    let brier = match verdict {
        Verdict::Right => Some(prediction.confidence.brier(Outcome::Happened)),
        Verdict::Wrong => Some(prediction.confidence.brier(Outcome::DidNotHappen)),
        Verdict::Void(_) => None,
    };
    // The stake leaves escrow. The house pays the part of a payout above it, and keeps a lost one.
    let (entry_type, leg, status, brier) = match (owner, verdict) {
        (BotStatus::Dead | BotStatus::Retired, _) => {
            (EntryType::Forfeit, Some(Leg::Burn(stake)), PredictionStatus::Forfeit, None)
        }
        (BotStatus::Alive, Verdict::Right) => {
            let gain = stake.checked_mul(rules.payout_factor)?.checked_sub(stake)?;
            let leg = if gain.is_negative() { Leg::Burn(gain.negated()) } else { Leg::Mint(gain) };
            (EntryType::Payout, Some(leg), PredictionStatus::Won, brier)
        }
        (BotStatus::Alive, Verdict::Wrong) => {
            (EntryType::Slash, Some(Leg::Burn(stake)), PredictionStatus::Lost, brier)
        }
        (BotStatus::Alive, Verdict::Void(_)) => {
            (EntryType::Refund, None, PredictionStatus::Void, None)
        }
    };
    let reference = Reference::built(&format!("PREDICTION:{}", prediction.id));
    let position = (PositionKind::Prediction, stake);
    let movement = Movement::closing(entry_type, reference, position, [leg, None])?;
    Some(PredictionSettlement { payout: movement.posting.amount, movement, status, brier })
}
