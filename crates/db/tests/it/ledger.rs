use std::sync::Arc;

use db::{DbError, actions, ledger};
use ledger_core::economy::Enforcement;
use ledger_core::{EconomyRules, EntryType, Refusal};
use test_kit::Arena;

/// 32 wagers at once, of which the rules allow five.
async fn race(balance: &str, stake: &'static str, rules: EconomyRules) -> (usize, Vec<Refusal>) {
    let arena = Arc::new(Arena::with_pool(32).await.with_rules(rules));
    let bot = arena.bot().balance(balance).create().await.id;
    let mut agents = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let arena = Arc::clone(&arena);
        agents.spawn(async move {
            let mut conn = arena.conn().await;
            actions::place(&mut conn, &crate::wager(bot, stake), arena.rules(), None).await
        });
    }
    let mut accepted = 0;
    let mut refusals = Vec::new();
    while let Some(result) = agents.join_next().await {
        match result.unwrap() {
            Ok(_) => accepted += 1,
            Err(DbError::Refused(refusal)) => refusals.push(refusal),
            Err(other) => panic!("{other:?}"),
        }
    }
    arena.assert_sound().await;
    (accepted, refusals)
}

#[tokio::test]
async fn of_32_simultaneous_wagers_those_that_are_affordable_succeed() {
    let (accepted, refusals) = race("5.50", "1.00", EconomyRules::default()).await;
    assert_eq!(accepted, 5);
    assert!(
        refusals.iter().all(|r| matches!(r, Refusal::InsufficientFunds { .. })),
        "{refusals:?}"
    );
}

#[tokio::test]
async fn of_32_simultaneous_wagers_those_within_the_limits_succeed() {
    let five = EconomyRules { open_predictions_max: 5, ..EconomyRules::default() };
    let (accepted, refusals) = race("1000.00", "1.00", five).await;
    assert_eq!(accepted, 5);
    assert!(refusals.iter().all(|r| matches!(r, Refusal::TooManyOpenPredictions { open: 5, .. })));

    let (accepted, refusals) = race("1000.00", "20.00", EconomyRules::default()).await;
    assert_eq!(accepted, 5);
    assert!(refusals.iter().all(|r| matches!(r, Refusal::OpenStakeLimit { .. })), "{refusals:?}");
}

#[tokio::test]
async fn a_chain_verifies_and_goes_on_from_what_was_verified() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    for _ in 0..3 {
        arena.tick(Enforcement::Enforce).await;
    }
    let mut conn = arena.conn().await;
    let first = ledger::verify_on(&mut conn, bot).await.unwrap();
    assert_eq!((first.head.sequence, first.first_fault), (4, None));
    assert!(first.complete && first.length == 4);
    arena.tick(Enforcement::Enforce).await;
    // The verified part is not read again: a change in it is found only when it is verified again.
    let owner = arena.owner_client().await;
    let change = "SET session_replication_role = replica; \
                  UPDATE ledger SET reference = 'TICK:9' WHERE sequence = 2";
    owner.batch_execute(change).await.unwrap();
    let second = ledger::verify_on(&mut conn, bot).await.unwrap();
    assert_eq!((second.head.sequence, second.first_fault), (5, None));
    for forget in [
        // A day later.
        "UPDATE verified_heads SET whole_at = whole_at - interval '25 hours'",
        // However lately it was whole.
        "UPDATE verified_heads SET begun_at = begun_at - interval '8 days'",
        // Another entry stands where the kept one stood.
        "UPDATE verified_heads SET hash = sha256('x')",
        "UPDATE verified_heads SET balance = balance + 1",
        // The chain was longer once.
        "UPDATE verified_heads SET sequence = 9",
    ] {
        owner.batch_execute(forget).await.unwrap();
        let anew = ledger::verify_on(&mut conn, bot).await.unwrap();
        let fault = anew.first_fault.unwrap_or_else(|| panic!("believed: {forget}"));
        assert_eq!((fault.sequence, anew.complete), (2, true));
        owner
            .batch_execute(
                "UPDATE ledger SET reference = 'TICK:1' WHERE sequence = 2; DELETE FROM verified_heads",
            )
            .await
            .unwrap();
        let whole = ledger::verify_on(&mut conn, bot).await.unwrap();
        assert!(whole.first_fault.is_none() && whole.complete, "{whole:?}");
        owner
            .batch_execute("UPDATE ledger SET reference = 'TICK:9' WHERE sequence = 2")
            .await
            .unwrap();
    }
    let unknown = ledger::verify_on(&mut conn, ledger_core::BotId(1)).await.unwrap_err();
    assert!(matches!(unknown, DbError::NotFound("bot")));
}

