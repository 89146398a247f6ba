//! Rules as one canonical text, and the digest by which positions and ticks name them.
//!
//! The text is the line `economy-rules/v1`, then a line `NAME=value` for each figure in the order of
//! the table of figures, each ended by a line feed. Amounts have eight decimals. The digest is the SHA-256
//! of the text. Kept texts must stay readable for ever: a figure is never renamed or removed. A text
//! without the figures of a source is from before that source: they are read as 0.

use sha2::{Digest, Sha256};

use super::EconomyRules;
use crate::entry::Hash;
use crate::market::MarketSource;

/// The sources that the first rules had, at the head of the registry.
const SOURCES_OF_V1: usize = 4;

const HEADER: &str = "economy-rules/v1";

/// What a figure was before its name was in any text, for texts that lack it.
const BEFORE: &[(&str, &str)] = &[];

/// A kept text that is not one of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRules {
    #[error("the first line is not {HEADER}")]
    Header,
    #[error("line {line} is not NAME=value")]
    Line { line: usize },
    #[error("line {line} names a figure that this build does not know")]
    Unknown { line: usize },
    #[error("line {line}: {problem}")]
    Value { line: usize, problem: String },
    #[error("{name} is missing")]
    Missing { name: &'static str },
}

impl EconomyRules {
    /// The canonical text.
    pub fn canonical(&self) -> String {
        let mut rules = self.clone();
        let mut text = format!("{HEADER}\n");
        for (name, figure) in rules.figures() {
            text.extend([name, "=", &figure.to_string(), "\n"]);
        }
        text
    }

    /// The SHA-256 of the canonical text.
    pub fn digest(&self) -> Hash {
        EconomyRules::digest_of(&self.canonical())
    }

    /// The digest of rules by their canonical text.
    pub fn digest_of(canonical: &str) -> Hash {
        Hash(Sha256::digest(canonical).into())
    }

    /// Reads a canonical text.
    pub fn from_canonical(text: &str) -> Result<EconomyRules, UnreadableRules> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(UnreadableRules::Header);
        }
        let mut rules = EconomyRules::default();
        let mut missing = rules.figures();
        for (index, text) in lines.enumerate() {
            let line = index + 2;
            let (name, value) = text.split_once('=').ok_or(UnreadableRules::Line { line })?;
            let place = missing.iter().position(|(known, _)| *known == name);
            let (_, figure) = missing.remove(place.ok_or(UnreadableRules::Unknown { line })?);
            figure.set(value).map_err(|problem| UnreadableRules::Value { line, problem })?;
        }
        // Rules of before there was a source have none of its figures.
        let names: Vec<_> = missing.iter().map(|(name, _)| (*name).to_owned()).collect();
        let is_of_later_source = |name: &str| {
            MarketSource::ALL.iter().skip(SOURCES_OF_V1).any(|source| {
                let figures = ["BOUNTY", "SECONDS", "WEIGHT"].map(|of| format!("{source}_{of}"));
                figures.iter().any(|of| of == name) && figures.iter().all(|of| names.contains(of))
            })
        };
        for (name, figure) in missing {
            let before = BEFORE.iter().find(|(known, _)| *known == name);
            let before = before.map(|(_, value)| *value);
            let value = before
                .or(is_of_later_source(name).then_some("0"))
                .ok_or(UnreadableRules::Missing { name })?;
            let set = figure.set(value);
            set.map_err(|problem| UnreadableRules::Value { line: 0, problem })?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A text as it may be kept somewhere: never edit it, or positions that name it cannot be settled.
    const KEPT: &str = include_str!("economy-rules-v1.txt");

    fn leaves(value: &Value) -> usize {
        match value {
            Value::Object(fields) => fields.values().map(leaves).sum(),
            _ => 1,
        }
    }

    #[test]
    fn every_figure_has_its_line() {
        let figures = serde_json::to_value(EconomyRules::default()).unwrap();
        let names = EconomyRules::default().figures().len();
        assert_eq!(names, leaves(&figures), "a figure is missing in the table");
        let text = EconomyRules::default().canonical();
        assert_eq!(text.lines().count(), names + 1);
    }

    #[test]
    fn a_changed_figure_changes_the_digest_and_comes_back() {
        let plain = EconomyRules::default();
        for place in 0..plain.clone().figures().len() {
            let mut changed = plain.clone();
            let (name, figure) = changed.figures().remove(place);
            let value = if name == "ENFORCEMENT_MODE" { "enforce" } else { "7" };
            figure.set(value).unwrap();
            assert_ne!(changed.digest(), plain.digest(), "{name}");
            let read = EconomyRules::from_canonical(&changed.canonical()).unwrap();
            assert_eq!(read, changed, "{name}");
        }
    }

    #[test]
    fn a_text_that_was_kept_stays_readable() {
        let rules = EconomyRules::from_canonical(KEPT).unwrap();
        let mut expected = EconomyRules::default();
        for (name, figure) in expected.figures() {
            if !KEPT.contains(&format!("\n{name}=")) {
                figure.set("0").unwrap();
            }
        }
        assert_eq!(rules, expected);
    }

    #[test]
    fn what_is_no_text_of_rules_is_refused() {
        let text = EconomyRules::default().canonical();
        let behind = text.lines().count() + 1;
        for (text, error) in [
            (String::new(), UnreadableRules::Header),
            (text.replace("v1", "v2"), UnreadableRules::Header),
            (format!("{text}more"), UnreadableRules::Line { line: behind }),
            (format!("{text}MORE=1"), UnreadableRules::Unknown { line: behind }),
            (
                text.replace("PAYOUT_FACTOR=2\n", ""),
                UnreadableRules::Missing { name: "PAYOUT_FACTOR" },
            ),
        ] {
            assert_eq!(EconomyRules::from_canonical(&text), Err(error), "{text}");
        }
        let wrong = text.replace("PAYOUT_FACTOR=2", "PAYOUT_FACTOR=two");
        let read = EconomyRules::from_canonical(&wrong);
        assert!(matches!(read, Err(UnreadableRules::Value { .. })), "{read:?}");
    }
}
