//! No answer is longer than [`api::ANSWER_MAX_BYTES`], whatever is stored.

use actix_web::{HttpResponse, web};
use daemon::shutdown::Shutdown;
use ledger_core::market::{MarketSource, Side};
use ledger_core::{Hash, MarketId};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use test_kit::Arena;

use crate::service::{ADMIN_TOKEN, Answer, Service, config};

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
         INSERT INTO bets (market_id, bot_id, side, stake, confidence, reasoning, created_at) \
         SELECT id, {bot}, 'YES', 1, 0.5, {reason}, now() FROM markets WHERE id <> '{market}'; \
         INSERT INTO predictions (bot_id, observation_id, direction, wager_amount, confidence, reasoning, created_at, \
                                  settles_at, price_source, rules, reserved) \
         SELECT bot_id, gen_random_uuid(), direction, wager_amount, confidence, {reason}, created_at, settles_at, \
                price_source, rules, reserved \
           FROM predictions, generate_series(1, 250) WHERE bot_id = {bot}; \
         UPDATE wallets SET open_bets = 251, open_predictions = 251 WHERE bot_id = {bot}; \
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
    service.wager(&bot, "1").await.json();
    let economy = service.get("/economy").await.json();
    stuff(&service, market, bot.id.0).await;
    let shown = service.get(&format!("/markets/{market}")).await.json();
    let evidence = shown["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 20);
    let (id, newest) = (&evidence[19]["id"], &evidence[19]);
    assert_eq!((&newest["bytes"], newest["body"].as_str().unwrap().len()), (&65_536.into(), 1_024));

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
            .replace("{name}", "ticket-spent")
            .replace("{digest}", economy["rules"].as_str().unwrap());
        assert!(!url.contains('{'), "a parameter that this test does not know: {url}");
        if named("limit") {
            url += "?limit=200";
        }
        let request = service.request(reqwest::Method::GET, &url);
        let answer = match path.as_str() {
            "/audit" => request.bearer_auth(ADMIN_TOKEN),
            _ => request.header("X-Agent-Secret", &bot.api_secret),
        };
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        let length = answer.bytes().await.unwrap().len();
        assert!(length <= api::ANSWER_MAX_BYTES, "{url}: {length}");
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    // The fullest of them were full.
    for (list, least) in [("markets", 500_000), (&*format!("markets/{market}/evidence"), 1_000_000)]
    {
        let body = service.get(&format!("/{list}?limit=200")).await.body;
        assert!(body.len() > least, "{list}: {}", body.len());
    }
    let mine = service.get_as(&bot, "/bots/me").await;
    let of_mine = mine.json();
    for list in ["open_positions", "open_bets"] {
        assert_eq!(of_mine[list].as_array().unwrap().len(), 200, "{list}");
    }
    assert!(mine.body.len() > 500_000, "{}", mine.body.len());
}

/// The limit of all routes, for a route without its own.
#[tokio::test]
async fn a_longer_answer_is_an_error_of_ours_and_not_sent() {
    let arena = Arena::new().await;
    let shutdown = Shutdown::manual();
    let of_size = |bytes: usize| {
        web::get().to(move || async move { HttpResponse::Ok().body(vec![b' '; bytes]) })
    };
    let running = api::start_with(config(&arena), shutdown.clone(), move |routes| {
        routes
            .route("/fits", of_size(api::ANSWER_MAX_BYTES))
            .route("/longer", of_size(api::ANSWER_MAX_BYTES + 1));
    })
    .await
    .ok()
    .unwrap();
    let get = |path: &str| {
        let url = format!("http://{}{path}", running.local_addr());
        Answer::of(reqwest::Client::new().get(url))
    };
    let fits = get("/fits").await;
    assert_eq!((fits.status.as_u16(), fits.body.len()), (200, api::ANSWER_MAX_BYTES));
    let problem = get("/longer").await.problem(api_types::ProblemKind::Internal);
    assert_eq!(problem.instance, "/longer");
    shutdown.request();
    running.stopped().await.unwrap();
}

