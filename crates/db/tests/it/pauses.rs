//! Once a pause has answered, no money moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use db::audit_log::AuditFilter;
use db::bots::{self, BotRef};
use db::pauses::{self, Wanted};
use db::ticks::{self, ChunkError, Due, Selection, TickEngine};
use db::{DbError, actions, dry_run, markets};
use ledger_core::economy::{EconomyRules, Enforcement, Operator};
use ledger_core::market::{MarketSource, MarketStatus, Side};
use ledger_core::{BotId, BotStatus, Pause, Refusal};
use test_kit::Arena;
use test_kit::market::{new_answer, new_bet, slip};

fn ada() -> Operator {
    "ada".parse().unwrap()
}

async fn pause(arena: &Arena) {
    let mut conn = arena.conn().await;
    let paused = pauses::pause_arena(&mut conn, &ada(), "a look", None).await;
    assert!(paused.unwrap().changed);
}

async fn resume(arena: &Arena) {
    let mut conn = arena.conn().await;
    let resumed = pauses::resume_arena(&mut conn, &ada(), "", None).await;
    assert!(resumed.unwrap().changed);
}

async fn entries(arena: &Arena) -> i64 {
    let owner = arena.owner_client().await;
    let row = owner.query_one("SELECT count(*) FROM ledger", &[]).await;
    row.unwrap().get(0)
}