#[tokio::test]
async fn progress_that_never_reached_the_end_is_not_believed_for_ever() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    for _ in 0..3 {
        arena.tick(Enforcement::Enforce).await;
    }
    let owner = arena.owner_client().await;
    let mut conn = arena.conn().await;
    let change = "SET session_replication_role = replica; \
                  UPDATE ledger SET reference = 'TICK:9' WHERE sequence = 2";
    owner.batch_execute(change).await.unwrap();
    for (times, believed) in [
        (
            "begun_at = begun_at - interval '6 days', touched_at = touched_at - interval '23 hours'",
            true,
        ),
        ("touched_at = touched_at - interval '25 hours'", false),
        ("begun_at = begun_at - interval '8 days'", false),
    ] {
        let progress = format!(
            "DELETE FROM verified_heads; \
             INSERT INTO verified_heads (bot_id, sequence, balance, hash) \
                SELECT bot_id, sequence, balance_after, hash FROM ledger WHERE sequence = 3; \
             UPDATE verified_heads SET {times}"
        );
        owner.batch_execute(&progress).await.unwrap();
        let found = ledger::verify_on(&mut conn, bot).await.unwrap();
        let fault = found.first_fault.map(|fault| fault.sequence);
        assert_eq!(fault, (!believed).then_some(2), "{times}");
    }
    // Continuing does not renew the time of the verified part; starting again does.
    let age = async || {
        let ask = "SELECT begun_at < clock_timestamp() - interval '5 days', \
                          touched_at < clock_timestamp() - interval '1 hour' FROM verified_heads";
        let row = owner.query_one(ask, &[]).await.unwrap();
        (row.get::<_, bool>(0), row.get::<_, bool>(1))
    };
    let mend = "UPDATE ledger SET reference = 'TICK:1' WHERE sequence = 2; DELETE FROM verified_heads; \
                INSERT INTO verified_heads (bot_id, sequence, balance, hash, begun_at, touched_at) \
                SELECT bot_id, sequence, balance_after, hash, clock_timestamp() - interval '6 days', \
                       clock_timestamp() - interval '23 hours' FROM ledger WHERE sequence = 3";
    owner.batch_execute(mend).await.unwrap();
    let whole = ledger::verify_on(&mut conn, bot).await.unwrap();
    assert!(whole.complete && whole.first_fault.is_none(), "{whole:?}");
    assert_eq!(age().await, (true, false));
    let older = "UPDATE verified_heads SET begun_at = begun_at - interval '8 days'";
    owner.batch_execute(older).await.unwrap();
    ledger::verify_on(&mut conn, bot).await.unwrap();
    assert_eq!(age().await, (false, false));
}

#[tokio::test]
async fn a_chain_that_ends_elsewhere_than_its_wallet_says_is_at_fault() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    for _ in 0..5 {
        arena.tick(Enforcement::Enforce).await;
    }
    let owner = arena.owner_client().await;
    let mut conn = arena.conn().await;
    let whole = ledger::verify_on(&mut conn, bot).await.unwrap();
    assert!(whole.complete && whole.first_fault.is_none(), "{whole:?}");
    owner
        .batch_execute(
            "SET session_replication_role = replica; CREATE TEMP TABLE all_of_it AS SELECT * FROM ledger",
        )
        .await
        .unwrap();
    for (change, end, found) in [
        // The newest are gone, with and without progress that was kept before them; then all are.
        ("DELETE FROM ledger WHERE sequence > 4", 4, "4"),
        ("DELETE FROM verified_heads", 4, "4"),
        ("DELETE FROM ledger", 0, "0"),
        // They are there, and the wallet was put back.
        (
            "INSERT INTO ledger SELECT * FROM all_of_it; \
             UPDATE wallets w SET sequence = l.sequence, balance = l.balance_after, head_hash = l.hash \
               FROM ledger l WHERE l.bot_id = w.bot_id AND l.sequence = 4",
            4,
            "6",
        ),
    ] {
        owner.batch_execute(change).await.unwrap();
        for _ in 0..2 {
            let faulty = ledger::verify_on(&mut conn, bot).await.unwrap();
            let fault = faulty.first_fault.unwrap_or_else(|| panic!("sound: {change}"));
            assert!(faulty.complete, "{change}");
            assert_eq!((fault.sequence, fault.found.as_str()), (end, found), "{change}");
        }
    }
}

