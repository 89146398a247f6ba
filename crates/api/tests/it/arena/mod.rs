mod halted;
mod repeated;

use api_types::{Acceptance, Observation, Prediction, ProblemKind};
use futures_util::future::join_all;
use ledger_core::economy::Enforcement;
use serde_json::{Value, json};

use crate::service::{Answer, Service, wager};

#[tokio::test]
async fn an_observation_is_a_ticket_with_what_there_is_to_see() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    service.wager(&bot, "1").await.json();
    service.arena.tick(Enforcement::Observe).await;
    let raw = service.get_as(&bot, "/arena/observation").await.json();
    let seen: Observation = serde_json::from_value(raw.clone()).unwrap();
    assert_eq!(seen.valid_until.seconds_since(seen.server_time), 60);
    assert_eq!(raw["price_snapshot"], "50000.00000000");
    assert_eq!(raw["price_source"], "simulated");
    assert_eq!(raw["tick"], 1);
    assert_eq!(raw["open_positions"][0]["wager_amount"], "1.00000000");
    assert!(raw["price_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_wager_becomes_a_prediction_with_everything_that_belongs_to_it() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let observation = service.observe(&bot).await;
    let mut body = wager(&observation, "2.5");
    body["direction"] = json!("DOWN");
    body["reasoning"] = json!("  it \n cannot\tlast\u{0}  ");
    body["usage"] = json!({
        "provider": "mock", "model": "m-1", "input_tokens": 10, "output_tokens": 2,
        "reasoning_tokens": 1, "cost_usd": "0.0001", "llm_calls": 1,
    });
    let before = service.footprint().await;
    let accepted: Acceptance = service.act(&bot, &body).await.ok();
    assert_eq!(accepted.new_balance.to_string(), "7.50000000");

    let after = service.footprint().await;
    // Entry, prediction, audit row, post, three events, one metrics row; no bot, no kept answer.
    let written: Vec<i64> =
        after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(written, [1, 1, 1, 1, 3, 1, 0, 0]);

    let list = service.get(&format!("/predictions?bot={}", bot.id)).await.json();
    let prediction: Prediction = serde_json::from_value(list["items"][0].clone()).unwrap();
    assert_eq!(Some(prediction.id), accepted.prediction_id);
    assert_eq!(prediction.reasoning, "it cannot last");
    assert_eq!((prediction.start_price, prediction.resolved_at), (None, None));
    let entries = service.get(&format!("/bots/{}/ledger", bot.id)).await.json();
    assert_eq!(entries["items"][0]["entry_type"], "WAGER");
    assert_eq!(entries["items"][0]["amount"], "-2.50000000");
    assert_eq!(
        entries["items"][0]["reference"],
        json!(format!("OBS:{}", observation.observation_id))
    );
    let me = service.get_as(&bot, "/bots/me").await.json();
    assert_eq!(me["balance"], "7.50000000");
    assert_eq!(me["limits"]["open_predictions"], 1);
    assert_eq!(me["limits"]["open_stake"], "2.50000000");
    assert_eq!(me["open_positions"][0]["id"], json!(prediction.id));
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn waiting_needs_only_the_ticket_and_uses_it_up() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let observation = service.observe(&bot).await;
    let body = json!({ "observation_id": observation.observation_id, "action_type": "WAIT" });
    let accepted = service.act(&bot, &body).await.json();
    assert_eq!(accepted["status"], "ACCEPTED");
    assert_eq!(accepted["prediction_id"], Value::Null);
    assert_eq!(accepted["new_balance"], "10.00000000");
    service.act(&bot, &body).await.problem(ProblemKind::TicketSpent);
    let me = service.get_as(&bot, "/bots/me").await.json();
    assert!(me["last_action_at"].is_string());
}

/// Everything a wager can have wrong, with the field to be named.
fn broken_wagers(observation: &Observation) -> Vec<(Value, &'static str)> {
    let with = |field: &'static str, value: Value| {
        let mut body = wager(observation, "1");
        body[field] = value;
        (body, field)
    };
    let without = |field: &'static str| {
        let mut body = wager(observation, "1");
        body.as_object_mut().unwrap().remove(field);
        (body, field)
    };
    let mut broken = Vec::new();
    for amount in [
        "0",
        "-1",
        "NaN",
        "1e9",
        "0.000000001",
        "0.009",
        "",
        " 1",
        "1.",
        "+1",
        "Infinity",
        "0x1",
        "1,0",
    ] {
        broken.push(with("wager_amount", json!(amount)));
    }
    let huge = format!("1{}", "0".repeat(30));
    broken.push(with("wager_amount", json!(huge)));
    for amount in [json!(1), json!(12.5), json!(0), json!(true), json!([]), json!({}), json!(1e30)]
    {
        broken.push(with("wager_amount", amount));
    }
    for confidence in [json!("0"), json!("1"), json!("0.999"), json!("abc"), json!(0.6)] {
        broken.push(with("confidence", confidence));
    }
    for field in ["wager_amount", "direction", "confidence", "observation_id", "action_type"] {
        broken.push(without(field));
    }
    broken.extend([
        with("wager_amount", Value::Null),
        with("direction", json!("SIDEWAYS")),
        with("direction", json!("up")),
        with("action_type", json!("BET")),
        with("observation_id", json!("not-a-uuid")),
        with("reasoning", json!("é".repeat(281))),
        with("wagger", json!("1")),
        with("usage", json!([])),
    ]);
    let usage = |change: Value| {
        let mut usage = json!({
            "provider": "p", "model": "m", "input_tokens": 1, "output_tokens": 1, "llm_calls": 1,
        });
        usage.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        with("usage", usage).0
    };
    broken.extend([
        (usage(json!({ "input_tokens": -1 })), "usage.input_tokens"),
        (usage(json!({ "llm_calls": 1.5 })), "usage.llm_calls"),
        (usage(json!({ "cost_usd": 0.5 })), "usage.cost_usd"),
        (usage(json!({ "cost_usd": "-1" })), "usage.cost_usd"),
        (usage(json!({ "model": "nul\u{0}" })), "usage.model"),
        (usage(json!({ "tokens": 1 })), "usage.tokens"),
    ]);
    broken
}

