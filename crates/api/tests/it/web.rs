//! The page: how it is served. Its behaviour is tested in a browser.

use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use reqwest::{Client, Method, StatusCode};

use crate::service::Service;

#[tokio::test]
async fn the_page_and_its_files_come_with_a_strict_policy() {
    let service = Service::new().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/web/main.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
        ("/web/vendor/preact.min.umd.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = reqwest::get(format!("{}{path}", service.base)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers();
        assert_eq!(headers[CONTENT_TYPE], content_type, "{path}");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    }
    for path in [
        "/web/",
        "/web/package.json",
        "/web/tests/window.test.mjs",
        "/web/../Cargo.toml",
        "/web/%2e%2e/Cargo.toml",
        "/web/nothing.js",
    ] {
        let answer = reqwest::get(format!("{}{path}", service.base)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn it_travels_compressed_and_only_when_it_has_changed() {
    let service = Service::new().await;
    let client = Client::new();
    let url = format!("{}/web/main.js", service.base);
    let plain = client.get(&url).send().await.unwrap();
    assert!(plain.headers().get(CONTENT_ENCODING).is_none());
    let headers = plain.headers().clone();
    let tag = headers[ETAG].clone();
    let text = plain.bytes().await.unwrap();
    let small = client.get(&url).header(ACCEPT_ENCODING, "gzip").send().await.unwrap();
    assert_eq!(small.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(small.headers()[ETAG], tag);
    assert!(small.bytes().await.unwrap().len() < text.len());
    let known = client.get(&url).header(IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    // A browser takes these over for the copy it has.
    for name in [CONTENT_SECURITY_POLICY, CACHE_CONTROL, ETAG] {
        assert_eq!(known.headers()[&name], headers[&name], "{name}");
    }
    let head = client.request(Method::HEAD, &url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let posted = client.post(&url).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}
