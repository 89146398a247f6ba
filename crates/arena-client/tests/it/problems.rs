//! The arena's refusals arrive unchanged; other failures are distinguished.

use std::time::Duration;

use api_types::ProblemKind;
use arena_client::{Client, ClientError, PageQuery, RESPONSE_BYTES_MAX};
use serde_json::json;

use crate::calls::prediction;
use crate::stub::{Reply, Stub, http, problem_body, token};

#[tokio::test]
async fn a_problem_keeps_its_parts() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => {
            let mut body = problem_body(422, "invalid-field");
            body["field"] = json!("wager_amount");
            Reply::Raw(http(422, "Retry-After: 7\r\n", body.to_string()))
        }
    })
    .await;
    let error = stub.bot().act(&prediction()).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.status, 422);
    assert_eq!(problem.kind, Some(ProblemKind::InvalidField));
    assert_eq!(problem.problem_type, "/problems/invalid-field");
    assert_eq!(problem.title, "A title");
    assert_eq!(problem.detail, "a detail");
    assert_eq!(problem.field.as_deref(), Some("wager_amount"));
    assert_eq!(problem.request_id, "req-1");
    assert_eq!(problem.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(error.to_string(), "422 A title: a detail (field wager_amount) [request req-1]");
    assert_eq!(stub.count("POST", "/arena/action"), 1, "a refusal is not retried");
}

#[tokio::test]
async fn a_problem_of_a_later_version_is_still_a_problem() {
    let stub = Stub::start(|_, _| Reply::Json(418, problem_body(418, "teapot"))).await;
    let error = stub.client().economy().await.unwrap_err();
    assert_eq!(error.kind(), None);
    assert_eq!(error.status(), Some(418));
}

#[tokio::test]
async fn an_error_of_somebody_else_is_only_a_status() {
    let stub = Stub::start(|_, _| Reply::Raw(http(404, "", "<html>nginx</html>"))).await;
    let error = stub.client().economy().await.unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 404, .. }), "{error:?}");
    assert!(error.to_string().contains("API_URL"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stub = Stub::start(|_, _| Reply::Raw(http(307, "Location: /other\r\n", ""))).await;
    let error = stub.client().economy().await.unwrap_err();
    assert_eq!(error.status(), Some(307));
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let stub = Stub::start(|_, _| {
        let body = " ".repeat(RESPONSE_BYTES_MAX + 1);
        Reply::Raw(http(200, "", &body))
    })
    .await;
    let error = stub.client().feed(&PageQuery::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_ends_at_the_time_out_and_a_read_is_not_repeated() {
    let stub = Stub::start(|_, _| Reply::Silence).await;
    let mut config = stub.config();
    config.timeout = Duration::from_millis(100);
    let error = Client::new(config).unwrap().economy().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert!(error.is_unavailable());
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_of_another_form_says_where_it_is() {
    let stub = Stub::start(|_, _| Reply::Json(200, json!({"items": 3}))).await;
    let error = stub.client().feed(&PageQuery::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { line: 1, .. }), "{error:?}");
}