#[tokio::test]
async fn what_decided_is_shown_with_a_market_however_many_fetches_came_after_it() {
    let service = Service::new().await;
    let market = service.arena.market(MarketSource::News).await.id;
    service.arena.lock_market(market).await;
    let at = service.arena.now().await;
    let mut conn = service.arena.conn().await;
    for decides in [None, Some(Side::No)] {
        let fetch = test_kit::market::evidence(at, decides);
        db::markets::record(&mut conn, market, &fetch, None).await.unwrap();
    }
    let owner = service.arena.owner_client().await;
    let more = "INSERT INTO evidence (market_id, url, fetched_at, body, truncated, problem) \
                SELECT market_id, url, now(), '', false, 'no answer' FROM evidence, generate_series(1, 25) \
                 WHERE side IS NOT NULL";
    let ids = async |filter: &str| -> Vec<i64> {
        let sql = format!("SELECT id FROM evidence WHERE {filter} ORDER BY id");
        let rows = owner.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let shown = async || -> Vec<(i64, bool)> {
        let market = service.get(&format!("/markets/{market}")).await.json();
        let evidence = market["evidence"].as_array().unwrap().iter();
        evidence.map(|one| (one["id"].as_i64().unwrap(), one["decides"] == true)).collect()
    };
    let deciding = ids("side IS NOT NULL").await[0];
    assert_eq!(shown().await, [(ids("true").await[0], false), (deciding, true)]);
    owner.execute(more, &[]).await.unwrap();
    let mut expected = vec![(deciding, true)];
    let later = ids(&format!("id > {deciding}")).await;
    expected.extend(later[later.len() - 19..].iter().map(|id| (*id, false)));
    assert_eq!(shown().await, expected);
    // The list has all of them, the newest first.
    let page = service.get(&format!("/markets/{market}/evidence?limit=200")).await.json();
    let listed: Vec<i64> =
        page["items"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    let mut all = ids("true").await;
    all.reverse();
    assert_eq!(listed, all);
}

#[tokio::test]
async fn the_body_of_evidence_is_on_a_path_of_its_own() {
    let service = Service::new().await;
    let market = service.arena.market(MarketSource::News).await.id;
    service.arena.lock_market(market).await;
    let at = service.arena.now().await;
    let mut fetch = test_kit::market::evidence(at, Some(Side::No));
    fetch.body = [b"<html><script>alert(1)</script>".to_vec(), vec![0xff; 5_000]].concat();
    let digest = Hash(Sha256::digest(&fetch.body).into());
    fetch.sha256 = Some(digest);
    let mut conn = service.arena.conn().await;
    db::markets::record(&mut conn, market, &fetch, None).await.unwrap();
    let listed = service.get(&format!("/markets/{market}/evidence?limit=1")).await.json();
    let one = &listed["items"][0];
    assert_eq!((&one["bytes"], &one["decides"]), (&5_031.into(), &true.into()));
    assert_eq!(one["sha256"], digest.to_string());
    let shown = service.get(&format!("/markets/{market}")).await.json();
    assert_eq!(shown["evidence"][0]["sha256"], digest.to_string());
    let path = format!("/markets/{market}/evidence/{}", one["id"]);
    let answer = service.get(&path).await;
    assert_eq!(answer.body, fetch.body);
    // No browser is to take it for a page.
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let other = service.arena.market(MarketSource::Weather).await.id;
    for path in [
        format!("/markets/{other}/evidence/{}", one["id"]),
        format!("/markets/{market}/evidence/0"),
        format!("/markets/{market}/evidence/x"),
    ] {
        service.get(&path).await.problem(api_types::ProblemKind::NotFound);
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
    let market = db::markets::open(&mut conn, &new, rules, None).await.unwrap().id;
    let kept = db::markets::evidence_of(&mut conn, market).await.unwrap();
    let listed = service.get(&format!("/markets/{market}/evidence")).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0);
    let path = format!("/markets/{market}/evidence/{}", kept[0].id);
    service.get(&path).await.problem(api_types::ProblemKind::NotFound);
}
