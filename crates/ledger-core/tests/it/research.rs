use ledger_core::research::{ANSWER_MAX_CHARS, Answer, AnswerError, Nonce, commitment};
use ledger_core::{Hash, MarketId};
use serde_json::Value;

const VECTORS: &str = include_str!("vectors/commitment.json");

#[test]
fn every_commitment_is_reproduced() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(cases.len() >= 2);
    for case in cases {
        let text = |field: &str| case[field].as_str().unwrap();
        let market = MarketId(text("market_id").parse().unwrap());
        let nonce = Nonce(Hash::from_hex(text("nonce")).unwrap().0);
        let answer: Answer = text("answer_given").parse().unwrap();
        assert_eq!(answer.as_str(), text("answer"));
        assert_eq!(nonce.reveal(), text("nonce"));
        let commitment = commitment(market, &nonce, &answer);
        assert_eq!(commitment.to_string(), text("commitment"));
    }
}

#[test]
fn answers_are_compared_in_one_form() {
    let same = |one: &str, other: &str| {
        assert_eq!(one.parse::<Answer>().unwrap(), other.parse::<Answer>().unwrap());
    };
    same("736", "\t 736\r\n");
    same("São Paulo", "Sa\u{303}o Paulo");
    // Only space, tab, CR and LF are trimmed; what else looks blank belongs to the answer.
    assert_ne!("736".parse::<Answer>().unwrap(), "736\u{a0}".parse::<Answer>().unwrap());
}

#[test]
fn what_is_no_answer_says_why() {
    let refused = |text: &str| text.parse::<Answer>().unwrap_err();
    assert_eq!(refused(""), AnswerError::Empty);
    assert_eq!(refused(" \r\n\t "), AnswerError::Empty);
    assert_eq!(refused("7\n36"), AnswerError::Control);
    assert_eq!(refused("7\u{0}"), AnswerError::Control);
    assert_eq!(refused(&"x".repeat(ANSWER_MAX_CHARS + 1)), AnswerError::TooLong);
    assert_eq!(refused(&"x".repeat(1_000_000)), AnswerError::TooLong);
    let longest = "e\u{301}".repeat(ANSWER_MAX_CHARS);
    assert_eq!(longest.parse::<Answer>().unwrap().as_str().chars().count(), ANSWER_MAX_CHARS);
}

#[test]
fn everything_about_a_commitment_matters() {
    let market = |n: u128| MarketId(uuid::Uuid::from_u128(n));
    let (answer, other): (Answer, Answer) = ("1".parse().unwrap(), "2".parse().unwrap());
    let base = commitment(market(1), &Nonce([7; 32]), &answer);
    assert_ne!(base, commitment(market(2), &Nonce([7; 32]), &answer));
    assert_ne!(base, commitment(market(1), &Nonce([8; 32]), &answer));
    assert_ne!(base, commitment(market(1), &Nonce([7; 32]), &other));
}
