//! Pauses and the audit log over HTTP.

use api_types::ProblemKind;
use ledger_core::market::MarketSource;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{ADMIN_TOKEN, Answer, Service, wager};

async fn set_pause(service: &Service, path: &str, body: Value) -> Answer {
    let request = service.operator(Method::POST, path);
    Answer::of(request.header("X-Operator", "ada").json(&body)).await
}

#[tokio::test]
async fn while_the_arena_is_paused_everybody_is_told_why() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    let market = service.arena.market(MarketSource::News).await.id;
    let paused = set_pause(&service, "/arena/pause", json!({ "reason": "a wrong price" })).await;
    assert_eq!(paused.json()["paused"]["reason"], "a wrong price");
    let economy = service.get("/economy").await.json();
    assert_eq!(economy["paused"]["reason"], "a wrong price");
    let bet = json!({ "side": "YES", "stake": "1.00", "confidence": "0.60" });
    let bets = format!("/markets/{market}/bets");
    let secret = &bot.api_secret;
    for request in [
        service.request(Method::GET, "/arena/observation"),
        service.request(Method::POST, &bets).json(&bet),
        service.request(Method::POST, "/arena/action").json(&wager(&observation, "1.00")),
        service.request(Method::POST, "/bots").json(&json!({ "handle": "Newcomer" })),
    ] {
        let answer = Answer::of(request.header("X-Agent-Secret", secret)).await;
        let problem = answer.problem(ProblemKind::ArenaPaused);
        assert_eq!(problem.status, 503);
        assert_eq!(problem.extra["reason"], "a wrong price");
        assert!(answer.header("retry-after").is_some());
    }
    // Only an operator may pause any subject.
    let request = service.request(Method::POST, "/arena/resume");
    Answer::of(request.header("X-Agent-Secret", secret)).await.problem(ProblemKind::Unauthorized);
    let resumed = Answer::of(service.operator(Method::POST, "/arena/resume")).await;
    assert_eq!(resumed.json(), json!({ "paused": null }));
    service.wager(&bot, "1.00").await.json();
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_paused_bot_is_told_so_and_shown_so() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let observation = service.observe(&bot).await;
    let reason = json!({ "reason": "odd bets" });
    let paused = set_pause(&service, "/bots/mia/pause", reason.clone()).await.json();
    assert_eq!(paused["paused"]["reason"], "odd bets");
    let again =
        set_pause(&service, &format!("/bots/{}/pause", bot.id), json!({ "reason": "other" })).await;
    assert_eq!(again.json()["paused"], paused["paused"], "the first reason stands");
    let refused = service.act(&bot, &wager(&observation, "1.00")).await;
    assert_eq!(refused.problem(ProblemKind::BotPaused).status, 403);
    let request = service.request(Method::GET, "/arena/observation");
    Answer::of(request.header("X-Agent-Secret", &bot.api_secret))
        .await
        .problem(ProblemKind::BotPaused);
    assert_eq!(service.get("/bots/Mia").await.json()["paused"]["reason"], "odd bets");
    let resumed = set_pause(&service, "/bots/Mia/resume", json!({})).await.json();
    assert_eq!(resumed["paused"], Value::Null);
    service.wager(&bot, "1.00").await.json();
    set_pause(&service, "/bots/nobody/pause", reason).await.problem(ProblemKind::NotFound);
}

/// A bot that cannot act is not asked to request another observation, which would be refused as well.
#[tokio::test]
async fn a_pause_is_told_before_what_is_wrong_with_a_ticket() {
    let service = Service::new().await;
    let (bot, other) =
        (service.arena.bot().handle("Mia").create().await, service.arena.bot().create().await);
    let used = wager(&service.observe(&bot).await, "1.00");
    service.act(&bot, &used).await.json();
    let foreign = wager(&service.observe(&other).await, "1.00");
    let waiting = json!({ "observation_id": used["observation_id"], "action_type": "WAIT" });
    let reason = json!({ "reason": "odd bets" });
    for (pause, resume, kind) in [
        ("/bots/Mia/pause", "/bots/Mia/resume", ProblemKind::BotPaused),
        ("/arena/pause", "/arena/resume", ProblemKind::ArenaPaused),
    ] {
        service.act(&bot, &used).await.problem(ProblemKind::TicketSpent);
        set_pause(&service, pause, reason.clone()).await.json();
        for body in [&used, &foreign, &waiting] {
            let problem = service.act(&bot, body).await.problem(kind);
            assert_eq!(problem.extra["reason"], "odd bets");
            let dry = service
                .request(Method::POST, "/arena/action?dry_run=true")
                .header("X-Agent-Secret", &bot.api_secret)
                .json(body);
            let told = Answer::of(dry).await.json();
            assert_eq!(told["refusal"]["type"], json!(kind.path()));
        }
        set_pause(&service, resume, json!({})).await.json();
    }
    service.take_price_away().await;
    set_pause(&service, "/bots/Mia/pause", reason).await.json();
    let problem = service.act(&bot, &used).await;
    problem.problem(ProblemKind::BotPaused);
}

