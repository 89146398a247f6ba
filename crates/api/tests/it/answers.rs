//! Cached answers may be some moments old, and never older.

use std::time::{Duration, Instant};

use crate::service::Service;

async fn posts(service: &Service, path: &str) -> usize {
    let page = service.get(path).await.json();
    page["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_newest_page_is_kept_and_every_other_one_is_read() {
    let service = Service::with(|config| config.answer_age_max = Duration::from_secs(600)).await;
    let bot = service.arena.bot().create().await;
    for _ in 0..2 {
        service.wager(&bot, "1").await.json();
    }
    assert_eq!(posts(&service, "/posts/feed").await, 2);
    let first = service.get("/posts/feed?limit=1").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let economy = service.get("/economy").await.json();
    service.wager(&bot, "1").await.json();
    assert_eq!(posts(&service, "/posts/feed").await, 2, "as it was kept");
    assert_eq!(service.get("/posts/feed?limit=1").await.json(), first);
    assert_eq!(service.get("/economy").await.json(), economy);
    assert_eq!(posts(&service, "/posts/feed?limit=3").await, 3, "another question");
    let behind = format!("/posts/feed?cursor={cursor}");
    assert_eq!(posts(&service, &behind).await, 1);
    let me = service.get_as(&bot, "/bots/me").await.json();
    assert_eq!(me["balance"], "997.00000000", "what is one bot's is never kept");
    service.get("/posts/feed?limit=0").await.refuses_field("limit");
}

#[tokio::test]
async fn markets_are_kept_for_each_filter_by_itself() {
    let service = Service::with(|config| config.answer_age_max = Duration::from_secs(600)).await;
    let weather = ledger_core::market::MarketSource::Weather;
    for path in ["/markets", "/markets?source=NEWS", "/markets?status=OPEN"] {
        assert_eq!(posts(&service, path).await, 0, "{path}");
    }
    service.arena.market(weather).await;
    assert_eq!(posts(&service, "/markets").await, 0, "as it was kept");
    assert_eq!(posts(&service, "/markets?source=WEATHER").await, 1);
    assert_eq!(posts(&service, "/markets?source=weather&status=open").await, 1);
    assert_eq!(posts(&service, "/markets?source=NEWS").await, 0);
}

#[tokio::test]
async fn what_is_written_is_shown_to_everybody_soon() {
    let service = Service::with(|config| config.answer_age_max = Duration::from_millis(200)).await;
    let bot = service.arena.bot().create().await;
    assert_eq!(posts(&service, "/posts/feed").await, 0);
    service.wager(&bot, "1").await.json();
    let deadline = Instant::now() + Duration::from_secs(30);
    while posts(&service, "/posts/feed").await == 0 {
        assert!(Instant::now() < deadline, "the wager is never shown");
        tokio::task::yield_now().await;
    }
}
