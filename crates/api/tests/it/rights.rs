//! Permissions: compares each endpoint's contract, generated from its row, with the server.

use api_types::ProblemKind;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::queries::filled_in;
use crate::service::{Answer, Service};

#[tokio::test]
async fn an_endpoint_with_a_right_answers_401_to_whom_it_is_not_for_and_no_other_does() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let document = service.get("/openapi.json").await.json();
    let (mut guarded, mut open) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        // A stream has no end, and checks access in its own way.
        if path == "/events" || path == "/ws/stream" {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            let method: Method = method.to_uppercase().parse().unwrap();
            let request = || service.request(method.clone(), &filled_in(path));
            let lets_in = |scheme: &str| {
                let all = operation["security"].as_array().unwrap();
                all.iter().any(|way| way.get(scheme).is_some())
            };
            let wrong = |request: RequestBuilder| request.header("X-Agent-Secret", "lds_wrong");
            let first = operation["security"].get(0);
            if first.is_none_or(|way| *way == json!({})) {
                assert_ne!(Answer::of(request()).await.status, 401, "{place}");
                open += 1;
                continue;
            }
            guarded += 1;
            for refused in [request(), wrong(request())] {
                let answer = Answer::of(refused).await;
                assert_eq!(answer.status, 401, "{place}: {}", answer.text());
                answer.problem(ProblemKind::Unauthorized);
            }
            let as_bot = request().header("X-Agent-Secret", &bot.api_secret);
            let as_operator = service.operator(method.clone(), &filled_in(path));
            for (scheme, request) in [("secret", as_bot), ("operator", as_operator)] {
                let answer = Answer::of(request).await;
                let is_refused = answer.status == 401;
                assert_eq!(
                    is_refused,
                    !lets_in(scheme),
                    "{place} for a {scheme}: {}",
                    answer.text()
                );
            }
        }
    }
    assert!(guarded > 15 && open > 20, "{guarded} {open}");
}
