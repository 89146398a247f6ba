//! An announced stop: balancers can see it, and until then no request is refused.

use std::time::Duration;

use reqwest::StatusCode;
use test_kit::eventually;

use crate::service::Service;

#[tokio::test]
async fn a_draining_service_serves_on_and_says_that_it_is_about_to_stop() {
    let service = Service::with(|config| config.drain = Duration::from_secs(60)).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", service.base);
    let before = client.get(url("/economy")).send().await.unwrap();
    assert_eq!(before.headers().get("connection"), None);
    service.shutdown.request();
    eventually("/ready says no", || async {
        let answer = client.get(url("/ready")).send().await.unwrap();
        let is_no = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
        let text = answer.text().await.unwrap();
        (is_no && text.contains("is stopping")).then_some(())
    })
    .await;
    // New connections, old ones and streams alike.
    for path in ["/economy", "/health", "/events"] {
        let answer = client.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["connection"], "close", "{path}");
    }
    let created = client
        .post(url("/bots"))
        .json(&serde_json::json!({"handle": "late"}))
        .send()
        .await
        .unwrap();
    assert_eq!(created.status(), 201);
}
