//! What a bot may do with its turn, and which of it a model chose. Pure.

use llm::output;
use serde::Deserialize;
use serde_json::Value;

use crate::decision::Unusable;
use crate::reading::is_word;

/// The words by which models choose.
pub(crate) const RESEARCH: [&str; 2] = ["RESEARCH", "ANSWER"];
pub(crate) const PORTFOLIO: [&str; 2] = ["PORTFOLIO", "BET"];
pub(crate) const WAGER: [&str; 2] = ["WAGER", "PREDICT"];
pub(crate) const WAIT: [&str; 3] = ["WAIT", "HOLD", "PASS"];

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

/// What can be done at all. A model is asked only if anything can.
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
    /// What some models call it.
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
    let known: [(&[&str], Strategy); 4] = [
        (&RESEARCH, Strategy::Research),
        (&PORTFOLIO, Strategy::Portfolio),
        (&WAGER, Strategy::Wager),
        (&WAIT, Strategy::Wait),
    ];
    known
        .into_iter()
        .find(|(words, _)| is_word(word, words))
        .map(|(_, strategy)| strategy)
        .ok_or(Unusable::Strategy)
}
