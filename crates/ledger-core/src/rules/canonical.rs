//! Rules as one canonical text, and the digest by which positions and ticks name them.
//!
//! The text is the line `economy-rules/v1`, then a line `NAME=value` for each figure in the order of
//! the table below, each ended by a line feed. Amounts have eight decimals. The digest is the SHA-256
//! of the text. Kept texts must stay readable for ever: a figure is never renamed or removed. A text
//! without the figures of a source is from before that source: they are read as 0.

use sha2::{Digest, Sha256};

use super::{EconomyRules, SourceRules, settings_of};
use crate::entry::Hash;
use crate::market::MarketSource;
use crate::sources::market_sources;

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

/// Each figure by the name of its setting: read, written and named by one table.
macro_rules! figures {
    ($($name:expr => $($field:ident).+),+ $(,)?) => {
        /// The names of all figures, in the order of the canonical text.
        pub(super) const NAMES: &[&str] = &[$($name),+];

        impl EconomyRules {
            /// Sets the figure of this name; the error says what it must be.
            pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
                $(if name == $name {
                    return match text.trim().parse() {
                        Ok(value) => {
                            self.$($field).+ = value;
                            Ok(())
                        }
                        Err(error) => Err(error.to_string()),
                    };
                })+
                Err("is no figure of the economy".to_owned())
            }

            /// The canonical text.
            #[must_use]
            pub fn canonical(&self) -> String {
                let mut text = format!("{HEADER}\n");
                $(text.push_str(&format!("{}={}\n", $name, self.$($field).+));)+
                text
            }
        }
    };
}

macro_rules! figures_with_sources {
    ($($(#[$about:meta])* $variant:ident, $module:ident, $label:literal, $criteria:ident;)+) => {
        figures! {
            "ENFORCEMENT_MODE" => enforcement,
            "GENESIS_GRANT" => genesis_grant,
            "ENTROPY_BASE" => entropy_base,
            "ENTROPY_STEP" => entropy_step,
            "IDLE_TICKS_PER_STEP" => idle_ticks_per_step,
            "ENTROPY_MAX" => entropy_max,
            "STAKE_MIN" => stake_min,
            "PRODUCTIVE_STAKE_MIN" => productive_stake_min,
            "PAYOUT_FACTOR" => payout_factor,
            "OPEN_PREDICTIONS_MAX" => open_predictions_max,
            "OPEN_STAKE_MAX" => open_stake_max,
            "PREDICTION_HORIZON" => prediction_horizon_seconds,
            "SAMPLE_LAG_SECONDS" => sample_lag_seconds,
            "SAMPLE_GRACE_SECONDS" => sample_grace_seconds,
            "SAMPLE_PATIENCE_SECONDS" => sample_patience_seconds,
            "HOUSE_LOSS_BUDGET_PER_HOUR" => house_loss_budget_per_hour,
            "PRICE_TTL_SECONDS" => price_ttl_seconds,
            "TICKET_TTL_SECONDS" => ticket_ttl_seconds,
            "MARKET_PLACES" => markets.places,
            "BOUNTY_BUDGET_PER_HOUR" => markets.bounty_budget_per_hour,
            $(
                concat!($label, "_BOUNTY") => markets.$module.bounty,
                concat!($label, "_SECONDS") => markets.$module.seconds,
                concat!($label, "_WEIGHT") => markets.$module.weight,
            )+
            "STAR_STEP" => markets.star_step,
            "ANSWER_STAKE" => markets.answer_stake,
            "LOOKUP_FEE" => markets.lookup_fee,
            "BETS_PER_REQUEST_MAX" => markets.bets_per_request_max,
            "MARKET_POOL_MAX" => markets.pool_max,
            "SETTLE_PATIENCE_SECONDS" => markets.settle_patience_seconds,
        }
    };
}
market_sources!(figures_with_sources);

impl EconomyRules {
    /// The SHA-256 of the canonical text.
    #[must_use]
    pub fn digest(&self) -> Hash {
        Hash(Sha256::digest(self.canonical()).into())
    }

    /// Reads a canonical text.
    pub fn from_canonical(text: &str) -> Result<EconomyRules, UnreadableRules> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(UnreadableRules::Header);
        }
        let mut rules = EconomyRules::default();
        let mut missing: Vec<&'static str> = NAMES.to_vec();
        for (index, text) in lines.enumerate() {
            let line = index + 2;
            let (name, value) = text.split_once('=').ok_or(UnreadableRules::Line { line })?;
            let place = missing.iter().position(|known| *known == name);
            missing.remove(place.ok_or(UnreadableRules::Unknown { line })?);
            rules
                .set(name, value)
                .map_err(|problem| UnreadableRules::Value { line, problem })?;
        }
        // Rules of before there was a source have none of its figures.
        for source in MarketSource::ALL.iter().skip(SOURCES_OF_V1) {
            let figures = settings_of(*source);
            if figures.iter().all(|name| missing.contains(name)) {
                missing.retain(|name| !figures.contains(name));
                *rules.markets.of_mut(*source) = SourceRules::default();
            }
        }
        for name in missing {
            let before = BEFORE.iter().find(|(known, _)| *known == name);
            let (_, value) = before.ok_or(UnreadableRules::Missing { name })?;
            let set = rules.set(name, value);
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
        assert_eq!(
            NAMES.len(),
            leaves(&figures),
            "a figure is missing in the table"
        );
        let text = EconomyRules::default().canonical();
        assert_eq!(text.lines().count(), NAMES.len() + 1);
    }

    #[test]
    fn a_changed_figure_changes_the_digest_and_comes_back() {
        let plain = EconomyRules::default();
        for name in NAMES {
            let mut changed = plain.clone();
            let value = if *name == "ENFORCEMENT_MODE" {
                "enforce"
            } else {
                "7"
            };
            changed.set(name, value).unwrap();
            assert_ne!(changed.digest(), plain.digest(), "{name}");
            let read = EconomyRules::from_canonical(&changed.canonical()).unwrap();
            assert_eq!(read, changed, "{name}");
        }
    }

    #[test]
    fn a_text_that_was_kept_stays_readable() {
        let rules = EconomyRules::from_canonical(KEPT).unwrap();
        assert_eq!(rules, EconomyRules::default());
    }

    #[test]
    fn what_is_no_text_of_rules_is_refused() {
        let text = EconomyRules::default().canonical();
        for (text, error) in [
            (String::new(), UnreadableRules::Header),
            (text.replace("v1", "v2"), UnreadableRules::Header),
            (
                format!("{text}more"),
                UnreadableRules::Line {
                    line: NAMES.len() + 2,
                },
            ),
            (
                format!("{text}MORE=1"),
                UnreadableRules::Unknown {
                    line: NAMES.len() + 2,
                },
            ),
            (
                text.replace("PAYOUT_FACTOR=2\n", ""),
                UnreadableRules::Missing {
                    name: "PAYOUT_FACTOR",
                },
            ),
        ] {
            assert_eq!(EconomyRules::from_canonical(&text), Err(error), "{text}");
        }
        let wrong = text.replace("PAYOUT_FACTOR=2", "PAYOUT_FACTOR=two");
        let read = EconomyRules::from_canonical(&wrong);
        assert!(
            matches!(read, Err(UnreadableRules::Value { .. })),
            "{read:?}"
        );
    }
}
