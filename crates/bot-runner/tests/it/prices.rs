//! The price book's file, and how its faults are pointed at.

use bot_runner::prices::{load, parse};
use ledger_core::Timestamp;

const GOOD: &str = "models:
  - provider: openai
    model: small
    prices:
      - {from: 2025-01-01, input: \"0.25\", cached_input: 0.025, output: \"2\"}
  - model: large
    prices:
      - from: \"2025-01-01\"
        input: \"1\"
        cached_input: \"1\"
        output: \"1\"
";

fn now() -> Timestamp {
    "2026-02-16T00:00:00Z".parse().unwrap()
}

#[test]
fn the_book_that_is_built_in_is_sound_and_knows_the_usual_models() {
    let book = load(None).unwrap();
    let cost = |provider, model| book.cost(provider, model, now(), 1_000_000, 200_000, 1_000_000);
    assert_eq!(cost("mock", "mock").unwrap().to_string(), "0.00000000");
    for (provider, model, usd) in [
        ("openai", "gpt-4o-mini", "0.73500000"),
        ("openai", "gpt-4o-mini-2024-07-18", "0.73500000"),
        ("openai", "gpt-5-mini", "2.20500000"),
        ("openai", "o3", "9.70000000"),
        ("anthropic", "claude-haiku-4-5", "5.82000000"),
        ("groq", "llama-3.1-8b-instant", "0.13000000"),
        ("xai", "grok-4", "17.55000000"),
    ] {
        let found = cost(provider, model).map(|it| it.to_string());
        assert_eq!(found.as_deref(), Some(usd), "{provider}/{model}");
    }
    assert_eq!(cost("ollama", "llama3.2"), None);
    let before = "2025-06-09T23:59:59Z".parse().unwrap();
    let then = book.cost("openai", "o3", before, 1_000_000, 0, 0).unwrap();
    assert_eq!(then.to_string(), "10.00000000", "what was used before keeps its price");
}

#[test]
fn a_decimal_is_exact_whether_it_is_quoted_or_not() {
    let book = parse("book.yaml", GOOD).unwrap();
    let cost = book.cost("openai", "small", now(), 1_000_000, 1_000_000, 0).unwrap();
    assert_eq!(cost.to_string(), "0.02500000");
    assert!(book.cost("anybody", "large", now(), 1, 0, 0).is_some());
}

#[test]
fn a_fault_is_named_by_file_line_and_field() {
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        parse("my/book.yaml", &GOOD.replacen(from, to, 1)).unwrap_err().to_string()
    };
    for (text, line, wanted) in [
        (with("\"0.25\"", "\"0,25\""), 5, "`input` must be US dollars"),
        (with("0.025", "[1]"), 5, ""),
        (with("output: \"2\"", "outptu: \"2\""), 5, "outptu"),
        (with(", output: \"2\"", ""), 5, "output"),
        (with("output: \"1\"", "output: \"-1\""), 6, "large: `output` must not be negative"),
        (with("2025-01-01,", "soon,"), 5, "`from` must be a day"),
        (with("provider: openai", "provider: \"\""), 2, "`provider` must not be empty"),
        (with("prices:", "price:"), 4, "price"),
        (with("models:", "models: {"), 0, ""),
    ] {
        assert!(text.starts_with("my/book.yaml"), "{text}");
        assert!(text.contains(wanted), "{text:?} lacks {wanted:?}");
        let place = format!("my/book.yaml, line {line}: ");
        assert!(line == 0 || text.starts_with(&place), "{text:?} is not at {line}");
        assert!(!text.contains('\n'), "{text}");
    }
    let twice = format!("{GOOD}{}", GOOD.trim_start_matches("models:\n"));
    let text = parse("my/book.yaml", &twice).unwrap_err().to_string();
    assert!(text.contains("openai/small: `model` is small"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let text = load(Some("/nowhere/book.yaml".as_ref())).unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/book.yaml: cannot be read"), "{text}");
}
