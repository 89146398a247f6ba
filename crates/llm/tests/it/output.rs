use std::borrow::Cow;

use llm::output::{
    OutputError, TEXT_BYTES_MAX, THOUGHT_MARKS, clean, ends_early, is_refusal, parse_object,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize, PartialEq)]
struct Decision {
    action: String,
    reasoning: String,
}

const OBJECT: &str = r#"{"action":"WAGER","reasoning":"up"}"#;

fn parse(text: &str) -> Result<Value, OutputError> {
    parse_object(text)
}

#[test]
fn a_plain_object_is_borrowed_as_it_is() {
    assert!(matches!(clean(OBJECT), Ok(Cow::Borrowed(text)) if text == OBJECT));
    let decision: Decision = parse_object(OBJECT).unwrap();
    assert_eq!(decision, Decision { action: "WAGER".into(), reasoning: "up".into() });
}

#[test]
fn fences_and_prose_are_stripped() {
    for text in [
        format!("```json\n{OBJECT}\n```"),
        format!("```\n{OBJECT}```"),
        format!("Sure! Here it is:\n\n```JSON\n{OBJECT}\n```\n\nLet me know {{if}} that helps."),
        format!("I pick {{UP}} over {{DOWN}} (it's 5\" long): {OBJECT} because {{x: 1}}"),
        format!("\u{feff}  {OBJECT}\n"),
        format!("{OBJECT}{OBJECT}"),
        format!("[{OBJECT}]"),
        format!("a < b and {{ then {OBJECT}"),
    ] {
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
    }
}

#[test]
fn what_is_inside_strings_is_left_alone() {
    for object in [
        r#"{"a":"} ] , } <think> ```"}"#,
        r#"{"a":"she said \"{\" and left \\"}"#,
        r#"{"a":"<think>no</think>","b":{"c":"{"}}"#,
        r#"{"a":"x,}","b":"schlüssel ✓ 🎲"}"#,
    ] {
        assert_eq!(clean(&format!("```json\n{object}\n```")).as_deref(), Ok(object));
    }
}

