//! What grows: two tickers instead of one, a million bots instead of ten thousand, and ten million rows
//! of metrics that nobody needs any more. And how long the second oracle lets a dead one's work lie.

use std::time::{Duration, Instant};

use db::ticks::TickEngine;
use ledger_core::economy::{EconomyRules, Enforcement};
use system_tests::populate;
use system_tests::stack::{self, Running, no_sources};
use test_kit::Arena;
use tokio_postgres::Client;

use crate::table::Table;

const CHUNK: i64 = 1_000;
const PAIRS: usize = 3;
const SHARED_BOTS: i64 = 100_000;
const SHARED_GOAL: f64 = 1.4;
const FEW: i64 = 10_000;
const MANY: i64 = 1_000_000;
/// Ticks that everybody has behind them.
const HISTORY: usize = 2;
/// A bot among many may cost half as much again.
const MANY_GOAL: f64 = 1.0 / 1.5;
const TICKER_MIB: f64 = 256.0;
const OLD_ROWS: i64 = 10_000_000;
const OLD_GOAL: f64 = 0.9;
/// Each at another moment of the lease.
const TAKE_OVERS: usize = 5;
const TAKE_OVER_SECONDS: f64 = 10.0;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn bench(table: &mut Table) {
    take_over(table).await;
    two_tickers(table).await;
    old_metrics(table).await;
    a_million(table).await;
}

async fn arena_of(bots: i64) -> Arena {
    let rules = EconomyRules {
        enforcement: Enforcement::Enforce,
        genesis_grant: "100000.00".parse().unwrap(),
        ..EconomyRules::default()
    };
    let arena = Arena::new().await.with_rules(rules);
    let mut first = 1;
    while first <= bots {
        let count = (bots + 1 - first).min(100_000);
        populate::bots(&arena, first, count).await;
        first += count;
    }
    arena
}

/// Bots a second of one tick that so many engines share.
#[allow(clippy::as_conversions, clippy::cast_precision_loss)]
async fn tick(arena: &Arena, bots: i64, engines: usize) -> f64 {
    let tick = populate::begin_tick(arena).await;
    let mut ready = Vec::new();
    for _ in 0..engines {
        ready.push(TickEngine::connect(arena.database()).await.unwrap());
    }
    let began = Instant::now();
    let mut sweeps = tokio::task::JoinSet::new();
    for mut engine in ready {
        let rules = arena.rules().clone();
        sweeps.spawn(async move {
            populate::sweep(&mut engine, &tick, &rules, CHUNK).await;
        });
    }
    while let Some(sweep) = sweeps.join_next().await {
        sweep.unwrap();
    }
    let rate = bots as f64 / began.elapsed().as_secs_f64();
    populate::close_tick(arena, &tick).await;
    rate
}

async fn checkpoint(arena: &Arena) {
    let owner = arena.owner_client().await;
    owner.batch_execute("CHECKPOINT").await.unwrap();
}

async fn two_tickers(table: &mut Table) {
    let arena = arena_of(SHARED_BOTS).await;
    tick(&arena, SHARED_BOTS, 1).await;
    let (mut two, mut one) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        checkpoint(&arena).await;
        one.push(tick(&arena, SHARED_BOTS, 1).await);
        checkpoint(&arena).await;
        two.push(tick(&arena, SHARED_BOTS, 2).await);
    }
    let what = "two tickers on one tick of 100,000 bots / one ticker";
    table.ratio(what, &two, &one, "bots/s", SHARED_GOAL);
}

/// Two arenas that differ in what lies in last month's partition alone.
async fn old_metrics(table: &mut Table) {
    let (old, young) = (arena_of(FEW).await, arena_of(FEW).await);
    for arena in [&old, &young] {
        tick(arena, FEW, 1).await;
    }
    let owner = test_kit::connect(&old.owner_url()).await;
    let rows = format!(
        "CREATE TABLE agent_metrics_20200101 PARTITION OF agent_metrics \
             FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00'); \
         SET statement_timeout = 0; \
         INSERT INTO agent_metrics (recorded_at, tick, bot_id, kind, enforcement, fee, balance, \
                shadow_balance, idle_streak, liquidated, would_have_been_liquidated) \
         SELECT '2020-01-01 00:00:00+00'::timestamptz + n * interval '8 milliseconds', n / {FEW}, n % {FEW} + 1, \
                'TICK', 'enforce', 0.5, 1000, 1000, 1, false, false \
           FROM generate_series(0, {OLD_ROWS} - 1) n"
    );
    owner.batch_execute(&rows).await.unwrap();
    owner.batch_execute("VACUUM ANALYZE agent_metrics_20200101").await.unwrap();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // Short ones: more of them.
    for _ in 0..PAIRS * 3 {
        checkpoint(&old).await;
        with.push(tick(&old, FEW, 1).await);
        without.push(tick(&young, FEW, 1).await);
    }
    let what = "tick of 10,000 bots beside 10 M old rows of metrics / without them";
    table.ratio(what, &with, &without, "bots/s", OLD_GOAL);
}

