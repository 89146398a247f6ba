use std::time::Duration;

use daemon::shutdown::Shutdown;
use db::bots::{self, BotRef};
use db::ticks::{Due, Selection, TickEngine};
use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::{BotId, BotStatus, Money, TickNumber};
use test_kit::{Arena, TestBot};
use ticker::tick::{self, Ran, Ticker};

fn ticker(arena: &Arena) -> Ticker {
    Ticker {
        database: arena.database().clone(),
        cache: None,
        rules: EconomyRules { enforcement: Enforcement::Enforce, ..arena.rules().clone() },
        tick_rate: Duration::ZERO,
        chunk_bots: 4,
        workers: 2,
    }
}

async fn run(ticker: &Ticker) -> Ran {
    tick::run(ticker, &Shutdown::manual()).await.unwrap()
}

async fn balance(arena: &Arena, bot: &TestBot) -> (BotStatus, Money) {
    let profile = bots::find(&mut *arena.conn().await, &BotRef::Id(bot.id)).await.unwrap();
    (profile.status, profile.balance)
}

#[tokio::test]
async fn a_tick_reaches_everybody_in_chunks() {
    let arena = Arena::with_pool(16).await;
    for _ in 0..11 {
        arena.bot().create().await;
    }
    let poor = arena.bot().balance("0.20").create().await;
    let ran = run(&ticker(&arena)).await;
    let Ran::Closed(tick, totals) = ran else { panic!("{ran:?}") };
    assert_eq!((tick.number, totals.bots, totals.liquidated), (TickNumber(1), 12, 1));
    assert_eq!(balance(&arena, &poor).await, (BotStatus::Dead, Money::ZERO));
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_tick_that_was_cut_off_is_finished_and_charges_nobody_twice() {
    let arena = Arena::with_pool(16).await;
    let mut everybody = Vec::new();
    for _ in 0..9 {
        everybody.push(arena.bot().create().await);
    }
    let ticker = ticker(&arena);
    // A ticker that died after one chunk.
    let due = db::ticks::due(&mut *arena.conn().await, &ticker.rules, 0).await.unwrap();
    let Due::Begun(cut_off) = due else { panic!("{due:?}") };
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let selection = Selection::Free { after: BotId(0), limit: 4 };
    engine.apply(&cut_off, &ticker.rules, &selection).await.unwrap();

    let Ran::Closed(tick, totals) = run(&ticker).await else { panic!("not closed") };
    assert_eq!((tick.number, totals.bots), (cut_off.number, 9));
    for bot in &everybody {
        assert_eq!(balance(&arena, bot).await.1, "999.50".parse().unwrap());
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn one_damaged_bot_is_found_recorded_and_passed_over() {
    let arena = Arena::with_pool(16).await;
    let mut everybody = Vec::new();
    for _ in 0..9 {
        everybody.push(arena.bot().create().await);
    }
    let damaged = everybody.remove(5);
    let owner = arena.owner_client().await;
    let damage = "UPDATE wallets SET head_hash = sha256('x') WHERE bot_id = $1";
    owner.execute(damage, &[&damaged.id.0]).await.unwrap();
    for (number, left) in [(1, "999.50"), (2, "999.00")] {
        let Ran::Closed(tick, totals) = run(&ticker(&arena)).await else { panic!("not closed") };
        assert_eq!(tick.number, TickNumber(number));
        assert_eq!((totals.bots, totals.failed), (8, 1));
        for bot in &everybody {
            assert_eq!(balance(&arena, bot).await.1, left.parse().unwrap());
        }
    }
    assert_eq!(balance(&arena, &damaged).await.1, "1000.00".parse().unwrap());
    let failures = "SELECT count(*) FROM tick_failures WHERE bot_id = $1";
    let failures: i64 = owner.query_one(failures, &[&damaged.id.0]).await.unwrap().get(0);
    assert_eq!(failures, 2);
}

#[tokio::test]
async fn when_everybody_fails_nobody_is_to_blame() {
    let arena = Arena::with_pool(16).await;
    for _ in 0..5 {
        arena.bot().create().await;
    }
    // One chunk of all: a bot that is alone in a chunk cannot be distinguished from one that is damaged alone.
    let ticker = Ticker { chunk_bots: 100, workers: 1, ..ticker(&arena) };
    let owner = arena.owner_client().await;
    // No place for the metrics of today: not a fault of any bot.
    owner.batch_execute("ALTER TABLE agent_metrics RENAME COLUMN fee TO toll").await.unwrap();
    let error = tick::run(&ticker, &Shutdown::manual()).await.unwrap_err();
    assert!(format!("{error:#}").contains("toll") || format!("{error:#}").contains("fee"));
    owner.batch_execute("ALTER TABLE agent_metrics RENAME COLUMN toll TO fee").await.unwrap();
    let failures: i64 =
        owner.query_one("SELECT count(*) FROM tick_failures", &[]).await.unwrap().get(0);
    assert_eq!(failures, 0);
    let Ran::Closed(tick, totals) = run(&ticker).await else { panic!("not closed") };
    assert_eq!((tick.number, totals.bots), (TickNumber(1), 5));
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tickers_share_ticks() {
    let arena = Arena::with_pool(32).await;
    let mut everybody = Vec::new();
    for _ in 0..30 {
        everybody.push(arena.bot().create().await);
    }
    let mut tickers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let ticker = ticker(&arena);
        tickers.spawn(async move {
            let mut closed = Vec::new();
            for _ in 0..4 {
                if let Ran::Closed(tick, _) = run(&ticker).await {
                    closed.push(tick.number);
                }
            }
            closed
        });
    }
    let mut closed = Vec::new();
    while let Some(ticks) = tickers.join_next().await {
        closed.extend(ticks.unwrap());
    }
    // A tick that its last helper left open would be closed by the next.
    let last = db::ticks::latest(&mut *arena.conn().await).await.unwrap();
    closed.sort_unstable();
    let expected: Vec<_> = (1..=last.0).map(TickNumber).collect();
    assert!(closed == expected || closed == expected[..expected.len() - 1], "{closed:?} of {last}");
    let ticks = i64::try_from(closed.len()).unwrap();
    let rules = ticker(&arena).rules;
    let paid = (0..ticks)
        .map(|streak| rules.entropy(i32::try_from(streak).unwrap()))
        .try_fold(Money::ZERO, Money::checked_add)
        .unwrap();
    let left = rules.genesis_grant.checked_sub(paid).unwrap();
    for bot in &everybody {
        assert_eq!(balance(&arena, bot).await.1, left);
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_requested_stop_ends_the_waiting() {
    let arena = Arena::new().await;
    arena.bot().create().await;
    let ticker = Ticker { tick_rate: Duration::from_secs(3600), ..ticker(&arena) };
    assert!(matches!(run(&ticker).await, Ran::Closed(..)));
    let shutdown = Shutdown::manual();
    let waiting = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { tick::run(&ticker, &shutdown).await.unwrap() }
    });
    shutdown.request();
    let ran = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert_eq!(ran, Ran::Stopped);
}

#[tokio::test]
async fn a_pause_stops_time_and_no_tick_is_made_up_for() {
    let arena = Arena::with_pool(16).await;
    let mut everybody = Vec::new();
    for _ in 0..9 {
        everybody.push(arena.bot().create().await);
    }
    let ticker = ticker(&arena);
    // Paused over an open tick of which one chunk is done.
    let due = db::ticks::due(&mut *arena.conn().await, &ticker.rules, 0).await;
    let Due::Begun(tick) = due.unwrap() else { panic!("not begun") };
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let first = Selection::Free { after: BotId(0), limit: 4 };
    engine.apply(&tick, &ticker.rules, &first).await.unwrap();
    let who = "ada".parse().unwrap();
    let mut conn = arena.conn().await;
    db::pauses::pause_arena(&mut conn, &who, "a look", None).await.unwrap();
    let refused = engine.apply(&tick, &ticker.rules, &first).await.unwrap_err();
    assert!(refused.error.to_string().contains("a look"), "{}", refused.error);
    // A ticker waits for the end of the pause, and for nothing else.
    let shutdown = Shutdown::manual();
    let running = {
        let (ticker, shutdown) = (ticker.clone(), shutdown.clone());
        tokio::spawn(async move { tick::run(&ticker, &shutdown).await.unwrap() })
    };
    tokio::time::timeout(Duration::from_millis(300), async { running.is_finished() })
        .await
        .unwrap();
    assert_eq!(db::ticks::latest(&mut conn).await.unwrap(), tick.number);
    db::pauses::resume_arena(&mut conn, &who, "", None).await.unwrap();
    let Ran::Closed(closed, totals) = running.await.unwrap() else { panic!("not closed") };
    assert_eq!((closed.number, totals.bots), (tick.number, 9));
    for bot in &everybody {
        assert_eq!(balance(&arena, bot).await.1, "999.50".parse().unwrap());
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_tick_that_another_settings_ticker_finishes_costs_what_it_began_with() {
    let arena = Arena::with_pool(16).await;
    let bot = arena.bot().balance("10.00").create().await;
    let before = ticker(&arena);
    db::ticks::due(&mut *arena.conn().await, &before.rules, 0).await.unwrap();
    let after = Ticker {
        rules: EconomyRules { entropy_base: "2.00".parse().unwrap(), ..before.rules.clone() },
        ..before
    };
    assert!(matches!(run(&after).await, Ran::Closed(..)));
    assert_eq!(balance(&arena, &bot).await.1, "9.50".parse().unwrap());
    assert!(matches!(run(&after).await, Ran::Closed(..)));
    assert_eq!(balance(&arena, &bot).await.1, "7.50".parse().unwrap());
}

#[tokio::test]
async fn an_open_tick_ends_with_the_fees_it_began_with() {
    let arena = Arena::with_pool(16).await;
    let bot = arena.bot().create().await;
    let begun = ticker(&arena);
    let due = db::ticks::due(&mut *arena.conn().await, &begun.rules, 0).await;
    assert!(matches!(due.unwrap(), Due::Begun(_)));
    // That ticker died, and the next one was started with other settings.
    let dearer = Ticker {
        rules: EconomyRules { entropy_base: "2.00".parse().unwrap(), ..begun.rules.clone() },
        ..begun
    };
    for (number, left) in [(1, "999.50"), (2, "997.50")] {
        let Ran::Closed(tick, _) = run(&dearer).await else { panic!("not closed") };
        assert_eq!(tick.number, TickNumber(number));
        assert_eq!(balance(&arena, &bot).await.1, left.parse().unwrap());
    }
    arena.assert_sound().await;
}