#[test]
fn small_faults_are_repaired() {
    assert_eq!(parse(r#"{"a":1,}"#), Ok(json!({"a": 1})));
    assert_eq!(
        parse("{\"a\":[1,2, ],\n \"b\":{\"c\":3 ,\n},\n}"),
        Ok(json!({"a": [1, 2], "b": {"c": 3}}))
    );
    assert_eq!(
        parse("{\"a\":\"one\ntwo\tthree\u{1}\",}"),
        Ok(json!({"a": "one\ntwo\tthree\u{1}"}))
    );
    assert_eq!(parse(r#"{"a":",}",}"#), Ok(json!({"a": ",}"})), "not inside strings");
}

#[test]
fn thinking_is_skipped() {
    for text in [
        format!("<think>maybe {{\"action\":\"WAIT\"}} or \"</think>\n{OBJECT}"),
        format!("<THINKING>\n{{\"half\": </Thinking>{OBJECT}"),
        format!("<think>one</think><think>two</think>{OBJECT}"),
        // Without the opening tag, which some chat templates swallow.
        format!("perhaps {{\"action\":\"WAIT\",\"reasoning\":\"no\"}}?</think>{OBJECT}"),
        format!("perhaps {{\"action\": \"WA </think>{OBJECT}"),
    ] {
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
    }
    let endless = format!("<think>for ever {OBJECT}");
    assert_eq!(clean(&endless), Err(OutputError::CutOff), "a thought is no answer");
}

#[test]
fn thinking_is_set_aside_in_every_mark_that_is_in_use() {
    const DRAFT: &str = r#"{"action":"WAIT","reasoning":"a draft"}"#;
    for (open, close) in THOUGHT_MARKS {
        let text = format!("{open}maybe {DRAFT}{close}{OBJECT}");
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
        // The opening mark was swallowed by a chat template.
        let text = format!("maybe {DRAFT}\n{close}\n{OBJECT}");
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
        let text = format!("{OBJECT}\n{open}so it is{close}");
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
        // It never ended, so there is no answer.
        let text = format!("{open}maybe {DRAFT}");
        assert_eq!(clean(&text), Err(OutputError::CutOff), "{text}");
        let text = format!("maybe {DRAFT}{close}\n");
        assert_eq!(clean(&text), Err(OutputError::Empty), "{text}");
    }
    for text in [
        format!(
            "<|channel|>analysis<|message|>perhaps {DRAFT}<|end|><|start|>assistant<|channel|>final\
             <|message|>{OBJECT}<|return|>"
        ),
        format!(
            "<|channel|>analysis<|message|>{DRAFT}<|channel|>final <|constrain|>json<|message|>{OBJECT}"
        ),
        format!("{DRAFT}<|start|>assistant<|channel|>final<|message|>{OBJECT}"),
        format!("<|channel|>commentary to=functions.x<|message|>{DRAFT}<|call|>{OBJECT}"),
        format!("analysisWe could say {DRAFT}. No.assistantfinal{OBJECT}"),
    ] {
        assert_eq!(clean(&text).as_deref(), Ok(OBJECT), "{text}");
    }
    for text in [
        format!("<|channel|>analysis<|message|>perhaps {DRAFT}"),
        format!("analysisWe could say {DRAFT}"),
    ] {
        assert_eq!(clean(&text), Err(OutputError::CutOff), "{text}");
    }
    let sorry = "<think>I'm sorry, I can't decide</think>The market will go up.";
    assert_eq!(parse(sorry), Err(OutputError::NoObject), "a thought is no refusal");
}

#[test]
fn of_several_objects_the_last_complete_one_counts() {
    let last = r#"{"action":"WAIT","reasoning":"no: {\"action\":\"WAGER\"} } ``` was wrong"}"#;
    for text in [
        format!("{OBJECT}{last}"),
        format!("First I thought {OBJECT}, but:\n```json\n{last}\n```\n(see {{}})"),
        format!("[{OBJECT},{last}]"),
        format!("{OBJECT} {last} {{\"action\":"),
        format!("{OBJECT} {last} {{\"action\": so}}"),
    ] {
        assert_eq!(clean(&text).as_deref(), Ok(last), "{text}");
    }
    let twice = format!(r#"{OBJECT} {{"stake":1,"stake":2}}"#);
    assert_eq!(clean(&twice), Err(OutputError::DuplicateKey("stake".into())));
}

#[test]
fn an_answer_ends_early_unless_an_object_ends_it() {
    for whole in [
        OBJECT.to_owned(),
        format!("```json\n{OBJECT}\n```\n"),
        format!("<think>so</think>[{OBJECT}]"),
        format!("<|channel|>final<|message|>{OBJECT}<|return|>"),
    ] {
        assert!(!ends_early(&whole), "{whole}");
    }
    for cut in [
        String::new(),
        "The market".to_owned(),
        format!("<think>maybe {OBJECT}"),
        format!("maybe {OBJECT}, or "),
        format!("{OBJECT}{{\"action\":"),
        r#"{"action":"WAG"#.to_owned(),
    ] {
        assert!(ends_early(&cut), "{cut}");
    }
}

#[test]
fn refusals_are_told_from_nonsense() {
    for text in [
        "I'm sorry, but I can't help with gambling.",
        "I\u{2019}m unable to do that.",
        "Unfortunately, as an AI language model I do not trade.",
        "  I CANNOT comply.",
    ] {
        assert_eq!(parse(text), Err(OutputError::Refused), "{text}");
        assert!(is_refusal(text));
    }
    assert_eq!(parse("The market will go up."), Err(OutputError::NoObject));
    assert_eq!(parse("{UP}"), Err(OutputError::NoObject));
    assert_eq!(parse(" \n\t"), Err(OutputError::Empty));
    let polite = r#"{"action":"WAIT","reasoning":"I'm sorry, I can't decide"}"#;
    assert!(parse(polite).is_ok(), "an answer is no refusal, whatever its words");
}

#[test]
fn what_was_cut_off_is_not_completed() {
    for text in [
        r#"{"action":"WAGER","stake"#,
        r#"{"action":"WAGER","reasoning":"it } is"#,
        r#"{"plan":{"direction":"UP"},"action":"WA"#,
        "```json\n{\"a\":[{\"b\":1}",
    ] {
        assert_eq!(parse(text), Err(OutputError::CutOff), "{text}");
    }
}

#[test]
fn an_inner_object_never_stands_for_a_broken_outer_one() {
    let text = r#"{"action": WAGER, "plan": {"direction":"UP"}}"#;
    assert!(matches!(parse(text), Err(OutputError::Invalid(_))));
    let both = format!("{text} Correction: {OBJECT}");
    assert_eq!(clean(&both).as_deref(), Ok(OBJECT), "but a later whole one does");
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let twice = |text: &str| parse(text) == Err(OutputError::DuplicateKey("stake".into()));
    assert!(twice(r#"{"stake":"1","stake":"100"}"#));
    assert!(twice(r#"{"a":[{"stake":1,"b":2,"st\u0061ke":1}]}"#));
    assert!(!twice(r#"{"stake":1,"a":{"stake":2}}"#));
}

#[test]
fn an_object_of_another_shape_is_invalid_in_few_words() {
    let error = parse_object::<Decision>(r#"{"action":"WAGER"}"#).unwrap_err();
    assert!(error.to_string().contains("reasoning"), "{error}");

    let long = format!(r#"{{"action":"WAIT","reasoning":{{"{}\u0007":1}}}}"#, "k".repeat(9_000));
    let Err(OutputError::Invalid(detail)) = parse_object::<Decision>(&long) else {
        panic!("expected an invalid object");
    };
    assert!(detail.len() < 500 && !detail.contains(char::is_control), "{detail}");
}

#[test]
fn hostile_texts_end_quickly_in_an_error() {
    let deep = "{\"a\":".repeat(5_000) + "1" + &"}".repeat(5_000);
    assert!(matches!(parse(&deep), Err(OutputError::Invalid(_))), "nesting is bounded");
    assert_eq!(parse(&"x".repeat(TEXT_BYTES_MAX + 1)), Err(OutputError::TooLong));
    for unit in [
        "{\"",
        "{\"</think>",
        "<think>",
        "</think>",
        "{\"a\":1,",
        "{ ",
        "<",
        "[",
        "[THINK]",
        "\u{25c1}think\u{25b7}",
        "<|channel|>",
        "<|channel|>x<|message|>",
        "<|channel|>x<|message|><|",
        ",  ",
        "{}",
    ] {
        // None of these may take time that grows with the square of the length.
        let began = std::time::Instant::now();
        let _ = parse(&unit.repeat(TEXT_BYTES_MAX / unit.len()));
        assert!(began.elapsed().as_secs() < 5, "{unit:?} took {:?}", began.elapsed());
    }
}

/// Any JSON, without floating point numbers, whose text is not unique.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        r#"[{}\[\]",:\\`<>a/ntik ]{0,24}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    prop::collection::hash_map(any::<String>(), any_json(), 0..6)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_json_pieces_makes_it_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", "\"", "\\", ",", ":", " ", "\n", "a", "1", "é", "🎲", "<think>",
                "</think>", "<", "```", "```json", "{\"a\":", "null", "\u{1}", "I can't",
            ]),
            0..60,
        ),
    ) {
        let text = pieces.concat();
        if let Ok(object) = clean(&text) {
            prop_assert!(serde_json::from_str::<Value>(&object).is_ok_and(|value| value.is_object()));
        }
    }

    #[test]
    fn valid_json_comes_through_byte_for_byte(object in any_object()) {
        for text in [object.to_string(), format!("{object:#}")] {
            prop_assert!(matches!(clean(&text), Ok(Cow::Borrowed(same)) if same == text));
            prop_assert_eq!(parse(&text), Ok(object.clone()));
        }
    }

    #[test]
    fn valid_json_survives_what_models_put_around_it(
        object in any_object(),
        before in r#"[A-Za-z0-9 .,:'"\n(){]{0,40}"#,
        after in r#"[A-Za-z0-9 .,:'"\n()}]{0,40}"#,
    ) {
        // A brace and a quote would be an object that begins in the prose.
        prop_assume!(!before.split('{').skip(1).any(|rest| rest.trim_start().starts_with('"')));
        prop_assume!(!before.trim_end().ends_with('{'));
        let text = format!("<think>{before}</think>{before}\n```json\n{object:#}\n```\n{after}");
        prop_assert_eq!(parse(&text), Ok(object));
    }

    #[test]
    fn trailing_commas_do_not_change_the_meaning(object in any_object()) {
        prop_assume!(object.as_object().is_some_and(|entries| !entries.is_empty()));
        let text = object.to_string();
        let open = text.strip_suffix('}').unwrap_or_default();
        prop_assert_eq!(parse(&format!("{open} ,\n}}")), Ok(object));
    }
}
