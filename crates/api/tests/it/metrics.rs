//! `GET /metrics`: its content, and access to it.

use reqwest::{Method, StatusCode};
use secrecy::SecretString;

use crate::service::Service;

async fn asked(service: &Service, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = reqwest::Client::new().get(format!("{}/metrics", service.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn requests_are_counted_by_route_and_refusals_by_kind() {
    let service = Service::new().await;
    let client = reqwest::Client::new();
    for (method, path) in [
        (Method::GET, "/bots/nobody-of-this-name"),
        (Method::from_bytes(b"BREW").unwrap(), "/bots"),
        (Method::GET, "/no/such/path/7"),
    ] {
        let url = format!("{}{path}", service.base);
        client.request(method, url).send().await.unwrap();
    }
    let (status, text) = asked(&service, &[]).await;
    assert_eq!(status, 200);
    for series in [
        "http_route=\"/bots/{bot}\",http_response_status_code=\"404\"",
        "http_request_method=\"_OTHER\"",
        "http_route=\"unmatched\"",
        "arena_refusals_total{kind=\"not-found\"}",
        "arena_check_ok{check=\"postgres\"} 1",
        "arena_db_pool_connections{state=\"idle\"}",
        "arena_stream_listeners{transport=\"sse\"}",
    ] {
        let known = text.lines().any(|line| {
            let mut labels: Vec<&str> = series.split(',').collect();
            labels.retain(|label| !line.contains(label));
            labels.is_empty()
        });
        assert!(known, "{series} in {text}");
    }
    assert!(!text.contains("nobody-of-this-name") && !text.contains("BREW"));
}

#[tokio::test]
async fn only_the_operators_network_may_ask() {
    let service = Service::new().await;
    assert_eq!(asked(&service, &[]).await.0, 200);
    // An undeclared proxy on this machine gives access to all clients.
    for header in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
        let (status, text) = asked(&service, &[(header, "203.0.113.7")]).await;
        assert_eq!(status, 403, "{header}");
        assert!(text.contains("OPERATOR_NETWORKS"), "{text}");
    }
    let elsewhere =
        Service::with(|config| config.metrics_access.operators = "203.0.113.0/24".parse().unwrap())
            .await;
    assert_eq!(asked(&elsewhere, &[]).await.0, 403);
    let behind = Service::with(|config| {
        config.metrics_access.operators = "203.0.113.0/24".parse().unwrap();
        config.proxies.trusted = "127.0.0.1".parse().unwrap();
    })
    .await;
    for (client, expected) in [("203.0.113.7", 200), ("198.51.100.7", 403)] {
        let (status, _) = asked(&behind, &[("X-Forwarded-For", client)]).await;
        assert_eq!(status, expected, "{client}");
    }
}

#[tokio::test]
async fn a_declared_proxy_on_this_machine_is_not_this_machines_operator() {
    let service =
        Service::with(|config| config.proxies.trusted = "127.0.0.1".parse().unwrap()).await;
    let silent: [&[(&str, &str)]; 4] = [
        &[],
        &[("X-Forwarded-For", "unknown")],
        &[("X-Forwarded-For", "127.0.0.1")],
        &[("X-Real-IP", "127.0.0.2")],
    ];
    for headers in silent {
        let (status, text) = asked(&service, headers).await;
        assert_eq!(status, 403, "{headers:?}");
        assert!(text.contains("TRUSTED_PROXIES"), "{text}");
    }
    let (status, _) = asked(&service, &[("X-Forwarded-For", "127.0.0.2")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn where_a_token_is_set_everybody_shows_it() {
    const TOKEN: &str = "the-token-that-prometheus-shows";
    let service =
        Service::with(|config| config.metrics_access.token = Some(SecretString::from(TOKEN))).await;
    let right: &str = &format!("Bearer {TOKEN}");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[], 401),
        (&[("Authorization", "Bearer something-else")], 401),
        (&[("Authorization", right)], 200),
        (&[("Authorization", right), ("Via", "1.1 somebody")], 200),
    ];
    for (headers, expected) in cases {
        let (status, text) = asked(&service, headers).await;
        assert_eq!(status, *expected, "{headers:?}");
        assert!(!text.contains(TOKEN));
        assert_eq!(status == 401, text.contains("METRICS_TOKEN"), "{text}");
    }
}
