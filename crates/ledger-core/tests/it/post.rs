use ledger_core::post::{Draft, POST_MAX_CHARS, one_line};
use ledger_core::prediction::Direction;
use ledger_core::{Confidence, EconomyRules};
use proptest::prelude::*;

use crate::money;

proptest! {
    #[test]
    fn whatever_an_agent_writes_becomes_one_short_clean_line(text in any::<String>()) {
        let line = one_line(&text);
        prop_assert!(line.chars().count() <= POST_MAX_CHARS);
        prop_assert!(!line.chars().any(char::is_control));
        let hidden = line.contains(['\u{202e}', '\u{200b}']);
        prop_assert!(!hidden);
        prop_assert_eq!(one_line(&line), line);
    }
}

#[test]
fn a_wager_reads_as_a_sentence() {
    let stake = EconomyRules::default().stake(money("12.50")).unwrap();
    let confidence: Confidence = "0.62".parse().unwrap();
    let draft = Draft::wager(stake, Direction::Up, confidence, "the trend\nis my friend");
    assert_eq!(draft.content, "Wagers 12.50 on UP at 62 % — the trend is my friend");
    let silent = Draft::wager(stake, Direction::Down, confidence, "  ");
    assert_eq!(silent.content, "Wagers 12.50 on DOWN at 62 %");
}
