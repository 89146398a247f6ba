use api_types::ProblemKind;
use ledger_core::prediction::PriceSource;
use serde_json::{Value, json};

use crate::service::Service;

/// The ids of a list, page by page.
async fn walk(service: &Service, path: &str, limit: usize) -> Vec<i64> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let first = format!("{path}{separator}limit={limit}");
    let mut ids = Vec::new();
    let mut next = first.clone();
    loop {
        let page = service.get(&next).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        ids.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{first}&cursor={cursor}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn lists_go_from_the_newest_to_the_oldest_without_gap_or_repetition() {
    let service = Service::new().await;
    let mut bots = Vec::new();
    for _ in 0..5 {
        let bot = service.arena.bot().create().await;
        service.wager(&bot, "1").await.json();
        service.arena.price("50000", PriceSource::Simulated, bot.id.0 % 100).await;
        bots.insert(0, bot.id.0);
    }
    assert_eq!(walk(&service, "/bots", 2).await, bots);
    for path in ["/predictions", "/prices", "/posts/feed"] {
        for limit in [1, 2, 5, 200] {
            let ids = walk(&service, path, limit).await;
            assert_eq!(ids.len(), 5, "{path} by {limit}");
            assert!(ids.is_sorted_by(|newer, older| newer > older), "{path}: {ids:?}");
        }
    }
}

#[tokio::test]
async fn predictions_are_filtered_by_bot_and_status() {
    let service = Service::new().await;
    let mia = service.arena.bot().handle("Mia").create().await;
    let max = service.arena.bot().create().await;
    for bot in [&mia, &max, &mia] {
        service.wager(bot, "1").await.json();
    }
    assert_eq!(walk(&service, "/predictions?bot=mia", 1).await.len(), 2);
    assert_eq!(
        walk(&service, &format!("/predictions?bot_id={}&status=OPEN", mia.id), 1).await.len(),
        2
    );
    assert_eq!(
        walk(&service, &format!("/predictions?bot={}&status=WON", mia.id), 1).await.len(),
        0
    );
    assert_eq!(walk(&service, "/predictions?bot=nobody", 1).await.len(), 0);
    assert_eq!(walk(&service, "/predictions?bot=424242", 1).await.len(), 0);
    service.get("/predictions?status=WINNING").await.refuses_field("status");
    service.get("/predictions?bot=a%20b").await.refuses_field("bot");
    service.get("/predictions?bot_id=99999999999999999999").await.refuses_field("bot_id");
    // Not one of them without a word.
    service.get(&format!("/predictions?bot=mia&bot_id={}", max.id)).await.refuses_field("bot_id");
}

#[tokio::test]
async fn a_price_tells_all_that_settlements_go_by() {
    let service = Service::new().await;
    service.arena.price("50123.45", PriceSource::Replay, -7).await;
    let page = service.get("/prices").await.json();
    let price = &page["items"][0];
    assert_eq!((&price["price"], &price["source"]), (&json!("50123.45000000"), &json!("replay")));
    assert!(price["provider_at"].as_str().unwrap() < price["sampled_at"].as_str().unwrap());
}

#[tokio::test]
async fn the_feed_shows_author_and_reasoning() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let mut body = crate::service::wager(&service.observe(&bot).await, "1.5");
    body["reasoning"] = json!("<b>why not</b>");
    service.act(&bot, &body).await.json();
    let post = service.get("/posts/feed").await.json()["items"][0].clone();
    assert_eq!(
        (&post["handle"], &post["kind"], &post["bot_id"]),
        (&json!("Mia"), &json!("WAGER"), &json!(bot.id))
    );
    assert!(post["content"].as_str().unwrap().contains("<b>why not</b>"), "{post}");
    assert!(post["reference"].as_str().unwrap().starts_with("OBS:"));
}

const LISTS: [&str; 6] =
    ["/bots", "/predictions", "/prices", "/posts/feed", "/ledger", "/bots/Mia/ledger"];

#[tokio::test]
async fn a_limit_outside_its_range_is_named() {
    let service = Service::new().await;
    service.arena.bot().handle("Mia").create().await;
    for list in LISTS {
        for limit in ["0", "201", "-1", "x", "", "1.5", "99999999999999999999"] {
            service.get(&format!("{list}?limit={limit}")).await.refuses_field("limit");
        }
        for limit in [1, 200] {
            assert!(service.get(&format!("{list}?limit={limit}")).await.status.is_success());
        }
    }
}

#[tokio::test]
async fn a_cursor_that_was_tampered_with_is_named() {
    let service = Service::new().await;
    for _ in 0..2 {
        service.arena.bot().create().await;
    }
    let page = service.get("/bots?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let flipped: String = cursor
        .char_indices()
        .map(|(at, digit)| if at == 16 { if digit == '0' { '1' } else { '0' } } else { digit })
        .collect();
    for cursor in
        ["", "x", "0", "MTIz", "1%27--", flipped.as_str(), &cursor[2..], &format!("{cursor}0")]
    {
        service.get(&format!("/bots?cursor={cursor}")).await.refuses_field("cursor");
    }
    // Another list's cursor is no cursor of this one.
    for list in ["/predictions", "/prices", "/posts/feed", "/ledger"] {
        service.get(&format!("{list}?cursor={cursor}")).await.refuses_field("cursor");
    }
    assert!(service.get(&format!("/bots?cursor={cursor}")).await.status.is_success());
}

#[tokio::test]
async fn empty_lists_are_lists() {
    let service = Service::new().await;
    for list in ["/bots", "/predictions", "/prices", "/posts/feed", "/ledger"] {
        let page = service.get(list).await.json();
        assert_eq!(page, json!({ "items": [], "next_cursor": Value::Null }), "{list}");
    }
    service.get("/bots/Mia/ledger").await.problem(ProblemKind::NotFound);
}
