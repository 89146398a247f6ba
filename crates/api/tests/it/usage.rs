use api_types::{Insights, ProblemKind, UsageReceipt};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::TestBot;

use crate::service::{Answer, Service};

/// The model in the price book, and what a [`report`] of it costs: 600,000 tokens at 0.25 a million,
/// 400,000 from the cache at 0.025, and 100,000 at 2.00.
const KNOWN: &str = "known";
const COST: &str = "0.36000000";

fn report(model: &str) -> Value {
    json!({
        "usage": {
            "provider": "openai",
            "model": model,
            "input_tokens": 1_000_000,
            "cached_input_tokens": 400_000,
            "output_tokens": 100_000,
            "reasoning_tokens": 60_000,
            "llm_calls": 3,
            "cost_usd": "123.45",
        },
        "note": "thinking\nabout nothing",
    })
}

async fn send(service: &Service, bot: &TestBot, body: &Value, key: Option<&str>) -> Answer {
    let mut request = service
        .request(Method::POST, "/metrics/usage")
        .header("X-Agent-Secret", &bot.api_secret)
        .json(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    Answer::of(request).await
}

async fn insights(service: &Service, bot: &TestBot) -> Insights {
    service.get(&format!("/insights/{}", bot.id)).await.ok()
}

#[tokio::test]
async fn a_report_is_priced_by_the_server_whatever_it_says_it_cost() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let answer = send(&service, &bot, &report(KNOWN), None).await;
    assert_eq!(answer.status, 201);
    let receipt: UsageReceipt = answer.ok();
    assert_eq!(receipt.cost_usd.map(|usd| usd.to_string()).as_deref(), Some(COST));
    let unknown = send(&service, &bot, &report("no-such-model"), None).await;
    let unknown: UsageReceipt = unknown.ok();
    assert_eq!(unknown.cost_usd, None);
    for receipt in [&receipt, &unknown] {
        let said = receipt.reported_usd.map(|usd| usd.to_string());
        assert_eq!(said.as_deref(), Some("123.45000000"), "kept as it was said");
    }
    assert!(unknown.action_id > receipt.action_id);
    let cost = insights(&service, &bot).await.cost;
    assert_eq!(cost.llm_usd, COST, "of the one whose price is known");
    assert_eq!((cost.llm_calls, cost.unpriced_calls), (6, 3));
    assert_eq!(cost.reported_usd, "246.90000000", "beside it, not in it");
    assert_eq!((cost.reported_usd_calls, cost.unreported_calls), (6, 0));
    assert_eq!((cost.input_tokens, cost.cached_input_tokens), (2_000_000, 800_000));
    assert_eq!((cost.output_tokens, cost.reasoning_tokens), (200_000, 120_000));
    let owner = service.arena.owner_client().await;
    let row = owner
        .query_one(
            "SELECT m.cost_usd::text, m.priced_usd::text, a.detail->>'note' \
               FROM agent_metrics m JOIN audit_log a ON a.id = m.action_id WHERE m.model = $1",
            &[&KNOWN],
        )
        .await
        .unwrap();
    let found: [String; 3] = [row.get(0), row.get(1), row.get(2)];
    assert_eq!(found, ["123.45000000", COST, "thinking about nothing"]);
}

#[tokio::test]
async fn calls_that_do_not_say_what_they_used_are_not_free() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let some = |input: i64, unreported: Value| {
        json!({"usage": {
            "provider": "openai", "model": KNOWN, "input_tokens": input, "output_tokens": 0,
            "llm_calls": 3, "unreported_calls": unreported,
        }})
    };
    // All three, by their word and by their silence; then one of three.
    for (body, cost) in [
        (some(1_000_000, json!(3)), None),
        (some(0, json!(null)), None),
        (some(1_000_000, json!(1)), Some("0.25000000")),
    ] {
        let receipt: UsageReceipt = send(&service, &bot, &body, None).await.ok();
        let found = receipt.cost_usd.map(|usd| usd.to_string());
        assert_eq!(found.as_deref(), cost, "{body}");
        assert_eq!(receipt.reported_usd, None);
    }
    let cost = insights(&service, &bot).await.cost;
    assert_eq!(cost.llm_usd, "0.25000000");
    assert_eq!((cost.llm_calls, cost.unpriced_calls, cost.unreported_calls), (9, 7, 7));
    assert_eq!(cost.reported_usd_calls, 0);
    let standings: Value = service.get("/standings").await.ok();
    assert_eq!(standings["items"][0]["unpriced_calls"], 7);
}

