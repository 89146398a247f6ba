use db::standings::{Standing, best};
use db::{actions, bots};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::{BotId, BotStatus};
use test_kit::Arena;

async fn standings(arena: &Arena, limit: i64) -> Vec<Standing> {
    best(&mut *arena.conn().await, limit).await.unwrap()
}

fn ids(standings: &[Standing]) -> Vec<BotId> {
    standings.iter().map(|standing| standing.bot_id).collect()
}

#[tokio::test]
async fn what_is_at_stake_is_wealth_too_and_the_older_goes_first() {
    let arena = Arena::new().await;
    let dead = arena.bot().dead().create().await.id;
    let poor = arena.bot().balance("10.00").create().await.id;
    let rich = arena.bot().balance("30.00").create().await.id;
    let equal = arena.bot().balance("30.00").create().await.id;
    let mut conn = arena.conn().await;
    let wager = crate::wager(rich, "20.00");
    actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    let retired = arena.bot().create().await.id;
    let who = "tester".parse().unwrap();
    bots::retire(&mut conn, &bots::BotRef::Id(retired), &who, "a test", None).await.unwrap();
    let found = standings(&arena, 100).await;
    assert_eq!(ids(&found), [rich, equal, poor, dead, retired]);
    let first = &found[0];
    assert_eq!((first.wealth, first.granted), (3_000_000_000, 3_000_000_000));
    assert_eq!(first.balance, "10.00".parse().unwrap());
    let last = &found[4];
    assert_eq!((last.status, last.wealth, last.granted), (BotStatus::Retired, 0, 100_000_000_000));
    assert_eq!(last.totals.interventions, 1);
}

#[tokio::test]
async fn each_status_has_its_own_best() {
    let arena = Arena::new().await;
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        dead.push(arena.bot().balance("0.01").create().await.id);
    }
    arena.tick(Enforce).await;
    for _ in 0..3 {
        alive.push(arena.bot().create().await.id);
    }
    assert_eq!(ids(&standings(&arena, 2).await), [alive[0], alive[1], dead[0], dead[1]]);
    assert!(standings(&Arena::new().await, 2).await.is_empty());
}

#[tokio::test]
async fn looking_waits_for_nobody_and_holds_up_nobody() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let owner = arena.owner_client().await;
    // A tick in the middle of its work.
    owner
        .batch_execute("BEGIN; UPDATE wallets SET balance = 5; UPDATE bots SET persona = 'x'")
        .await
        .unwrap();
    let found = standings(&arena, 10).await;
    assert_eq!((ids(&found), found[0].wealth), (vec![bot], 100_000_000_000));
    // And the other way round: a long-running query, while all bots are charged.
    let looking = arena.owner_client().await;
    owner.batch_execute("ROLLBACK").await.unwrap();
    looking.batch_execute("BEGIN; SELECT count(balance + open_stake) FROM wallets").await.unwrap();
    assert_eq!(arena.tick(Enforce).await.bots, 1);
}
