//! A database of an earlier build is upgraded with its rows, and goes on working.

use db::bots::BotRef;
use db::migrations::{self, SchemaState};
use db::{actions, bots, markets, pauses, predictions, rules};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::market::{MarketStatus, Side};
use ledger_core::prediction::{PredictionStatus, PriceSource};
use ledger_core::{BotId, MarketId, PredictionId, Timestamp};
use test_kit::Arena;
use tokio_postgres::Client;

use crate::migrations::{comparable, schema_dump};

/// An arena after three and a half hours of a simulation and some operators' acts, at the schema of
/// 2026-11-27-000013: positions and markets in all their states, and the arena paused as for an upgrade.
const SCHEMA_13: &str = include_str!("../data/schema_13.sql");
const MIGRATIONS_13: usize = 13;

/// Data that no migration may change: entries, balances, positions and commitments.
async fn substance(owner: &Client) -> Vec<String> {
    let rows = owner
        .query(
            "SELECT md5(string_agg(l::text, E'\\n' ORDER BY bot_id, sequence)) FROM \
                (SELECT bot_id, sequence, entry_type, amount, balance_after, reference, recorded_at, \
                        previous_hash, hash FROM ledger) l \
             UNION ALL \
             SELECT md5(string_agg(w::text, E'\\n' ORDER BY bot_id)) FROM \
                (SELECT bot_id, status, balance, sequence, head_hash, open_stake, bet_stake, paused_at, \
                        pause_reason FROM wallets) w \
             UNION ALL \
             SELECT md5(string_agg(p::text, E'\\n' ORDER BY id)) FROM \
                (SELECT id, bot_id, direction, wager_amount, confidence, status, created_at, start_price_id, \
                        end_price_id, payout, brier, resolved_at FROM predictions) p \
             UNION ALL \
             SELECT md5(string_agg(b::text, E'\\n' ORDER BY id)) FROM \
                (SELECT id, market_id, bot_id, side, answer, stake, state, payout, minted, burned FROM bets) b \
             UNION ALL \
             SELECT md5(string_agg(m::text, E'\\n' ORDER BY number)) FROM \
                (SELECT number, id, status, criteria, outcome, bounty, staked, deadline FROM markets) m",
            &[],
        )
        .await
        .unwrap();
    let digests: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(digests.len(), 5);
    digests
}