fn pause_in<T: std::fmt::Debug>(result: db::DbResult<T>) -> Pause {
    match result {
        Err(DbError::Refused(refusal)) => refusal.pause().cloned().expect("another refusal"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_paused_arena_refuses_whatever_moves_money_and_says_why() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    let question = arena.market(MarketSource::Research).await.id;
    pause(&arena).await;
    let before = entries(&arena).await;
    let (rules, mut conn) = (arena.rules(), arena.conn().await);
    let wager = crate::wager(bot, "1.00");
    let slip = slip(bot, vec![new_bet(market, Side::Yes, "1.00")]);
    let answer = new_answer(bot, question, "736");
    let refused = [
        pause_in(actions::place(&mut conn, &wager, rules, None).await),
        pause_in(markets::place(&mut conn, &slip, rules, None).await),
        pause_in(markets::answer(&mut conn, &answer, rules, None).await),
        pause_in(actions::wait(&mut conn, &crate::waiting(&wager), rules, None).await),
        pause_in(bots::reap(&mut conn, bot, 1, rules).await),
    ];
    assert!(refused.iter().all(|pause| pause.reason == "a look"));
    let dry = dry_run::wager(&mut conn, &wager, rules).await;
    assert!(matches!(
        dry.unwrap().refusal,
        Some(dry_run::DryRefusal::Rule(Refusal::ArenaPaused { .. }))
    ));
    let dry = dry_run::bets(&mut conn, &slip, rules).await;
    assert!(dry.unwrap().refusal.is_some());
    let dry = dry_run::answer(&mut conn, &answer, rules).await;
    assert!(dry.unwrap().refusal.is_some());
    assert_eq!(entries(&arena).await, before);
    resume(&arena).await;
    actions::place(&mut conn, &wager, rules, None).await.unwrap();
    markets::place(&mut conn, &slip, rules, None).await.unwrap();
    arena.assert_sound().await;
}

#[tokio::test]
async fn operators_go_on_in_a_paused_arena() {
    let arena = Arena::new().await;
    let dead = arena.bot().dead().create().await.id;
    let leaving = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(leaving, market, Side::Yes, "1.00").await;
    pause(&arena).await;
    let mut conn = arena.conn().await;
    let amount = "5.00".parse().unwrap();
    bots::revive(&mut conn, &BotRef::Id(dead), amount, &ada(), "r", None).await.unwrap();
    let by = markets::VoidBy::Operator(&ada());
    markets::void(&mut conn, market, "r", by, None).await.unwrap();
    bots::retire(&mut conn, &BotRef::Id(leaving), &ada(), "r", None).await.unwrap();
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_pause_is_told_twice_and_written_once() {
    let arena = Arena::new().await;
    pause(&arena).await;
    let mut conn = arena.conn().await;
    let again = pauses::pause_arena(&mut conn, &ada(), "another reason", None).await;
    let again = again.unwrap();
    assert!(!again.changed);
    assert_eq!(again.pause.unwrap().reason, "a look");
    resume(&arena).await;
    let again = pauses::resume_arena(&mut conn, &ada(), "", None).await;
    assert!(!again.unwrap().changed);
    let lines = db::audit_log::page(&mut conn, &AuditFilter::default(), None, 10).await;
    let actions: Vec<_> = lines.unwrap().into_iter().map(|line| line.action).collect();
    assert_eq!(actions, ["RESUME_ARENA", "PAUSE_ARENA"]);
}

/// Wagers and ticks race a pause: all commits happened before the pause returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_moves_once_a_pause_has_answered() {
    let arena = Arc::new(Arena::with_pool(40).await);
    let mut bots = Vec::new();
    for _ in 0..32 {
        bots.push(arena.bot().create().await.id);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for bot in bots {
        let (arena, stop) = (Arc::clone(&arena), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut placed = 0;
            while !stop.load(Ordering::SeqCst) {
                let mut conn = arena.conn().await;
                let wager = crate::wager(bot, "0.01");
                match actions::place(&mut conn, &wager, arena.rules(), None).await {
                    Ok(_) => placed += 1,
                    Err(DbError::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            placed
        });
    }
    let ticking = {
        let (arena, stop) = (Arc::clone(&arena), Arc::clone(&stop));
        tokio::spawn(async move {
            let rules = arena.rules_in(Enforcement::Enforce);
            let mut engine = TickEngine::connect(arena.database()).await.unwrap();
            while !stop.load(Ordering::SeqCst) {
                let mut conn = arena.conn().await;
                let due = ticks::due(&mut conn, &rules, 0).await.unwrap();
                let (Due::Begun(tick) | Due::Open(tick)) = due else {
                    continue;
                };
                let all = Selection::Waiting { after: BotId(i64::MIN), limit: 1000 };
                match engine.apply(&tick, &rules, &all).await {
                    Ok(_) => drop(ticks::close(&mut conn, &tick).await.unwrap()),
                    Err(ChunkError { error, .. }) => {
                        assert!(matches!(error, DbError::Refused(_)), "{error}");
                    }
                }
            }
        })
    };
    let mut grown = 0;
    for _ in 0..6 {
        pause(&arena).await;
        let before = entries(&arena).await;
        // All of them come by while it is paused.
        for _ in 0..5 {
            assert_eq!(entries(&arena).await, before, "an entry after the pause");
        }
        grown = before;
        resume(&arena).await;
    }
    stop.store(true, Ordering::SeqCst);
    let placed: i64 = tasks.join_all().await.into_iter().sum();
    ticking.await.unwrap();
    assert!(placed > 0 && grown > 32, "nobody raced: {placed}, {grown}");
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_paused_bot_rests_and_pays_nothing() {
    let arena = Arena::new().await;
    let held = arena.bot().balance("1.00").create().await.id;
    let other = arena.bot().balance("9.00").create().await.id;
    let mut conn = arena.conn().await;
    let set = |wanted| (BotRef::Id(held), wanted);
    let (bot, wanted) = set(Wanted::Paused);
    let paused = pauses::set_bot(&mut conn, &bot, wanted, &ada(), "odd bets", None).await.unwrap();
    assert_eq!(paused.subject.pause.as_ref().unwrap().reason, "odd bets");
    for _ in 0..5 {
        assert_eq!(arena.tick(Enforcement::Enforce).await.bots, 1);
    }
    let profile = bots::find(&mut conn, &bot).await.unwrap();
    assert_eq!(
        (profile.status, profile.balance, profile.idle_streak),
        (BotStatus::Alive, "1.00".parse().unwrap(), 0)
    );
    let wager = crate::wager(held, "0.50");
    let refused = actions::place(&mut conn, &wager, arena.rules(), None).await;
    assert_eq!(pause_in(refused).reason, "odd bets");
    let (bot, wanted) = set(Wanted::Running);
    let resumed = pauses::set_bot(&mut conn, &bot, wanted, &ada(), "", None).await;
    assert!(resumed.unwrap().changed);
    actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    assert_eq!(arena.tick(Enforcement::Enforce).await.bots, 2);
    // Charged for the one tick since, not for the five before.
    let profile = bots::find(&mut conn, &bot).await.unwrap();
    assert_eq!(profile.balance, ledger_core::Money::ZERO);
    let profile = bots::find(&mut conn, &BotRef::Id(other)).await.unwrap();
    assert_eq!(profile.balance, "5.75".parse().unwrap());
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_paused_bot_at_zero_is_not_reaped_and_is_paid_what_it_is_owed() {
    let arena = Arena::new().await;
    let held = arena.bot().balance("5.00").create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(held, market, Side::Yes, "5.00").await;
    let winner = arena.bot().create().await.id;
    arena.bet(winner, market, Side::No, "1.00").await;
    let mut conn = arena.conn().await;
    let bot = BotRef::Id(held);
    pauses::set_bot(&mut conn, &bot, Wanted::Paused, &ada(), "r", None).await.unwrap();
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..arena.rules().clone() };
    arena.lock_market(market).await;
    arena.decide(market, Side::No).await;
    markets::settle(&mut conn, market).await.unwrap().unwrap();
    assert_eq!(bots::reapable(&mut conn, 10).await.unwrap(), []);
    assert!(bots::reap(&mut conn, held, 1, &rules).await.unwrap().is_none());
    pauses::set_bot(&mut conn, &bot, Wanted::Running, &ada(), "", None).await.unwrap();
    assert_eq!(bots::reapable(&mut conn, 10).await.unwrap(), [held]);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_paused_market_takes_nothing_pays_nothing_and_loses_nothing() {
    let arena = Arena::new().await;
    let bettor = arena.bot().create().await.id;
    let late = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bettor, market, Side::Yes, "5.00").await;
    let mut conn = arena.conn().await;
    let set = pauses::set_market(&mut conn, market, Wanted::Paused, &ada(), "a typo", None).await;
    assert_eq!(set.unwrap().subject.pause.unwrap().reason, "a typo");
    let slip = slip(late, vec![new_bet(market, Side::No, "1.00")]);
    let refused = markets::place(&mut conn, &slip, arena.rules(), None).await;
    assert_eq!(pause_in(refused).reason, "a typo");
    // Its deadline passes, and its source is read.
    arena.lock_market(market).await;
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), [market]);
    arena.decide(market, Side::Yes).await;
    assert_eq!(pause_in(markets::settle(&mut conn, market).await).reason, "a typo");
    // Nothing is left to do for it, so it delays no other.
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), []);
    let set = pauses::set_market(&mut conn, market, Wanted::Running, &ada(), "", None).await;
    assert!(set.unwrap().changed);
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), [market]);
    let settled = markets::settle(&mut conn, market).await.unwrap().unwrap();
    assert_eq!((settled.market.status, settled.paid), (MarketStatus::Resolved, true));
    let set = pauses::set_market(&mut conn, market, Wanted::Paused, &ada(), "r", None).await;
    assert!(matches!(set, Err(DbError::Refused(Refusal::MarketSettled { .. }))));
    arena.assert_sound().await;
}

