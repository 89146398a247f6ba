//! Query parameters that an operation does not take.

use api_types::ProblemKind;
use reqwest::Method;
use serde_json::Value;

use crate::service::{Answer, Service};

/// The path with something in the place of each name.
pub fn filled_in(path: &str) -> String {
    path.replace("{bot}", "1")
        .replace("{market}", "5f0e6c52-3f1b-4c3a-9d0e-2d0f1a9b7c11")
        .replace("{evidence}", "1")
        .replace("{digest}", &"ab".repeat(32))
        .replace("{name}", "ticket-spent")
}

#[tokio::test]
async fn no_operation_takes_a_parameter_that_it_does_not_know() {
    let service = Service::new().await;
    let document = service.get("/openapi.json").await.json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for query in ["no_such=1", "limt=3&", "Limit=3", "%6Eo_such=", "dry%5Frun_=1"] {
                let path = format!("{}?{query}", filled_in(path));
                // Without a credential: malformed queries get the same answer for all callers.
                let answer = Answer::of(service.request(method.clone(), &path)).await;
                let problem = answer.problem(ProblemKind::InvalidField);
                assert!(
                    problem.detail.contains("nothing was done"),
                    "{method} {path}: {problem:?}"
                );
                asked += 1;
            }
            let takes_dry_run = operation["parameters"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["$ref"] == "#/components/parameters/dryRun")
            });
            if !takes_dry_run {
                let path = format!("{}?dry_run=true", filled_in(path));
                let answer = Answer::of(service.request(method.clone(), &path)).await;
                answer.refuses_field("dry_run");
            }
        }
    }
    assert!(asked > 200, "{asked}");
    let head = Answer::of(service.request(Method::HEAD, "/markets?no_such=1")).await;
    assert_eq!(head.status, 422);
    // However the path is written.
    service.get("/%6Darkets?no_such=1").await.refuses_field("no_such");
}

#[tokio::test]
async fn the_refusal_says_what_there_is_and_pages_for_people_take_anything() {
    let service = Service::new().await;
    let problem = service.get("/markets?staus=OPEN&limit=3").await.refuses_field("staus");
    assert_eq!(
        problem.detail,
        "`staus` is no query parameter of GET /markets, which takes `status`, `source`, `taking_bets`, \
         `limit`, `cursor`; nothing was done."
    );
    let problem = service.get("/economy?x=1").await.refuses_field("x");
    assert!(problem.detail.contains("which takes none"), "{problem:?}");
    for page in ["/?utm_source=mail", "/docs/?x=1", "/web/main.js?v=2"] {
        assert_eq!(service.get(page).await.status, 200, "{page}");
    }
    let request = service.operator(Method::GET, "/audit?action=REVIVE&bots=1");
    Answer::of(request).await.refuses_field("bots");
    // Of two values it is unclear which one is meant, also if nothing reads them.
    service.get("/markets?limit=1&limit=2").await.refuses_field("limit");
}

/// Every parameter of the contract is one that the server reads: a value that it cannot have is refused.
#[tokio::test]
async fn what_the_contract_lists_is_read() {
    let service = Service::new().await;
    let document = service.get("/openapi.json").await.json();
    let parameters = &document["components"]["parameters"];
    let mut read = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let listed = item["get"]["parameters"].as_array();
        for reference in listed.into_iter().flatten() {
            let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let parameter: &Value = &parameters[name];
            // The stream answers before it reads; its own tests cover it.
            if parameter["in"] != "query" || path == "/ws/stream" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let path = format!("{}?{name}=%20", filled_in(path));
            let answer = Answer::of(service.operator(Method::GET, &path)).await;
            if answer.status == 404 {
                continue;
            }
            answer.refuses_field(name);
            read += 1;
        }
    }
    assert!(read > 15, "{read}");
}
