//! Markets over HTTP: shown, bet on, answered, opened and called off, and refused.

mod operators;

use api_types::{AnswerJudged, BetsPlaced, Market, MyProfile, ProblemKind};
use ledger_core::MarketId;
use ledger_core::market::{MarketSource, MarketStatus, Side};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::TestBot;
use test_kit::market::RIGHT_ANSWER;

use crate::service::{Answer, Service};

fn bet(side: &str, stake: &str) -> Value {
    json!({ "side": side, "stake": stake, "confidence": "0.70", "reasoning": "a\thunch" })
}

fn answer(text: &str) -> Value {
    json!({ "answer": text, "used_lookup": true, "confidence": "0.90" })
}

impl Service {
    async fn post_as(&self, bot: &TestBot, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path);
        Answer::of(request.header("X-Agent-Secret", &bot.api_secret).json(body)).await
    }

    async fn bet_as(&self, bot: &TestBot, market: MarketId, body: &Value) -> Answer {
        self.post_as(bot, &format!("/markets/{market}/bets"), body).await
    }

    async fn open(&self, body: &Value) -> Answer {
        Answer::of(self.operator(Method::POST, "/markets").json(body)).await
    }
}

#[tokio::test]
async fn a_bet_is_placed_shown_and_paid() {
    let service = Service::new().await;
    let [mia, ben] = [
        service.arena.bot().handle("Mia").create().await,
        service.arena.bot().handle("Ben").create().await,
    ];
    let market = service.arena.market(MarketSource::News).await.id;
    let placed = service.bet_as(&mia, market, &bet("YES", "10.00")).await;
    assert_eq!(placed.status, 201);
    let placed: BetsPlaced = placed.ok();
    assert_eq!(placed.new_balance.to_string(), "990.00000000");
    assert_eq!(placed.bets[0].side, Some(Side::Yes));
    assert_eq!(placed.bets[0].reasoning, "a hunch");
    let other: BetsPlaced = service.bet_as(&ben, market, &bet("NO", "5")).await.ok();
    assert!(other.bets[0].id > placed.bets[0].id);
    let me: MyProfile = service.get_as(&mia, "/bots/me").await.ok();
    assert_eq!(me.open_bets.len(), 1);
    let shown: Market = service.get(&format!("/markets/{market}")).await.ok();
    assert_eq!((shown.bets, shown.pool.to_string()), (2, "20.00000000".to_owned()));
    assert!(shown.commitment.is_none());
    let bets = service.get(&format!("/markets/{market}/bets?limit=1")).await.json();
    assert_eq!(bets["items"][0]["bot_id"], json!(ben.id));
    let cursor = bets["next_cursor"].as_str().unwrap();
    let rest = service.get(&format!("/markets/{market}/bets?cursor={cursor}")).await.json();
    assert_eq!(rest["items"][0]["bot_id"], json!(mia.id));
    service.arena.lock_market(market).await;
    service.arena.decide(market, Side::Yes).await;
    db::markets::settle(&mut *service.arena.conn().await, market).await.unwrap();
    let shown: Market = service.get(&format!("/markets/{market}")).await.ok();
    assert_eq!(shown.status, MarketStatus::Resolved);
    assert_eq!(shown.outcome.as_deref(), Some("YES"));
    assert!(shown.evidence.iter().any(|fetch| fetch.decides && fetch.url.starts_with("http")));
    let me = service.get("/bots/Mia").await.json();
    assert_eq!(me["balance"], "1010.00000000");
    let feed = service.get("/posts/feed").await.json();
    let kinds: Vec<&str> = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|post| post["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["SETTLEMENT", "SETTLEMENT", "BET", "BET"]);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn several_bets_are_one_request_and_one_transaction() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10.00").create().await;
    let [a, b] = [
        service.arena.market(MarketSource::News).await.id,
        service.arena.market(MarketSource::Weather).await.id,
    ];
    let slip = |stakes: [(MarketId, &str); 2]| {
        let bets = stakes.map(|(id, stake)| {
            let mut one = bet("NO", stake);
            one["market_id"] = json!(id);
            one
        });
        json!({ "bets": bets })
    };
    let before = service.footprint().await;
    let refused = service.post_as(&bot, "/markets/bets", &slip([(a, "6"), (b, "4.01")])).await;
    let problem = refused.problem(ProblemKind::InsufficientFunds);
    assert_eq!(problem.field(), Some("stake"));
    let twice = service.post_as(&bot, "/markets/bets", &slip([(a, "1"), (a, "1")])).await;
    twice.refuses_field("bets[1].market_id");
    service
        .post_as(&bot, "/markets/bets", &slip([(a, "1"), (b, "0.001")]))
        .await
        .refuses_field("bets[1].stake");
    let nowhere = MarketId(uuid::Uuid::new_v4());
    let gone = service.post_as(&bot, "/markets/bets", &slip([(a, "1"), (nowhere, "1")])).await;
    assert_eq!(gone.problem(ProblemKind::NotFound).field(), Some("bets[1].market_id"));
    service.post_as(&bot, "/markets/bets", &json!({ "bets": [] })).await.refuses_field("bets");
    let four: Vec<Value> = (0..4)
        .map(|_| {
            let mut one = bet("NO", "1");
            one["market_id"] = json!(uuid::Uuid::new_v4());
            one
        })
        .collect();
    service.post_as(&bot, "/markets/bets", &json!({ "bets": four })).await.refuses_field("bets");
    assert_eq!(service.footprint().await, before);
    let placed: BetsPlaced =
        service.post_as(&bot, "/markets/bets", &slip([(a, "6"), (b, "4")])).await.ok();
    assert_eq!(placed.bets.iter().map(|bet| bet.market_id).collect::<Vec<_>>(), [a, b]);
    assert_eq!(placed.new_balance.to_string(), "0.00000000");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn bad_bets_name_their_field_and_write_nothing() {
    let service = Service::new().await;
    let dead = service.arena.bot().dead().create().await;
    let bot = service.arena.bot().balance("10.00").create().await;
    let open = service.arena.market(MarketSource::News).await.id;
    let closed = service.arena.market(MarketSource::Weather).await.id;
    let research = service.arena.market(MarketSource::Research).await.id;
    let held = service.arena.market(MarketSource::Github).await.id;
    service.arena.age_market(closed, 1_000).await;
    service.bet_as(&bot, held, &bet("YES", "1")).await.ok::<BetsPlaced>();
    let before = service.footprint().await;
    let with = |field: &str, value: Value| {
        let mut body = bet("YES", "1.00");
        body[field] = value;
        body
    };
    for (field, value) in [
        ("side", json!("MAYBE")),
        ("side", json!("yes")),
        ("side", Value::Null),
        ("stake", json!("0.009")),
        ("stake", json!("-1")),
        ("stake", json!(5)),
        ("stake", json!("1e3")),
        ("confidence", json!("0")),
        ("confidence", json!("1")),
        ("confidence", json!("7")),
        ("confidence", json!(0.5)),
        ("reasoning", json!("x".repeat(281))),
        ("colour", json!("red")),
    ] {
        service.bet_as(&bot, open, &with(field, value)).await.refuses_field(field);
    }
    let problem = |answer: Answer, kind| answer.problem(kind).field().map(str::to_owned);
    let market_id = Some("market_id".to_owned());
    let stake = Some("stake".to_owned());
    let one = bet("YES", "1");
    assert_eq!(
        problem(service.bet_as(&bot, closed, &one).await, ProblemKind::MarketClosed),
        market_id
    );
    assert_eq!(problem(service.bet_as(&bot, held, &one).await, ProblemKind::AlreadyIn), market_id);
    assert_eq!(
        problem(service.bet_as(&bot, research, &one).await, ProblemKind::InvalidField),
        market_id
    );
    let nowhere = MarketId(uuid::Uuid::new_v4());
    assert_eq!(
        problem(service.bet_as(&bot, nowhere, &one).await, ProblemKind::NotFound),
        market_id
    );
    assert_eq!(
        problem(
            service.bet_as(&bot, open, &bet("YES", "9.01")).await,
            ProblemKind::InsufficientFunds
        ),
        stake
    );
    service.bet_as(&dead, open, &one).await.problem(ProblemKind::BotNotAlive);
    service.post_as(&bot, "/markets/seven/bets", &one).await.problem(ProblemKind::NotFound);
    service.post(&format!("/markets/{open}/bets"), &one).await.problem(ProblemKind::Unauthorized);
    assert_eq!(service.footprint().await, before);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn research_keeps_its_secret_until_it_is_solved() {
    let service = Service::new().await;
    let [miss, solver] = [service.arena.bot().create().await, service.arena.bot().create().await];
    let market = service.arena.market(MarketSource::Research).await.id;
    let path = format!("/markets/{market}");
    let answers = format!("{path}/answers");
    let judged: AnswerJudged = service.post_as(&miss, &answers, &answer("737")).await.ok();
    assert_eq!(judged.new_balance.to_string(), "998.50000000");
    let open = service.get(&path).await;
    let shown: Market = open.ok();
    assert_eq!(shown.commitment.as_ref().unwrap().len(), 64);
    assert!(shown.nonce.is_none() && shown.answer.is_none() && shown.evidence.is_empty());
    // As a value: a time or a hash may well have its digits.
    let answer_told = format!("\"{RIGHT_ANSWER}\"");
    assert!(!open.text().contains(&answer_told) && !open.text().contains(&"07".repeat(32)));
    let bets = service.get(&format!("{path}/bets")).await.json();
    assert!(bets["items"][0]["answer"].is_null(), "what was tried helps nobody else");
    service.post_as(&miss, &answers, &answer("738")).await.problem(ProblemKind::AlreadyIn);
    for text in ["", "  ", "a\nb"] {
        service.post_as(&solver, &answers, &answer(text)).await.refuses_field("answer");
    }
    let judged: AnswerJudged = service.post_as(&solver, &answers, &answer(" 736 ")).await.ok();
    assert_eq!(judged.payout.to_string(), "26.00000000");
    let shown: Market = service.get(&path).await.ok();
    assert_eq!(shown.outcome.as_deref(), Some(RIGHT_ANSWER));
    assert_eq!(shown.answer.as_deref(), Some(RIGHT_ANSWER));
    assert_eq!(shown.nonce.as_deref(), Some("07".repeat(32).as_str()));
    let late = service.arena.bot().create().await;
    let closed = service.post_as(&late, &answers, &answer("736")).await;
    closed.problem(ProblemKind::MarketClosed);
    let news = service.arena.market(MarketSource::News).await.id;
    let wrong_kind =
        service.post_as(&late, &format!("/markets/{news}/answers"), &answer("1")).await;
    wrong_kind.refuses_field("market_id");
    service.arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_retried_bet_or_answer_has_its_effect_once() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let news = service.arena.market(MarketSource::News).await.id;
    let research = service.arena.market(MarketSource::Research).await.id;
    for (path, body) in [
        (format!("/markets/{news}/bets"), bet("YES", "10")),
        (format!("/markets/{research}/answers"), answer(RIGHT_ANSWER)),
    ] {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let request = service
                .request(Method::POST, &path)
                .header("X-Agent-Secret", &bot.api_secret)
                .header("Idempotency-Key", "once")
                .json(&body);
            tasks.spawn(Answer::of(request));
        }
        let answers = tasks.join_all().await;
        let first = answers[0].json();
        assert!(answers.iter().all(|answer| answer.json() == first), "{path}");
        let replays = answers.iter().filter(|a| a.header("idempotency-replayed").is_some()).count();
        assert_eq!(replays, 11, "{path}");
        let mut other = body.clone();
        other["confidence"] = json!("0.55");
        let request = service
            .request(Method::POST, &path)
            .header("X-Agent-Secret", &bot.api_secret)
            .header("Idempotency-Key", "once")
            .json(&other);
        Answer::of(request).await.problem(ProblemKind::IdempotencyMismatch);
    }
    let balance = service.get_as(&bot, "/bots/me").await.json()["balance"].clone();
    // 1000 − 10 − 1 − 0.50 + 26.
    assert_eq!(balance, "1014.50000000");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn those_that_take_bets_are_told_from_those_that_are_open() {
    let service = Service::new().await;
    let open = service.arena.market(MarketSource::News).await.id;
    let research = service.arena.market(MarketSource::Research).await.id;
    let closed = service.arena.market(MarketSource::Weather).await;
    let seconds = service.arena.rules().markets.of(MarketSource::Weather).seconds;
    service.arena.age_market(closed.id, seconds * 3 / 4).await;
    let paused = service.arena.market(MarketSource::Github).await.id;
    let request = service.operator(Method::POST, &format!("/markets/{paused}/pause"));
    let answer = Answer::of(request.json(&json!({ "reason": "a test" }))).await;
    assert_eq!(answer.status, 200);

    let listed = async |query: &str| {
        let list = service.get(&format!("/markets?{query}")).await.json();
        let items = list["items"].as_array().unwrap().iter();
        let ids = items.map(|market| market["id"].as_str().unwrap().parse().unwrap());
        ids.collect::<Vec<uuid::Uuid>>()
    };
    let everything = vec![paused.0, closed.id.0, research.0, open.0];
    assert_eq!(listed("status=OPEN").await, everything);
    assert_eq!(listed("taking_bets=false").await, everything);
    assert_eq!(listed("taking_bets=true").await, [research.0, open.0]);
    assert_eq!(listed("taking_bets=true&status=OPEN&source=NEWS").await, [open.0]);
    assert!(listed("taking_bets=true&status=RESOLVED").await.is_empty());
    // It has the answer that a bet would get.
    let mia = service.arena.bot().create().await;
    for (market, taken) in [(open, true), (closed.id, false), (paused, false)] {
        let placed = service.bet_as(&mia, market, &bet("YES", "1")).await;
        assert_eq!(placed.status == 201, taken, "{market}");
    }
    service.get("/markets?taking_bets=yes").await.refuses_field("taking_bets");
}
