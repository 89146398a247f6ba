//! Markets: what is read of them, and that each bet and answer happens once.

use api_types::{AnswerRequest, BetOn, BetRequest, BetsRequest, Usage, UsageReport};
use arena_client::{ClientError, IdempotencyKey, MarketQuery, PageQuery};
use ledger_core::MarketId;
use ledger_core::economy::AnswerResult;
use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use serde_json::{Value, json};

use crate::stub::{Reply, Request, Stub, problem, token};

const MARKET: &str = "0e2f7a34-8a05-4d5e-9f10-6b9be1c7f001";

pub(crate) fn market_id() -> MarketId {
    MarketId(MARKET.parse().unwrap())
}

fn key() -> IdempotencyKey {
    IdempotencyKey::named("turn-7").unwrap()
}

fn market() -> Value {
    json!({
        "id": MARKET, "source": "RESEARCH", "description": "What is the page id of 'Rust'?",
        "criteria": {"article": "Rust"}, "status": "OPEN", "outcome": null,
        "bounty": "25.00000000", "pool": "27.00000000", "bets": 2,
        "opens_at": "2026-11-01T00:00:00.000000Z", "bets_close_at": "2026-11-01T00:05:00.000000Z",
        "deadline": "2026-11-01T00:05:00.000000Z", "resolved_at": null, "void_reason": null,
        "commitment": "00", "evidence": [], "new_field": 1,
    })
}

fn bet() -> Value {
    json!({
        "id": 5, "market_id": MARKET, "bot_id": 7, "side": "YES", "stake": "1.00000000",
        "confidence": "0.70000000", "status": "OPEN", "payout": null, "brier": null,
        "reasoning": "", "created_at": "2026-11-01T00:00:00.000000Z", "resolved_at": null,
    })
}

fn placed() -> Value {
    json!({"action_id": 3, "bets": [bet()], "new_balance": "99.00000000"})
}

fn judged() -> Value {
    json!({
        "action_id": 4, "result": "CORRECT", "payout": "26.00000000", "new_balance": "125.00000000",
    })
}

/// An arena with the bot, which answers each of its calls with `answer`.
async fn arena(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |request, before| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => answer(request, before - 1),
    })
    .await
}

#[tokio::test]
async fn markets_are_asked_for_by_page_and_filter() {
    let stub = Stub::start(|request, _| {
        let body = match request.target.as_str() {
            path if path.ends_with("/bets") => json!({"items": [bet()], "next_cursor": null}),
            path if path.starts_with("/markets/") => market(),
            _ => json!({"items": [market()], "next_cursor": "more"}),
        };
        Reply::Json(200, body)
    })
    .await;
    let client = stub.client();
    let query = MarketQuery {
        status: Some(MarketStatus::Open),
        source: Some(MarketSource::Research),
        taking_bets: true,
        page: PageQuery::newest(20),
    };
    let page = client.markets(&query).await.unwrap();
    assert_eq!(page.items[0].id, market_id());
    assert_eq!(page.next_cursor.as_deref(), Some("more"));
    client.markets(&MarketQuery::default()).await.unwrap();
    let one = client.market(market_id()).await.unwrap();
    assert_eq!((one.bets, one.commitment.as_deref()), (2, Some("00")));
    let bets = client.market_bets(market_id(), &PageQuery::default()).await;
    assert_eq!(bets.unwrap().items[0].status, BetState::Open);
    let requests = stub.requests();
    let paths: Vec<_> = requests.iter().map(|it| it.target.as_str()).collect();
    let (one, bets) = (format!("/markets/{MARKET}"), format!("/markets/{MARKET}/bets"));
    assert_eq!(
        paths,
        ["/markets?limit=20&status=OPEN&source=RESEARCH&taking_bets=true", "/markets", &one, &bets]
    );
}

