//! Operators' calls have their token and their name.

use api_types::ReviveRequest;
use arena_client::IdempotencyKey;
use ledger_core::BotStatus;
use serde_json::json;

use crate::calls::bot;
use crate::markets::market_id;
use crate::stub::{Reply, Stub, problem};

const ADMIN_TOKEN: &str = "hunter2-of-the-operator";

fn revival() -> ReviveRequest {
    ReviveRequest { amount: "50.00".parse().unwrap(), reason: "a second chance".to_owned() }
}

#[tokio::test]
async fn a_revival_carries_token_name_and_key() {
    let stub = Stub::start(|_, _| Reply::Json(200, bot())).await;
    let operator = stub.client().operator("ada", ADMIN_TOKEN.into()).unwrap();
    let key = IdempotencyKey::named("case-7").unwrap();
    let revived = operator.revive("momentum-mia", &revival(), &key).await;
    assert_eq!(revived.unwrap().status, BotStatus::Alive);
    let sent = &stub.requests()[0];
    assert!(sent.is("POST", "/bots/momentum-mia/revive"));
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    assert_eq!(sent.header("authorization"), Some(bearer.as_str()));
    assert_eq!(sent.header("x-operator"), Some("ada"));
    assert_eq!(sent.header("idempotency-key"), Some("case-7"));
    let body = json!({"amount": "50.00000000", "reason": "a second chance"});
    assert_eq!(sent.json(), body);
    assert!(!format!("{operator:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_retirement_whose_answer_is_lost_is_not_sent_again() {
    let stub = Stub::start(|_, _| Reply::Hangup).await;
    let operator = stub.client().operator("ada", ADMIN_TOKEN.into()).unwrap();
    let error = operator.retire("10001", "done").await.unwrap_err();
    assert!(error.is_unavailable());
    let requests = stub.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].is("DELETE", "/bots/10001"));
    assert_eq!(requests[0].json(), json!({"reason": "done"}));
}

#[tokio::test]
async fn a_lost_answer_to_a_void_is_asked_for_under_the_same_key() {
    let stub = Stub::start(|_, before| match before {
        0 => Reply::Hangup,
        _ => problem(409, "market-closed"),
    })
    .await;
    let operator = stub.client().operator("ada", ADMIN_TOKEN.into()).unwrap();
    let (market, key) = (market_id(), IdempotencyKey::random());
    let voided = operator.void_market(market, "wrong", &key).await;
    assert_eq!(voided.unwrap_err().status(), Some(409));
    let requests = stub.requests();
    let key = |at: usize| requests[at].header("idempotency-key");
    assert_eq!((requests.len(), key(0)), (2, key(1)));
}
