//! The totals of ticks, and a bot's state after them.

use ledger_core::economy::Enforcement::{Enforce, Observe};
use serde_json::{Value, json};

use crate::service::Service;

#[tokio::test]
async fn ticks_are_listed_newest_first_with_what_they_did() {
    let service = Service::new().await;
    service.arena.bot().balance("0.10").create().await;
    service.arena.bot().create().await;
    service.arena.tick(Observe).await;
    service.arena.tick(Enforce).await;
    let page = service.get("/ticks?limit=1").await.json();
    let newest = &page["items"][0];
    assert_eq!(
        (&newest["number"], &newest["mode"], &newest["bots"], &newest["liquidated"]),
        (&json!(2), &json!("enforce"), &json!(2), &json!(1))
    );
    assert!(newest["closed_at"].is_string() && newest["fees"].is_string());
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = service.get(&format!("/ticks?limit=1&cursor={cursor}")).await.json();
    assert_eq!(page["items"][0]["number"], 1);
}

#[tokio::test]
async fn a_history_is_evenly_spaced_and_ends_with_the_latest_tick() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let empty = service.get(&format!("/bots/{}/history", bot.id)).await.json();
    assert_eq!(empty["items"], json!([]));
    for _ in 0..25 {
        service.arena.tick(Enforce).await;
    }
    let late = service.arena.bot().create().await;
    service.arena.tick(Enforce).await;
    let all = service.get(&format!("/bots/{}/history", bot.handle)).await.json();
    let ticks = |history: &Value| -> Vec<i64> {
        let items = history["items"].as_array().unwrap().iter();
        items.map(|item| item["tick"].as_i64().unwrap()).collect()
    };
    assert_eq!(ticks(&all), (1..=26).collect::<Vec<_>>());
    let some = service.get(&format!("/bots/{}/history?points=10", bot.id)).await.json();
    let seen = ticks(&some);
    assert_eq!((seen.len(), seen.first(), seen.last()), (10, Some(&1), Some(&26)));
    let now = service.get(&format!("/bots/{}", bot.id)).await.json();
    assert_eq!(some["items"][9]["balance"], now["balance"]);
    assert_eq!(some["items"][9]["shadow_balance"], now["shadow_balance"]);
    let young = service.get(&format!("/bots/{}/history", late.id)).await.json();
    assert_eq!(ticks(&young), [26]);
}

#[tokio::test]
async fn bad_points_and_strangers_are_refused() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for points in ["9", "501", "many", "-1", ""] {
        let answer = service.get(&format!("/bots/{}/history?points={points}", bot.id)).await;
        assert_eq!(answer.status.as_u16(), 422, "{points}");
    }
    let answer = service.get("/bots/999999/history").await;
    assert_eq!(answer.status.as_u16(), 404);
}