#[tokio::test]
async fn a_malformed_wager_names_its_field_writes_nothing_and_spares_the_ticket() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    let before = service.footprint().await;
    for (body, field) in broken_wagers(&observation) {
        let answer = service.act(&bot, &body).await;
        assert_eq!(answer.status.as_u16(), 422, "{body} → {}", answer.text());
        answer.refuses_field(field);
    }
    assert_eq!(service.footprint().await, before);
    let longest = "é".repeat(280);
    let mut sound = wager(&observation, "0.01");
    sound["reasoning"] = json!(longest);
    service.act(&bot, &sound).await.json();
}

#[tokio::test]
async fn a_number_where_money_belongs_is_told_to_be_a_string() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let mut body = wager(&service.observe(&bot).await, "1");
    body["wager_amount"] = json!(12.5);
    let problem = service.act(&bot, &body).await.refuses_field("wager_amount");
    assert!(problem.detail.contains("decimal string"), "{}", problem.detail);
}

#[tokio::test]
async fn a_replayed_ticket_is_409_and_costs_nothing() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let body = wager(&service.observe(&bot).await, "1");
    service.act(&bot, &body).await.json();
    let before = service.footprint().await;
    service.act(&bot, &body).await.problem(ProblemKind::TicketSpent);
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn a_ticket_restored_from_an_old_copy_of_redis_replays_nothing() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let observation = service.observe(&bot).await;
    let wait = json!({ "observation_id": observation.observation_id, "action_type": "WAIT" });
    for body in [wager(&observation, "1"), wait] {
        let again = std::time::Duration::from_secs(60);
        service.cache.issue_observation(bot.id, observation.observation_id, again).await.unwrap();
        let first = service.act(&bot, &body).await;
        service.cache.issue_observation(bot.id, observation.observation_id, again).await.unwrap();
        let second = service.act(&bot, &body).await;
        second.problem(ProblemKind::TicketSpent);
        if body["action_type"] == "PREDICT" {
            first.json();
        } else {
            first.problem(ProblemKind::TicketSpent);
        }
    }
    let me = service.get_as(&bot, "/bots/me").await.json();
    assert_eq!(me["balance"], "9.00000000");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn an_expired_or_invented_ticket_is_409() {
    let service = Service::with(|config| config.rules.ticket_ttl_seconds = 1).await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    let other = service.arena.bot().create().await;
    // Another bot's request does not use it up: 403 until it is gone, then 409.
    let service = &service;
    let (body, other) = (&wager(&observation, "1"), &other);
    test_kit::eventually("the observation expires", || async move {
        let answer = service.act(other, body).await;
        (answer.status.as_u16() == 409).then_some(())
    })
    .await;
    service.act(&bot, body).await.problem(ProblemKind::TicketSpent);
    let mut invented = wager(&observation, "1");
    invented["observation_id"] = json!("6f2a3c6e-0c3e-4a8e-9c55-2d6d8f1c8b11");
    service.act(&bot, &invented).await.problem(ProblemKind::TicketSpent);
}

