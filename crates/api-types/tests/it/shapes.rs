use api_types::{
    Acceptance, Action, ActionRequest, ActionStatus, Bot, LedgerEntry, MyProfile, RegisterRequest,
    Registration, Secret, TokenRequest, Usage,
};
use ledger_core::prediction::Direction;
use ledger_core::{Entry, Money, ObservationId, PredictionId};
use serde_json::json;

const OBSERVATION: &str = "6f2a3c6e-0c3e-4a8e-9c55-2d6d8f1c8b11";

fn observation() -> ObservationId {
    serde_json::from_value(json!(OBSERVATION)).unwrap()
}

fn predict() -> ActionRequest {
    let action = Action::Predict {
        direction: Direction::Up,
        wager_amount: Money::cents(1250),
        confidence: "0.7".parse().unwrap(),
    };
    ActionRequest::new(observation(), action).reasoning("why not")
}

#[test]
fn an_action_travels_as_specified() {
    assert_eq!(
        serde_json::to_value(predict()).unwrap(),
        json!({
            "observation_id": OBSERVATION,
            "action_type": "PREDICT",
            "direction": "UP",
            "wager_amount": "12.50000000",
            "confidence": "0.70000000",
            "reasoning": "why not",
        })
    );
    assert_eq!(
        serde_json::to_value(ActionRequest::new(observation(), Action::Wait)).unwrap(),
        json!({ "observation_id": OBSERVATION, "action_type": "WAIT" })
    );
}

#[test]
fn a_number_is_no_money_and_the_message_says_so() {
    let mut body = serde_json::to_value(predict()).unwrap();
    body["wager_amount"] = json!(12.5);
    let error = serde_json::from_value::<ActionRequest>(body).unwrap_err().to_string();
    assert!(error.contains("decimal string"), "{error}");
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    let refused = |error: serde_json::Error| assert!(error.to_string().contains("unknown field"));
    let mut body = serde_json::to_value(predict()).unwrap();
    body["wagger"] = json!("1");
    refused(serde_json::from_value::<ActionRequest>(body).unwrap_err());
    let body = json!({ "handle": "Mia", "admin": true });
    refused(serde_json::from_value::<RegisterRequest>(body).unwrap_err());
    let body = json!({ "handle": "Mia", "api_key": "k", "x": 1 });
    refused(serde_json::from_value::<TokenRequest>(body).unwrap_err());
}

#[test]
fn secrets_travel_and_do_not_print() {
    let wire = json!({
        "id": 7, "handle": "Mia", "status": "ALIVE", "balance": "1000.00000000",
        "api_key": "ldk_x", "api_secret": "lds_y", "created_at": "2026-02-16T00:00:00.000000Z",
    });
    let registration: Registration = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(registration.api_key.expose(), "ldk_x");
    let printed = format!("{registration:?} {:?}", Secret::new("ldk_x"));
    assert!(!printed.contains("ldk_x") && !printed.contains("lds_y"), "{printed}");
    assert_eq!(serde_json::to_value(&registration).unwrap(), wire);
}

#[test]
fn my_profile_is_a_bot_with_more() {
    let bot = json!({
        "id": 7, "handle": "Mia", "status": "DEAD", "balance": "0.00000000",
        "shadow_balance": "-3.00000000", "idle_streak": 4, "hosted": true,
        "created_at": "2026-02-16T00:00:00.000000Z", "last_action_at": null, "paused": null,
    });
    let mut wire = bot.clone();
    wire["open_positions"] = json!([]);
    wire["open_bets"] = json!([]);
    wire["limits"] = json!({
        "open_predictions": 0, "open_predictions_max": 20, "open_stake": "0.00000000",
        "open_stake_max": "100.00000000", "stake_min": "0.01000000",
    });
    let profile: MyProfile = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(profile.bot, serde_json::from_value::<Bot>(bot).unwrap());
    assert_eq!(serde_json::to_value(&profile).unwrap(), wire);
}

#[test]
fn an_entry_survives_the_wire_and_still_verifies() {
    let wire = json!({
        "bot_id": 7, "sequence": 1, "entry_type": "GRANT", "amount": "1000.00000000",
        "balance_after": "1000.00000000", "reference": "GENESIS_GRANT",
        "recorded_at": "2026-02-16T00:00:00.000000Z", "recorded_at_us": 1_771_200_000_000_000_i64,
        "previous_hash": "0".repeat(64), "hash": "0".repeat(64),
    });
    let entry: LedgerEntry = serde_json::from_value(wire.clone()).unwrap();
    let mut entry = Entry::from(entry);
    entry.hash = entry.compute_hash(&mut Vec::new());
    let back = LedgerEntry::from(entry.clone());
    assert_eq!(back.recorded_at_us, entry.recorded_at.micros());
    let again = serde_json::from_value::<LedgerEntry>(serde_json::to_value(&back).unwrap());
    assert_eq!(again.unwrap(), back);
    for (field, bad) in [("hash", "AB"), ("entry_type", "GIFT"), ("reference", "")] {
        let mut broken = wire.clone();
        broken[field] = json!(bad);
        assert!(serde_json::from_value::<LedgerEntry>(broken).is_err(), "{field}");
    }
}

#[test]
fn an_acceptance_is_shaped_as_specified() {
    let acceptance = Acceptance {
        status: ActionStatus::Accepted,
        action_id: 9,
        prediction_id: Some(PredictionId(4)),
        new_balance: Money::cents(100),
    };
    assert_eq!(
        serde_json::to_value(&acceptance).unwrap(),
        json!({ "status": "ACCEPTED", "action_id": 9, "prediction_id": 4, "new_balance": "1.00000000" })
    );
}

/// Changes that make valid usage invalid.
type Change = fn(&mut Usage);

#[test]
fn senseless_usage_names_its_field() {
    let sound = Usage {
        provider: "mock".to_owned(),
        model: "mock-1".to_owned(),
        input_tokens: 1,
        output_tokens: 2,
        cached_input_tokens: None,
        reasoning_tokens: Some(0),
        cost_usd: Some(Money::cents(1)),
        llm_calls: 1,
        unreported_calls: Some(1),
    };
    assert_eq!(sound.check(), Ok(()));
    let changes: [(&str, Change); 10] = [
        ("model", |usage| usage.model = String::new()),
        ("provider", |usage| usage.provider = "x".repeat(101)),
        ("output_tokens", |usage| usage.output_tokens = -1),
        ("input_tokens", |usage| usage.input_tokens = 1_000_000_001),
        ("cached_input_tokens", |usage| usage.cached_input_tokens = Some(2)),
        ("reasoning_tokens", |usage| usage.reasoning_tokens = Some(-1)),
        ("cost_usd", |usage| usage.cost_usd = Some(Money::cents(-1))),
        ("cost_usd", |usage| usage.cost_usd = Some(Money::cents(1_000_001))),
        ("unreported_calls", |usage| usage.unreported_calls = Some(2)),
        ("llm_calls", |usage| (usage.llm_calls, usage.unreported_calls) = (-1, None)),
    ];
    for (field, change) in changes {
        let mut usage = sound.clone();
        change(&mut usage);
        assert_eq!(usage.check().unwrap_err().field, field);
    }
}