#[tokio::test]
async fn usage_of_an_action_is_priced_too() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for action_type in ["PREDICT", "WAIT"] {
        let mut body = crate::service::wager(&service.observe(&bot).await, "1");
        body["action_type"] = json!(action_type);
        body["usage"] = report(KNOWN)["usage"].clone();
        service.act(&bot, &body).await.json();
    }
    let found = insights(&service, &bot).await;
    let twice = 2 * COST.parse::<ledger_core::Money>().unwrap().units();
    let usd = ledger_core::supply::units_text(i128::from(twice));
    assert_eq!((found.cost.llm_usd, found.cost.llm_calls), (usd, 6));
}

#[tokio::test]
async fn a_retried_report_counts_once() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let body = report(KNOWN);
    let first = send(&service, &bot, &body, Some("a-key")).await;
    let twins = (0..6).map(|_| send(&service, &bot, &body, Some("a-key")));
    for again in futures_util::future::join_all(twins).await {
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    send(&service, &bot, &report("other"), Some("a-key"))
        .await
        .problem(ProblemKind::IdempotencyMismatch);
    let cost = insights(&service, &bot).await.cost;
    assert_eq!((cost.llm_calls, cost.input_tokens), (3, 1_000_000));
    // Another bot's key is another key.
    let other = service.arena.bot().create().await;
    let theirs: UsageReceipt = send(&service, &other, &body, Some("a-key")).await.ok();
    assert_ne!(theirs.action_id, first.ok::<UsageReceipt>().action_id);
}

#[tokio::test]
async fn many_reports_at_once_add_up() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let body = report(KNOWN);
    let reports = (0..40).map(|_| send(&service, &bot, &body, None));
    for answer in futures_util::future::join_all(reports).await {
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let cost = insights(&service, &bot).await.cost;
    assert_eq!((cost.llm_calls, cost.input_tokens), (120, 40_000_000));
    let forty = 40 * COST.parse::<ledger_core::Money>().unwrap().units();
    assert_eq!(cost.llm_usd, ledger_core::supply::units_text(i128::from(forty)));
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn the_dead_and_the_retired_may_report_and_strangers_may_not() {
    let service = Service::new().await;
    let retired = service.arena.bot().create().await;
    let path = format!("/bots/{}", retired.id);
    let gone = Answer::of(service.operator(Method::DELETE, &path)).await;
    assert!(gone.status.is_success());
    let dead = service.arena.bot().dead().create().await;
    for bot in [&dead, &retired] {
        let before = service.footprint().await;
        assert_eq!(send(&service, bot, &report(KNOWN), None).await.status, 201);
        assert_eq!(insights(&service, bot).await.cost.llm_calls, 3);
        let after = service.footprint().await;
        assert_eq!(before[0], after[0], "no entry: it moves no money");
    }
    let nobody = TestBot { api_secret: "lds_nobody".to_owned(), ..dead };
    send(&service, &nobody, &report(KNOWN), None).await.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn what_makes_no_sense_is_named_and_leaves_nothing() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let before = service.footprint().await;
    for (field, value, named) in [
        ("input_tokens", json!(-1), "usage.input_tokens"),
        ("input_tokens", json!(i64::MAX), "usage.input_tokens"),
        ("cached_input_tokens", json!(1_000_001), "usage.cached_input_tokens"),
        ("cost_usd", json!("-1"), "usage.cost_usd"),
        ("cost_usd", json!(1), "usage.cost_usd"),
        ("llm_calls", json!(-1), "usage.llm_calls"),
        ("model", json!(""), "usage.model"),
        ("modle", json!("x"), "usage.modle"),
    ] {
        let mut body = report(KNOWN);
        body["usage"][field] = value;
        send(&service, &bot, &body, None).await.refuses_field(named);
    }
    let mut body = report(KNOWN);
    body["note"] = json!("é".repeat(281));
    send(&service, &bot, &body, None).await.refuses_field("note");
    send(&service, &bot, &json!({ "note": "nothing" }), None).await.refuses_field("usage");
    assert_eq!(service.footprint().await, before);
    service.get("/metrics/usage").await.problem(ProblemKind::MethodNotAllowed);
}
