use api_types::ProblemKind;
use cache::limits::rate::Rate;
use reqwest::Method;
use serde_json::json;

use crate::service::{Answer, Service};

const DASHBOARD: &str = "https://arena.example";

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_their_hands_off() {
    let service = Service::new().await;
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/bots"),
        (Method::GET, "/nowhere"),
        (Method::PUT, "/bots"),
        (Method::POST, "/bots"),
        (Method::GET, "/bots/me"),
        (Method::GET, "/problems/not-found"),
    ] {
        let answer = Answer::of(service.request(method.clone(), path)).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(answer.header("permissions-policy").is_some());
        assert!(answer.header("x-request-id").is_some(), "{method} {path}");
        for name in ["server", "x-powered-by", "access-control-allow-origin"] {
            assert_eq!(answer.header(name), None, "{method} {path}");
        }
    }
}

fn preflight(service: &Service, origin: &str, headers: &str) -> reqwest::RequestBuilder {
    service
        .request(Method::OPTIONS, "/arena/action")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", headers)
}

#[tokio::test]
async fn without_origins_no_page_may_ask() {
    let service = Service::new().await;
    let answer = Answer::of(preflight(&service, DASHBOARD, "authorization")).await;
    answer.problem(ProblemKind::MethodNotAllowed);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn pages_of_a_listed_origin_may_ask_and_read_even_refusals() {
    let service = Service::with(|config| {
        config.origins = DASHBOARD.parse().unwrap();
        config.client_limits.address = Some(Rate::per_minute(1, 3));
    })
    .await;
    let needed =
        "authorization, content-type, x-agent-secret, idempotency-key, last-event-id, x-operator";
    let answer = Answer::of(preflight(&service, DASHBOARD, needed)).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("x-request-id").is_some());
    let allowed = answer.header("access-control-allow-headers").unwrap().to_lowercase();
    for name in needed.split(", ") {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }

    let ask = |path: &'static str| {
        let request = service.request(Method::GET, path).header("Origin", DASHBOARD);
        Answer::of(request)
    };
    for (path, status) in [("/bots", 200), ("/nowhere", 404), ("/bots/me", 401), ("/bots", 429)] {
        let answer = ask(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD), "{status}");
        let exposed = answer.header("access-control-expose-headers").unwrap().to_lowercase();
        for name in ["ratelimit", "retry-after", "x-request-id", "idempotency-replayed"] {
            assert!(exposed.contains(name), "{name} in {exposed}");
        }
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_not_told_that_they_may() {
    let service = Service::with(|config| config.origins = DASHBOARD.parse().unwrap()).await;
    for origin in ["https://evil.example", "null", "https://arena.example.evil.example"] {
        let answer = Answer::of(preflight(&service, origin, "authorization")).await;
        answer.problem(ProblemKind::MalformedRequest);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let request = service.request(Method::GET, "/bots").header("Origin", origin);
        let answer = Answer::of(request).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    let answer = Answer::of(preflight(&service, DASHBOARD, "x-odd")).await;
    answer.problem(ProblemKind::MalformedRequest);
}

#[tokio::test]
async fn any_origin_is_never_any_origin_with_credentials() {
    let service = Service::with(|config| config.origins = "*".parse().unwrap()).await;
    let request = service
        .request(Method::POST, "/bots")
        .header("Origin", "https://anybody.example")
        .json(&json!({ "handle": "Mia" }));
    let answer = Answer::of(request).await;
    assert_eq!(answer.status.as_u16(), 201);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}