async fn ids(owner: &Client, sql: &str) -> Vec<i64> {
    let rows = owner.query(sql, &[]).await.unwrap();
    assert!(!rows.is_empty(), "the dump has none: {sql}");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_schema_13_is_upgraded_with_its_rows_and_goes_on_working() {
    let arena = Arena::loaded_from(SCHEMA_13).await;
    let url = arena.owner_url();
    let owner = arena.owner_client().await;
    let before = (substance(&owner).await, comparable(&url));
    let later = migrations::known_versions().unwrap().len() - MIGRATIONS_13;

    let up = migrations::run(&url).await.unwrap();
    assert_eq!(up.versions.len(), later);
    assert_eq!(arena.database().schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(substance(&owner).await, before.0, "a migration changed what was");
    arena.assert_sound().await;

    for _ in 0..later {
        migrations::revert_last(&url).await.unwrap();
    }
    assert_eq!(substance(&owner).await, before.0, "on the way down");
    migrations::run(&url).await.unwrap();
    assert_eq!(substance(&owner).await, before.0, "on the way up again");
    arena.assert_sound().await;

    it_goes_on_working(&arena, &owner).await;
    arena.assert_sound().await;

    // Last, because days of metrics differ: a fresh database has the same schema.
    let fresh = Arena::new().await;
    for arena in [&arena, &fresh] {
        let drop = "DO $$ DECLARE day regclass; BEGIN \
                    FOR day IN SELECT inhrelid::regclass FROM pg_inherits \
                        WHERE inhparent = 'agent_metrics'::regclass \
                    LOOP EXECUTE format('DROP TABLE %s', day); END LOOP; END $$";
        arena.owner_client().await.batch_execute(drop).await.unwrap();
    }
    let (upgraded, fresh) = (reloaded(&url).await, reloaded(&fresh.owner_url()).await);
    for line in upgraded.lines() {
        assert!(fresh.contains(line), "only after an upgrade: {line}");
    }
    assert_eq!(upgraded, fresh);
}

/// The schema after a dump and its loading, in which Postgres writes some expressions otherwise.
async fn reloaded(url: &str) -> String {
    comparable(&Arena::loaded_from(&schema_dump(url)).await.owner_url())
}

async fn it_goes_on_working(arena: &Arena, owner: &Client) {
    let mut conn = arena.conn().await;
    let operator = "ops".parse().unwrap();
    pauses::resume_arena(&mut conn, &operator, "upgraded", None).await.unwrap();
    db::ticks::ensure_metrics_partitions(&mut conn).await.unwrap();
    // As a service does when it starts: what is open names no rules yet.
    assert!(rules::adopt(&mut conn, arena.rules()).await.unwrap() > 0);
    arena.tick(Enforce).await;

    let rich = "SELECT bot_id FROM wallets WHERE status = 'ALIVE' AND paused_at IS NULL \
                 ORDER BY balance DESC LIMIT 1";
    let rich = BotId(ids(owner, rich).await[0]);
    let accepted =
        actions::place(&mut conn, &crate::wager(rich, "1.00"), arena.rules(), None).await.unwrap();
    assert!(accepted.prediction_id.is_some());

    settles_a_prediction(arena, owner).await;
    settles_a_market(arena, owner).await;

    let profile = bots::find(&mut conn, &BotRef::Id(rich)).await.unwrap();
    assert_eq!(profile.id, rich);
}

/// One that was open when the database was upgraded; its end price comes now.
async fn settles_a_prediction(arena: &Arena, owner: &Client) {
    let row = owner
        .query_one(
            "SELECT p.id, (extract(epoch FROM p.settles_at) * 1000000)::bigint \
               FROM predictions p JOIN wallets w USING (bot_id) \
              WHERE p.status = 'OPEN' AND p.start_price_id IS NOT NULL AND w.status = 'ALIVE' \
                AND w.paused_at IS NULL \
              ORDER BY settles_at DESC, id LIMIT 1",
            &[],
        )
        .await
        .expect("the dump has an open prediction with a start price");
    let id = PredictionId(row.get(0));
    let due = Timestamp::from_micros(row.get(1)).unwrap().plus_seconds(3);
    let mut conn = arena.conn().await;
    let source = owner
        .query_one("SELECT price_source::text FROM predictions WHERE id = $1", &[&id.0])
        .await
        .unwrap();
    let source: PriceSource = source.get::<_, String>(0).parse().unwrap();
    arena.price_at("100000.00", source, due).await;
    let void = predictions::MissingPrices::Void;
    let settled = predictions::settle(&mut conn, &[id], arena.rules(), void).await.unwrap().settled;
    assert_eq!(settled.len(), 1);
    assert!(
        matches!(settled[0].status, PredictionStatus::Won | PredictionStatus::Lost),
        "{settled:?}"
    );
}

/// One that was open with bets when the database was upgraded.
async fn settles_a_market(arena: &Arena, owner: &Client) {
    let row = owner
        .query_one(
            "SELECT id FROM markets WHERE status = 'OPEN' AND source <> 'RESEARCH' AND bets > 0 \
                AND paused_at IS NULL ORDER BY number LIMIT 1",
            &[],
        )
        .await
        .expect("the dump has an open market with bets");
    let id = MarketId(row.get(0));
    let mut conn = arena.conn().await;
    assert!(markets::lock_due(&mut conn).await.unwrap().contains(&id));
    arena.decide(id, Side::Yes).await;
    let settled = markets::settle(&mut conn, id).await.unwrap();
    assert!(settled.is_some());
    let market = markets::find(&mut conn, id).await.unwrap();
    assert_eq!(market.status, MarketStatus::Resolved);

    let another = owner
        .query_one(
            "SELECT id FROM markets WHERE status = 'LOCKED' AND paused_at IS NULL ORDER BY number LIMIT 1",
            &[],
        )
        .await
        .expect("the dump has a second open market");
    let another = MarketId(another.get(0));
    let operator = "ops".parse().unwrap();
    let by = markets::VoidBy::Operator(&operator);
    markets::void(&mut conn, another, "a test", by, None).await.unwrap();
    let market = markets::find(&mut conn, another).await.unwrap();
    assert_eq!(market.status, MarketStatus::Void);
}
