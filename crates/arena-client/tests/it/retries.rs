//! Safe calls are repeated, others are not.

use std::time::Duration;

use arena_client::{Client, ClientConfig, ClientError, Credential};
use serde_json::json;

use crate::calls::{acceptance, me, prediction};
use crate::stub::{Reply, Stub, http, problem, problem_body, token};

/// An arena whose tokens are good, and that answers other calls by how many of them came before.
async fn arena(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |request, before| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => answer(before - 1),
    })
    .await
}

#[tokio::test]
async fn a_read_survives_a_broken_connection_and_a_503() {
    let stub = arena(|before| match before {
        0 => Reply::Hangup,
        1 => problem(503, "unavailable"),
        _ => Reply::Json(200, me()),
    })
    .await;
    stub.bot().me().await.unwrap();
    assert_eq!(stub.count("GET", "/bots/me"), 3);
}

#[tokio::test]
async fn a_read_is_given_up_after_three_attempts() {
    let stub = arena(|_| problem(503, "unavailable")).await;
    let error = stub.bot().me().await.unwrap_err();
    assert!(error.is_unavailable());
    assert_eq!(stub.count("GET", "/bots/me"), 3);
}

#[tokio::test]
async fn a_halted_arena_is_not_asked_again() {
    let stub = arena(|_| problem(503, "price-stale")).await;
    let error = stub.bot().observation().await.unwrap_err();
    assert_eq!(error.kind(), Some(api_types::ProblemKind::PriceStale));
    assert_eq!(stub.count("GET", "/arena/observation"), 1);
}

#[tokio::test]
async fn whoever_is_asked_to_come_much_later_does_not_wait() {
    let stub = arena(|_| {
        let body = problem_body(503, "unavailable").to_string();
        Reply::Raw(http(503, "Retry-After: 30\r\n", &body))
    })
    .await;
    assert!(stub.bot().me().await.unwrap_err().is_unavailable());
    assert_eq!(stub.count("GET", "/bots/me"), 1);
}

#[tokio::test]
async fn a_lost_answer_to_an_action_is_asked_for_under_the_same_key() {
    let stub = arena(|before| match before {
        0 => Reply::Hangup,
        1 => problem(409, "idempotency-conflict"),
        _ => acceptance(),
    })
    .await;
    stub.bot().act(&prediction()).await.unwrap();
    let requests = stub.requests();
    let actions: Vec<_> =
        requests.iter().filter(|request| request.is("POST", "/arena/action")).collect();
    assert_eq!(actions.len(), 3);
    let keys: Vec<_> = actions.iter().map(|it| it.header("idempotency-key").unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(actions.iter().all(|action| action.body == actions[0].body));
}

#[tokio::test]
async fn a_late_answer_to_an_action_is_asked_for_again() {
    let stub = arena(|before| if before == 0 { Reply::Silence } else { acceptance() }).await;
    let mut config = stub.config();
    config.timeout = Duration::from_millis(300);
    let handle = "momentum-mia".parse().unwrap();
    let credential = Credential::ApiKey { handle, api_key: "ldk_1".into() };
    let bot = Client::new(config).unwrap().with_credential(credential).unwrap();
    bot.act(&prediction()).await.unwrap();
    assert_eq!(stub.count("POST", "/arena/action"), 2);
}

#[tokio::test]
async fn an_action_that_is_refused_is_not_repeated() {
    for (status, name) in [
        (402, "insufficient-funds"),
        (403, "bot-not-alive"),
        (409, "ticket-spent"),
        (409, "limit-reached"),
        (422, "idempotency-mismatch"),
        (429, "too-many-requests"),
    ] {
        let stub = arena(move |_| problem(status, name)).await;
        let error = stub.bot().act(&prediction()).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(stub.count("POST", "/arena/action"), 1, "{name}");
    }
}

#[tokio::test]
async fn a_refused_token_does_not_change_the_key_of_an_action() {
    let stub = Stub::start(|request, before| match request.target.as_str() {
        "/auth/token" => token(&format!("t{before}"), 1800),
        _ if before == 1 => problem(401, "unauthorized"),
        _ => acceptance(),
    })
    .await;
    stub.bot().act(&prediction()).await.unwrap();
    let requests = stub.requests();
    let key = |at: usize| requests[at].header("idempotency-key");
    assert_eq!(key(1), key(3));
    assert!(key(1).is_some());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable() {
    let stub = Stub::start(|_, _| Reply::Json(200, json!({}))).await;
    let url = stub.config().base_url;
    drop(stub);
    // The port was just released; nothing listens there now.
    let error = Client::new(ClientConfig::new(url)).unwrap().health().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_with_the_same_key() {
    let stub = arena(|before| match before {
        0 => {
            let body = problem_body(429, "too-many-requests").to_string();
            Reply::Raw(http(429, "Retry-After: 1\r\n", &body))
        }
        _ => acceptance(),
    })
    .await;
    stub.bot().act(&prediction()).await.unwrap();
    let requests = stub.requests();
    let actions: Vec<_> =
        requests.iter().filter(|request| request.is("POST", "/arena/action")).collect();
    assert_eq!(actions.len(), 2);
    let key = |at: usize| actions[at].header("idempotency-key").unwrap();
    assert_eq!(key(0), key(1));
}

#[tokio::test]
async fn a_pause_beyond_the_patience_is_left_to_the_caller() {
    let stub = Stub::start(|_, _| {
        let body = problem_body(429, "too-many-requests").to_string();
        Reply::Raw(http(429, "Retry-After: 3\r\n", &body))
    })
    .await;
    let mut config = stub.config();
    config.patience = Duration::from_secs(2);
    let bot = Client::new(config)
        .unwrap()
        .with_credential(Credential::ApiSecret("lds_1".into()))
        .unwrap();
    let error = bot.act(&prediction()).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_date_says_how_long_to_wait_and_so_may_a_proxy() {
    for (headers, seconds) in [
        (
            "Date: Wed, 21 Oct 2026 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:28:40 GMT\r\n",
            Some(40),
        ),
        ("Retry-After: 40\r\n", Some(40)),
        ("Retry-After: soon\r\n", None),
    ] {
        for status in [429, 503] {
            let stub = Stub::start(move |_, _| {
                Reply::Raw(http(status, headers, "<html>come back</html>"))
            })
            .await;
            let mut config = stub.config();
            config.patience = Duration::from_secs(1);
            let error = Client::new(config).unwrap().economy().await.unwrap_err();
            assert_eq!(error.retry_after(), seconds.map(Duration::from_secs), "{headers}");
        }
    }
}