#[tokio::test]
async fn markets_wait_while_the_arena_is_paused_and_are_settled_after() {
    let arena = Arena::new().await;
    let bettor = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bettor, market, Side::Yes, "5.00").await;
    pause(&arena).await;
    let mut conn = arena.conn().await;
    let opening = test_kit::market::new_market(MarketSource::News);
    let opened = markets::open(&mut conn, &opening, arena.rules(), None).await;
    assert_eq!(pause_in(opened).reason, "a look");
    arena.lock_market(market).await;
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), [market]);
    arena.decide(market, Side::Yes).await;
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), []);
    assert_eq!(pause_in(markets::settle(&mut conn, market).await).reason, "a look");
    resume(&arena).await;
    assert!(markets::settle(&mut conn, market).await.unwrap().is_some());
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_audit_log_is_read_by_action_and_by_bot() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let other = arena.bot().create().await.id;
    let mut conn = arena.conn().await;
    let wager = crate::wager(bot, "1.00");
    actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    for who in [bot, other] {
        bots::retire(&mut conn, &BotRef::Id(who), &ada(), "it is over", None).await.unwrap();
    }
    let mut list = async |action: Option<&str>, bot_id: Option<BotId>, before: Option<i64>| {
        let action = action.map(str::to_owned);
        let filter = AuditFilter { action, bot_id };
        db::audit_log::page(&mut conn, &filter, before, 10).await.unwrap()
    };
    let retired = list(Some("RETIRE"), None, None).await;
    let bots: Vec<_> = retired.iter().map(|line| line.bot_id).collect();
    assert_eq!(bots, [Some(other), Some(bot)]);
    assert_eq!(retired[0].actor, "ada");
    assert_eq!(retired[0].detail["reason"], "it is over");
    assert_eq!(list(Some("RETIRE"), None, Some(retired[0].id)).await.len(), 1);
    let of_bot = list(None, Some(bot), None).await;
    let actions: Vec<_> = of_bot.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["RETIRE", "REGISTER"]);
    assert_eq!(list(Some("PREDICT"), None, None).await.len(), 1);
}