/// More than one batch, appended as the ticker does, and a fault near the end. `make history` has a chain of ten
/// million.
#[tokio::test]
async fn a_long_chain_is_verified_by_one_call_after_the_other() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let owner = arena.owner_client().await;
    let batch = ledger::VERIFY_BATCH;
    #[allow(clippy::disallowed_methods, reason = "a switch for `make history`")]
    let entries =
        std::env::var("CHAIN_ENTRIES").map_or(batch * 2 + 10, |many| many.parse().unwrap());
    test_kit::chain::lengthen(&owner, bot, entries).await;
    let mut conn = arena.conn().await;
    let mut steps = Vec::new();
    loop {
        let step = ledger::verify_on(&mut conn, bot).await.unwrap();
        assert_eq!((step.length, step.first_fault), (entries, None));
        let kept = ledger::verified(&mut conn, bot).await.unwrap();
        assert_eq!(kept.head, step.head, "what was verified is not lost");
        steps.push(step.head.sequence);
        if step.complete {
            break;
        }
    }
    let mut expected: Vec<i64> = (1..=(entries - 1) / batch).map(|n| n * batch).collect();
    expected.push(entries);
    assert_eq!(steps, expected);
    owner
        .batch_execute(&format!(
            "DELETE FROM verified_heads; SET session_replication_role = replica; \
             UPDATE ledger SET hash = sha256('x') WHERE sequence = {}",
            batch + 5
        ))
        .await
        .unwrap();
    let sound = ledger::verify_on(&mut conn, bot).await.unwrap();
    assert!(!sound.complete);
    for _ in 0..2 {
        let faulty = ledger::verify_on(&mut conn, bot).await.unwrap();
        assert_eq!(faulty.first_fault.map(|fault| fault.sequence), Some(batch + 5));
        assert!(faulty.complete);
        let kept = ledger::verified(&mut conn, bot).await.unwrap();
        assert_eq!(kept.head.sequence, batch + 4, "the last sound one");
    }
}

#[tokio::test]
async fn the_journal_pages_through_everything_newest_first() {
    let arena = Arena::new().await;
    let bots = [arena.bot().create().await.id, arena.bot().create().await.id];
    for _ in 0..4 {
        arena.tick(Enforcement::Enforce).await;
    }
    // Old entries lie far beyond the first window.
    let owner = arena.owner_client().await;
    owner
        .batch_execute(
            "SET session_replication_role = replica; \
             UPDATE ledger SET recorded_at = recorded_at - interval '40 days' WHERE sequence < 4; \
             UPDATE bots SET created_at = created_at - interval '40 days'",
        )
        .await
        .unwrap();
    let mut conn = arena.conn().await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ledger::journal(&mut conn, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(ledger::JournalPosition::of(last));
        seen.extend(page.iter().map(|entry| (entry.recorded_at, entry.bot_id, entry.sequence)));
    }
    assert_eq!(seen.len(), bots.len() * 5);
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
}

#[tokio::test]
async fn time_never_runs_backwards_in_a_chain() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let owner = arena.owner_client().await;
    // As if the clock had been an hour ahead when the last entry was written. The hash no longer
    // fits, which does not matter here.
    owner
        .batch_execute(
            "SET session_replication_role = replica; \
             UPDATE ledger SET recorded_at = recorded_at + interval '1 hour'; \
             UPDATE wallets SET head_at = head_at + interval '1 hour'",
        )
        .await
        .unwrap();
    let mut conn = arena.conn().await;
    actions::place(&mut conn, &crate::wager(bot, "1.00"), arena.rules(), None).await.unwrap();
    arena.tick(Enforcement::Enforce).await;
    let entries = ledger::page(&mut conn, bot, None, 10).await.unwrap();
    let types: Vec<_> = entries.iter().map(|entry| entry.entry_type).collect();
    assert_eq!(types, [EntryType::Heartbeat, EntryType::Wager, EntryType::Grant]);
    assert!(entries.windows(2).all(|pair| pair[0].recorded_at == pair[1].recorded_at));
}
