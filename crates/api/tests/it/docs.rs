use api_types::ProblemKind;
use reqwest::Method;

use crate::service::{Answer, Service};

#[tokio::test]
async fn the_contract_is_served_and_not_sent_again_to_who_has_it() {
    let service = Service::new().await;
    let answer = service.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let committed = include_str!("../../../../docs/openapi.json");
    assert_eq!(document, serde_json::from_str::<serde_json::Value>(committed).unwrap());

    let tag = answer.header("etag").unwrap().to_owned();
    let known_as = |tags: &str| {
        let request = service.request(Method::GET, "/openapi.json");
        Answer::of(request.header("If-None-Match", tags))
    };
    for tags in [tag.clone(), format!("\"old\", W/{tag}"), "*".to_owned()] {
        let answer = known_as(&tags).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
        assert_eq!(answer.header("etag"), Some(tag.as_str()), "{tags}");
    }
    assert_eq!(known_as("\"old\"").await.body, answer.body);
}

/// The targets of a page's `src` and `href`.
fn named_files(html: &str) -> Vec<&str> {
    ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|start| html.split(start).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[tokio::test]
async fn the_page_to_try_it_asks_nobody_but_us() {
    let service = Service::new().await;
    let page = service.get("/docs").await;
    assert_eq!(page.status.as_u16(), 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    let html = page.text();
    // No script but from a file: the policy would stop it.
    for script in html.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').unwrap();
        assert!(attributes.contains("src="), "{attributes}");
        assert!(rest.trim_start().starts_with("</script>"), "{rest}");
    }
    let files = named_files(&html);
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert!(!file.contains("//"), "{file} lies elsewhere");
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        let answer = service.get(&path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        assert!(!answer.body.is_empty(), "{path}");
    }
    let start = service.get("/docs/swagger-initializer.js").await;
    let kind = start.header("content-type").unwrap();
    assert!(kind.contains("javascript"), "{kind}");
    assert!(start.text().contains("/openapi.json"), "{}", start.text());
}

#[tokio::test]
async fn the_page_has_no_other_files() {
    let service = Service::new().await;
    for path in ["/docs/none.js", "/docs/../Cargo.toml", "/docs/%2e%2e/%2e%2e/etc/passwd"] {
        service.get(path).await.problem(ProblemKind::NotFound);
    }
    let answer = Answer::of(service.request(Method::POST, "/docs/")).await;
    answer.problem(ProblemKind::MethodNotAllowed);
}
