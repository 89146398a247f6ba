//! Answering a research question: when to look something up, and when to speak. Pure.

use ledger_core::criteria::ArticleCriteria;
use ledger_core::research::Answer;
use ledger_core::{Confidence, Decimal8, Money};
use llm::output;
use serde::Deserialize;
use serde_json::Value;

use arena_client::api_types::Market;

use crate::decision::Unusable;
use crate::reading::{confidence, is_word, reasoning};

/// An answer is given above this confidence only; at or below it the bot looks it up first.
pub const CONFIDENCE_ABOVE: Decimal8 = Decimal8::hundredths(50);

/// The model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub answer: Answer,
    pub confidence: Confidence,
    /// Whether the model requests the lookup tool.
    pub asks: bool,
    pub reasoning: Option<String>,
}

/// The cost of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub balance: Money,
    pub stake: Money,
    /// The additional fee for the tool.
    pub lookup_fee: Money,
}

impl Terms {
    /// Whether the bot can pay for an answer without a lookup.
    pub fn afford_answer(&self) -> bool {
        self.stake <= self.balance
    }

    /// Whether the bot can pay for an answer that it looked up.
    pub fn afford_lookup(&self) -> bool {
        self.stake.checked_add(self.lookup_fee).is_some_and(|cost| cost <= self.balance)
    }
}

impl Proposal {
    pub fn wants_lookup(&self) -> bool {
        self.asks || !self.is_sure()
    }

    /// Whether the confidence is high enough to answer.
    pub fn is_sure(&self) -> bool {
        self.confidence.decimal() > CONFIDENCE_ABOVE
    }
}

/// The requested output of the model; further fields are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    answer: Value,
    confidence: Value,
    lookup: Value,
    reasoning: Value,
}

/// Reads a model's answer. A page id may be written as a number.
///
/// # Errors
/// When the text is no answer.
pub fn read(text: &str) -> Result<Proposal, Unusable> {
    let written: Written = output::parse_object(text)?;
    let answer = match &written.answer {
        Value::String(answer) => answer.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let asks = written.lookup == Value::Bool(true) || is_word(&written.lookup, &["YES", "TRUE"]);
    Ok(Proposal {
        answer: answer.parse()?,
        confidence: confidence(&written.confidence).ok_or(Unusable::Confidence)?,
        asks,
        reasoning: reasoning(&written.reasoning),
    })
}

/// The title of the question's article, if an article decides it.
pub fn title_of(market: &Market) -> Option<String> {
    let criteria: ArticleCriteria = serde_json::from_value(market.criteria.clone()).ok()?;
    Some(criteria.article.as_str().to_owned())
}
