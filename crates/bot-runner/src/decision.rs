//! From what a model wrote to what the bot does: pure, exact, and inside every limit.
//!
//! A model proposes; this decides. Whatever the text says, no stake leaves the limits, nothing
//! is rounded up, and no float is computed with. A text that makes no sense is an error, never a
//! guess: the bot then loses its turn, not its money.

use ledger_core::prediction::Direction;
use ledger_core::{Confidence, Money};
use serde::Deserialize;
use serde_json::Value;

use llm::output::{self, OutputError};

use crate::persona::Fraction;

/// The longest reasoning the arena takes, in characters.
pub const REASONING_CHARS_MAX: usize = 280;
const UNITS_PER_ONE: i128 = 100_000_000;
/// Digits after the point that count; further ones are cut off, never rounded.
const DECIMALS: usize = 8;

/// What the bot has, as the arena said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub balance: Money,
    pub open_predictions: i64,
    /// At stake in open predictions.
    pub open_stake: Money,
}

/// What a wager may be: the arena's rules and the persona's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub stake_min: Money,
    pub open_predictions_max: i64,
    pub open_stake_max: Money,
    /// Of the balance, in one wager.
    pub max_stake_fraction: Fraction,
    /// Below this the bot waits.
    pub min_confidence: Confidence,
}

/// What the bot does with its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Predict {
        direction: Direction,
        stake: Money,
        confidence: Confidence,
        reasoning: Option<String>,
    },
    Wait {
        why: Waiting,
        reasoning: Option<String>,
    },
}

/// Why a bot lets a turn pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Waiting {
    #[error("the model chose to wait")]
    Chosen,
    #[error("the model is less confident than the persona demands")]
    Unsure,
    #[error("no more predictions may be open")]
    TooManyOpen,
    #[error("what may still be staked is less than the smallest stake")]
    NothingToStake,
}

/// Why a text is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("the model's action is neither WAGER nor WAIT")]
    Action,
    #[error("the model's direction is neither UP nor DOWN")]
    Direction,
    #[error("the model's confidence is no decimal from 0 to 1")]
    Confidence,
    #[error("the model's stake_fraction is no decimal from 0 to 1")]
    StakeFraction,
}

/// What the model is asked to write; more fields do no harm.
#[derive(Debug, Deserialize)]
struct Proposal {
    #[serde(default)]
    action: Value,
    #[serde(default)]
    direction: Value,
    #[serde(default)]
    stake_fraction: Value,
    #[serde(default)]
    confidence: Value,
    #[serde(default)]
    reasoning: Value,
}

/// The most that a wager could be now; `Err` when there cannot be one, whatever a model says.
/// Asked before the model is, so that nobody pays for thoughts without consequence.
///
/// # Errors
/// Why the bot has to wait.
pub fn room(standing: &Standing, limits: &Limits) -> Result<Money, Waiting> {
    if standing.open_predictions >= limits.open_predictions_max {
        return Err(Waiting::TooManyOpen);
    }
    let by_balance = share(standing.balance, limits.max_stake_fraction);
    let by_open_stake = limits
        .open_stake_max
        .checked_sub(standing.open_stake)
        .unwrap_or(Money::ZERO);
    let room = by_balance.min(by_open_stake);
    if room < limits.stake_min || !room.is_positive() {
        return Err(Waiting::NothingToStake);
    }
    Ok(room)
}

/// Decides a turn from a model's text.
///
/// # Errors
/// When the text is no decision.
pub fn decide(text: &str, standing: &Standing, limits: &Limits) -> Result<Action, Unusable> {
    let proposal: Proposal = output::parse_object(text)?;
    let reasoning = reasoning(&proposal.reasoning);
    let wait = |why, reasoning| Ok(Action::Wait { why, reasoning });
    if is_word(&proposal.action, &["WAIT", "HOLD", "PASS"]) {
        return wait(Waiting::Chosen, reasoning);
    }
    if !is_word(&proposal.action, &["WAGER", "PREDICT"]) {
        return Err(Unusable::Action);
    }
    let direction = if is_word(&proposal.direction, &["UP"]) {
        Direction::Up
    } else if is_word(&proposal.direction, &["DOWN"]) {
        Direction::Down
    } else {
        return Err(Unusable::Direction);
    };
    let confidence = decimal(&proposal.confidence).ok_or(Unusable::Confidence)?;
    let fraction = decimal(&proposal.stake_fraction).ok_or(Unusable::StakeFraction)?;
    let confidence = within_arena(confidence).ok_or(Unusable::Confidence)?;
    if confidence < limits.min_confidence {
        return wait(Waiting::Unsure, reasoning);
    }
    let room = match room(standing, limits) {
        Ok(room) => room,
        Err(why) => return wait(why, reasoning),
    };
    let stake = share(standing.balance, fraction).min(room);
    if stake < limits.stake_min || !stake.is_positive() {
        return wait(Waiting::NothingToStake, reasoning);
    }
    Ok(Action::Predict {
        direction,
        stake,
        confidence,
        reasoning,
    })
}

/// `amount × fraction`, rounded down to a whole unit; nothing of a debt.
fn share(amount: Money, fraction: Fraction) -> Money {
    if !amount.is_positive() {
        return Money::ZERO;
    }
    // At most 10^18 × 10^8: far inside an i128.
    let units = i128::from(amount.units()) * i128::from(fraction.decimal().units());
    i64::try_from(units / UNITS_PER_ONE)
        .ok()
        .and_then(Money::from_units)
        .unwrap_or(Money::ZERO)
}

/// Models like to be certain; the arena takes nothing beyond 0.01 and 0.99.
fn within_arena(confidence: Fraction) -> Option<Confidence> {
    let value = confidence.decimal().clamp(Confidence::MIN, Confidence::MAX);
    Confidence::new(value).ok()
}

/// A decimal from 0 to 1, written as a string or as a JSON number. The number's shortest text is
/// read, so `0.07` means 0.07.
fn decimal(value: &Value) -> Option<Fraction> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let cut = match text.split_once('.') {
        Some((whole, decimals)) if decimals.len() > DECIMALS && is_digits(decimals) => {
            format!("{whole}.{}", decimals.get(..DECIMALS)?)
        }
        _ => text,
    };
    cut.parse().ok()
}

fn is_word(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|text| {
        let text = text.trim();
        words.iter().any(|word| text.eq_ignore_ascii_case(word))
    })
}

/// The model's reasoning as the arena takes it: one line, not too long.
fn reasoning(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line: String = words.join(" ").chars().take(REASONING_CHARS_MAX).collect();
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}
