use std::collections::HashSet;

use api_types::{ChainVerification, LedgerEntry, Page, ProblemKind};
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all, join3};
use ledger_core::Entry;
use ledger_core::chain::ChainVerifier;
use ledger_core::economy::Enforcement;
use serde_json::json;
use test_kit::{TestBot, eventually};

use crate::service::Service;

async fn with_history() -> (Service, TestBot) {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    for _ in 0..3 {
        service.wager(&bot, "1").await.json();
        service.arena.tick(Enforcement::Enforce).await;
    }
    (service, bot)
}

#[tokio::test]
async fn a_chain_can_be_recomputed_from_what_is_answered() {
    let (service, bot) = with_history().await;
    let page: Page<LedgerEntry> = service.get("/bots/mia/ledger?limit=200").await.ok();
    let mut verifier = ChainVerifier::new(bot.id);
    for entry in page.items.into_iter().rev() {
        assert_eq!(entry.recorded_at_us, entry.recorded_at.micros());
        verifier.check(&Entry::from(entry)).unwrap();
    }
    let verified: ChainVerification = service.get("/bots/mia/ledger/verify").await.ok();
    assert_eq!(verified.head_hash, verifier.head().hash);
    assert_eq!((verified.bot_id, verified.entries), (bot.id, 7));
    assert!(verified.valid && verified.first_fault.is_none());
}

#[tokio::test]
async fn verification_continues_where_it_was_and_sees_what_came_since() {
    let (service, bot) = with_history().await;
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let verified = join_all((0..8).map(|_| service.get(&path))).await;
    for answer in verified {
        assert_eq!(answer.json()["entries"], 7);
    }
    service.wager(&bot, "1").await.json();
    assert_eq!(service.get(&path).await.json()["entries"], 8);
}

/// A session that blocks all reads of entries until it commits. Bots can be read.
async fn entries_locked(service: &Service) -> tokio_postgres::Client {
    let owner = service.arena.owner_client().await;
    owner.batch_execute("BEGIN; LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE").await.unwrap();
    owner
}

/// Until so many wait for that session.
async fn waiting(owner: &tokio_postgres::Client, expected: i64) {
    eventually(&format!("{expected} wait for entries"), || async {
        (waiting_now(owner).await == expected).then_some(())
    })
    .await;
}

async fn waiting_now(owner: &tokio_postgres::Client) -> i64 {
    // A transaction goes on seeing the first answer otherwise.
    owner.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND wait_event_type = 'Lock' AND query LIKE '%ledger%'";
    owner.query_one(sql, &[]).await.unwrap().get(0)
}

/// Time for requests that were sent before to come as far as they can.
async fn some_time(service: &Service, bot: &TestBot) {
    for _ in 0..50 {
        service.get(&format!("/bots/{}", bot.id)).await.json();
    }
}

async fn bots_of(service: &Service, count: usize) -> Vec<String> {
    let mut paths = Vec::new();
    for _ in 0..count {
        let id = service.arena.bot().create().await.id;
        paths.push(format!("/bots/{id}/ledger/verify"));
    }
    paths
}

#[tokio::test]
async fn two_chains_are_verified_at_once_and_others_wait_for_their_turn() {
    let (service, bot) = with_history().await;
    let paths = bots_of(&service, 5).await;
    let owner = entries_locked(&service).await;
    let verified = join_all(paths.iter().map(|path| service.get(path)));
    let watched = async {
        waiting(&owner, 2).await;
        some_time(&service, &bot).await;
        assert_eq!(waiting_now(&owner).await, 2);
        owner.batch_execute("COMMIT").await.unwrap();
    };
    let (verified, ()) = join(verified, watched).await;
    for answer in verified {
        assert_eq!(answer.json()["complete"], true);
    }
}

#[tokio::test]
async fn a_chain_is_verified_by_one_run_at_a_time() {
    let (service, bot) = with_history().await;
    let other = service.arena.bot().create().await;
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let owner = entries_locked(&service).await;
    let verified = join_all((0..2).map(|_| service.get(&path)));
    let watched = async {
        waiting(&owner, 1).await;
        some_time(&service, &other).await;
        assert_eq!(waiting_now(&owner).await, 1, "the second waits for the first");
        owner.batch_execute("COMMIT").await.unwrap();
    };
    let (verified, ()) = join(verified, watched).await;
    for answer in verified {
        assert_eq!(answer.json()["entries"], 7);
    }
}

#[tokio::test]
async fn others_get_a_connection_between_the_batches_of_a_long_chain() {
    let service = Service::with(|config| config.postgres.pool_size = 1).await;
    let bot = service.arena.bot().create().await;
    let entries = db::ledger::VERIFY_BATCH * 5 + 10;
    let owner = service.arena.owner_client().await;
    test_kit::chain::lengthen(&owner, bot.id, entries).await;
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let owner = entries_locked(&service).await;
    let verified = service.get(&path);
    let other = async {
        // The first batch has the only connection.
        waiting(&owner, 1).await;
        let profile = format!("/bots/{}", bot.id);
        let other = service.get(&profile);
        let freed = async {
            // Time for the other one to request it.
            for _ in 0..50 {
                service.get("/health").await.json();
            }
            owner.batch_execute("COMMIT").await.unwrap();
        };
        join(other, freed).await.0
    };
    let ended = std::sync::Mutex::new(Vec::new());
    let told = |who: &'static str| ended.lock().unwrap().push(who);
    let (verified, other) =
        join(verified.inspect(|_| told("verified")), other.inspect(|_| told("other"))).await;
    assert_eq!(other.status, 200);
    let verified: ChainVerification = verified.ok();
    assert_eq!((verified.entries, verified.complete), (entries, true));
    assert_eq!(*ended.lock().unwrap(), ["other", "verified"]);
}

