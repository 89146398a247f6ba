use db::bots::BotRef;
use db::insights::{self, Insights};
use db::totals::Totals;
use db::{DbError, bots};
use ledger_core::economy::Enforcement::{Enforce, Observe};
use ledger_core::economy::Operator;
use ledger_core::market::MarketSource;
use ledger_core::{BotId, BotStatus, EntryType, TickNumber};
use test_kit::Arena;
use test_kit::market::{RIGHT_ANSWER, new_answer};

async fn of(arena: &Arena, bot: BotId) -> Insights {
    insights::find(&mut *arena.conn().await, &BotRef::Id(bot)).await.unwrap()
}

fn operator() -> Operator {
    "tester".parse().unwrap()
}

#[tokio::test]
async fn a_new_bot_has_zeros_and_a_grant() {
    let arena = Arena::new().await;
    let bot = arena.bot().handle("Nina").create().await;
    let found = of(&arena, bot.id).await;
    assert_eq!((found.bot_id, found.handle.as_str()), (bot.id, "Nina"));
    assert_eq!(found.totals, Totals::default());
    assert_eq!((found.fees, found.ticks, found.idle_ticks), (0, 0, 0));
    assert_eq!((found.last_window, found.previous_window), (None, None));
    assert_eq!(found.next_tick, TickNumber(1));
    assert_eq!((found.next_tick_began_at, found.latest_began_at), (None, None));
    assert_eq!(found.shadow_died_at, None);
    assert_eq!(found.recent.len(), 1);
    assert_eq!(found.recent[0].entry_type, EntryType::Grant);
    let named = BotRef::Handle("nina".parse().unwrap());
    let same = insights::find(&mut *arena.conn().await, &named).await.unwrap();
    assert_eq!(same.totals, found.totals);
    assert_eq!(same.bot_id, bot.id);
}

#[tokio::test]
async fn who_does_not_exist_is_not_found() {
    let arena = Arena::new().await;
    let mut conn = arena.conn().await;
    for nobody in [BotRef::Id(BotId(999_999)), BotRef::Handle("nobody".parse().unwrap())] {
        let found = insights::find(&mut conn, &nobody).await;
        assert!(matches!(found, Err(DbError::NotFound("bot"))));
    }
}

#[tokio::test]
async fn fees_ticks_and_errors_are_those_of_the_bot() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    for _ in 0..7 {
        arena.tick(Enforce).await;
    }
    let tick = match db::ticks::due(&mut *arena.conn().await, &arena.rules_in(Observe), 0)
        .await
        .unwrap()
    {
        db::ticks::Due::Begun(tick) => tick,
        other => panic!("{other:?}"),
    };
    let open = of(&arena, bot).await;
    assert_eq!(open.next_tick, TickNumber(8), "the open one reaches it yet");
    assert_eq!(open.next_tick_began_at, Some(tick.started_at));
    db::ticks::record_failure(&mut *arena.conn().await, &tick, bot, "a test").await.unwrap();
    let passed_over = of(&arena, bot).await;
    assert_eq!(passed_over.next_tick, TickNumber(9));
    assert_eq!(passed_over.next_tick_began_at, None);
    db::ticks::close(&mut *arena.conn().await, &tick).await.unwrap().unwrap();
    let found = of(&arena, bot).await;
    // 5 × 0.50 + 2 × 0.75.
    assert_eq!(found.fees, 400_000_000);
    assert_eq!((found.ticks, found.idle_ticks), (7, 7));
    assert_eq!((found.totals.errors, found.totals.interventions), (1, 0));
    assert_eq!(found.next_tick, TickNumber(9));
    assert_eq!(found.latest_began_at, Some(tick.started_at));
    assert_eq!(found.recent.len(), 8);
    let newest = &found.recent[0];
    assert_eq!(newest.balance_after, found.reserve.balance);
}

#[tokio::test]
async fn only_the_last_ten_entries_are_told() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    for _ in 0..12 {
        arena.tick(Enforce).await;
    }
    let sequences: Vec<i64> = of(&arena, bot).await.recent.iter().map(|e| e.sequence).collect();
    assert_eq!(sequences, (4..=13).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_shadow_that_died_says_when() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("1.20").create().await.id;
    for _ in 0..4 {
        arena.tick(Observe).await;
    }
    let found = of(&arena, bot).await;
    assert_eq!(found.reserve.shadow_died_in, Some(TickNumber(3)));
    let owner = arena.owner_client().await;
    let began: i64 = owner
        .query_one(
            "SELECT (extract(epoch FROM started_at) * 1000000)::bigint FROM ticks WHERE number = 3",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(found.shadow_died_at.unwrap().micros(), began);
}

#[tokio::test]
async fn what_was_granted_is_told_apart_from_what_was_won() {
    let arena = Arena::new().await;
    let bot = arena.bot().dead().create().await.id;
    let mut conn = arena.conn().await;
    for _ in 0..2 {
        let amount = "40.00".parse().unwrap();
        bots::revive(&mut conn, &BotRef::Id(bot), amount, &operator(), "a test", None)
            .await
            .unwrap();
        // Its winnings are minted too, but not granted.
        solve(&arena, bot).await;
        for _ in 0..60 {
            arena.tick(Enforce).await;
        }
        assert_eq!(of(&arena, bot).await.reserve.status, BotStatus::Dead);
    }
    let owner = arena.owner_client().await;
    let row = owner
        .query_one("SELECT granted::text, minted::text FROM wallets WHERE bot_id = $1", &[&bot.0])
        .await
        .unwrap();
    let (granted, minted): (String, String) = (row.get(0), row.get(1));
    assert_eq!((granted.as_str(), minted.as_str()), ("80.01000000", "130.01000000"));
    assert_eq!(of(&arena, bot).await.totals.interventions, 2);
    arena.assert_sound().await;
}

/// Solves a question that is worth 25.00.
async fn solve(arena: &Arena, bot: BotId) {
    let market = arena.market(MarketSource::Research).await;
    let answer = new_answer(bot, market.id, RIGHT_ANSWER);
    db::markets::answer(&mut *arena.conn().await, &answer, arena.rules(), None).await.unwrap();
}

#[tokio::test]
async fn a_trend_needs_whole_windows_and_counts_empty_ones() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let mut late = None;
    for tick in 1..=180 {
        arena.tick(Observe).await;
        if [10, 70, 80].contains(&tick) {
            solve(&arena, bot).await;
        }
        if tick == 61 {
            late = Some(arena.bot().create().await.id);
        }
        let found = of(&arena, bot).await;
        let windows = (found.last_window, found.previous_window);
        let credits = |amount: i128| Some(amount * 100_000_000);
        match tick {
            59 => assert_eq!(windows, (None, None)),
            60 => assert_eq!(windows, (credits(25), None)),
            120 => assert_eq!(windows, (credits(50), credits(25))),
            180 => assert_eq!(windows, (credits(0), credits(50))),
            _ => {}
        }
    }
    // Made in the middle of the second window, it has lived through the third one alone.
    let late = of(&arena, late.unwrap()).await;
    assert_eq!((late.last_window, late.previous_window), (Some(0), None));
    assert_eq!(late.ticks, 119);
}
