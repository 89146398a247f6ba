use ledger_core::price_book::{ModelPrices, PriceBook, PriceBookError};
use ledger_core::{Money, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn small() -> Value {
    json!({
        "provider": "openai", "model": "small", "aliases": ["small-2025-01-01"],
        "prices": [
            {"from": "2026-01-01", "input": "0.20", "cached_input": "0.05", "output": "0.80"},
            {"from": "2025-01-01T00:00:00Z", "input": "1", "cached_input": "0.5", "output": "4"},
        ],
    })
}

fn book(models: &[Value]) -> PriceBook {
    serde_json::from_value(json!({"models": models})).unwrap()
}

fn problem(models: &[Value]) -> String {
    let read: Result<PriceBook, _> = serde_json::from_value(json!({"models": models}));
    read.unwrap_err().to_string()
}

#[test]
fn cached_tokens_are_counted_once_and_the_rest_as_new() {
    let book = book(&[small()]);
    let cost = book.cost("openai", "small", at("2025-06-01T00:00:00Z"), 1_000, 400, 50);
    // 600 × 1.00 + 400 × 0.50 + 50 × 4.00 = 1000, for a million tokens each.
    assert_eq!(cost, Some(money("0.001")));
    let more_cached = book.cost("openai", "small", at("2025-06-01T00:00:00Z"), 100, 400, 0);
    assert_eq!(more_cached, Some(money("0.00005")), "more cannot be cached than was sent");
}

#[test]
fn a_price_holds_from_its_moment_to_the_next() {
    let book = book(&[small()]);
    let cost = |when: &str| book.cost("openai", "small", at(when), 1_000_000, 0, 0);
    assert_eq!(cost("2024-12-31T23:59:59.999999Z"), None);
    assert_eq!(cost("2025-01-01T00:00:00Z"), Some(money("1")));
    assert_eq!(cost("2025-12-31T23:59:59.999999Z"), Some(money("1")));
    assert_eq!(cost("2026-01-01T00:00:00Z"), Some(money("0.2")));
}

#[test]
fn a_model_is_found_by_its_exact_names_alone() {
    let book = book(&[small()]);
    let cost = |provider, model| book.cost(provider, model, at("2026-02-16T00:00:00Z"), 1, 0, 1);
    assert!(cost("openai", "small").is_some());
    assert!(cost("openai", "small-2025-01-01").is_some());
    for (provider, model) in [
        ("openai", "small-2026-01-01"),
        ("openai", "smal"),
        ("openai", "SMALL"),
        ("openai", ""),
        ("groq", "small"),
    ] {
        assert_eq!(cost(provider, model), None, "{provider}/{model}");
    }
}

#[test]
fn an_entry_without_provider_is_for_everybody_else() {
    let mut anyone = small();
    anyone["provider"] = Value::Null;
    anyone["prices"] =
        json!([{"from": "2025-01-01", "input": "9", "cached_input": "9", "output": "9"}]);
    let book = book(&[anyone, small()]);
    let cost = |provider| book.cost(provider, "small", at("2026-02-16T00:00:00Z"), 1_000_000, 0, 0);
    assert_eq!(cost("openai"), Some(money("0.2")));
    assert_eq!(cost("somebody"), Some(money("9")));
}

#[test]
fn what_is_spent_is_rounded_up_once() {
    let mut model = small();
    model["prices"] = json!([{
        "from": "2025-01-01", "input": "0.00000001", "cached_input": "0", "output": "0.00000001",
    }]);
    let book = book(&[model]);
    let cost =
        |input, output| book.cost("openai", "small", at("2026-02-16T00:00:00Z"), input, 0, output);
    assert_eq!(cost(0, 0), Some(Money::ZERO));
    assert_eq!(cost(1, 1), Some(money("0.00000001")), "two parts, rounded once");
    assert_eq!(cost(1_000_000, 0), Some(money("0.00000001")));
    assert_eq!(cost(1_000_000, 1), Some(money("0.00000002")));
}

#[test]
fn absurd_counts_cost_the_most_there_is() {
    let mut model = small();
    model["prices"] = json!([{
        "from": "2025-01-01", "input": "9999999999.99999999",
        "cached_input": "9999999999.99999999", "output": "9999999999.99999999",
    }]);
    let book = book(&[model]);
    let (at, max) = (at("2026-02-16T00:00:00Z"), u64::MAX);
    let cost = book.cost("openai", "small", at, max, max / 2, max);
    assert_eq!(cost, Some(money("9999999999.99999999")));
}

#[test]
fn a_cached_token_may_cost_more() {
    let mut model = small();
    model["prices"][0]["cached_input"] = json!("5");
    assert!(serde_json::from_value::<PriceBook>(json!({"models": [model]})).is_ok());
}

#[test]
fn what_makes_no_sense_is_named_by_model_and_field() {
    let with = |path: &str, value: Value| {
        let mut model = small();
        *model.pointer_mut(path).unwrap() = value;
        problem(&[model])
    };
    for (text, wanted) in [
        (with("/prices/0/input", json!("-0.01")), "openai/small: `input` must not be negative"),
        (with("/prices/1/output", json!("-1")), "openai/small: `output` must not be negative"),
        (
            with("/prices/0/from", json!("2025-01-01")),
            "openai/small: two prices have the same `from`, 2025-01-01T",
        ),
        (with("/prices", json!([])), "openai/small: `prices` must not be empty"),
        (with("/aliases/0", json!(" ")), "openai/small: `aliases` must not be empty"),
        (with("/aliases/0", json!("small")), "openai/small: `aliases` is small"),
        (with("/prices/0/cached_input", json!(0.05)), "`cached_input` as US dollars"),
        (with("/prices/0/cached_input", json!("0,05")), "`cached_input` must be US dollars"),
        (with("/prices/0/from", json!("yesterday")), "`from` must be a day"),
        (problem(&[small(), small()]), "openai/small: `model` is small, which names another"),
    ] {
        assert!(text.contains(wanted), "{text:?} lacks {wanted:?}");
    }
    let unknown = json!({"models": [], "modles": []});
    assert!(serde_json::from_value::<PriceBook>(unknown).is_err());
}

#[test]
fn an_entry_made_by_hand_is_held_to_the_same() {
    let made = serde_json::from_value::<ModelPrices>(json!({"model": "m", "prices": []}));
    let (model, field) = ("m".to_owned(), "prices");
    let wanted = PriceBookError::Empty { model, field }.to_string();
    assert_eq!(made.unwrap_err().to_string(), wanted);
}

proptest! {
    #[test]
    fn a_cost_is_the_exact_sum_and_less_than_a_unit_more(
        tokens in prop::array::uniform3(0_u64..=10_000_000_000),
        prices in prop::array::uniform3(0_i64..=100_000_000_000),
    ) {
        let [input, cached, output] = tokens;
        let text = prices.map(|units| Money::from_units(units).unwrap().to_string());
        let mut model = small();
        model["prices"] = json!([{
            "from": "2025-01-01", "input": text[0], "cached_input": text[1], "output": text[2],
        }]);
        let at = at("2026-02-16T00:00:00Z");
        let cost = book(&[model]).cost("openai", "small", at, input, cached, output).unwrap();
        let cached = cached.min(input);
        let exact = [(input - cached, prices[0]), (cached, prices[1]), (output, prices[2])]
            .iter()
            .map(|(count, price)| i128::from(*count) * i128::from(*price))
            .sum::<i128>();
        let found = i128::from(cost.units()) * 1_000_000;
        prop_assert!(exact <= found && found < exact + 1_000_000);
    }
}
