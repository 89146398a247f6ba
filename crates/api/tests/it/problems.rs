use api_types::ProblemKind;
use reqwest::Method;
use serde_json::json;

use crate::service::{Answer, Service};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let service = Service::new().await;
    for path in [
        "/window",
        "/bot",
        "/bots/",
        "/arena",
        "/bots/7/ledger/verify/x",
        "/problems/none",
    ] {
        let problem = service.get(path).await.problem(ProblemKind::NotFound);
        assert_eq!(problem.instance, path);
    }
    for (method, path, allow) in [
        (Method::PUT, "/bots", "GET, HEAD, POST"),
        (Method::POST, "/bots/7", "GET, HEAD, DELETE"),
        (Method::DELETE, "/arena/action", "POST"),
        (Method::GET, "/auth/token", "POST"),
        (Method::POST, "/health", "GET, HEAD"),
        // Looking makes a ticket, so it is not for those who only want the head.
        (Method::PUT, "/arena/observation", "GET"),
    ] {
        let answer = Answer::of(service.request(method, path)).await;
        answer.problem(ProblemKind::MethodNotAllowed);
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let service = Service::new().await;
    let ids: Vec<String> = [
        service.get("/health").await,
        service.get("/health").await,
        service.get("/nowhere").await,
        service.post("/bots", &json!({})).await,
    ]
    .iter()
    .map(|answer| answer.header("x-request-id").unwrap().to_owned())
    .collect();
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(id.len(), 36);
        assert!(!ids[..at].contains(id));
    }
}

#[tokio::test]
async fn the_type_of_every_problem_is_a_page() {
    let service = Service::new().await;
    for kind in ProblemKind::ALL {
        let answer = service.get(&kind.path()).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", kind.path());
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(answer.text().contains(kind.facts().name));
        assert!(!answer.text().contains("<token>"), "unescaped");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let service = Service::new().await;
    for body in ["", "{", "handle=Mia", "{\"handle\": NaN}"] {
        let request = service.request(Method::POST, "/bots");
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        Answer::of(request)
            .await
            .problem(ProblemKind::MalformedRequest);
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let service = Service::new().await;
    let sound = r#"{"handle": "Mia"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let request = service.request(Method::POST, "/bots").body(sound);
        let request = request.header("Content-Type", content_type);
        Answer::of(request)
            .await
            .problem(ProblemKind::UnsupportedMediaType);
    }
    let request = service.request(Method::POST, "/bots").body(sound);
    Answer::of(request)
        .await
        .problem(ProblemKind::UnsupportedMediaType);
    let request = service.request(Method::POST, "/bots").body(sound);
    let request = request.header("Content-Type", "application/json; charset=utf-8");
    assert_eq!(Answer::of(request).await.status.as_u16(), 201);
}

#[tokio::test]
async fn a_body_above_64_kib_is_413_announced_or_not() {
    let service = Service::new().await;
    let padded = |bytes: usize| {
        let start = r#"{"handle": "Mia""#;
        format!("{start}{}}}", " ".repeat(bytes - start.len() - 1))
    };
    let post = |body: reqwest::Body| {
        let request = service.request(Method::POST, "/bots").body(body);
        Answer::of(request.header("Content-Type", "application/json"))
    };
    // The largest body there is; what stands between its parts counts as well.
    assert_eq!(post(padded(65_536).into()).await.status.as_u16(), 201);
    post(padded(65_537).into())
        .await
        .problem(ProblemKind::PayloadTooLarge);
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = padded(65_537)
        .into_bytes()
        .chunks(8_192)
        .map(|chunk| Ok(chunk.to_vec()))
        .collect();
    let unannounced = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    post(unannounced)
        .await
        .problem(ProblemKind::PayloadTooLarge);
}
