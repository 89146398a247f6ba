//! Data that is deleted by age, and data that never is.

use db::bots::BotRef;
use db::retention::{drop_oldest_metrics, forget_evidence};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::market::{MarketSource, Side};
use test_kit::Arena;

/// Adds a day of metrics, so many days ago, with a row in it.
async fn day_of_metrics(arena: &Arena, days_ago: i32, bot: i64) -> String {
    let owner = test_kit::connect(&arena.owner_url()).await;
    let day = "SELECT to_char((clock_timestamp() AT TIME ZONE 'UTC')::date - $1::int, 'YYYYMMDD'), \
                      ((clock_timestamp() AT TIME ZONE 'UTC')::date - $1::int)::text, \
                      ((clock_timestamp() AT TIME ZONE 'UTC')::date - $1::int + 1)::text";
    let row = owner.query_one(day, &[&days_ago]).await.unwrap();
    let (name, from, to): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let name = format!("agent_metrics_{name}");
    owner
        .batch_execute(&format!(
            "CREATE TABLE {name} PARTITION OF agent_metrics FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00'); \
             INSERT INTO agent_metrics (recorded_at, tick, bot_id, kind, enforcement, fee, balance, shadow_balance, idle_streak, liquidated, would_have_been_liquidated) \
             SELECT '{from} 12:00:00+00', 0, {bot}, kind, enforcement, fee, balance, shadow_balance, idle_streak, liquidated, would_have_been_liquidated \
               FROM agent_metrics WHERE bot_id = {bot} LIMIT 1"
        ))
        .await
        .unwrap();
    name
}

#[tokio::test]
async fn old_days_of_metrics_go_one_by_one_and_totals_stay() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    arena.tick(Enforce).await;
    let oldest = day_of_metrics(&arena, 40, bot.0).await;
    let old = day_of_metrics(&arena, 31, bot.0).await;
    let young = day_of_metrics(&arena, 30, bot.0).await;
    let mut conn = arena.conn().await;
    let before = db::insights::find(&mut conn, &BotRef::Id(bot)).await.unwrap();
    let mut dropped = Vec::new();
    while let Some(name) = drop_oldest_metrics(&mut conn, 30).await.unwrap() {
        dropped.push(name);
    }
    assert_eq!(dropped, [oldest, old]);
    let owner = arena.owner_client().await;
    let there = "SELECT to_regclass($1) IS NOT NULL";
    let is_there: bool = owner.query_one(there, &[&young]).await.unwrap().get(0);
    assert!(is_there);
    let after = db::insights::find(&mut conn, &BotRef::Id(bot)).await.unwrap();
    let as_of = before.as_of;
    assert_eq!(db::insights::Insights { as_of, ..after }, before);
    arena.tick(Enforce).await;
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_day_that_somebody_uses_is_dropped_another_time() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    arena.tick(Enforce).await;
    let name = day_of_metrics(&arena, 40, bot.0).await;
    let mut reader = arena.owner_client().await;
    let reading = reader.transaction().await.unwrap();
    reading.query("SELECT FROM agent_metrics", &[]).await.unwrap();
    let mut conn = arena.conn().await;
    drop_oldest_metrics(&mut conn, 30).await.unwrap_err();
    reading.commit().await.unwrap();
    let dropped = drop_oldest_metrics(&mut conn, 30).await.unwrap();
    assert_eq!(dropped, Some(name));
}

#[tokio::test]
async fn what_decided_a_market_is_never_forgotten() {
    let arena = Arena::new().await;
    let bots = [arena.bot().create().await.id, arena.bot().create().await.id];
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bots[0], market, Side::Yes, "1.00").await;
    arena.bet(bots[1], market, Side::No, "1.00").await;
    arena.lock_market(market).await;
    let owner = arena.owner_client().await;
    let failed = "INSERT INTO evidence (market_id, url, fetched_at, body, truncated, problem) \
                  SELECT id, 'https://source.example/', clock_timestamp() - interval '40 days', '', false, 'no answer' \
                    FROM markets";
    owner.execute(failed, &[]).await.unwrap();
    let mut conn = arena.conn().await;
    // It is not settled: what was read may still be wanted.
    assert_eq!(forget_evidence(&mut conn, 30, 100).await.unwrap(), 0);
    arena.decide(market, Side::Yes).await;
    db::markets::settle(&mut conn, market).await.unwrap().unwrap();
    // It was settled just now.
    assert_eq!(forget_evidence(&mut conn, 30, 100).await.unwrap(), 0);
    let superuser = arena.owner_client().await;
    superuser
        .batch_execute(
            "SET session_replication_role = replica; \
             UPDATE markets SET resolved_at = resolved_at - interval '40 days'; \
             UPDATE evidence SET fetched_at = fetched_at - interval '40 days'; \
             RESET session_replication_role",
        )
        .await
        .unwrap();
    assert!(forget_evidence(&mut conn, 30, 100).await.unwrap() >= 1);
    let kept = db::markets::evidence_of(&mut conn, market).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    for sql in ["DELETE FROM evidence", "TRUNCATE evidence", "UPDATE evidence SET url = 'x'"] {
        let refused = owner.batch_execute(sql).await.unwrap_err();
        let message = refused.as_db_error().unwrap().message().to_owned();
        assert!(message.contains("append-only"), "{sql}: {message}");
    }
}

#[tokio::test]
async fn the_services_can_forget_nothing_else() {
    let arena = Arena::new().await;
    let app = test_kit::connect(&arena.database_url()).await;
    for sql in [
        "DELETE FROM evidence",
        "DELETE FROM agent_metrics",
        "DROP TABLE agent_metrics",
        "TRUNCATE agent_metrics",
    ] {
        app.batch_execute(sql).await.expect_err(sql);
    }
    let mut conn = arena.conn().await;
    for days in [0, -1] {
        drop_oldest_metrics(&mut conn, days).await.unwrap_err();
        forget_evidence(&mut conn, days, 10).await.unwrap_err();
    }
}
