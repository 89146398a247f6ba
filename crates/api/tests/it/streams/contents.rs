//! The content of streams.

use std::collections::HashSet;

use api_types::{Event, EventData, LedgerEntry};
use ledger_core::market::{MarketSource, MarketStatus, Side};
use ledger_core::prediction::{PredictionStatus, PriceSource};
use ledger_core::{BotStatus, Enforcement, EntryType, EventKind};
use reqwest::Method;
use serde_json::json;

use super::{Sse, read, write_events};
use crate::service::{Answer, Service};

/// Events up to the first for which `is_last` holds.
async fn until(sse: &mut Sse, is_last: impl Fn(&EventData) -> bool) -> Vec<(Event, EventData)> {
    let mut seen = Vec::new();
    loop {
        let event = sse.event().await.unwrap();
        let data = read(&event);
        let last = is_last(&data);
        seen.push((event, data));
        if last {
            return seen;
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_place_to_resume_from() {
    let service = Service::new().await;
    let mut sse = service.listen("").await;
    let header = |name: &str| sse.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-accel-buffering"), "no");
    assert!(!header("x-request-id").is_empty());
    let first = sse.block().await.unwrap();
    assert_eq!(first.retry.as_deref(), Some("2000"));
    assert!(first.data.is_none());
    // Cut before the first event, it misses nothing.
    drop(sse);
    service.arena.bot().handle("Mia").create().await;
    let mut again = service.resume(&first.id.unwrap()).await;
    let seen = until(&mut again, |data| matches!(data, EventData::Bot(_))).await;
    assert!(matches!(seen[0].1, EventData::Entry(_)));
}

#[tokio::test]
async fn every_kind_of_event_occurs_and_has_its_shape() {
    let service = Service::new().await;
    let mut sse = service.listening().await;
    let mut ws = service.websocket(&format!("?since={}", sse.last_id.clone().unwrap())).await;

    let body = json!({ "handle": "Mia" });
    let registered = service.post("/bots", &body).await.json();
    let mia = service.arena.bot().handle("Ben").create().await;
    service.wager(&mia, "2.50").await.json();
    let market = service.arena.market(MarketSource::News).await.id;
    service.arena.bet(mia.id, market, Side::Yes, "10").await;
    service.arena.lock_market(market).await;
    service.arena.decide(market, Side::Yes).await;
    let mut conn = service.arena.conn().await;
    db::markets::settle(&mut conn, market).await.unwrap();
    let revived = service.arena.bot().handle("Max").dead().create().await;
    let revival = json!({ "amount": "5", "reason": "a second try" });
    let path = format!("/bots/{}/revive", revived.id);
    Answer::of(service.operator(Method::POST, &path).json(&revival)).await.json();
    service.arena.price("50000", PriceSource::Simulated, 0).await;

    let seen = until(&mut sse, |data| matches!(data, EventData::Price(_))).await;
    for (event, _) in &seen {
        assert_eq!(ws.event().await.unwrap(), *event, "the same on both");
    }
    let kinds: HashSet<EventKind> = seen.iter().map(|(event, _)| event.kind).collect();
    assert_eq!(kinds.len(), EventKind::ALL.len(), "{kinds:?}");

    let bots = seen.iter().filter_map(|(_, data)| match data {
        EventData::Bot(bot) => Some((bot.handle.as_str(), bot.status)),
        _ => None,
    });
    let told: Vec<_> = bots.collect();
    let expected = [
        ("Mia", BotStatus::Alive),
        ("Ben", BotStatus::Alive),
        ("Max", BotStatus::Alive),
        ("Max", BotStatus::Dead),
        ("Max", BotStatus::Alive),
    ];
    assert_eq!(told, expected);
    let markets = seen.iter().filter_map(|(_, data)| match data {
        EventData::Market(market) => Some((market.status, market.bets)),
        _ => None,
    });
    let told: Vec<_> = markets.collect();
    let expected = [(MarketStatus::Open, 0), (MarketStatus::Open, 1), (MarketStatus::Locked, 1)];
    assert_eq!(told[..3], expected);
    assert!(told[3].0.is_settled(), "{told:?}");

    // An entry has all fields of the ledger.
    let entries: Vec<&LedgerEntry> = seen
        .iter()
        .filter_map(|(_, data)| match data {
            EventData::Entry(entry) => Some(entry),
            _ => None,
        })
        .collect();
    let ledger = service.get(&format!("/bots/{}/ledger", mia.id)).await.json();
    let kept = ledger["items"].as_array().unwrap().iter().rev();
    let kept: Vec<LedgerEntry> = kept
        .map(|entry| serde_json::from_value(entry.clone()).unwrap())
        .filter(|entry: &LedgerEntry| entry.entry_type != EntryType::Heartbeat)
        .collect();
    assert!(kept.len() >= 3, "{kept:?}");
    let told: Vec<LedgerEntry> = entries
        .iter()
        .filter(|entry| entry.bot_id == mia.id)
        .map(|entry| (*entry).clone())
        .collect();
    assert_eq!(told, kept);
    assert_eq!(entries[0].bot_id.0, registered["id"].as_i64().unwrap());
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_prediction_is_told_when_it_is_made_and_when_it_has_ended() {
    let service = Service::with(|config| config.rules.prediction_horizon_seconds = 10).await;
    let mut rules = service.arena.rules().clone();
    rules.prediction_horizon_seconds = 10;
    let mut sse = service.listen("?kinds=prediction").await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let accepted = service.wager(&bot, "2.50").await.json();
    for (price, at) in [("50000", 1), ("60000", 12)] {
        service.arena.price(price, PriceSource::Simulated, at).await;
    }
    let mut conn = service.arena.conn().await;
    db::predictions::assign_start_prices(&mut conn, &rules).await.unwrap();
    let id = ledger_core::PredictionId(accepted["prediction_id"].as_i64().unwrap());
    db::predictions::settle(&mut conn, &[id], &rules, db::predictions::MissingPrices::Void)
        .await
        .unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        match read(&sse.event().await.unwrap()) {
            EventData::Prediction(prediction) => told.push(prediction),
            other => panic!("{other:?}"),
        }
    }
    assert!(told.iter().all(|p| p.id == id && p.handle == "Mia"));
    assert!(told.iter().all(|p| p.wager_amount == "2.50".parse().unwrap()));
    assert_eq!((told[0].status, told[0].payout), (PredictionStatus::Open, None));
    assert!(told[0].settles_at.is_some());
    assert_eq!(told[1].status, PredictionStatus::Won);
    assert_eq!(told[1].payout, Some("5".parse().unwrap()));
    assert_eq!(told[1].end_price, Some("60000".parse().unwrap()));
}

#[tokio::test]
async fn entropy_is_told_as_one_event_a_tick() {
    let service = Service::new().await;
    for _ in 0..3 {
        service.arena.bot().create().await;
    }
    let mut sse = service.listening().await;
    for _ in 0..2 {
        service.arena.tick(Enforcement::Enforce).await;
    }
    let entries = service.get("/ledger?limit=6").await.json();
    for entry in entries["items"].as_array().unwrap() {
        assert_eq!(entry["entry_type"], "HEARTBEAT");
    }
    service.arena.price("50000", PriceSource::Simulated, 0).await;
    let seen = until(&mut sse, |data| matches!(data, EventData::Price(_))).await;
    let ticks: Vec<_> = seen
        .iter()
        .filter_map(|(_, data)| match data {
            EventData::Tick(tick) => Some((tick.bots, tick.mode, tick.failed)),
            _ => None,
        })
        .collect();
    assert_eq!(ticks, [(3, Enforcement::Enforce, 0); 2]);
    // Events held back by other tests' transactions may come first: the bots, and their grants.
    for (_, data) in &seen {
        if let EventData::Entry(entry) = data {
            assert_eq!(entry.entry_type, EntryType::Grant);
        }
    }
}

#[tokio::test]
async fn a_listener_may_choose_kinds() {
    let service = Service::new().await;
    let mut posts = service.listen("?kinds=post,price").await;
    let mut ws = service.websocket("?kinds=price").await;
    let bot = service.arena.bot().create().await;
    service.wager(&bot, "1").await.json();
    service.arena.price("50000", PriceSource::Simulated, 0).await;
    let seen = until(&mut posts, |data| matches!(data, EventData::Price(_))).await;
    let kinds: Vec<EventKind> = seen.iter().map(|(event, _)| event.kind).collect();
    assert_eq!(kinds, [EventKind::Post, EventKind::Price]);
    assert_eq!(ws.event().await.unwrap(), seen[1].0);
}

#[tokio::test]
async fn signs_of_life_come_and_say_where_the_listener_is() {
    let service = Service::with(|config| {
        config.streams.keep_alive = std::time::Duration::from_millis(50);
    })
    .await;
    let mut sse = service.listen("?kinds=tick").await;
    let first = sse.block().await.unwrap().id.unwrap();
    write_events(&service.arena.owner_client().await, &[1]).await;
    // It gets no prices, and need not read them again when it resumes.
    loop {
        let block = sse.block().await.unwrap();
        assert!(block.comment.is_some() && block.data.is_none(), "{block:?}");
        if block.id.unwrap() != first {
            break;
        }
    }
    let mut ws = service.websocket("?kinds=tick").await;
    for _ in 0..4 {
        let message = ws.message().await.unwrap();
        assert!(message.is_ping(), "{message:?}");
    }
}
