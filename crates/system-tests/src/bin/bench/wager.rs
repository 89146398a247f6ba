//! Wagers over HTTP at 32 clients against `pgbench -N` on the same Postgres.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::http::{Connection, request};
use system_tests::stack::{self, Running, free_port};
use test_kit::{Arena, TestBot};
use tokio::sync::Barrier;

use crate::table::{Table, median, percentile};

const CLIENTS: usize = 32;
const WAGERS_PER_CLIENT: usize = 250;
const PAIRS: usize = 3;
const GOAL: f64 = 0.6;
/// The slowest hundredth to the middle.
const TAIL_GOAL: f64 = 6.0;

pub(crate) async fn bench(table: &mut Table) {
    let arena = Arena::new().await;
    let port = free_port();
    let _api = Running::service("api", &settings(&arena, port));
    stack::ready(port, Duration::from_secs(20)).await;
    pgbench(&arena, &["--initialize", "--quiet", "--scale=32"]);
    wagers(&arena, port).await;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    let (mut middles, mut tails) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        checkpoint(&arena).await;
        let round = wagers(&arena, port).await;
        ours.push(round.rate);
        middles.push(median(&round.took));
        tails.push(percentile(&round.took, 99));
        checkpoint(&arena).await;
        limit.push(transactions(&arena));
    }
    let what = "wagers over HTTP at 32 clients / pgbench -N";
    table.ratio(what, &ours, &limit, "tx/s", GOAL);
    println!("wagers in ms: median {middles:.2?}, p99 {tails:.2?}");
    let ratios: Vec<f64> = tails.iter().zip(&middles).map(|(p99, p50)| p99 / p50).collect();
    let what = "p99 of a wager at 32 clients, in medians";
    let middle = format!("{:.1} ms the median", median(&middles));
    table.at_most_beside(what, median(&ratios), "×", &middle, TAIL_GOAL);
    arena.assert_sound().await;
}

/// So that neither side pays for pages that the other one touched.
async fn checkpoint(arena: &Arena) {
    let owner = arena.owner_client().await;
    owner.batch_execute("CHECKPOINT").await.unwrap();
}

/// Settings of the API alone.
pub(crate) fn settings(arena: &Arena, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", arena.database_url()),
        ("REDIS_URL", arena.redis_url()),
        ("SECRET_KEY", "benchmark-benchmark-benchmark-benchmark".to_owned()),
        ("ADMIN_TOKEN", "benchmark-benchmark-benchmark".to_owned()),
        ("ENV", "development".to_owned()),
        ("API_PORT", port.to_string()),
        ("RUST_LOG", "warn".to_owned()),
        // Observations are issued beforehand and nobody settles: neither may stand in the way.
        ("TICKET_TTL_SECONDS", "3600".to_owned()),
        ("PRICE_TTL_SECONDS", "600".to_owned()),
        ("OPEN_PREDICTIONS_MAX", "1000000".to_owned()),
        ("OPEN_STAKE_MAX", "1000000.00".to_owned()),
        ("HOUSE_LOSS_BUDGET_PER_HOUR", "1000000000.00".to_owned()),
        // All clients are one address here: counted as ever, and never turned away.
        ("REQUESTS_PER_ADDRESS_PER_MINUTE", "6000000".to_owned()),
        ("REQUESTS_PER_ADDRESS_BURST", "6000000".to_owned()),
        ("REQUESTS_PER_CREDENTIAL_PER_MINUTE", "6000000".to_owned()),
        ("REQUESTS_PER_CREDENTIAL_BURST", "6000000".to_owned()),
        ("LOGINS_PER_ADDRESS_PER_MINUTE", "6000000".to_owned()),
        ("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", "6000000".to_owned()),
        ("LOGINS_PER_BOT_PER_MINUTE", "6000000".to_owned()),
        ("API_MAX_CONNECTIONS_PER_ADDRESS", "0".to_owned()),
    ]
}

async fn login(port: u16, bot: &TestBot) -> String {
    let body = format!(r#"{{"bot_id":{},"api_key":"{}"}}"#, bot.id, bot.api_key);
    let request = request("POST", "/auth/token", &[], &body);
    let answer = Connection::open(port).await.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Wagers a second, and the milliseconds of each.
struct Round {
    rate: f64,
    took: Vec<f64>,
}

/// Issues the observations, then wagers with all clients at once. Each client is a new
/// bot, so that no round finds the open positions of another.
async fn wagers(arena: &Arena, port: u16) -> Round {
    put_price(arena).await;
    let mut tokens = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let bot = arena.bot().balance("100000.00").create().await;
        tokens.push(login(port, &bot).await);
    }
    let start = Arc::new(Barrier::new(tokens.len() + 1));
    let mut clients = tokio::task::JoinSet::new();
    for token in &tokens {
        let (token, start) = (format!("Bearer {token}"), Arc::clone(&start));
        clients.spawn(async move {
            let mut connection = Connection::open(port).await;
            let headers = [("authorization", token.as_str())];
            let observe = request("GET", "/arena/observation", &headers, "");
            let mut actions = Vec::with_capacity(WAGERS_PER_CLIENT);
            for _ in 0..WAGERS_PER_CLIENT {
                let answer = connection.send(&observe).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let observation: Value = serde_json::from_str(&answer.body).unwrap();
                let id = observation["observation_id"].as_str().unwrap();
                let body = format!(
                    r#"{{"observation_id":"{id}","action_type":"PREDICT","direction":"UP","wager_amount":"1.00","confidence":"0.60","reasoning":"the benchmark says so"}}"#
                );
                actions.push(request("POST", "/arena/action", &headers, &body));
            }
            start.wait().await;
            // Whoever was done with its observations early was idle for longer than the server waits.
            let mut connection = Connection::open(port).await;
            let mut took = Vec::with_capacity(actions.len());
            for action in &actions {
                let began = Instant::now();
                let answer = connection.send(action).await;
                took.push(began.elapsed().as_secs_f64() * 1_000.0);
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            took
        });
    }
    start.wait().await;
    let began = Instant::now();
    let mut took = Vec::new();
    while let Some(client) = clients.join_next().await {
        took.extend(client.unwrap());
    }
    let seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
    let count = took.len() as f64;
    Round { rate: count / seconds, took }
}

/// What the oracle would keep in Redis.
async fn put_price(arena: &Arena) {
    let config = cache::CacheConfig { url: arena.redis_url(), namespace: String::new() };
    let cache = cache::Cache::connect(config).await.unwrap();
    let now = arena.now().await;
    let price = cache::prices::FreshPrice {
        price: "64000.00".parse().unwrap(),
        source: ledger_core::prediction::PriceSource::Simulated,
        provider_at: now,
        sampled_at: now,
    };
    cache.put_price(&price, Duration::from_secs(3600)).await.unwrap();
}

fn pgbench(arena: &Arena, arguments: &[&str]) -> String {
    let output = Command::new("pgbench").args(arguments).arg(arena.owner_url()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Simple updates, prepared, as many clients, on the same Postgres.
fn transactions(arena: &Arena) -> f64 {
    let report = pgbench(arena, &["-N", "-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", "5"]);
    let line = report.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
