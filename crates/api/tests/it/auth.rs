use api_types::ProblemKind;
use reqwest::Method;
use serde_json::json;

use crate::service::{Answer, Service};

async fn me(service: &Service, token: &str) -> Answer {
    Answer::of(service.request(Method::GET, "/bots/me").bearer_auth(token)).await
}

#[tokio::test]
async fn an_api_key_buys_a_token_by_id_or_by_handle() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    for who in [json!({ "bot_id": bot.id }), json!({ "handle": "mIA" })] {
        let mut body = who;
        body["api_key"] = json!(bot.api_key);
        let answer = service.post("/auth/token", &body).await.json();
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&json!("bearer"), &json!(1800))
        );
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(me(&service, token).await.json()["id"], json!(bot.id));
    }
}

#[tokio::test]
async fn the_secret_proves_as_much_as_a_token() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let profile = service.get_as(&bot, "/bots/me").await.json();
    assert_eq!(profile["handle"], json!(bot.handle));
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_bot_get_the_same_answer() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let other = service.arena.bot().create().await;
    let mut answers = Vec::new();
    for body in [
        json!({ "handle": "Mia", "api_key": "ldk_wrong" }),
        json!({ "handle": "Mia", "api_key": other.api_key }),
        json!({ "handle": "Nobody", "api_key": bot.api_key }),
        json!({ "bot_id": 424_242, "api_key": bot.api_key }),
        json!({ "bot_id": -1, "api_key": "" }),
    ] {
        let answer = service.post("/auth/token", &body).await;
        let mut problem = answer.problem(ProblemKind::Unauthorized);
        problem.request_id = String::new();
        answers.push((problem, answer.header("www-authenticate").map(str::to_owned)));
    }
    assert!(answers[0].1.is_some());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn credentials_that_are_none_are_401() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let login = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let good = service.post("/auth/token", &login).await.json();
    let good = good["access_token"].as_str().unwrap().to_owned();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for token in ["", "x", "a.b.c", forged.as_str(), bot.api_secret.as_str(), bot.api_key.as_str()]
    {
        me(&service, token).await.problem(ProblemKind::Unauthorized);
    }
    let request = |name: &str, value: &str| {
        Answer::of(service.request(Method::GET, "/bots/me").header(name, value))
    };
    for (name, value) in [
        ("X-Agent-Secret", "lds_wrong"),
        ("X-Agent-Secret", ""),
        ("X-Agent-Secret", bot.api_key.as_str()),
        ("Authorization", bot.api_secret.as_str()),
        ("Authorization", "Basic bWlhOm1pYQ=="),
        ("Authorization", crate::service::ADMIN_TOKEN),
    ] {
        request(name, value).await.problem(ProblemKind::Unauthorized);
    }
    service.get("/bots/me").await.problem(ProblemKind::Unauthorized);
    service.get("/arena/observation").await.problem(ProblemKind::Unauthorized);
    // Proof comes before anything else is looked at, even before what is wrong with the body.
    service.post("/arena/action", &json!("junk")).await.problem(ProblemKind::Unauthorized);
    assert_eq!(me(&service, &good).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_token_of_another_secret_key_or_of_a_vanished_bot_is_401() {
    let service = Service::new().await;
    let elsewhere = Service::with(|config| {
        config.secrets.secret_key.current =
            secrecy::SecretString::from("another-secret-key-of-over-32-characters");
    })
    .await;
    let bot = elsewhere.arena.bot().create().await;
    let body = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let token = elsewhere.post("/auth/token", &body).await.json()["access_token"].clone();
    me(&service, token.as_str().unwrap()).await.problem(ProblemKind::Unauthorized);

    let twin = Service::new().await;
    let bot = twin.arena.bot().create().await;
    let body = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let token = twin.post("/auth/token", &body).await.json()["access_token"].clone();
    let token = token.as_str().unwrap();
    me(&service, token).await.problem(ProblemKind::Unauthorized);
    let observe = service.request(Method::GET, "/arena/observation").bearer_auth(token);
    Answer::of(observe).await.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn a_malformed_login_names_its_field() {
    let service = Service::new().await;
    for (body, field) in [
        (json!({ "handle": "Mia" }), "api_key"),
        (json!({ "api_key": "k" }), "handle"),
        (json!({ "api_key": "k", "handle": "Mia", "bot_id": 7 }), "bot_id"),
        (json!({ "api_key": "k", "handle": "M" }), "handle"),
        (json!({ "api_key": "k", "bot_id": "7" }), "bot_id"),
        (json!({ "api_key": 7, "handle": "Mia" }), "api_key"),
        (json!({ "api_key": "k", "handle": "Mia", "admin": true }), "admin"),
    ] {
        service.post("/auth/token", &body).await.refuses_field(field);
    }
}

#[tokio::test]
async fn the_dead_may_log_in_and_look() {
    let service = Service::new().await;
    let bot = service.arena.bot().dead().create().await;
    let body = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let token = service.post("/auth/token", &body).await.json()["access_token"].clone();
    let profile = me(&service, token.as_str().unwrap()).await.json();
    assert_eq!(profile["status"], "DEAD");
}
