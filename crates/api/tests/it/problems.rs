use api_types::ProblemKind;
use reqwest::Method;
use serde_json::json;

use crate::service::{Answer, Service};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let service = Service::new().await;
    for path in ["/web", "/bot", "/bots/", "/arena", "/bots/7/ledger/verify/x", "/problems/none"] {
        let problem = service.get(path).await.problem(ProblemKind::NotFound);
        assert_eq!(problem.instance, path);
    }
    for (method, path, allow) in [
        (Method::PUT, "/bots", "GET, HEAD, POST"),
        (Method::POST, "/bots/7", "GET, HEAD, DELETE"),
        (Method::DELETE, "/arena/action", "POST"),
        (Method::GET, "/auth/token", "POST"),
        (Method::POST, "/health", "GET, HEAD"),
        // Looking makes an observation, so it is not for those who only want the head.
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
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.text().contains(kind.facts().name));
        assert!(!answer.text().contains("<token>"), "unescaped");
    }
}

/// The agents' guide has each problem of the code in its table, with its status, and no other.
#[test]
fn the_guide_for_agents_lists_every_problem() {
    let guide = include_str!("../../../../docs/agents.md");
    let (_, errors) = guide.split_once("\n## Errors\n").unwrap();
    let (errors, _) = errors.split_once("\n## ").unwrap();
    let mut told = Vec::new();
    for row in errors.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let statuses = cells[1].split(", ").filter_map(|text| text.parse().ok());
        let statuses: Vec<u16> = statuses.collect();
        for name in cells[2].split('`').skip(1).step_by(2) {
            // The head of the table names the path.
            let Some(kind) = ProblemKind::from_name(name) else {
                assert!(statuses.is_empty(), "{name} is no problem of the code");
                continue;
            };
            let status = kind.facts().status;
            assert!(statuses.contains(&status), "{name} has the status {status}");
            told.push(name);
        }
    }
    for kind in ProblemKind::ALL {
        let name = kind.facts().name;
        let rows = told.iter().filter(|told| **told == name).count();
        assert_eq!(rows, 1, "{name} is in {rows} rows of docs/agents.md");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let service = Service::new().await;
    for body in ["", "{", "handle=Mia", "{\"handle\": NaN}"] {
        let request = service.request(Method::POST, "/bots");
        let request = request.header("Content-Type", "application/json").body(body);
        Answer::of(request).await.problem(ProblemKind::MalformedRequest);
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let service = Service::new().await;
    let sound = r#"{"handle": "Mia"}"#;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let request = service.request(Method::POST, "/bots").body(sound);
        let request = request.header("Content-Type", content_type);
        Answer::of(request).await.problem(ProblemKind::UnsupportedMediaType);
    }
    let request = service.request(Method::POST, "/bots").body(sound);
    Answer::of(request).await.problem(ProblemKind::UnsupportedMediaType);
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
    post(padded(65_537).into()).await.problem(ProblemKind::PayloadTooLarge);
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        padded(65_537).into_bytes().chunks(8_192).map(|chunk| Ok(chunk.to_vec())).collect();
    let unannounced = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    post(unannounced).await.problem(ProblemKind::PayloadTooLarge);
}
