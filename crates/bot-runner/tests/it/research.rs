//! The parsed result of a model's text about a question.

use arena_client::api_types::Market;
use bot_runner::decision::Unusable;
use bot_runner::research::{Terms, read, title_of};
use ledger_core::Money;
use ledger_core::research::AnswerError;
use llm::output::OutputError;

use crate::arena::{QUESTION, RAIN, market};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn an_answer_is_read_in_the_forms_that_models_write() {
    let proposal = read(
        r#"Sure! {"answer": 25039021, "confidence": 0.9, "lookup": false,
                      "reasoning": "a\u202e b"}"#,
    )
    .unwrap();
    assert_eq!(proposal.answer.as_str(), "25039021");
    assert_eq!(proposal.confidence, "0.9".parse().unwrap());
    assert_eq!(proposal.reasoning.as_deref(), Some("a b"));
    assert!(!proposal.wants_lookup());
    for asks in ["true", "\"yes\"", "\"YES\""] {
        let text = format!(r#"{{"answer": "x", "confidence": "0.99", "lookup": {asks}}}"#);
        assert!(read(&text).unwrap().wants_lookup(), "{asks}");
    }
}

#[test]
fn at_half_it_is_looked_up_and_not_said() {
    for (confidence, is_sure) in [("0.50", false), ("0.49", false), ("0.50000001", true)] {
        let text = format!(r#"{{"answer": "x", "confidence": "{confidence}"}}"#);
        let proposal = read(&text).unwrap();
        assert_eq!(proposal.is_sure(), is_sure, "{confidence}");
        assert_eq!(proposal.wants_lookup(), !is_sure, "{confidence}");
    }
}

#[test]
fn what_makes_no_sense_is_no_answer() {
    let long = format!(r#"{{"answer": "{}", "confidence": "0.9"}}"#, "x".repeat(201));
    for (text, fault) in [
        ("", Unusable::Output(OutputError::Empty)),
        ("I cannot help.", Unusable::Output(OutputError::Refused)),
        ("{\"answer\": ", Unusable::Output(OutputError::CutOff)),
        (r#"{"confidence": "0.9"}"#, Unusable::Answer(AnswerError::Empty)),
        (r#"{"answer": [1], "confidence": "0.9"}"#, Unusable::Answer(AnswerError::Empty)),
        (r#"{"answer": " ", "confidence": "0.9"}"#, Unusable::Answer(AnswerError::Empty)),
        (r#"{"answer": "a\nb", "confidence": "0.9"}"#, Unusable::Answer(AnswerError::Control)),
        (long.as_str(), Unusable::Answer(AnswerError::TooLong)),
        (r#"{"answer": "x"}"#, Unusable::Confidence),
        (r#"{"answer": "x", "confidence": 90}"#, Unusable::Confidence),
        (r#"{"answer": "x", "confidence": "1e308"}"#, Unusable::Confidence),
        (r#"{"answer": "x", "confidence": "-0.9"}"#, Unusable::Confidence),
    ] {
        assert_eq!(read(text), Err(fault), "{text}");
    }
}

#[test]
fn an_answer_must_be_paid_for_to_the_last_unit() {
    let terms = |balance: &str| Terms {
        balance: money(balance),
        stake: money("1.00"),
        lookup_fee: money("0.50"),
    };
    assert!(!terms("0.99999999").afford_answer());
    assert!(terms("1").afford_answer() && !terms("1.49999999").afford_lookup());
    assert!(terms("1.50").afford_lookup());
    let absurd = Terms { lookup_fee: money("9999999999"), ..terms("9999999999") };
    assert!(!absurd.afford_lookup());
}

#[test]
fn a_title_comes_from_the_criteria_and_not_from_the_words() {
    let read = |id, source| -> Market {
        serde_json::from_value(market(id, source, "What is the page id of 'Other'?")).unwrap()
    };
    assert_eq!(title_of(&read(QUESTION, "RESEARCH")).as_deref(), Some("Rust"));
    assert_eq!(title_of(&read(RAIN, "WEATHER")), None);
}
