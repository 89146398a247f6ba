//! Access to streams.

use std::time::Duration;

use api_types::{ProblemKind, close_code};
use daemon::config::Environment;
use ledger_core::Enforcement;
use reqwest::StatusCode;
use serde_json::json;
use tokio_tungstenite::tungstenite;

use super::{in_time, write_events};
use crate::service::{ADMIN_TOKEN, Answer, Service};

/// An arena in enforce mode outside of development.
async fn guarded() -> Service {
    Service::with(|config| {
        config.environment = Environment::Production;
        config.rules.enforcement = Enforcement::Enforce;
        config.streams.greeting = Duration::from_millis(500);
    })
    .await
}

#[tokio::test]
async fn anybody_listens_while_nothing_is_enforced_or_in_development() {
    for change in [
        |config: &mut api::ApiConfig| config.environment = Environment::Production,
        |config: &mut api::ApiConfig| config.rules.enforcement = Enforcement::Enforce,
    ] {
        let service = Service::with(change).await;
        let mut sse = service.listening().await;
        let mut ws = service.websocket("?kinds=price").await;
        write_events(&service.arena.owner_client().await, &[7]).await;
        assert_eq!(sse.event().await, Some(ws.event().await.unwrap()));
    }
}

#[tokio::test]
async fn where_it_is_enforced_bots_and_operators_listen() {
    let service = guarded().await;
    let bot = service.arena.bot().create().await;
    let login = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let token = service.post("/auth/token", &login).await.json();
    let token = token["access_token"].as_str().unwrap();
    let bearer = format!("Bearer {token}");
    let operator = format!("Bearer {ADMIN_TOKEN}");
    let proofs = [
        ("authorization", bearer.as_str()),
        ("x-agent-secret", bot.api_secret.as_str()),
        ("authorization", operator.as_str()),
    ];
    let owner = service.arena.owner_client().await;
    for (number, proof) in (1..).zip(proofs) {
        // Only what is written here: the bot's own events are complete once the oldest transaction of
        // the whole server has ended, which may be another test's.
        let answer = service.events("?kinds=price").header(proof.0, proof.1).send().await.unwrap();
        let mut sse = super::Sse::over(answer);
        let begin = sse.block().await.unwrap().id.unwrap();
        let query = format!("?since={begin}&kinds=price");
        let mut ws = service.websocket_with(&query, &[proof]).await.unwrap();
        write_events(&owner, &[number]).await;
        let told = ws.event().await.unwrap();
        assert_eq!(super::number(&told), number);
        assert_eq!(sse.event().await, Some(told));
    }
    // Pages in a browser cannot send headers: the first message brings the token.
    for token in [token, ADMIN_TOKEN] {
        let mut ws = service.websocket("?kinds=price").await;
        ws.say(&json!({ "token": token }).to_string()).await;
        ws.knock().await;
        write_events(&owner, &[9]).await;
        assert_eq!(super::number(&ws.event().await.unwrap()), 9);
    }
}

#[tokio::test]
async fn where_it_is_enforced_nobody_else_does() {
    let service = guarded().await;
    Answer::of(service.events("")).await.problem(ProblemKind::Unauthorized);
    // A token in the address is none.
    Answer::of(service.events(&format!("?token={ADMIN_TOKEN}"))).await.refuses_field("token");
    let wrong = [
        ("authorization", "Bearer nonsense"),
        ("authorization", "Basic nonsense"),
        ("x-agent-secret", "lds_nonsense"),
    ];
    for (name, value) in wrong {
        Answer::of(service.events("").header(name, value)).await.problem(ProblemKind::Unauthorized);
        let mut ws = service.websocket_with("", &[(name, value)]).await.unwrap();
        assert_eq!(ws.event().await, Err(close_code::UNAUTHORIZED), "{name}");
    }
    for message in [
        r#"{"token": "nonsense"}"#,
        r#"{"token": 7}"#,
        r#"{"token": "nonsense", "since": "1-1"}"#,
        "",
        "token",
    ] {
        let mut ws = service.websocket("").await;
        ws.say(message).await;
        assert_eq!(ws.event().await, Err(close_code::UNAUTHORIZED), "{message}");
    }
    // A silent client is disconnected.
    let mut ws = service.websocket("").await;
    assert_eq!(ws.event().await, Err(close_code::UNAUTHORIZED));
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_connect() {
    let service = Service::new().await;
    for origin in ["https://evil.example", "null"] {
        let refused = service.websocket_with("", &[("origin", origin)]).await;
        match refused.err().unwrap() {
            tungstenite::Error::Http(answer) => assert_eq!(answer.status(), StatusCode::FORBIDDEN),
            other => panic!("{other}"),
        }
    }
    let own = service.base.clone();
    service.websocket_with("", &[("origin", &own)]).await.unwrap();
}

#[tokio::test]
async fn what_is_no_websocket_is_told_what_to_do() {
    let service = Service::new().await;
    let problem = service.get("/ws/stream").await.problem(ProblemKind::MalformedRequest);
    assert!(problem.detail.contains("WebSocket"), "{}", problem.detail);
    service.post("/events", &json!({})).await.problem(ProblemKind::MethodNotAllowed);
}

#[tokio::test]
async fn a_client_that_says_too_much_or_nonsense_is_shown_the_door() {
    let service = Service::new().await;
    let mut ws = service.websocket("").await;
    // A short message is ignored.
    ws.say("hello").await;
    ws.say(&"x".repeat(4_000)).await;
    write_events(&service.arena.owner_client().await, &[1]).await;
    ws.event().await.unwrap();
    ws.say(&"x".repeat(5_000)).await;
    assert_eq!(ws.event().await, Err(1009));

    let mut ws = service.websocket("").await;
    // A frame without a mask, which no client may send.
    use tokio::io::AsyncWriteExt;
    ws.0.get_mut().write_all(&[0x81, 0x01, b'x']).await.unwrap();
    assert_eq!(ws.event().await, Err(1002));

    let mut ws = service.websocket("").await;
    ws.0.close(None).await.unwrap();
    in_time("the server's end", async { while ws.message().await.is_ok() {} }).await;
}
