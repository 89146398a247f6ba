//! The reaper: layer one of three, and only in enforce mode.

use ledger_core::economy::Enforcement;
use ledger_core::prediction::Direction::Up;
use test_kit::{Arena, TestBot};

use crate::support::{enforcing, entries, round_now, settler, status_of, wager};

/// A bot that paid its last fee and is alive with zero.
async fn at_zero(arena: &Arena) -> TestBot {
    let bot = arena.bot().balance("0.50").create().await;
    arena.tick(Enforcement::Enforce).await;
    assert_eq!(status_of(arena, bot.id).await, "ALIVE");
    bot
}

#[tokio::test]
async fn a_bot_at_zero_is_buried_with_the_round_in_its_reference() {
    let arena = Arena::new().await.with_rules(enforcing());
    let bot = at_zero(&arena).await;
    let rich = arena.bot().balance("0.01").create().await;
    let oracle = settler(&arena).await;

    let report = round_now(&arena, &oracle).await;

    assert_eq!(report.reaped.unwrap().len(), 1);
    assert_eq!(status_of(&arena, bot.id).await, "DEAD");
    assert_eq!(status_of(&arena, rich.id).await, "ALIVE");
    let last = entries(&arena, bot.id).await.pop().unwrap();
    let wanted = ("LIQUIDATION", "0.00000000", "REAPER:1");
    assert_eq!((last.0.as_str(), last.1.as_str(), last.2.as_str()), wanted);
    let posts: i64 = arena
        .owner_client()
        .await
        .query_one(
            "SELECT count(*) FROM posts WHERE bot_id = $1 AND kind = 'LIQUIDATION' AND reference = 'REAPER:1'",
            &[&bot.id.0],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(posts, 1);

    let again = round_now(&arena, &oracle).await;
    assert_eq!(again.number, Some(2));
    assert!(again.reaped.unwrap().is_empty());
    arena.assert_sound().await;
}

#[tokio::test]
async fn in_observe_mode_nobody_dies() {
    let arena = Arena::new().await;
    let bot = at_zero(&arena).await;
    let report = round_now(&arena, &settler(&arena).await).await;
    assert!(report.reaped.unwrap().is_empty());
    assert_eq!(status_of(&arena, bot.id).await, "ALIVE");
}

#[tokio::test]
async fn whoever_has_an_open_position_lives_on() {
    let arena = Arena::new().await.with_rules(enforcing());
    let bot = arena.bot().balance("1.00").create().await;
    wager(&arena, bot.id, "1.00", Up).await;
    let report = round_now(&arena, &settler(&arena).await).await;
    assert!(report.reaped.unwrap().is_empty());
    assert_eq!(status_of(&arena, bot.id).await, "ALIVE");
}

#[tokio::test]
async fn two_reapers_bury_a_bot_once() {
    let arena = Arena::new().await.with_rules(enforcing());
    let bot = at_zero(&arena).await;
    let (first, second) = (settler(&arena).await, settler(&arena).await);
    let (one, two) = tokio::join!(round_now(&arena, &first), round_now(&arena, &second));
    assert_eq!(one.reaped.unwrap().len() + two.reaped.unwrap().len(), 1);
    let liquidations =
        entries(&arena, bot.id).await.iter().filter(|entry| entry.0 == "LIQUIDATION").count();
    assert_eq!(liquidations, 1);
    arena.assert_sound().await;
}
