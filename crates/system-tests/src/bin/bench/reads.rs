//! The lists that everybody reads, with a million posts stored, against the same server answering a
//! constant of the same size.

use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::http::{Connection, request};
use system_tests::populate;
use system_tests::stack::{self, Running, free_port, memory_kib};
use test_kit::Arena;

use crate::table::{Table, median};
use crate::{load, wager};

const BOTS: i64 = 1_000;
const POSTS: i64 = 1_000_000;
const MARKETS: i64 = 5_000;
const CLIENTS: usize = 16;
const WINDOW: Duration = Duration::from_secs(3);
const PAIRS: usize = 3;
const GOAL: f64 = 0.4;
/// How often what was written is looked for, to learn how old an answer is at worst.
const WRITES: usize = 40;
const AGE_GOAL_SECONDS: f64 = 1.0;
/// A deep page is read anew each time; so many of them, one after the other.
const DEEP_PAGES: usize = 500;
const DEEP_GOAL_MS: f64 = 5.0;
const MEMORY_MIB: f64 = 60.0;

pub(crate) async fn bench(table: &mut Table) {
    let arena = Arena::new().await;
    populate::bots(&arena, 1, BOTS).await;
    history(&arena).await;
    let port = free_port();
    let api = Running::service("api", &wager::settings(&arena, port));
    stack::ready(port, Duration::from_secs(20)).await;
    let constant_port = free_port();
    let settings = wager::settings(&arena, constant_port);
    let _constant = Running::service("examples/with-constant", &settings);
    stack::ready(constant_port, Duration::from_secs(20)).await;
    for path in ["/posts/feed", "/markets"] {
        let ours = request("GET", path, &[], "");
        let size = Connection::open(port).await.send(&ours).await.body.len();
        let limit = request("GET", &format!("/constant/{size}"), &[], "");
        let (mut rates, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            rates.push(load::rate(port, &ours, CLIENTS, WINDOW).await);
            limits.push(load::rate(constant_port, &limit, CLIENTS, WINDOW).await);
        }
        let what = format!("GET {path} at {CLIENTS} connections / a constant of {size} bytes");
        table.ratio(&what, &rates, &limits, "req/s", GOAL);
    }
    let what = "from a post's commit until everybody is shown it, at worst";
    table.at_most(what, oldest(&arena, port).await, "s", AGE_GOAL_SECONDS);
    let what = "GET /posts/feed behind a cursor, page after page, median";
    table.at_most(what, median(&deep_pages(port).await), "ms", DEEP_GOAL_MS);
    #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
    let mib = memory_kib(api.pid(), "VmHWM").unwrap() as f64 / 1024.0;
    table.at_most("memory of api after that, at its peak", mib, "MiB", MEMORY_MIB);
}

/// Posts of a longer life, and markets of every kind that have mostly been settled.
async fn history(arena: &Arena) {
    let owner = arena.owner_client().await;
    let posts = "INSERT INTO posts (bot_id, kind, content, reference, created_at) \
         SELECT 1 + n % $1, 'WAGER', \
                'Wagers 100.00 on UP at 88 % — Mock model: UP, because the crowd is on the other \
                 side of trade ' || n || '.', \
                'OBS:' || gen_random_uuid(), clock_timestamp() - (($2 - n) || ' seconds')::interval \
           FROM generate_series(1, $2::bigint) n";
    owner.execute(posts, &[&BOTS, &POSTS]).await.unwrap();
    let markets = "INSERT INTO markets (id, source, subject, description, criteria, status, bounty, \
                                        bets, staked, opens_at, bets_close_at, deadline, \
                                        resolved_at, outcome, paid, next_try_at) \
         SELECT gen_random_uuid(), 'WEATHER', 'place ' || n, \
                'Will the temperature in Berlin (52.52, 13.41) be above 21 °C at the deadline?', \
                $2::text::jsonb, s::market_status, 5, 12, 240, t, t + interval '15 minutes', \
                t + interval '30 minutes', \
                CASE s WHEN 'RESOLVED' THEN t + interval '31 minutes' END, \
                CASE s WHEN 'RESOLVED' THEN 'YES' END, s = 'RESOLVED', t + interval '30 minutes' \
           FROM generate_series(1, $1::bigint) n, \
                LATERAL (SELECT CASE WHEN n > $1 - 6 THEN 'OPEN' ELSE 'RESOLVED' END AS s, \
                                clock_timestamp() - (($1 - n) || ' minutes')::interval AS t) m";
    let criteria =
        test_kit::market::new_market(ledger_core::market::MarketSource::Weather).criteria;
    let criteria = serde_json::to_string(&criteria).unwrap();
    owner.execute(markets, &[&MARKETS, &criteria]).await.unwrap();
    for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
        owner.batch_execute(settle).await.unwrap();
    }
}

/// The longest time that a new post, once committed, was missing from the feed, while others read it.
async fn oldest(arena: &Arena, port: u16) -> f64 {
    let feed = request("GET", "/posts/feed", &[], "");
    let readers = {
        let feed = feed.clone();
        tokio::spawn(async move {
            loop {
                load::rate(port, &feed, 2, Duration::from_millis(100)).await;
            }
        })
    };
    let owner = arena.owner_client().await;
    let mut connection = Connection::open(port).await;
    let mut oldest: f64 = 0.0;
    for turn in 0..WRITES {
        let reference = format!("BENCH:{turn}");
        let post = "INSERT INTO posts (bot_id, kind, content, reference, created_at) \
                    VALUES (1, 'WAGER', 'now', $1, clock_timestamp())";
        owner.execute(post, &[&reference]).await.unwrap();
        let began = Instant::now();
        while !connection.send(&feed).await.body.contains(&reference) {
            assert!(began.elapsed() < Duration::from_secs(10), "{reference} is missing");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        oldest = oldest.max(began.elapsed().as_secs_f64());
    }
    readers.abort();
    oldest
}

/// Milliseconds of each page on a walk into the feed.
async fn deep_pages(port: u16) -> Vec<f64> {
    let mut connection = Connection::open(port).await;
    let mut path = "/posts/feed?limit=200".to_owned();
    let mut took = Vec::with_capacity(DEEP_PAGES);
    for _ in 0..DEEP_PAGES {
        let began = Instant::now();
        let answer = connection.send(&request("GET", &path, &[], "")).await;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let cursor = page["next_cursor"].as_str().unwrap();
        path = format!("/posts/feed?limit=200&cursor={cursor}");
    }
    took
}
