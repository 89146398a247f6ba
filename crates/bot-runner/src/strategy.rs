//! A bot's possible actions in its turn, and the model's choice. Pure.

use llm::output;
use serde::Deserialize;
use serde_json::Value;

use crate::decision::Unusable;
use crate::reading::is_word;

/// The words by which models choose.
const WORDS: [(&[&str], Strategy); 4] = [
    (&["RESEARCH", "ANSWER"], Strategy::Research),
    (&["PORTFOLIO", "BET"], Strategy::Portfolio),
    (&["WAGER", "PREDICT"], Strategy::Wager),
    (&["WAIT", "HOLD", "PASS"], Strategy::Wait),
];

/// A way to spend a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Answer a research question.
    Research,
    /// Bet on a few markets.
    Portfolio,
    /// Wager on the price.
    Wager,
    Wait,
}

/// The possible actions. The model is only called if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub research: bool,
    pub portfolio: bool,
    pub wager: bool,
}

impl Options {
    pub const fn is_any(self) -> bool {
        self.research || self.portfolio || self.wager
    }

    /// Whether a strategy is among them; waiting always is.
    pub const fn allow(self, strategy: Strategy) -> bool {
        match strategy {
            Strategy::Research => self.research,
            Strategy::Portfolio => self.portfolio,
            Strategy::Wager => self.wager,
            Strategy::Wait => true,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Proposal {
    #[serde(default)]
    strategy: Value,
    /// Other names that some models use.
    #[serde(default)]
    action: Value,
}

/// Reads which strategy a model chose.
///
/// # Errors
/// When the text chooses none.
pub fn choose(text: &str) -> Result<Strategy, Unusable> {
    let proposal: Proposal = output::parse_object(text)?;
    let word = match &proposal.strategy {
        Value::Null => &proposal.action,
        strategy => strategy,
    };
    WORDS
        .into_iter()
        .find(|(words, _)| is_word(word, words))
        .map(|(_, strategy)| strategy)
        .ok_or(Unusable::Strategy)
}
