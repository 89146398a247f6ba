//! What a flood of logins does to everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::http::{Connection, request};
use system_tests::stack::{self, Running, free_port, memory_kib};
use test_kit::Arena;

use crate::table::{Table, median, percentile};
use crate::{load, wager};

const CLIENTS: usize = 32;
const ROUNDS: usize = 3;
const REQUESTS: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);
/// A p99 under flood passes below either of these.
const GOAL_TIMES: f64 = 5.0;
const GOAL_MS: f64 = 25.0;
const MEMORY_MIB: f64 = 80.0;
/// What a stored hash begins with. A login costs what the stored hash says, and bots of the test kit
/// have the cheapest there is.
const REAL_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

pub(crate) async fn bench(table: &mut Table) {
    let arena = Arena::new().await;
    let port = free_port();
    let api = Running::service("api", &wager::settings(&arena, port));
    stack::ready(port, Duration::from_secs(20)).await;
    let logins = registered(&arena, port).await;
    let economy = request("GET", "/economy", &[], "");
    load::latencies(port, &economy, 100, PAUSE).await;
    let (mut quiet, mut flooded, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let took = load::latencies(port, &economy, REQUESTS, PAUSE).await;
        quiet.push(percentile(&took, 99));
        let flood = Flood::begin(&logins, port);
        let took = load::latencies(port, &economy, REQUESTS, PAUSE).await;
        flooded.push(percentile(&took, 99));
        rates.push(flood.end().await);
    }
    println!("p99 of GET /economy in ms: quiet {quiet:.2?}, under flood {flooded:.2?}");
    println!("logins a second meanwhile: {rates:.1?}");
    let goal = GOAL_MS.max(GOAL_TIMES * median(&quiet));
    let what = format!("p99 of GET /economy while {CLIENTS} clients log in");
    let quiet = format!("{:.1} ms when quiet", median(&quiet));
    table.at_most_beside(&what, median(&flooded), "ms", &quiet, goal);
    #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
    let mib = memory_kib(api.pid(), "VmHWM").unwrap() as f64 / 1024.0;
    table.at_most("memory of api meanwhile, at its peak", mib, "MiB", MEMORY_MIB);
}

/// A login with the answer that it gets.
#[derive(Clone)]
struct Login {
    request: Vec<u8>,
    expected: u16,
}

/// Registers a bot for each client at the API itself, which hashes as it does in earnest.
async fn registered(arena: &Arena, port: u16) -> Vec<Login> {
    let mut connection = Connection::open(port).await;
    let mut logins = Vec::with_capacity(CLIENTS);
    for client in 0..CLIENTS {
        let body = format!(r#"{{"handle":"flood-{client}"}}"#);
        let answer = connection.send(&request("POST", "/bots", &[], &body)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let bot: Value = serde_json::from_str(&answer.body).unwrap();
        let (id, key) = (&bot["id"], bot["api_key"].as_str().unwrap());
        let (wrong, expected) = if client % 2 == 0 { ("", 200) } else { ("x", 401) };
        let body = format!(r#"{{"bot_id":{id},"api_key":"{key}{wrong}"}}"#);
        let request = request("POST", "/auth/token", &[], &body);
        logins.push(Login { request, expected });
    }
    let owner = arena.owner_client().await;
    let cheap = "SELECT count(*) FROM bots WHERE NOT starts_with(api_key_hash, $1)";
    let cheap: i64 = owner.query_one(cheap, &[&REAL_HASH]).await.unwrap().get(0);
    assert_eq!(cheap, 0, "a flood of cheap hashes is none");
    logins
}

/// Clients who log in without pause, every other one with a wrong key.
struct Flood {
    over: Arc<AtomicBool>,
    logins: Arc<AtomicU32>,
    began: Instant,
    clients: tokio::task::JoinSet<()>,
}

impl Flood {
    fn begin(logins: &[Login], port: u16) -> Flood {
        let mut flood = Flood {
            over: Arc::default(),
            logins: Arc::default(),
            began: Instant::now(),
            clients: tokio::task::JoinSet::new(),
        };
        for login in logins {
            let Login { request, expected } = login.clone();
            let (over, logins) = (Arc::clone(&flood.over), Arc::clone(&flood.logins));
            flood.clients.spawn(async move {
                let mut connection = Connection::open(port).await;
                while !over.load(Ordering::Relaxed) {
                    let answer = connection.send(&request).await;
                    // Not turned away: that costs nothing.
                    assert_eq!(answer.status, expected, "{}", answer.body);
                    logins.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        flood
    }

    /// Ends it; how many logins a second there were.
    async fn end(mut self) -> f64 {
        let rate =
            f64::from(self.logins.load(Ordering::Relaxed)) / self.began.elapsed().as_secs_f64();
        self.over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        rate
    }
}
