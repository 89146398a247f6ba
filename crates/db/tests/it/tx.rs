//! The runner of transactions: what it undoes, and what it tries again.

use std::time::Duration;

use db::{DbError, actions, dry_run, markets};
use ledger_core::market::{MarketSource, Side};
use test_kit::market::{RIGHT_ANSWER, new_answer, new_bet, slip};
use test_kit::{Arena, eventually};

/// Everything that a dry run could leave behind.
async fn rows(arena: &Arena) -> Vec<i64> {
    let count = "SELECT ARRAY[(SELECT count(*) FROM ledger), (SELECT count(*) FROM predictions), \
        (SELECT count(*) FROM bets), (SELECT count(*) FROM posts), (SELECT count(*) FROM events), \
        (SELECT count(*) FROM audit_log), (SELECT sum(sequence)::bigint FROM wallets), \
        (SELECT sum(bets)::bigint FROM markets), (SELECT count(*) FROM agent_totals)]";
    let owner = arena.owner_client().await;
    owner.query_one(count, &[]).await.unwrap().get(0)
}

async fn waits_for_a_lock(arena: &Arena) {
    let watcher = arena.owner_client().await;
    eventually("somebody waits for a lock", async || {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE NOT l.granted AND a.datname = current_database()";
        let row = watcher.query_one(waiting, &[]).await.unwrap();
        (row.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_keeps_nothing_and_costs_what_it_would() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    let question = arena.market(MarketSource::Research).await.id;
    let (rules, mut conn) = (arena.rules(), arena.conn().await);
    let wager = crate::wager(bot, "4.00");
    let slip = slip(bot, vec![new_bet(market, Side::Yes, "3.00")]);
    let before = rows(&arena).await;
    // Each twice: nothing that the first did is in the way of the second.
    for _ in 0..2 {
        for (told, cost) in [
            (dry_run::wager(&mut conn, &wager, rules).await, "4.00000000"),
            (dry_run::wait(&mut conn, &crate::waiting(&wager), rules).await, "0.00000000"),
            (dry_run::bets(&mut conn, &slip, rules).await, "3.00000000"),
        ] {
            let told = told.unwrap();
            assert_eq!((told.refusal, told.cost.to_string()), (None, cost.to_owned()));
            assert_eq!(told.balance.to_string(), "10.00000000");
        }
        let right = new_answer(bot, question, RIGHT_ANSWER);
        let wrong = new_answer(bot, question, "nothing of the kind");
        let right = dry_run::answer(&mut conn, &right, rules).await.unwrap();
        assert_eq!(right, dry_run::answer(&mut conn, &wrong, rules).await.unwrap());
        assert_eq!(right.refusal, None);
    }
    assert_eq!(rows(&arena).await, before);
    actions::place(&mut conn, &wager, rules, None).await.unwrap();
    arena.assert_sound().await;
}

/// A wager locks its wallet and another transaction its market, and each waits for the other: Postgres ends one
/// of the two.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_a_deadlock_tries_again() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    let mut holder = arena.owner_client().await;
    let hold = holder.transaction().await.unwrap();
    // The session that has waited this long checks for a deadlock and ends itself; the holder never does.
    hold.batch_execute("SET LOCAL deadlock_timeout = '1min'; SELECT FROM wallets FOR UPDATE")
        .await
        .unwrap();
    let slip = slip(bot, vec![new_bet(market, Side::Yes, "1.00")]);
    let (rules, mut conn) = (arena.rules().clone(), arena.conn().await);
    let placing = tokio::spawn(async move { markets::place(&mut conn, &slip, &rules, None).await });
    waits_for_a_lock(&arena).await;
    hold.batch_execute("SELECT FROM markets FOR UPDATE").await.unwrap();
    hold.commit().await.unwrap();
    let placed = placing.await.unwrap().unwrap();
    assert_eq!(placed.bets.len(), 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_dry_run_waits_no_longer_than_the_lock_time_out() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let holder = arena.owner_client().await;
    holder.batch_execute("BEGIN; SELECT FROM wallets FOR UPDATE").await.unwrap();
    let (wager, mut conn) = (crate::wager(bot, "1.00"), arena.conn().await);
    let limit = Duration::from_secs(2 * u64::from(db::opening::LOCK_SECONDS));
    let asked = dry_run::wager(&mut conn, &wager, arena.rules());
    let told = tokio::time::timeout(limit, asked).await.expect("it waits on");
    assert!(matches!(told, Err(DbError::Unavailable(_))), "{told:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let told = dry_run::wager(&mut conn, &wager, arena.rules()).await;
    assert_eq!(told.unwrap().refusal, None);
}
