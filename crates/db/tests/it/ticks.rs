use db::ticks::{self, ChunkReport, Due, Selection, Tick, TickEngine};
use db::{actions, bots};
use ledger_core::economy::Enforcement::{Enforce, Observe};
use ledger_core::{BotId, BotStatus, EntryType, Money, TickNumber};
use test_kit::{Arena, TestBot};

async fn begin(arena: &Arena, enforcement: ledger_core::Enforcement) -> Tick {
    match ticks::due(&mut *arena.conn().await, &arena.rules_in(enforcement), 0).await.unwrap() {
        Due::Begun(tick) | Due::Open(tick) => tick,
        due => unreachable!("{due:?}"),
    }
}

fn free(limit: i64) -> Selection {
    Selection::Free { after: BotId(i64::MIN), limit }
}

async fn profile(arena: &Arena, bot: &TestBot) -> bots::BotProfile {
    bots::find(&mut *arena.conn().await, &bots::BotRef::Id(bot.id)).await.unwrap()
}

#[tokio::test]
async fn an_idle_bot_of_two_pays_four_times_and_dies_on_the_fifth() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("2.00").create().await;
    for balance in ["1.50", "1.00", "0.50", "0.00"] {
        arena.tick(Enforce).await;
        assert_eq!(profile(&arena, &bot).await.balance, balance.parse().unwrap());
    }
    let totals = arena.tick(Enforce).await;
    assert_eq!((totals.bots, totals.liquidated), (1, 1));
    assert_eq!(profile(&arena, &bot).await.status, BotStatus::Dead);
    let last = &db::ledger::page(&mut *arena.conn().await, bot.id, None, 1).await.unwrap()[0];
    assert_eq!((last.entry_type, last.amount), (EntryType::Liquidation, Money::ZERO));
    assert_eq!(last.reference.as_str(), "TICK:5");
    let feed = db::posts::feed(&mut *arena.conn().await, None, 10).await.unwrap();
    assert_eq!(feed.len(), 1, "silence on heartbeats: {feed:?}");
    assert_eq!(arena.tick(Enforce).await.bots, 0, "the dead are not ticked");
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_shadow_dies_on_the_tick_on_which_its_twin_dies() {
    let observed = Arena::new().await;
    let enforced = Arena::new().await;
    let shadow = observed.bot().balance("3.30").create().await;
    let twin = enforced.bot().balance("3.30").create().await;
    let mut died = None;
    for tick in 1..=20 {
        observed.tick(Observe).await;
        if profile(&enforced, &twin).await.status == BotStatus::Alive {
            enforced.tick(Enforce).await;
            if profile(&enforced, &twin).await.status == BotStatus::Dead {
                died = Some(tick);
            }
        }
    }
    let owner = observed.owner_client().await;
    let flagged = "SELECT tick FROM agent_metrics WHERE would_have_been_liquidated";
    let flagged: Vec<i64> =
        owner.query(flagged, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(flagged, [died.unwrap()], "once, at the crossing");
    let now = profile(&observed, &shadow).await;
    assert_eq!((now.status, now.balance), (BotStatus::Alive, "3.30".parse().unwrap()));
    assert!(now.shadow_balance.is_negative());
    let entries = db::ledger::page(&mut *observed.conn().await, shadow.id, None, 10).await.unwrap();
    assert_eq!(entries.len(), 1, "phantom fees write no entry");
    observed.assert_sound().await;
    enforced.assert_sound().await;
}

#[tokio::test]
async fn a_productive_action_ends_the_streak_and_a_small_one_does_not() {
    let arena = Arena::new().await;
    let busy = arena.bot().create().await;
    let dabbler = arena.bot().create().await;
    for _ in 0..6 {
        arena.tick(Enforce).await;
    }
    let mut conn = arena.conn().await;
    for (bot, stake) in [(&busy, "0.50"), (&dabbler, "0.49")] {
        let wager = crate::wager(bot.id, stake);
        actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    }
    arena.tick(Enforce).await;
    assert_eq!(profile(&arena, &busy).await.idle_streak, 0);
    assert_eq!(profile(&arena, &dabbler).await.idle_streak, 7);
    let fee = |bot: BotId| {
        let arena = &arena;
        async move {
            let entries = db::ledger::page(&mut *arena.conn().await, bot, None, 1).await.unwrap();
            entries[0].amount
        }
    };
    assert_eq!(fee(busy.id).await, "-0.50".parse().unwrap());
    assert_eq!(fee(dabbler.id).await, "-0.75".parse().unwrap());
}

#[tokio::test]
async fn a_chunk_that_runs_again_charges_nobody_twice() {
    let arena = Arena::new().await;
    for _ in 0..5 {
        arena.bot().create().await;
    }
    let tick = begin(&arena, Enforce).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let first = engine.apply(&tick, arena.rules(), &free(3)).await.unwrap();
    assert_eq!(first.bots, 3);
    assert!(ticks::close(&mut *arena.conn().await, &tick).await.unwrap().is_none(), "two are left");
    let again = engine.apply(&tick, arena.rules(), &free(100)).await.unwrap();
    assert_eq!(again.bots, 2);
    let none = engine.apply(&tick, arena.rules(), &free(100)).await.unwrap();
    assert_eq!(none, ChunkReport::default());
    let totals = ticks::close(&mut *arena.conn().await, &tick).await.unwrap().unwrap();
    assert_eq!((totals.bots, totals.fees.as_str()), (5, "2.50000000"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn bots_made_during_a_tick_are_first_charged_in_the_next() {
    let arena = Arena::new().await;
    arena.bot().create().await;
    let tick = begin(&arena, Enforce).await;
    let late = arena.bot().create().await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let report = engine.apply(&tick, arena.rules(), &free(100)).await.unwrap();
    assert_eq!(report.bots, 1);
    ticks::close(&mut *arena.conn().await, &tick).await.unwrap().unwrap();
    assert_eq!(profile(&arena, &late).await.balance, "1000.00".parse().unwrap());
    assert_eq!(arena.tick(Enforce).await.bots, 2);
}

#[tokio::test]
async fn the_next_tick_waits_for_the_rate_and_missed_ones_are_gone() {
    let arena = Arena::new().await;
    arena.bot().create().await;
    arena.tick(Enforce).await;
    let mut conn = arena.conn().await;
    let due = ticks::due(&mut conn, &arena.rules_in(Enforce), 3600).await.unwrap();
    assert!(matches!(due, Due::NotYet { micros: 1.. }), "{due:?}");
    let owner = arena.owner_client().await;
    let age = "UPDATE ticks SET started_at = started_at - interval '2 days'";
    owner.batch_execute(age).await.unwrap();
    let due = ticks::due(&mut conn, &arena.rules_in(Enforce), 3600).await.unwrap();
    assert!(matches!(due, Due::Begun(Tick { number: TickNumber(2), .. })), "{due:?}");
    let due = ticks::due(&mut conn, &arena.rules_in(Observe), 3600).await.unwrap();
    let Due::Open(open) = due else { panic!("{due:?}") };
    assert_eq!(open.enforcement, Enforce, "a tick keeps the mode it began in");
}

#[tokio::test]
async fn tickers_share_a_tick_and_nobody_is_charged_twice() {
    let arena = Arena::with_pool(16).await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(arena.bot().create().await.id);
    }
    let tick = begin(&arena, Enforce).await;
    let mut tickers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        tickers.spawn(async move {
            let mut engine = TickEngine::connect(&database).await.unwrap();
            let mut ticked = 0;
            let mut after = BotId(i64::MIN);
            loop {
                let selection = Selection::Free { after, limit: 5 };
                let report = engine.apply(&tick, &rules, &selection).await.unwrap();
                let Some(last) = report.last else {
                    return ticked;
                };
                after = last;
                ticked += report.bots;
            }
        });
    }
    let mut ticked = 0;
    while let Some(count) = tickers.join_next().await {
        ticked += count.unwrap();
    }
    // Bots that one skipped because they were locked were ticked by the other, or come now.
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let rest = Selection::Waiting { after: BotId(i64::MIN), limit: 100 };
    ticked += engine.apply(&tick, arena.rules(), &rest).await.unwrap().bots;
    assert_eq!(ticked, ids.len());
    let totals = ticks::close(&mut *arena.conn().await, &tick).await.unwrap().unwrap();
    assert_eq!(totals.fees, "30.00000000");
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_wallet_that_somebody_holds_is_skipped_and_taken_later() {
    let arena = Arena::new().await;
    let held = arena.bot().create().await;
    let free_bot = arena.bot().create().await;
    let owner = arena.owner_client().await;
    owner.batch_execute("BEGIN").await.unwrap();
    owner.execute("SELECT FROM wallets WHERE bot_id = $1 FOR UPDATE", &[&held.id.0]).await.unwrap();
    let tick = begin(&arena, Enforce).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let report = engine.apply(&tick, arena.rules(), &free(10)).await.unwrap();
    assert_eq!((report.bots, report.last), (1, Some(free_bot.id)));
    let rules = arena.rules().clone();
    let waiting = tokio::spawn(async move {
        let rest = Selection::Waiting { after: BotId(i64::MIN), limit: 10 };
        engine.apply(&tick, &rules, &rest).await.unwrap().last
    });
    owner.batch_execute("COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap(), Some(held.id));
    arena.assert_sound().await;
}

#[tokio::test]
async fn one_damaged_bot_fails_its_chunk_and_alone_is_passed_over() {
    let arena = Arena::new().await;
    let sound = arena.bot().create().await;
    let damaged = arena.bot().create().await;
    let owner = arena.owner_client().await;
    // A cached head that does not fit the chain: Postgres refuses what would continue it.
    owner
        .execute("UPDATE wallets SET head_hash = sha256('x') WHERE bot_id = $1", &[&damaged.id.0])
        .await
        .unwrap();
    let tick = begin(&arena, Enforce).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let failed = engine.apply(&tick, arena.rules(), &free(10)).await.unwrap_err();
    assert_eq!(failed.bots, [sound.id, damaged.id]);
    assert!(!failed.error.retryable(), "{failed}");
    assert_eq!(profile(&arena, &sound).await.balance, "1000.00".parse().unwrap(), "rolled back");

    let one = |bot: &TestBot| Selection::Exactly(vec![bot.id]);
    assert_eq!(engine.apply(&tick, arena.rules(), &one(&sound)).await.unwrap().bots, 1);
    let alone = engine.apply(&tick, arena.rules(), &one(&damaged)).await.unwrap_err();
    let mut conn = arena.conn().await;
    ticks::record_failure(&mut conn, &tick, damaged.id, &alone.error.to_string()).await.unwrap();
    let totals = ticks::close(&mut conn, &tick).await.unwrap().unwrap();
    assert_eq!((totals.bots, totals.failed), (1, 1));
    assert_eq!(profile(&arena, &damaged).await.balance, "1000.00".parse().unwrap());
    let feed = db::posts::feed(&mut conn, None, 10).await.unwrap();
    assert_eq!(feed[0].kind.as_str(), "ERROR");
}

#[tokio::test]
async fn every_ticked_bot_has_a_metrics_row_in_both_modes() {
    let arena = Arena::new().await;
    for _ in 0..3 {
        arena.bot().create().await;
    }
    arena.tick(Observe).await;
    arena.tick(Enforce).await;
    let owner = arena.owner_client().await;
    let sql = "SELECT tick, enforcement::text, count(*), sum(fee)::text, min(shadow_balance)::text \
               FROM agent_metrics GROUP BY 1, 2 ORDER BY 1";
    let rows = owner.query(sql, &[]).await.unwrap();
    let read = |row: &tokio_postgres::Row| -> (i64, String, i64, String, String) {
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
    };
    let text = str::to_owned;
    assert_eq!(
        rows.iter().map(read).collect::<Vec<_>>(),
        [
            (1, text("observe"), 3, text("1.50000000"), text("999.50000000")),
            (2, text("enforce"), 3, text("1.50000000"), text("999.00000000")),
        ]
    );
}
