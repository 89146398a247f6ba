use api_types::ProblemKind;
use ledger_core::economy::Enforcement;
use reqwest::Method;
use serde_json::json;

use crate::service::{ADMIN_TOKEN, Answer, Service};

#[tokio::test]
async fn an_operator_revives_the_dead() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").dead().create().await;
    let path = format!("/bots/{}/revive", bot.id);
    let request = service.operator(Method::POST, &path).header("X-Operator", "ada");
    let body = json!({ "amount": "25", "reason": "a second\nchance" });
    let revived = Answer::of(request.json(&body)).await.json();
    assert_eq!((&revived["status"], &revived["balance"]), (&json!("ALIVE"), &json!("25.00000000")));
    let entries = service.get("/bots/Mia/ledger").await.json();
    assert_eq!(entries["items"][0]["entry_type"], "REVIVE");
    assert_eq!(entries["items"][0]["reference"], "REVIVE:ada");
    let feed = service.get("/posts/feed").await.json();
    assert_eq!(
        (&feed["items"][0]["kind"], &feed["items"][0]["handle"]),
        (&json!("REVIVAL"), &json!("Mia"))
    );
    assert!(feed["items"][0]["content"].as_str().unwrap().contains("a second chance"));
    let audit = service.arena.owner_client().await;
    let row = audit.query_one("SELECT actor FROM audit_log WHERE action = 'REVIVE'", &[]).await;
    assert_eq!(row.unwrap().get::<_, String>(0), "ada");
    // Alive again, it may look again.
    service.observe(&bot).await;
    let request = service.operator(Method::POST, &path).json(&body);
    let problem = Answer::of(request).await.problem(ProblemKind::BotStatus);
    assert_eq!(problem.extra["bot_status"], "ALIVE");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn an_operator_retires_for_good() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").balance("7").create().await;
    let other = service.arena.bot().create().await;
    let path = format!("/bots/{}", bot.id);
    let retired = Answer::of(service.operator(Method::DELETE, &path)).await.json();
    assert_eq!(
        (&retired["status"], &retired["balance"]),
        (&json!("RETIRED"), &json!("0.00000000"))
    );
    let entries = service.get("/bots/Mia/ledger").await.json();
    assert_eq!(
        (&entries["items"][0]["entry_type"], &entries["items"][0]["amount"]),
        (&json!("RETIRED"), &json!("-7.00000000"))
    );
    assert_eq!(entries["items"][0]["reference"], "RETIRE:admin");
    Answer::of(service.operator(Method::DELETE, &path)).await.problem(ProblemKind::BotStatus);
    let revive = service.operator(Method::POST, &format!("{path}/revive"));
    let revive = revive.json(&json!({ "amount": "1", "reason": "please" }));
    Answer::of(revive).await.problem(ProblemKind::BotStatus);
    service.get_as(&bot, "/arena/observation").await.problem(ProblemKind::BotNotAlive);
    let request = service.operator(Method::DELETE, &format!("/bots/{}", other.handle));
    let answer = Answer::of(request.json(&json!({ "reason": "left" }))).await;
    assert_eq!(answer.json()["status"], "RETIRED");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn nobody_else_is_an_operator() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    service.arena.tick(Enforcement::Observe).await;
    let path = format!("/bots/{}", bot.id);
    let before = service.footprint().await;
    for (name, value) in [
        ("Authorization", format!("Bearer {}x", ADMIN_TOKEN)),
        ("Authorization", format!("Bearer {}", &ADMIN_TOKEN[1..])),
        ("Authorization", format!("Basic {ADMIN_TOKEN}")),
        ("Authorization", "Bearer ".to_owned()),
        ("X-Agent-Secret", bot.api_secret.clone()),
        ("X-Operator", "ada".to_owned()),
    ] {
        let delete = service.request(Method::DELETE, &path).header(name, &value);
        Answer::of(delete).await.problem(ProblemKind::Unauthorized);
        let revive = service.request(Method::POST, &format!("{path}/revive")).header(name, &value);
        let revive = revive.json(&json!({ "amount": "1", "reason": "x" }));
        Answer::of(revive).await.problem(ProblemKind::Unauthorized);
    }
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn an_operators_mistakes_are_named() {
    let service = Service::new().await;
    let bot = service.arena.bot().dead().create().await;
    let path = format!("/bots/{}/revive", bot.id);
    let before = service.footprint().await;
    for (body, field) in [
        (json!({ "amount": "0", "reason": "x" }), "amount"),
        (json!({ "amount": "-1", "reason": "x" }), "amount"),
        (json!({ "amount": 5, "reason": "x" }), "amount"),
        (json!({ "amount": "1e3", "reason": "x" }), "amount"),
        (json!({ "reason": "x" }), "amount"),
        (json!({ "amount": "1" }), "reason"),
        (json!({ "amount": "1", "reason": " \n" }), "reason"),
        (json!({ "amount": "1", "reason": "x".repeat(281) }), "reason"),
        (json!({ "amount": "1", "reason": "x", "who": "me" }), "who"),
    ] {
        let answer = Answer::of(service.operator(Method::POST, &path).json(&body)).await;
        answer.refuses_field(field);
    }
    let unnamed = service.operator(Method::POST, &path).header("X-Operator", "a b");
    let unnamed = unnamed.json(&json!({ "amount": "1", "reason": "x" }));
    Answer::of(unnamed).await.refuses_field("X-Operator");
    let body = json!({ "amount": "1", "reason": "x" });
    let nobody = service.operator(Method::POST, "/bots/424242/revive").json(&body);
    Answer::of(nobody).await.problem(ProblemKind::NotFound);
    assert_eq!(service.footprint().await, before);
}
