//! Feed posts: one line about an economic event, written in the event's own transaction.

use crate::economy::{AnswerResult, Attempt, Operator};
use crate::ids::{PredictionId, TickNumber};
use crate::market::{BetSettlement, BetState, Side};
use crate::money::{Confidence, Money, Stake};
use crate::prediction::{Direction, PredictionSettlement, PredictionStatus, Verdict};
use crate::texts::cut;
pub use crate::texts::{POST_MAX_CHARS, one_line};

/// The longest part of a market's question that fits into a post.
const QUESTION_MAX_CHARS: usize = 120;

labelled! {
    PostKind {
        Wager = "WAGER",
        /// A bet on a market.
        Bet = "BET",
        /// An answer to a research question, right or wrong.
        Research = "RESEARCH",
        Settlement = "SETTLEMENT",
        Liquidation = "LIQUIDATION",
        Revival = "REVIVAL",
        Retirement = "RETIREMENT",
        Error = "ERROR",
    }
}

/// A post that is yet to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub kind: PostKind,
    /// At most [`POST_MAX_CHARS`] characters, no control characters.
    pub content: String,
}

impl Draft {
    fn new(kind: PostKind, content: &str) -> Draft {
        Draft { kind, content: one_line(content) }
    }

    pub fn wager(
        stake: Stake,
        direction: Direction,
        confidence: Confidence,
        reasoning: &str,
    ) -> Draft {
        let (percent, why) = (percent(confidence), because(reasoning));
        let stake = short(stake.money());
        Draft::new(PostKind::Wager, &format!("Wagers {stake} on {direction} at {percent} %{why}"))
    }

    pub fn bet(
        stake: Stake,
        side: Side,
        confidence: Confidence,
        question: &str,
        reasoning: &str,
    ) -> Draft {
        let (percent, why) = (percent(confidence), because(reasoning));
        let (stake, question) = (short(stake.money()), cut(question, QUESTION_MAX_CHARS));
        Draft::new(
            PostKind::Bet,
            &format!("Bets {stake} on {side} at {percent} %: {question}{why}"),
        )
    }

    pub fn research(attempt: &Attempt, result: AnswerResult, question: &str, why: &str) -> Draft {
        let (question, why) = (cut(question, QUESTION_MAX_CHARS), because(why));
        let story = match result {
            AnswerResult::Correct => format!("Solves and is paid {}", short(attempt.payout)),
            AnswerResult::Wrong => format!("Misses and loses {}", short(attempt.stake)),
        };
        Draft::new(PostKind::Research, &format!("{story}: {question}{why}"))
    }

    pub fn bet_settlement(stake: Stake, side: Side, end: &BetSettlement, question: &str) -> Draft {
        let (stake, question) = (short(stake.money()), cut(question, QUESTION_MAX_CHARS));
        let story = match end.state {
            BetState::Won => format!("is right and is paid {}", short(end.payout)),
            BetState::Lost => format!("is wrong and loses {stake}"),
            BetState::Forfeit => format!("is forfeit: its owner is gone, {stake} with it"),
            BetState::Void | BetState::Open => format!("is void, {stake} comes back"),
        };
        Draft::new(PostKind::Settlement, &format!("The bet on {side} {story}: {question}"))
    }

    pub fn settlement(
        id: PredictionId,
        wager: Stake,
        verdict: Verdict,
        end: &PredictionSettlement,
    ) -> Draft {
        let stake = short(wager.money());
        let story = match end.status {
            PredictionStatus::Won => format!("was right and is paid {}", short(end.payout)),
            PredictionStatus::Lost => format!("was wrong and loses {stake}"),
            PredictionStatus::Forfeit => {
                format!("is forfeit: its owner is gone, {stake} falls to the house")
            }
            PredictionStatus::Void | PredictionStatus::Open => match verdict {
                Verdict::Void(reason) => format!("is void ({reason}), {stake} comes back"),
                Verdict::Right | Verdict::Wrong => format!("is void, {stake} comes back"),
            },
        };
        Draft::new(PostKind::Settlement, &format!("Prediction {id} {story}"))
    }

    pub fn liquidation(tick: TickNumber, fee: Money, balance: Money) -> Draft {
        let (fee, balance) = (short(fee), short(balance));
        Draft::new(
            PostKind::Liquidation,
            &format!("Liquidated in tick {tick}: {balance} did not cover the fee of {fee}"),
        )
    }

    pub fn reaped() -> Draft {
        Draft::new(PostKind::Liquidation, "Liquidated by the reaper: nothing left and nothing open")
    }

    pub fn revival(amount: Money, who: &Operator, reason: &str) -> Draft {
        let amount = short(amount);
        Draft::new(PostKind::Revival, &format!("Revived by {who} with {amount} — {reason}"))
    }

    pub fn retirement(who: &Operator, burnt: Money) -> Draft {
        let burnt = short(burnt);
        Draft::new(PostKind::Retirement, &format!("Retired for good by {who}; {burnt} burnt"))
    }

    pub fn tick_failed(tick: TickNumber) -> Draft {
        Draft::new(
            PostKind::Error,
            &format!(
                "Tick {tick} failed for this bot and was not charged; its operator should look"
            ),
        )
    }
}

/// A probability in whole per cent.
fn percent(confidence: Confidence) -> i64 {
    confidence.decimal().units() / 1_000_000
}

fn because(reasoning: &str) -> String {
    if reasoning.trim().is_empty() { String::new() } else { format!(" — {reasoning}") }
}

/// An amount without trailing zeros: at least two digits after the point.
fn short(amount: Money) -> String {
    let text = amount.to_string();
    let trimmed = text.trim_end_matches('0');
    let decimals = trimmed.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if decimals >= 2 { trimmed.to_owned() } else { format!("{trimmed}{}", &"00"[decimals..]) }
}
