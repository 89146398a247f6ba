use api_types::{ProblemKind, Standing, Standings};
use ledger_core::economy::Enforcement;
use ledger_core::{BotId, BotStatus};
use reqwest::Method;
use serde_json::json;
use test_kit::eventually;

use crate::service::{Answer, Service};

async fn standings(service: &Service, query: &str) -> Standings {
    service.get(&format!("/standings{query}")).await.ok()
}

fn ranked(items: &[Standing]) -> Vec<(i64, BotId)> {
    items.iter().map(|item| (item.rank, item.bot_id)).collect()
}

#[tokio::test]
async fn the_wealthiest_come_first_with_all_there_is_to_know() {
    let service = Service::new().await;
    let poor = service.arena.bot().handle("Poor").balance("10").create().await;
    let rich = service.arena.bot().handle("Rich").balance("200").create().await;
    service.wager(&rich, "50").await.json();
    service.arena.tick(Enforcement::Enforce).await;
    service.arena.tick(Enforcement::Observe).await;
    let answer = service.get("/standings").await;
    let shown = answer.json();
    assert_eq!(shown["next_cursor"], json!(null));
    let first = &shown["items"][0];
    for (field, value) in [
        ("rank", json!(1)),
        ("bot_id", json!(rich.id)),
        ("handle", json!("Rich")),
        ("status", json!("ALIVE")),
        ("wealth", json!("199.50000000")),
        ("balance", json!("149.50000000")),
        ("shadow_balance", json!("149.00000000")),
        ("return", json!("-0.00250000")),
        ("cost", json!("1.00000000")),
        ("llm_usd", json!("0.00000000")),
        ("unpriced_calls", json!(0)),
        ("profit", json!("0.00000000")),
        ("settled", json!(0)),
        ("won", json!(0)),
        ("brier", json!(null)),
        ("brier_count", json!(0)),
        ("brier_coverage", json!(null)),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    let typed: Standings = answer.ok();
    assert_eq!(ranked(&typed.items), [(1, rich.id), (2, poor.id)]);
}

#[tokio::test]
async fn pages_follow_each_other_by_rank() {
    let service = Service::new().await;
    let mut expected = Vec::new();
    for rank in 1..=7 {
        let balance = (100 - rank).to_string();
        let bot = service.arena.bot().balance(&balance).create().await;
        expected.push((rank, bot.id));
    }
    for limit in [1, 3, 7, 200] {
        let mut found = Vec::new();
        let mut query = format!("?limit={limit}");
        loop {
            let page = standings(&service, &query).await;
            assert!(page.items.len() <= limit);
            found.extend(ranked(&page.items));
            match page.next_cursor {
                Some(cursor) => query = format!("?limit={limit}&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "by {limit}");
    }
}

#[tokio::test]
async fn each_status_is_ranked_by_itself() {
    let service = Service::new().await;
    let dead = service.arena.bot().dead().create().await;
    let retired = service.arena.bot().create().await;
    let path = format!("/bots/{}", retired.id);
    Answer::of(service.operator(Method::DELETE, &path)).await.json();
    let alive = service.arena.bot().create().await;
    for (status, id) in [("ALIVE", alive.id), ("dead", dead.id), ("RETIRED", retired.id)] {
        let found = standings(&service, &format!("?status={status}")).await;
        assert_eq!(ranked(&found.items), [(1, id)], "{status}");
    }
    let all = standings(&service, "").await.items;
    assert_eq!(ranked(&all), [(1, alive.id), (2, dead.id), (3, retired.id)]);
    assert_eq!(all[1].status, BotStatus::Dead);
    assert_eq!(all[1].return_on_grants.as_deref(), Some("-1.00000000"));
    service.get("/standings?status=RICH").await.refuses_field("status");
}

#[tokio::test]
async fn cursors_and_limits_are_checked() {
    let service = Service::new().await;
    for _ in 0..2 {
        service.arena.bot().create().await;
    }
    let of_bots = service.get("/bots?limit=1").await.json();
    let of_bots = of_bots["next_cursor"].as_str().unwrap();
    let own = standings(&service, "?limit=1").await.next_cursor.unwrap();
    for cursor in [of_bots, "x", "", &own[2..], &format!("{own}0")] {
        service.get(&format!("/standings?cursor={cursor}")).await.refuses_field("cursor");
    }
    service.get(&format!("/bots?cursor={own}")).await.refuses_field("cursor");
    for limit in ["0", "201", "-1", "x"] {
        service.get(&format!("/standings?limit={limit}")).await.refuses_field("limit");
    }
    let post = service.request(Method::POST, "/standings");
    Answer::of(post).await.problem(ProblemKind::MethodNotAllowed);
}

#[tokio::test]
async fn an_arena_without_bots_has_standings() {
    let service = Service::new().await;
    let found = service.get("/standings").await.json();
    assert_eq!((&found["items"], &found["next_cursor"]), (&json!([]), &json!(null)));
    assert!(found["as_of"].is_string());
}

#[tokio::test]
async fn who_ask_at_once_are_served_one_look() {
    let service = Service::new().await;
    service.arena.bot().create().await;
    let asking = (0..150).map(|_| standings(&service, ""));
    let moments: Vec<_> =
        futures_util::future::join_all(asking).await.into_iter().map(|found| found.as_of).collect();
    let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    // One look, unless this machine took seconds to answer; never two at the same time.
    assert!(first == last || last.seconds_since(*first) >= 3, "{first} {last}");
}

#[tokio::test]
async fn they_are_kept_for_seconds_and_never_old() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let before = standings(&service, "").await;
    let richer = service.arena.bot().balance("20").create().await;
    let at_once = standings(&service, "").await;
    if at_once.as_of == before.as_of {
        assert_eq!(ranked(&at_once.items), [(1, bot.id)], "the same look");
    }
    let seen = eventually("somebody looked again", || async {
        let found = standings(&service, "").await;
        let age = service.arena.now().await.seconds_since(found.as_of);
        assert!(age <= 10, "{age} s old");
        (found.items.len() == 2).then_some(found)
    })
    .await;
    assert_eq!(ranked(&seen.items), [(1, richer.id), (2, bot.id)]);
    assert!(seen.as_of.seconds_since(before.as_of) >= 3);
}
