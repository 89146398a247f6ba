//! A whole enforce-mode tick of 100,000 bots against the same rows, made beforehand.

use std::time::Instant;

use db::ticks::TickEngine;
use ledger_core::economy::{EconomyRules, Enforcement};
use system_tests::populate;
use test_kit::Arena;

use crate::table::Table;

const BOTS: i64 = 100_000;
const CHUNK: i64 = 1_000;
const PAIRS: usize = 5;
const GOAL: f64 = 0.65;

pub(crate) async fn bench(table: &mut Table) {
    let rules = EconomyRules {
        enforcement: Enforcement::Enforce,
        genesis_grant: "100000.00".parse().unwrap(),
        ..EconomyRules::default()
    };
    let arena = Arena::new().await.with_rules(rules);
    populate::bots(&arena, 1, BOTS).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    // The first tick after a bulk load finds cold pages.
    ours(&arena, &mut engine).await;
    yardstick(&arena, &mut engine).await;
    let (mut tick, mut copy) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        arena.owner_client().await.batch_execute("CHECKPOINT").await.unwrap();
        // Who goes first takes turns, so that neither always has the fresher checkpoint.
        if pair % 2 == 0 {
            tick.push(ours(&arena, &mut engine).await);
            copy.push(yardstick(&arena, &mut engine).await);
        } else {
            copy.push(yardstick(&arena, &mut engine).await);
            tick.push(ours(&arena, &mut engine).await);
        }
    }
    table.ratio("tick of 100,000 bots / COPY of its rows", &tick, &copy, "bots/s", GOAL);
    arena.assert_sound().await;
}

#[allow(clippy::as_conversions, clippy::cast_precision_loss)]
fn rate(began: Instant) -> f64 {
    BOTS as f64 / began.elapsed().as_secs_f64()
}

async fn ours(arena: &Arena, engine: &mut TickEngine) -> f64 {
    let tick = populate::begin_tick(arena).await;
    let began = Instant::now();
    populate::sweep(engine, &tick, arena.rules(), CHUNK).await;
    let rate = rate(began);
    populate::close_tick(arena, &tick).await;
    rate
}

async fn yardstick(arena: &Arena, engine: &mut TickEngine) -> f64 {
    let tick = populate::begin_tick(arena).await;
    let prepared = engine.prepare(&tick, arena.rules(), CHUNK).await.unwrap();
    let began = Instant::now();
    engine.write_prepared(&tick, &prepared).await.unwrap();
    let rate = rate(began);
    populate::close_tick(arena, &tick).await;
    rate
}
