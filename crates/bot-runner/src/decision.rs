//! From a model's output to a wager: pure, exact, and inside every limit.
//!
//! A model proposes; this decides. For any text, stakes stay within the limits, nothing is rounded up, and no
//! float is used. A text that makes no sense is an error, never a guess: the bot then loses its turn, not its
//! money.

use ledger_core::prediction::Direction;
use ledger_core::research::AnswerError;
use ledger_core::{Confidence, Money};
use serde::Deserialize;
use serde_json::Value;

use llm::output::{self, OutputError};

use crate::persona::Fraction;
use crate::reading::{confidence, decimal, is_word, reasoning, share};
use crate::strategy::{self, Strategy};

/// The bot's credits by the arena's last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub balance: Money,
    pub open_predictions: i64,
    /// At stake in open predictions.
    pub open_stake: Money,
}

/// The limits of a wager: the arena's rules and the persona's own.
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

/// The bot's decision for its turn.
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
    #[error("the model's confidence is too low")]
    Unsure,
    #[error("the model's choice is not possible now")]
    NotPossible,
    #[error("model calls have used up today's limit")]
    Spent,
    #[error("the limit of open predictions is reached")]
    TooManyOpen,
    #[error("the allowed stake is less than the smallest stake")]
    NothingToStake,
}

/// Why a text is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("the model's strategy is none of RESEARCH, PORTFOLIO, WAGER and WAIT")]
    Strategy,
    #[error("the model's action is neither WAGER nor WAIT")]
    Action,
    #[error("the model's direction is neither UP nor DOWN")]
    Direction,
    #[error("the model's confidence is not a decimal from 0 to 1")]
    Confidence,
    #[error("the model's stake_fraction is not a decimal from 0 to 1")]
    StakeFraction,
    #[error("the model's answer {0}")]
    Answer(#[from] AnswerError),
    #[error("the model's bets are not a list")]
    Bets,
}

/// The requested output of the model; further fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Proposal {
    direction: Value,
    stake_fraction: Value,
    confidence: Value,
    reasoning: Value,
}

/// The highest possible wager now; `Err` if none is possible. Checked before the model call, so that no call is
/// paid without a possible action.
///
/// # Errors
/// Why the bot has to wait.
pub fn room(standing: &Standing, limits: &Limits) -> Result<Money, Waiting> {
    if standing.open_predictions >= limits.open_predictions_max {
        return Err(Waiting::TooManyOpen);
    }
    let by_balance = share(standing.balance, limits.max_stake_fraction.decimal());
    let by_open_stake =
        limits.open_stake_max.checked_sub(standing.open_stake).unwrap_or(Money::ZERO);
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
    let chosen = match strategy::choose(text) {
        Err(Unusable::Strategy) => return Err(Unusable::Action),
        chosen => chosen?,
    };
    let proposal: Proposal = output::parse_object(text)?;
    let reasoning = reasoning(&proposal.reasoning);
    let wait = |why, reasoning| Ok(Action::Wait { why, reasoning });
    match chosen {
        Strategy::Wait => return wait(Waiting::Chosen, reasoning),
        Strategy::Research | Strategy::Portfolio => return Err(Unusable::Action),
        Strategy::Wager => {}
    }
    let direction = if is_word(&proposal.direction, &["UP"]) {
        Direction::Up
    } else if is_word(&proposal.direction, &["DOWN"]) {
        Direction::Down
    } else {
        return Err(Unusable::Direction);
    };
    let confidence = confidence(&proposal.confidence).ok_or(Unusable::Confidence)?;
    let fraction = decimal(&proposal.stake_fraction).ok_or(Unusable::StakeFraction)?;
    if confidence < limits.min_confidence {
        return wait(Waiting::Unsure, reasoning);
    }
    let room = match room(standing, limits) {
        Ok(room) => room,
        Err(why) => return wait(why, reasoning),
    };
    let stake = share(standing.balance, fraction.decimal()).min(room);
    if stake < limits.stake_min || !stake.is_positive() {
        return wait(Waiting::NothingToStake, reasoning);
    }
    Ok(Action::Predict { direction, stake, confidence, reasoning })
}
