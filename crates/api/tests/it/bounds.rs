//! No answer is longer than [`api::ANSWER_MAX_BYTES`], whatever is kept.

use ledger_core::MarketId;
use ledger_core::market::{MarketSource, Side};
use serde_json::Value;

use crate::service::{ADMIN_TOKEN, Service};

/// Fills each list with more than a page of the longest that its columns take.
async fn stuff(service: &Service, market: MarketId, bot: i64) {
    let owner = service.arena.owner_client().await;
    let text = |length: usize| format!("repeat('\u{1f980}', {length})");
    let statements = format!(
        "SET session_replication_role = replica; \
         INSERT INTO markets (id, source, subject, description, criteria, status, bounty, bets, staked, \
                              opens_at, bets_close_at, deadline, resolved_at, void_reason, next_try_at) \
         SELECT gen_random_uuid(), m.source, {subject}, {description}, m.criteria, 'VOID', 1, 0, 0, m.opens_at, \
                m.bets_close_at, m.deadline, m.deadline, {reason}, m.deadline \
           FROM markets m, generate_series(1, 250) WHERE m.id = '{market}'; \
         INSERT INTO evidence (market_id, url, fetched_at, status, sha256, body, truncated, value) \
         SELECT '{market}', repeat('\"', 2000), now(), 200, sha256('x'), \
                convert_to(repeat(chr(1), 65536), 'UTF8'), true, {value} FROM generate_series(1, 250); \
         INSERT INTO bets (market_id, bot_id, side, stake, confidence, reasoning, created_at) \
         SELECT '{market}', 1000000 + n, 'YES', 1, 0.5, {reason}, now() FROM generate_series(1, 250) n; \
         INSERT INTO posts (bot_id, kind, content, reference, created_at) \
         SELECT {bot}, 'BET', {reason}, repeat('\"', 200), now() FROM generate_series(1, 250); \
         INSERT INTO audit_log (actor, action, bot_id, detail) \
         SELECT repeat('\"', 100), 'RETIRE', {bot}, jsonb_build_object('reason', {reason}) FROM generate_series(1, 250)",
        subject = text(300),
        description = text(700),
        reason = text(280),
        value = text(500),
    );
    owner.batch_execute(&statements).await.unwrap();
}

#[tokio::test]
async fn every_route_answers_within_its_bound() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let market = service.arena.market(MarketSource::Weather).await.id;
    service.arena.bet(bot.id, market, Side::Yes, "1.00").await;
    stuff(&service, market, bot.id.0).await;
    let shown = service.get(&format!("/markets/{market}")).await.json();
    let evidence = shown["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 20);
    let (id, newest) = (&evidence[19]["id"], &evidence[19]);
    assert_eq!(
        (&newest["bytes"], newest["body"].as_str().unwrap().len()),
        (&65_536.into(), 1_024)
    );

    let document = service.get("/openapi.json").await.json();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else {
            continue;
        };
        // Streams are bounded for each listener.
        if ["/events", "/ws/stream"].contains(&path.as_str()) {
            continue;
        }
        let named = |name: &str| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.map(Value::to_string).any(|it| it.contains(name))
        };
        let mut url = path
            .replace("{bot}", "Mia")
            .replace("{market}", &market.to_string())
            .replace("{evidence}", &id.to_string())
            .replace("{name}", "ticket-spent");
        assert!(
            !url.contains('{'),
            "a parameter that this test does not know: {url}"
        );
        if named("limit") {
            url += "?limit=200";
        }
        let request = service.request(reqwest::Method::GET, &url);
        let answer = match path.as_str() {
            "/audit" => request.bearer_auth(ADMIN_TOKEN),
            _ => request.header("X-Agent-Secret", &bot.api_secret),
        };
        let answer = answer.send().await.unwrap();
        assert!(
            !answer.status().is_server_error() || path == "/ready",
            "{url}: {}",
            answer.status()
        );
        let length = answer.bytes().await.unwrap().len();
        assert!(length <= api::ANSWER_MAX_BYTES, "{url}: {length}");
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    // The fullest of them were full.
    for (list, least) in [
        ("markets", 500_000),
        (&*format!("markets/{market}/evidence"), 1_000_000),
    ] {
        let body = service.get(&format!("/{list}?limit=200")).await.body;
        assert!(body.len() > least, "{list}: {}", body.len());
    }
}

#[tokio::test]
async fn the_body_of_evidence_is_on_a_path_of_its_own() {
    let service = Service::new().await;
    let market = service.arena.market(MarketSource::News).await.id;
    service.arena.lock_market(market).await;
    let at = service.arena.now().await;
    let mut fetch = test_kit::market::evidence(at, Some(Side::No));
    fetch.body = [
        b"<html><script>alert(1)</script>".to_vec(),
        vec![0xff; 5_000],
    ]
    .concat();
    let mut conn = service.arena.conn().await;
    db::markets::record(&mut conn, market, &fetch, None)
        .await
        .unwrap();
    let listed = service
        .get(&format!("/markets/{market}/evidence?limit=1"))
        .await
        .json();
    let one = &listed["items"][0];
    assert_eq!(
        (&one["bytes"], &one["decides"]),
        (&5_031.into(), &true.into())
    );
    let path = format!("/markets/{market}/evidence/{}", one["id"]);
    let answer = service.get(&path).await;
    assert_eq!(answer.body, fetch.body);
    // No browser is to take it for a page.
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert!(
        answer
            .header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let other = service.arena.market(MarketSource::Weather).await.id;
    for path in [
        format!("/markets/{other}/evidence/{}", one["id"]),
        format!("/markets/{market}/evidence/0"),
        format!("/markets/{market}/evidence/x"),
    ] {
        service
            .get(&path)
            .await
            .problem(api_types::ProblemKind::NotFound);
    }
}

#[tokio::test]
async fn evidence_of_open_research_is_not_to_be_had() {
    let service = Service::new().await;
    let mut new = test_kit::market::new_market(MarketSource::Research);
    let fetch = [test_kit::market::evidence(service.arena.now().await, None)];
    new.evidence = &fetch;
    let mut conn = service.arena.conn().await;
    let rules = service.arena.rules();
    let market = db::markets::open(&mut conn, &new, rules, None)
        .await
        .unwrap()
        .id;
    let kept = db::markets::evidence_of(&mut conn, market).await.unwrap();
    let listed = service
        .get(&format!("/markets/{market}/evidence"))
        .await
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0);
    let path = format!("/markets/{market}/evidence/{}", kept[0].id);
    service
        .get(&path)
        .await
        .problem(api_types::ProblemKind::NotFound);
}
