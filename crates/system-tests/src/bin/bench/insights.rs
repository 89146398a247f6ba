//! Insights and standings over HTTP in an arena of 100,000 bots that has kept millions of metrics.

use std::time::{Duration, Instant};

use db::ticks::TickEngine;
use ledger_core::economy::{EconomyRules, Enforcement};
use system_tests::http::{Connection, request};
use system_tests::populate;
use system_tests::stack::{self, Running, free_port};
use test_kit::Arena;

use crate::table::{Table, median};
use crate::wager;

const BOTS: i64 = 100_000;
/// Real ticks, so that every bot has a chain to tell the end of.
const TICKS: i64 = 12;
const METRICS: i64 = 5_000_000;
const REQUESTS: i64 = 1_000;
const LOOKS: usize = 9;
/// What the API keeps of each status.
const STANDINGS_MAX: i64 = 1_000;
/// Far from each other in every table, and without a common factor with [`BOTS`].
const STRIDE: i64 = 7_919;
const GOAL_MS: f64 = 5.0;
const LOOK_GOAL_MS: f64 = 500.0;

pub(crate) async fn bench(table: &mut Table) {
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    let arena = Arena::new().await.with_rules(rules);
    populate::bots(&arena, 1, BOTS).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    for _ in 0..TICKS {
        let tick = populate::begin_tick(&arena).await;
        populate::sweep(&mut engine, &tick, arena.rules(), 1_000).await;
        populate::close_tick(&arena, &tick).await;
    }
    history(&arena).await;
    let port = free_port();
    let mut settings = wager::settings(&arena, port);
    settings.push(("ENFORCEMENT_MODE", "enforce".to_owned()));
    let _api = Running::service("api", &settings);
    stack::ready(port, Duration::from_secs(20)).await;
    let insights = |turn: i64| format!("/insights/{}", 1 + turn * STRIDE % BOTS);
    let what = "GET /insights/{id} among 100,000 bots, median";
    let value = median(&answers(port, insights).await);
    table.at_most(what, value, "ms", GOAL_MS);
    let standings = answers(port, |_| "/standings".to_owned()).await;
    let what = "GET /standings of 100,000 bots, median";
    table.at_most(what, median(&standings), "ms", GOAL_MS);
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let began = Instant::now();
        let best = db::standings::best(&mut *arena.conn().await, STANDINGS_MAX).await;
        looks.push(began.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(best.unwrap().len(), 1_000);
    }
    let what = "one look for the best of 100,000 bots, every few seconds, median";
    table.at_most(what, median(&looks), "ms", LOOK_GOAL_MS);
}

/// Metrics, totals and windows of a longer life than the ticks that were run.
async fn history(arena: &Arena) {
    let owner = arena.owner_client().await;
    owner
        .execute(
            "INSERT INTO agent_metrics (recorded_at, tick, bot_id, kind, enforcement, fee, \
                                        balance, shadow_balance, idle_streak) \
             SELECT clock_timestamp(), 1 + n / $1, 1 + n % $1, 'TICK', 'enforce', 0.5, 900, 900, 3 \
               FROM generate_series(0, $2::bigint - 1) n",
            &[&BOTS, &METRICS],
        )
        .await
        .unwrap();
    owner
        .batch_execute(
            "INSERT INTO agent_totals (bot_id, settled, won, payouts, lost_stakes, profit, \
                                       brier_sum, brier_count, llm_calls, input_tokens, llm_usd) \
             SELECT bot_id, 900, 480, 9600, 4200, 1200, 210, 900, 900, 9000000, 12.5 \
               FROM wallets; \
             INSERT INTO agent_windows (bot_id, number, profit, settled) \
             SELECT bot_id, number, 15, 6 FROM wallets, generate_series(0, 3) number",
        )
        .await
        .unwrap();
    for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
        owner.batch_execute(settle).await.unwrap();
    }
}

/// Milliseconds of each of many requests, one after the other.
async fn answers(port: u16, path: impl Fn(i64) -> String) -> Vec<f64> {
    let mut connection = Connection::open(port).await;
    let mut took = Vec::new();
    for turn in 0..REQUESTS {
        let request = request("GET", &path(turn), &[], "");
        let began = Instant::now();
        let answer = connection.send(&request).await;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    took
}