#[tokio::test]
async fn a_foreign_ticket_is_403_and_stays_good() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let thief = service.arena.bot().create().await;
    let body = wager(&service.observe(&bot).await, "1");
    let before = service.footprint().await;
    service.act(&thief, &body).await.problem(ProblemKind::ForeignTicket);
    assert_eq!(service.footprint().await, before);
    service.act(&bot, &body).await.json();
}

#[tokio::test]
async fn more_than_the_balance_is_402_with_the_figures() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("3.50").create().await;
    let before = service.footprint().await;
    let problem = service.wager(&bot, "12.00").await.problem(ProblemKind::InsufficientFunds);
    assert_eq!(problem.extra["balance"], "3.50000000");
    assert_eq!(problem.extra["stake"], "12.00000000");
    assert_eq!(service.footprint().await, before);
    // The whole balance is not more than the balance.
    assert_eq!(service.wager(&bot, "3.50").await.json()["new_balance"], "0.00000000");
}

#[tokio::test]
async fn limits_are_409_and_named() {
    let service = Service::with(|config| {
        config.rules.open_predictions_max = 2;
        config.rules.open_stake_max = "10".parse().unwrap();
    })
    .await;
    let bot = service.arena.bot().create().await;
    let problem = service.wager(&bot, "10.00000001").await.problem(ProblemKind::LimitReached);
    assert_eq!(problem.extra["limit"], "open_stake_max");
    assert_eq!(problem.extra["limit_value"], "10.00000000");
    service.wager(&bot, "4").await.json();
    service.wager(&bot, "6").await.json();
    let problem = service.wager(&bot, "0.01").await.problem(ProblemKind::LimitReached);
    assert_eq!(
        (&problem.extra["limit"], &problem.extra["limit_value"]),
        (&json!("open_predictions_max"), &json!(2))
    );
}

async fn crowd(service: &Service, balance: &str) -> (Vec<Answer>, test_kit::TestBot) {
    let bot = service.arena.bot().balance(balance).create().await;
    let mut observations = Vec::new();
    for _ in 0..32 {
        observations.push(wager(&service.observe(&bot).await, "1"));
    }
    let answers = join_all(observations.iter().map(|body| service.act(&bot, body))).await;
    (answers, bot)
}

#[tokio::test]
async fn of_32_at_once_exactly_as_many_are_accepted_as_the_bot_can_afford() {
    let service = Service::new().await;
    let (answers, bot) = crowd(&service, "5.00").await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!(accepted.len(), 5);
    for answer in refused {
        answer.problem(ProblemKind::InsufficientFunds);
    }
    let me = service.get_as(&bot, "/bots/me").await.json();
    assert_eq!(me["balance"], "0.00000000");
    assert_eq!(me["open_positions"].as_array().unwrap().len(), 5);
    let verified = service.get(&format!("/bots/{}/ledger/verify", bot.id)).await.json();
    assert_eq!((&verified["valid"], &verified["entries"]), (&json!(true), &json!(6)));
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn of_32_at_once_exactly_as_many_are_accepted_as_the_limits_allow() {
    for limit in ["count", "stake"] {
        let service = Service::with(|config| match limit {
            "count" => config.rules.open_predictions_max = 5,
            _ => config.rules.open_stake_max = "5".parse().unwrap(),
        })
        .await;
        let (answers, bot) = crowd(&service, "1000").await;
        let (accepted, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status.is_success());
        assert_eq!(accepted.len(), 5, "{limit}");
        for answer in refused {
            answer.problem(ProblemKind::LimitReached);
        }
        let me = service.get_as(&bot, "/bots/me").await.json();
        assert_eq!(me["balance"], "995.00000000");
        service.arena.assert_sound().await;
    }
}

#[tokio::test]
async fn of_32_with_the_same_ticket_exactly_one_is_accepted() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let body = wager(&service.observe(&bot).await, "1");
    let answers = join_all((0..32).map(|_| service.act(&bot, &body))).await;
    let accepted = answers.iter().filter(|answer| answer.status.is_success()).count();
    assert_eq!(accepted, 1);
    service.arena.assert_sound().await;
}