#[tokio::test]
async fn a_paused_market_is_told_and_shown() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let market = service.arena.market(MarketSource::News).await.id;
    let pause = format!("/markets/{market}/pause");
    let paused = set_pause(&service, &pause, json!({ "reason": "a typo" })).await.json();
    assert_eq!(paused["paused"]["reason"], "a typo");
    let bet = json!({ "side": "YES", "stake": "1.00", "confidence": "0.60" });
    let request = service.request(Method::POST, &format!("/markets/{market}/bets")).json(&bet);
    let refused = Answer::of(request.header("X-Agent-Secret", &bot.api_secret)).await;
    let problem = refused.problem(ProblemKind::MarketPaused);
    assert_eq!(problem.extra["market_id"], json!(market));
    let shown = service.get(&format!("/markets/{market}")).await.json();
    assert_eq!(shown["paused"]["reason"], "a typo");
    let by = service.operator(Method::POST, &format!("/markets/{market}/resume"));
    assert_eq!(Answer::of(by).await.json()["paused"], Value::Null);
}

#[tokio::test]
async fn a_pause_needs_a_reason_and_an_operator() {
    let service = Service::new().await;
    for body in [json!({}), json!({ "reason": " " }), json!({ "reason": "x".repeat(281) })] {
        set_pause(&service, "/arena/pause", body).await.refuses_field("reason");
    }
    let request = service.request(Method::POST, "/arena/pause").json(&json!({ "reason": "r" }));
    Answer::of(request).await.problem(ProblemKind::Unauthorized);
    assert_eq!(service.get("/economy").await.json()["paused"], Value::Null);
}

#[tokio::test]
async fn a_repeated_pause_is_one_act() {
    let service = Service::new().await;
    let pause = || {
        let request = service.operator(Method::POST, "/arena/pause");
        request.header("Idempotency-Key", "p1").json(&json!({ "reason": "r" }))
    };
    let first = Answer::of(pause()).await.json();
    Answer::of(service.operator(Method::POST, "/arena/resume")).await.json();
    // The repeated request gets the answer of the first one; it pauses nothing again.
    let second = Answer::of(pause()).await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.json(), first);
    let audit = Answer::of(service.operator(Method::GET, "/audit")).await.json();
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["RESUME_ARENA", "PAUSE_ARENA"]);
}

#[tokio::test]
async fn the_audit_log_is_for_operators_and_shows_who_did_what() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    service.wager(&bot, "1.00").await.json();
    set_pause(&service, "/bots/Mia/pause", json!({ "reason": "odd bets" })).await.json();
    let read = async |query: &str| {
        Answer::of(service.operator(Method::GET, &format!("/audit{query}"))).await
    };
    let all = read("?limit=1").await.json();
    let line = &all["items"][0];
    assert_eq!((&line["actor"], &line["action"]), (&json!("ada"), &json!("PAUSE_BOT")));
    assert_eq!(line["detail"]["reason"], "odd bets");
    assert_eq!(line["bot_id"], json!(bot.id));
    let cursor = all["next_cursor"].as_str().unwrap();
    let next = read(&format!("?limit=1&cursor={cursor}")).await.json();
    assert_eq!(next["items"][0]["action"], "REGISTER");
    assert_eq!(read("?bot=mia").await.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(read("?action=PREDICT").await.json()["items"][0]["bot_id"], json!(bot.id));
    read("?action=PREDICT&bot=mia").await.refuses_field("action");
    read("?action=drop%20table").await.refuses_field("action");
    read("?bot=;").await.refuses_field("bot");
    let nobody = read("?bot=nobody").await.json();
    assert_eq!(nobody["items"], json!([]));
    service.get("/audit").await.problem(ProblemKind::Unauthorized);
    let text = read("").await.text();
    assert!(!text.contains(&bot.api_secret) && !text.contains(ADMIN_TOKEN));
}