#[tokio::test]
async fn whoever_gets_no_turn_is_told_how_far_it_was_and_the_next_goes_on() {
    let (service, bot) = with_history().await;
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let paths = bots_of(&service, 4).await;
    let owner = entries_locked(&service).await;
    // As another process left it, at the third entry.
    owner
        .execute(
            "INSERT INTO verified_heads (bot_id, sequence, balance, hash) \
             SELECT bot_id, sequence, balance_after, hash FROM ledger WHERE bot_id = $1 AND sequence = 3",
            &[&bot.id.0],
        )
        .await
        .unwrap();
    let (first, second) = paths.split_at(2);
    let last = async {
        waiting(&owner, 2).await;
        let second = join_all(second.iter().map(|path| service.get(path)));
        let last = async {
            some_time(&service, &bot).await;
            service.get(&path).await
        };
        let watched = async {
            // Two of the first or second, and one that gave up waiting and reads the progress.
            waiting(&owner, 3).await;
            owner.batch_execute("COMMIT").await.unwrap();
        };
        let (_, last, ()) = join3(second, last, watched).await;
        last
    };
    let first = join_all(first.iter().map(|path| service.get(path)));
    let (_, last) = join(first, last).await;
    let verified: ChainVerification = last.ok();
    assert_eq!((verified.entries, verified.length), (3, 7));
    assert!(!verified.complete && verified.valid);
    let verified: ChainVerification = service.get(&path).await.ok();
    assert_eq!((verified.entries, verified.length), (7, 7));
    assert!(verified.complete && verified.valid);
}

#[tokio::test]
async fn a_tampered_entry_is_named_each_time() {
    let (service, bot) = with_history().await;
    let owner = service.arena.owner_client().await;
    owner
        .batch_execute(&format!(
            "SET session_replication_role = replica; \
             UPDATE ledger SET reference = 'OBS:forged' WHERE bot_id = {} AND sequence = 4",
            bot.id
        ))
        .await
        .unwrap();
    let path = format!("/bots/{}/ledger/verify", bot.id);
    for _ in 0..2 {
        let verified: ChainVerification = service.get(&path).await.ok();
        let fault = verified.first_fault.expect("a fault");
        assert!(!verified.valid);
        assert_eq!((fault.sequence, fault.field.as_str(), verified.entries), (4, "hash", 4));
    }
}

#[tokio::test]
async fn missing_newest_entries_are_a_fault_at_once() {
    let (service, bot) = with_history().await;
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let verified: ChainVerification = service.get(&path).await.ok();
    assert!(verified.valid && verified.complete);
    let owner = service.arena.owner_client().await;
    owner
        .batch_execute(&format!(
            "SET session_replication_role = replica; \
             DELETE FROM ledger WHERE bot_id = {} AND sequence > 5",
            bot.id
        ))
        .await
        .unwrap();
    for _ in 0..2 {
        let verified: ChainVerification = service.get(&path).await.ok();
        let fault = verified.first_fault.expect("a fault");
        assert!(!verified.valid && verified.complete);
        assert_eq!(
            (fault.sequence, fault.field.as_str(), verified.entries, verified.length),
            (5, "sequence", 5, 7)
        );
    }
}

#[tokio::test]
async fn a_row_that_is_no_entry_is_a_fault_and_no_error() {
    let (service, bot) = with_history().await;
    let owner = service.arena.owner_client().await;
    owner
        .batch_execute(&format!(
            "SET session_replication_role = replica; \
             ALTER TABLE ledger DROP CONSTRAINT ledger_reference_is_printable; \
             UPDATE ledger SET reference = E'TICK:\\n3' WHERE bot_id = {} AND sequence = 4",
            bot.id
        ))
        .await
        .unwrap();
    let path = format!("/bots/{}/ledger/verify", bot.id);
    let verified: ChainVerification = service.get(&path).await.ok();
    let fault = verified.first_fault.expect("a fault");
    assert!(!verified.valid);
    assert_eq!((fault.sequence, fault.field.as_str(), verified.entries), (4, "row", 3));
}

#[tokio::test]
async fn the_journal_pages_through_everybodys_entries_once() {
    let (service, _) = with_history().await;
    service.arena.bot().create().await;
    let mut seen = HashSet::new();
    let mut times = Vec::new();
    let mut path = "/ledger?limit=3".to_owned();
    loop {
        let page: Page<LedgerEntry> = service.get(&path).await.ok();
        for entry in page.items {
            times.push(entry.recorded_at);
            assert!(seen.insert((entry.bot_id, entry.sequence)), "twice: {entry:?}");
        }
        match page.next_cursor {
            Some(cursor) => path = format!("/ledger?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 8);
    assert!(times.is_sorted_by(|newer, older| newer >= older));
}

#[tokio::test]
async fn nobodys_chain_is_not_found() {
    let service = Service::new().await;
    for path in ["/bots/424242/ledger", "/bots/nobody/ledger", "/bots/424242/ledger/verify"] {
        service.get(path).await.problem(ProblemKind::NotFound);
    }
}

#[tokio::test]
async fn a_chain_pages_to_its_first_entry() {
    let (service, bot) = with_history().await;
    let mut sequences = Vec::new();
    let mut path = format!("/bots/{}/ledger?limit=2", bot.id);
    loop {
        let page = service.get(&path).await.json();
        sequences.extend(
            page["items"].as_array().unwrap().iter().map(|e| e["sequence"].as_i64().unwrap()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["next_cursor"], json!(null));
            break;
        };
        path = format!("/bots/{}/ledger?limit=2&cursor={cursor}", bot.id);
    }
    assert_eq!(sequences, [7, 6, 5, 4, 3, 2, 1]);
}
