//! Research: a question whose answer is fixed before it is asked.
//!
//! The commitment is shown from the opening, nonce and answer after the close. Anyone can then
//! check that the answer was not chosen after the attempts. The nonce is 256 random bits, because a
//! bare hash of so few possible answers could be tried out in a minute.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::entry::Hash;
use crate::ids::MarketId;

/// The longest answer, in characters after normalisation.
pub const ANSWER_MAX_CHARS: usize = 200;

/// An answer in the form in which answers are compared and committed to: Unicode NFC, without
/// space, tab, CR and LF around it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, derive_more::Display)]
pub struct Answer(String);

/// Why a text is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {ANSWER_MAX_CHARS} characters")]
    TooLong,
    #[error("must be one line without control characters")]
    Control,
}

impl Answer {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Answer {
    type Err = AnswerError;

    fn from_str(text: &str) -> Result<Answer, AnswerError> {
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        // Normalising can make a text three times as long, and never shorter than a third.
        if trimmed.chars().count() > 3 * ANSWER_MAX_CHARS {
            return Err(AnswerError::TooLong);
        }
        let answer: String = trimmed.nfc().collect();
        if answer.is_empty() {
            Err(AnswerError::Empty)
        } else if answer.chars().count() > ANSWER_MAX_CHARS {
            Err(AnswerError::TooLong)
        } else if answer.chars().any(char::is_control) {
            // A line feed within it would make two answers share a commitment's form.
            Err(AnswerError::Control)
        } else {
            Ok(Answer(answer))
        }
    }
}

/// Prevents testing guesses against a commitment. Secret until its market has closed, so it has no
/// `Debug` and no `Display`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 32]);

impl Nonce {
    /// Lower-case hex, for those who may see it.
    pub fn reveal(&self) -> String {
        Hash(self.0).to_string()
    }
}

/// The commitment to an answer, version `research/v1`.
///
/// SHA-256 over `research/v1`, the market's id, the nonce in lower-case hex and the answer, each
/// ended by one line feed.
pub fn commitment(market: MarketId, nonce: &Nonce, answer: &Answer) -> Hash {
    let form = format!("research/v1\n{market}\n{}\n{answer}\n", nonce.reveal());
    Hash(Sha256::digest(form.as_bytes()).into())
}