#[tokio::test]
async fn bets_are_sent_as_the_contract_says() {
    let stub = arena(|_, _| Reply::Json(200, placed())).await;
    let one = BetRequest {
        side: Side::No,
        stake: "1.00".parse().unwrap(),
        confidence: "0.70".parse().unwrap(),
        reasoning: Some("because".to_owned()),
        usage: None,
    };
    let answer = stub.bot().bet_once(market_id(), &one, &key()).await.unwrap();
    assert_eq!(answer.new_balance.to_string(), "99.00000000");
    let several = BetsRequest {
        bets: vec![BetOn {
            market_id: market_id(),
            side: Side::Yes,
            stake: "2.00".parse().unwrap(),
            confidence: "0.80".parse().unwrap(),
            reasoning: None,
        }],
        usage: None,
    };
    stub.bot().bet_all_once(&several, &key()).await.unwrap();
    let sent: Vec<_> =
        stub.requests().into_iter().filter(|it| it.target != "/auth/token").collect();
    assert!(sent[0].is("POST", &format!("/markets/{MARKET}/bets")));
    assert_eq!(
        sent[0].json(),
        json!({
            "side": "NO", "stake": "1.00000000", "confidence": "0.70000000", "reasoning": "because",
        })
    );
    assert!(sent[1].is("POST", "/markets/bets"));
    assert_eq!(
        sent[1].json(),
        json!({"bets": [{
            "market_id": MARKET, "side": "YES", "stake": "2.00000000", "confidence": "0.80000000",
        }]})
    );
    assert!(sent.iter().all(|it| it.header("idempotency-key") == Some("turn-7")));
}

fn answer() -> AnswerRequest {
    AnswerRequest {
        answer: "25039021".to_owned(),
        used_lookup: true,
        confidence: "0.90".parse().unwrap(),
        reasoning: None,
        usage: None,
    }
}

#[tokio::test]
async fn a_lost_answer_to_an_answer_is_asked_for_under_the_same_key() {
    let stub = arena(|_, before| match before {
        0 => Reply::Hangup,
        1 => problem(409, "idempotency-conflict"),
        _ => Reply::Json(200, judged()),
    })
    .await;
    let judged = stub.bot().answer_once(market_id(), &answer(), &key()).await;
    assert_eq!(judged.unwrap().result, AnswerResult::Correct);
    let path = format!("/markets/{MARKET}/answers");
    let requests = stub.requests();
    let sent: Vec<_> = requests.iter().filter(|it| it.is("POST", &path)).collect();
    assert_eq!(sent.len(), 3);
    let body = json!({"answer": "25039021", "used_lookup": true, "confidence": "0.90000000"});
    assert!(sent.iter().all(|it| it.json() == body));
    assert!(sent.iter().all(|it| it.header("idempotency-key") == Some("turn-7")));
}

#[tokio::test]
async fn what_a_market_refuses_is_not_repeated() {
    for (status, name) in [(409, "market-closed"), (409, "already-in"), (402, "insufficient-funds")]
    {
        let stub = arena(move |_, _| problem(status, name)).await;
        let error = stub.bot().answer_once(market_id(), &answer(), &key()).await;
        assert_eq!(error.unwrap_err().status(), Some(status));
        assert_eq!(stub.requests().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn usage_is_reported_outside_of_an_action() {
    let stub = arena(|_, _| {
        Reply::Json(200, json!({"action_id": 9, "cost_usd": "0.00012000", "reported_usd": null}))
    })
    .await;
    let usage = Usage {
        provider: "openai".to_owned(),
        model: "small".to_owned(),
        input_tokens: 100,
        output_tokens: 20,
        cached_input_tokens: None,
        reasoning_tokens: None,
        cost_usd: None,
        llm_calls: 1,
        unreported_calls: None,
    };
    let report = UsageReport { usage, note: None };
    let receipt = stub.bot().report_usage(&report, &key()).await.unwrap();
    assert_eq!(receipt.cost_usd.unwrap().to_string(), "0.00012000");
    let sent = &stub.requests()[1];
    assert!(sent.is("POST", "/metrics/usage"));
    assert_eq!(sent.header("idempotency-key"), Some("turn-7"));
    assert_eq!(
        sent.json(),
        json!({"usage": {
            "provider": "openai", "model": "small", "input_tokens": 100, "output_tokens": 20,
            "llm_calls": 1,
        }})
    );
}

#[tokio::test]
async fn nobody_bets_without_a_credential() {
    let stub = arena(|_, _| Reply::Json(200, judged())).await;
    let error = stub.client().answer_once(market_id(), &answer(), &key()).await;
    assert_eq!(error.unwrap_err(), ClientError::NoCredential);
    assert!(stub.requests().is_empty());
}
