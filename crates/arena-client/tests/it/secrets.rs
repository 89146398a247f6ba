//! No secret is in anything that could be printed.

use arena_client::{Credential, IdempotencyKey};
use serde_json::json;

use crate::stub::{API_KEY, Reply, Stub, problem, token};

fn assert_hidden(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is shown in: {text}");
    }
}

#[tokio::test]
async fn a_client_shows_neither_key_nor_token() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("token-hunter3", 1800),
        _ => problem(403, "bot-not-alive"),
    })
    .await;
    let bot = stub.bot();
    let error = bot.me().await.unwrap_err();
    let secrets = [API_KEY, "hunter2", "hunter3"];
    assert_hidden(&format!("{bot:?} {error:?} {error}"), &secrets);
    assert!(stub.requests().iter().all(|request| !request.target.contains("hunter")));
}

#[tokio::test]
async fn a_malformed_token_answer_is_not_quoted() {
    let stub = Stub::start(|_, _| {
        Reply::Json(200, json!({"access_token": ["token-hunter3"], "expires_in": "hunter4"}))
    })
    .await;
    let error = stub.bot().me().await.unwrap_err();
    assert_hidden(&format!("{error:?} {error}"), &["hunter2", "hunter3", "hunter4"]);
}

#[test]
fn credentials_and_keys_hide_themselves() {
    let credential =
        Credential::ApiKey { handle: "momentum-mia".parse().unwrap(), api_key: API_KEY.into() };
    let secret = Credential::ApiSecret("lds_hunter2".into());
    let key = IdempotencyKey::named("hunter2").unwrap();
    assert_hidden(&format!("{credential:?} {secret:?} {key:?}"), &["hunter2"]);
}