async fn a_million(table: &mut Table) {
    let (many, few) = (arena_of(MANY).await, arena_of(FEW).await);
    for _ in 0..HISTORY {
        tick(&many, MANY, 2).await;
        tick(&few, FEW, 2).await;
    }
    let (mut large, mut small) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        checkpoint(&many).await;
        large.push(tick(&many, MANY, 1).await);
        checkpoint(&many).await;
        small.push(tick(&few, FEW, 1).await);
    }
    let what = "a tick of 1,000,000 bots / one of 10,000, a bot";
    table.ratio(what, &large, &small, "bots/s", MANY_GOAL);
    let peak = memory_of_a_ticker(&many).await;
    let what = "memory of the ticker with 1,000,000 bots, at its peak";
    table.at_most(what, peak, "MiB", TICKER_MIB);
}

/// The process itself, over one whole tick.
async fn memory_of_a_ticker(arena: &Arena) -> f64 {
    let closed = "SELECT count(*) FROM ticks WHERE closed_at IS NOT NULL";
    let owner = arena.owner_client().await;
    let before: i64 = owner.query_one(closed, &[]).await.unwrap().get(0);
    let environment = [
        ("DATABASE_URL", arena.database_url()),
        ("REDIS_URL", arena.redis_url()),
        ("TICKER_HEALTH_PORT", stack::free_port().to_string()),
        ("ENFORCEMENT_MODE", "enforce".to_owned()),
        ("TICK_RATE", "1".to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ];
    let ticker = Running::service("ticker", &environment);
    let mut peak = 0;
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        peak = stack::memory_kib(ticker.pid(), "VmHWM").unwrap_or(0).max(peak);
        let now: i64 = owner.query_one(closed, &[]).await.unwrap().get(0);
        if now > before {
            break;
        }
        assert!(Instant::now() < deadline, "no tick in five minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(ticker);
    #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
    let mib = peak as f64 / 1024.0;
    mib
}

/// From kill -9 of the oracle at work until the waiting one has the lease: the longest of some.
async fn take_over(table: &mut Table) {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let (mut at_work, _) = oracle(&arena);
    let mut holder = another_holder(&owner, "").await;
    let mut longest = 0.0_f64;
    for _ in 0..TAKE_OVERS {
        let (waiting, port) = oracle(&arena);
        stack::ready(port, PATIENCE).await;
        let killed_at = Instant::now();
        drop(at_work);
        holder = another_holder(&owner, &holder).await;
        longest = longest.max(killed_at.elapsed().as_secs_f64());
        at_work = waiting;
    }
    drop(at_work);
    let what = "from kill -9 of the oracle at work until another has the lease, at worst";
    table.at_most(what, longest, "s", TAKE_OVER_SECONDS);
}

/// An oracle's process, and where it says whether it is ready.
fn oracle(arena: &Arena) -> (Running, u16) {
    let port = stack::free_port();
    let mut environment = vec![
        ("DATABASE_URL", arena.database_url()),
        ("REDIS_URL", arena.redis_url()),
        ("ORACLE_HEALTH_PORT", port.to_string()),
        ("ENV", "development".to_owned()),
        ("PRICE_SOURCES", "simulated:000102030405060708090a0b0c0d0e0f".to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ];
    environment.extend(no_sources());
    (Running::service("oracle", &environment), port)
}

/// Waits until somebody else than `before` has the oracle's lease, and answers who.
async fn another_holder(owner: &Client, before: &str) -> String {
    let sql = "SELECT holder FROM leases WHERE name = 'oracle' AND holder <> $1 \
                  AND expires_at > clock_timestamp()";
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(row) = owner.query_opt(sql, &[&before]).await.unwrap() {
            return row.get(0);
        }
        assert!(Instant::now() < deadline, "nobody took the lease");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
