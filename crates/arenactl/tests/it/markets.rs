//! Explaining outcomes from what was kept, and calling markets off.

use db::markets::{Finding, NewEvidence, NewMarket};
use ledger_core::criteria::Criteria;
use ledger_core::market::{MarketSource, Side};
use ledger_core::{Hash, MarketId};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use test_kit::market::{RIGHT_ANSWER, new_answer, new_market};

use crate::bench::Bench;

const BODY: &[u8] = b"{\"full_name\":\"rust-lang/rust\",\"stargazers_count\":101000}";

/// A settled market about stars whose evidence is real bytes.
async fn settled(bench: &Bench) -> MarketId {
    let arena = &bench.arena;
    let criteria = json!({"repository": "rust-lang/rust", "comparison": ">=", "stars": 101_000});
    let new = NewMarket {
        criteria: Criteria::deserialize(MarketSource::Github, criteria).unwrap(),
        ..new_market(MarketSource::Github)
    };
    let mut conn = arena.conn().await;
    db::markets::open(&mut conn, &new, arena.rules(), None).await.unwrap();
    let bot = arena.bot().create().await.id;
    arena.bet(bot, new.id, Side::Yes, "2.00").await;
    arena.lock_market(new.id).await;
    let fetch = NewEvidence {
        url: "http://127.0.0.1/repos/rust-lang/rust".to_owned(),
        fetched_at: arena.now().await,
        status: Some(200),
        sha256: Some(Hash(Sha256::digest(BODY).into())),
        body: BODY.to_vec(),
        truncated: false,
        finding: Finding::Read { value: "101000 stars".to_owned(), decides: Some(Side::Yes) },
    };
    db::markets::record(&mut conn, new.id, &fetch, None).await.unwrap();
    db::markets::settle(&mut conn, new.id).await.unwrap().unwrap();
    new.id
}

#[tokio::test]
async fn an_outcome_is_derived_again_from_the_kept_bytes() {
    let bench = Bench::new().await;
    let id = settled(&bench).await.to_string();
    let ran = bench.run(&["resolve", "--explain", &id]).ended_with(0);
    assert!(ran.stdout.contains("101000 stars, so YES"), "{}", ran.stdout);
    assert!(ran.stdout.contains("The outcome YES follows."), "{}", ran.stdout);
    let ran = bench.run(&["resolve", "--explain", &id, "--json"]).ended_with(0);
    let report = ran.json();
    assert_eq!(report["verdict"], "confirmed");
    assert_eq!(report["steps"][0]["digest_matches"], true);
}

#[tokio::test]
async fn evidence_that_was_tampered_with_is_told() {
    for (change, words) in [
        (
            "UPDATE evidence SET body = replace(encode(body, 'escape'), '101000', '100999')::bytea",
            "DOES NOT MATCH",
        ),
        ("UPDATE markets SET outcome = 'NO'", "DOES NOT FOLLOW"),
        ("UPDATE markets SET criteria = criteria || '{\"stars\": 101001}'", "DOES NOT FOLLOW"),
    ] {
        let bench = Bench::new().await;
        let id = settled(&bench).await.to_string();
        let owner = bench.arena.owner_client().await;
        owner
            .batch_execute(&format!("SET session_replication_role = replica; {change}"))
            .await
            .unwrap();
        let ran = bench.run(&["resolve", "--explain", &id]).ended_with(1);
        assert!(ran.stdout.contains(words), "{change}: {}", ran.stdout);
        let ran = bench.run(&["inspect-ledger"]).ended_with(1);
        let named = ["market.outcome by its evidence", "evidence: expected bytes"];
        assert!(named.iter().any(|field| ran.stdout.contains(field)), "{change}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn research_is_explained_by_its_commitment_and_told_only_when_closed() {
    let bench = Bench::new().await;
    let arena = &bench.arena;
    let market = arena.market(MarketSource::Research).await;
    let id = market.id.to_string();
    let ran = bench.run(&["resolve", "--explain", &id]).ended_with(0);
    assert!(ran.stdout.contains("no outcome"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(&"07".repeat(32)), "the nonce is secret still");
    let bot = arena.bot().create().await.id;
    let right = new_answer(bot, market.id, RIGHT_ANSWER);
    db::markets::answer(&mut *arena.conn().await, &right, arena.rules(), None).await.unwrap();
    let ran = bench.run(&["resolve", "--explain", &id]).ended_with(0);
    assert!(ran.stdout.contains("The outcome 736 follows."), "{}", ran.stdout);
}

#[tokio::test]
async fn an_operator_calls_a_market_off_and_never_a_settled_one() {
    let bench = Bench::new().await;
    let arena = &bench.arena;
    let bot = arena.bot().balance("10.00").create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bot, market, Side::Yes, "4.00").await;
    let id = market.to_string();
    let args = ["void-market", &id, "--reason", "a typo", "--by", "ada"];
    let ran = bench.run(&args).ended_with(0);
    assert!(ran.stdout.contains("is now VOID; 1 bet called off"), "{}", ran.stdout);
    let ran = bench.run(&args).ended_with(1);
    assert!(ran.stderr.contains("does not change"), "{}", ran.stderr);
    let unknown = ["void-market", "0b9f4c7e-8a51-4a36-9d1e-2f6a1c3b5d70", "--reason", "x"];
    let ran = bench.run(&unknown).ended_with(1);
    assert!(ran.stderr.contains("no market has this id"), "{}", ran.stderr);
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'MARKET_VOID' AND actor = 'ada'";
    assert_eq!(bench.number(audited).await, 1);
    bench.run(&["void-market", "7", "--reason", "x"]).ended_with(2);
    bench.run(&["resolve", &id]).ended_with(2);
    arena.assert_sound().await;
}
