//! Tokens: fetched once, renewed in time, replaced once when refused.

use std::time::Duration;

use arena_client::{Client, Credential};
use futures_util::future::join_all;
use serde_json::json;

use crate::calls::me;
use crate::stub::{API_KEY, Reply, Stub, http, problem, problem_body, token};

/// Many bots of one process.
fn bots(client: &Client) -> Vec<Client> {
    (0..20)
        .map(|number| {
            let credential = Credential::ApiKey {
                handle: format!("bot-{number}").parse().unwrap(),
                api_key: API_KEY.into(),
            };
            client.with_credential(credential).unwrap()
        })
        .collect()
}

#[tokio::test]
async fn what_the_arena_says_to_one_login_holds_for_all_bots() {
    let stub = Stub::start(|_, _| {
        let body = problem_body(429, "too-many-requests").to_string();
        Reply::Raw(http(429, "Retry-After: 300\r\n", &body))
    })
    .await;
    let bots = bots(&Client::new(stub.config()).unwrap());
    for answer in join_all(bots.iter().map(Client::me)).await {
        let wait = answer.unwrap_err().retry_after().unwrap();
        assert!(wait > Duration::from_secs(200), "{wait:?}");
    }
    let asked = stub.count("POST", "/auth/token");
    assert!(asked <= 2, "{asked} asked in vain");
}

#[tokio::test]
async fn bots_that_are_asked_to_wait_log_in_after_it() {
    let stub = Stub::start(|request, before| match request.target.as_str() {
        "/auth/token" if before < 2 => {
            let body = problem_body(503, "unavailable").to_string();
            Reply::Raw(http(503, "Retry-After: 1\r\n", &body))
        }
        "/auth/token" => token("token-1", 1800),
        _ => Reply::Json(200, me()),
    })
    .await;
    let bots = bots(&Client::new(stub.config()).unwrap());
    for answer in join_all(bots.iter().map(Client::me)).await {
        answer.unwrap();
    }
    assert_eq!(stub.count("POST", "/auth/token"), 22, "one each, and the two");
}

#[tokio::test]
async fn one_token_serves_many_calls() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("token-1", 1800),
        _ => Reply::Json(200, me()),
    })
    .await;
    let bot = stub.bot();

    bot.me().await.unwrap();
    bot.clone().me().await.unwrap();

    assert_eq!(stub.count("POST", "/auth/token"), 1);
    let requests = stub.requests();
    assert_eq!(requests[0].json(), json!({"handle": "momentum-mia", "api_key": API_KEY}));
    let proofs: Vec<_> = requests[1..].iter().map(|it| it.header("authorization")).collect();
    assert_eq!(proofs, [Some("Bearer token-1"); 2]);
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_fetch() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("token-1", 1800),
        _ => Reply::Json(200, me()),
    })
    .await;
    let bot = stub.bot();
    let (one, two, three) = tokio::join!(bot.me(), bot.me(), bot.me());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(stub.count("POST", "/auth/token"), 1);
}

#[tokio::test]
async fn a_token_at_its_end_is_renewed_before_the_call() {
    let stub = Stub::start(|request, before| match request.target.as_str() {
        // No lifetime is left by the time it arrives.
        "/auth/token" => token(&format!("token-{before}"), 0),
        _ => Reply::Json(200, me()),
    })
    .await;
    let bot = stub.bot();
    bot.me().await.unwrap();
    bot.me().await.unwrap();
    let requests = stub.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(paths, ["/auth/token", "/bots/me", "/auth/token", "/bots/me"]);
    assert_eq!(requests[3].header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_call_made_again() {
    let stub = Stub::start(|request, before| match request.target.as_str() {
        "/auth/token" => token(&format!("token-{before}"), 1800),
        _ if request.header("authorization") == Some("Bearer token-0") => {
            problem(401, "unauthorized")
        }
        _ => Reply::Json(200, me()),
    })
    .await;
    assert_eq!(stub.bot().me().await.unwrap().bot.handle, "momentum-mia");
    assert_eq!(stub.count("GET", "/bots/me"), 2);
}

#[tokio::test]
async fn a_second_refusal_is_final() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("token", 1800),
        _ => problem(401, "unauthorized"),
    })
    .await;
    let error = stub.bot().me().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(stub.count("GET", "/bots/me"), 2);
    assert_eq!(stub.count("POST", "/auth/token"), 2);
}

#[tokio::test]
async fn a_refused_key_is_final_at_once() {
    let stub = Stub::start(|_, _| problem(401, "unauthorized")).await;
    let error = stub.bot().me().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(stub.requests().len(), 1);
}
