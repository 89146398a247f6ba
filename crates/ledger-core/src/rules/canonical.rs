//! Rules as one canonical text, and the digest by which positions and ticks name them.
//!
//! The text is the line `economy-rules/v1`, then a line `NAME=value` for each figure in the order of
//! the table of figures, each ended by a line feed. Amounts have eight decimals. The digest is the SHA-256
//! of the text. Stored texts must stay readable forever, so a figure is never renamed or removed. A figure
//! that was added after the first rules has a line only if it differs from the `before` in its row. So it
//! changes no digest until an operator sets it, and a text without its line means `before`.

use sha2::{Digest, Sha256};

use super::{EconomyRules, Row};
use crate::entry::Hash;

const HEADER: &str = "economy-rules/v1";

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
        for Row { name, figure, before } in rules.figures() {
            let value = figure.to_string();
            if before.as_ref() != Some(&value) {
                text.extend([name, "=", &value, "\n"]);
            }
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
            let place = missing.iter().position(|row| row.name == name);
            let Row { figure, .. } =
                missing.remove(place.ok_or(UnreadableRules::Unknown { line })?);
            figure.set(value).map_err(|problem| UnreadableRules::Value { line, problem })?;
        }
        for Row { name, figure, before } in missing {
            let before = before.ok_or(UnreadableRules::Missing { name })?;
            let set = figure.set(&before);
            set.map_err(|problem| UnreadableRules::Value { line: 0, problem })?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::{Parameters, SourceRules};

    /// A text as it may be kept somewhere: never edit it, or positions that name it cannot be settled.
    const KEPT: &str = include_str!("economy-rules-v1.txt");

    fn leaves(value: &Value) -> usize {
        match value {
            Value::Object(fields) => fields.values().map(leaves).sum(),
            _ => 1,
        }
    }

    /// A value that is neither the default nor the `before` of any figure.
    fn another(name: &str) -> &'static str {
        if name == "ENFORCEMENT_MODE" { "enforce" } else { "7" }
    }

    #[test]
    fn every_figure_has_its_line() {
        let figures = serde_json::to_value(EconomyRules::default()).unwrap();
        let mut rules = EconomyRules::default();
        let names = rules.figures().len();
        assert_eq!(names, leaves(&figures), "a figure is missing in the table");
        for Row { name, figure, .. } in rules.figures() {
            figure.set(another(name)).unwrap();
        }
        assert_eq!(rules.canonical().lines().count(), names + 1);
    }

    #[test]
    fn a_later_figure_has_a_line_only_where_it_is_another_than_before() {
        let mut rules = EconomyRules::default();
        let later = rules.figures().iter().filter(|row| row.before.is_some()).count();
        for Row { figure, before, .. } in rules.figures() {
            if let Some(before) = before {
                figure.set(&before).unwrap();
            }
        }
        let all = rules.figures().len();
        assert_eq!(rules.canonical().lines().count(), all - later + 1);
        let slow = EconomyRules { tick_rate_seconds: 30, ..rules.clone() };
        assert_eq!(slow.canonical().replace("TICK_RATE=30\n", ""), rules.canonical());
    }

    #[test]
    fn a_changed_figure_changes_the_digest_and_comes_back() {
        let plain = EconomyRules::default();
        for place in 0..plain.clone().figures().len() {
            let mut changed = plain.clone();
            let Row { name, figure, .. } = changed.figures().remove(place);
            figure.set(another(name)).unwrap();
            assert_ne!(changed.digest(), plain.digest(), "{name}");
            let read = EconomyRules::from_canonical(&changed.canonical()).unwrap();
            assert_eq!(read, changed, "{name}");
        }
    }

    #[test]
    fn a_text_that_was_kept_stays_readable() {
        let rules = EconomyRules::from_canonical(KEPT).unwrap();
        let mut expected = EconomyRules::default();
        for Row { name, figure, before } in expected.figures() {
            let is_kept = KEPT.contains(&format!("\n{name}="));
            assert!(is_kept || before.is_some(), "{name}: its row must say `before`");
            assert!(!is_kept || before.is_none(), "{name}: an old figure has no `before`");
            if let Some(before) = before {
                figure.set(&before).unwrap();
            }
        }
        assert_eq!(rules, expected);
        // Positions and ticks refer to these rules by their digest.
        assert_eq!(rules.canonical(), KEPT);
    }

    #[test]
    fn an_api_that_knows_fewer_figures_is_understood() {
        let rules = EconomyRules { tick_rate_seconds: 30, ..EconomyRules::default() };
        let mut said = serde_json::to_value(Parameters::from(&rules)).unwrap();
        let read = |said: &Value| serde_json::from_value::<Parameters>(said.clone());
        assert_eq!(read(&said).unwrap().rules(rules.enforcement), rules);
        let fields = said.as_object_mut().unwrap();
        fields.remove("tick_rate_seconds").unwrap();
        fields["markets"].as_object_mut().unwrap().remove("news").unwrap();
        let read_again = read(&said).unwrap();
        assert_eq!(read_again.tick_rate_seconds, 10);
        assert_eq!(read_again.markets.news, SourceRules::default());
        said.as_object_mut().unwrap().remove("payout_factor").unwrap();
        let error = read(&said).unwrap_err().to_string();
        assert!(error.contains("payout_factor"), "{error}");
    }

    #[test]
    fn spans_of_kept_rules_are_within_the_calendar() {
        let mut rules = EconomyRules::default();
        for Row { figure, .. } in rules.figures() {
            // Amounts and counts have other bounds and may refuse it.
            let _ = figure.set("9223372036854775807");
        }
        let bounded = serde_json::to_value(rules.within_calendar()).unwrap();
        let of = |fields: &Value| {
            let fields = fields.as_object().unwrap().clone();
            fields.into_iter().filter(|(name, _)| name.ends_with("_seconds"))
        };
        let spans: Vec<_> = of(&bounded).chain(of(&bounded["markets"])).collect();
        assert!(spans.len() >= 8, "{spans:?}");
        for (name, span) in spans {
            assert!(span.as_i64().unwrap() < i64::MAX, "{name}");
        }
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
