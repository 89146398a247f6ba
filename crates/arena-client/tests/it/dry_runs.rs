//! Dry runs are requested by the query, and a refusal is an answer.

use api_types::{Action, ActionRequest, BetRequest, ProblemKind, Verdict};
use ledger_core::market::Side;
use ledger_core::{MarketId, ObservationId};
use serde_json::json;
use uuid::Uuid;

use crate::stub::{Reply, Stub, problem_body, token};

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => Reply::Json(
            200,
            json!({
                "dry_run": true, "would": "REFUSE", "cost": "4.00000000",
                "balance_after": "3.00000000", "new_field": 1,
                "refusal": problem_body(402, "insufficient-funds"),
            }),
        ),
    })
    .await;
    let client = stub.bot();
    let action = ActionRequest::new(ObservationId(Uuid::nil()), Action::Wait);
    let told = client.act_dry_run(&action).await.unwrap();
    assert_eq!(told.would, Verdict::Refuse);
    assert_eq!(told.cost, "4.00".parse().unwrap());
    let refusal = told.refusal.unwrap();
    assert_eq!(refusal.kind(), Some(ProblemKind::InsufficientFunds));
    let bet = BetRequest {
        side: Side::Yes,
        stake: "4.00".parse().unwrap(),
        confidence: "0.60".parse().unwrap(),
        reasoning: None,
        usage: None,
    };
    let market = MarketId(Uuid::nil());
    client.bet_dry_run(market, &bet).await.unwrap();
    let requests = stub.requests();
    let asked: Vec<_> = requests.iter().filter(|request| request.target != "/auth/token").collect();
    let paths: Vec<_> = asked.iter().map(|request| request.target.as_str()).collect();
    let bets = format!("/markets/{market}/bets?dry_run=true");
    assert_eq!(paths, ["/arena/action?dry_run=true", &bets]);
    assert!(asked.iter().all(|it| it.header("idempotency-key").is_none()));
}
