//! Nothing that a service repeats, and no list, costs what history has grown to.
//!
//! The real stack runs on a database with a little history, and on one with a quarter's, once with the
//! statistics of its first days and once with fresh ones. Postgres counts the blocks that each statement
//! of the services reads (`pg_stat_statements`), and the rows that are read of each table
//! (`pg_stat_user_tables`); with much history both may be a few more, as indexes grow a level, and
//! never more than that.

use std::collections::BTreeMap;
use std::time::Instant;

use db::ledger::{JournalPosition, journal};
use db::{Database, DatabaseConfig, events};
use ledger_core::BotId;
use reqwest::Client;
use system_tests::stack::Stack;
use test_kit::eventually;
use test_kit::outside::Outside;

use crate::day::{HASTY, hasty_personas};

const FILL: &str = include_str!("../../src/history.sql");

/// Entries and events: a day's of a small arena, and a quarter's of a busy one.
const LITTLE: i64 = 20_000;
/// `make history` has ten million.
const MUCH: i64 = 400_000;

/// Blocks of 8 KiB that one call of a statement reads on average: with much history at most
/// `FACTOR` times as many as with little, and so many more.
const FACTOR: i64 = 2;
const MORE: i64 = 60;

/// A session reads the catalogue before its first call of a statement or function: up to some six hundred blocks,
/// which are counted with that call. This many calls of a statement may be first ones; a statement that reads
/// history reads thousands of blocks each time.
const CATALOGUE: i64 = 800;
const FIRST_CALLS: i64 = 8;

/// Statements with a bound of their own. A bot's history has as many points as ticks, by default at most 120:
/// five blocks for each.
const OF_A_HISTORY: [(&str, i64); 1] =
    [("SELECT t.number AS tick, m.recorded_at AS at, m.balance", 600)];

/// Rows that one run reads of a table, by scans or by an index: with much history at most `FACTOR` times as many
/// as with little, and so many more. Plans differ from run to run by some ten thousand; reading history in each
/// tick or round would be millions.
const ROWS: i64 = MUCH / 4;

/// The number of ticks, and of rounds of the oracle, of each run.
const TICKS_AND_ROUNDS: i64 = 12;

/// Lists with their most expensive queries: filters without matches, and pages at either end.
/// `{operator}` routes are called with the operator's token.
const ROUTES: [&str; 41] = [
    "/bots",
    "/bots?limit=200",
    "/bots/old-2",
    "/ledger",
    "/ledger?limit=200",
    "/bots/old-2/ledger",
    "/bots/old-2/ledger?limit=200",
    "/bots/old-2/history",
    "/insights/old-2",
    "/predictions",
    "/predictions?limit=200",
    "/predictions?bot=old-1",
    "/predictions?bot=old-2",
    "/predictions?bot=old-2&status=WON",
    "/predictions?bot=old-2&status=VOID",
    "/predictions?bot=old-2&status=FORFEIT",
    "/predictions?bot=old-2&status=OPEN",
    "/predictions?status=OPEN",
    "/predictions?status=WON",
    "/predictions?status=VOID",
    "/predictions?status=FORFEIT",
    "/posts/feed",
    "/posts/feed?limit=200",
    "/prices",
    "/prices?limit=200",
    "/markets",
    "/markets?status=OPEN",
    "/markets?status=EXPIRED",
    "/markets?status=VOID",
    "/markets?source=RESEARCH&status=RESOLVED",
    "/markets?source=NEWS&status=VOID",
    "/markets?source=GITHUB",
    "/ticks",
    "/ticks?limit=200",
    "/economy",
    "/standings",
    "/audit",
    "/audit?action=WAIT",
    "/audit?action=RETIRE",
    "/audit?action=RETIRE&bot=old-2",
    "/audit?bot=old-1",
];

async fn fill(superuser: &tokio_postgres::Client, from: i64, to: i64, of: i64) {
    let sql = FILL
        .replace("FIRST", &from.to_string())
        .replace("LAST", &to.to_string())
        .replace("TOTAL", &of.to_string());
    superuser.batch_execute(&sql).await.unwrap();
}

/// A migrated database without rows; a superuser's connection to it, and the URLs of owner and services.
async fn database() -> (tokio_postgres::Client, String, String) {
    let (owner, app) = test_kit::empty_database().await;
    db::migrations::run(&owner).await.unwrap();
    let name = app.rsplit_once('/').unwrap().1;
    let superuser = test_kit::superuser_url();
    let url = format!("{}/{name}", superuser.rsplit_once('/').unwrap().0);
    let client = test_kit::connect(&url).await;
    client
        .batch_execute("CREATE SCHEMA seen; CREATE EXTENSION pg_stat_statements SCHEMA seen")
        .await
        .expect("pg_stat_statements, which scripts/with-test-services loads");
    (client, owner, app)
}

/// The reads of a run.
struct Costs {
    statements: BTreeMap<String, Statement>,
    /// Rows read, by table.
    rows: BTreeMap<String, i64>,
}

#[derive(Clone, Copy)]
struct Statement {
    calls: i64,
    /// Of one call, on average.
    blocks: i64,
}

/// Runs some ticks and rounds and calls every route; returns the statements' costs.
async fn lived(what: &str, superuser: &tokio_postgres::Client, owner: &str, app: &str) -> Costs {
    let began = Instant::now();
    let outside = Outside::start().await;
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let urls = outside.settings();
    let mut settings: Vec<(&str, &str)> = HASTY.to_vec();
    settings.extend(urls.lines().filter_map(|line| line.split_once('=')));
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("DATABASE_URL", app),
        ("DATABASE_OWNER_URL", owner),
        ("MARKET_PLACES", "16"),
        ("BOUNTY_BUDGET_PER_HOUR", "100000.00"),
        ("RESEARCH_SECONDS", "20"),
    ]);
    superuser
        .batch_execute("SELECT seen.pg_stat_statements_reset(), pg_stat_reset()")
        .await
        .unwrap();
    let (stack, _) = Stack::start(&settings).await;
    let ticks = "SELECT (SELECT max(number) FROM ticks), (SELECT number FROM oracle_rounds)";
    let counts = || async {
        let row = superuser.query_one(ticks, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let before = counts().await;
    ask_everything(superuser, &stack).await;
    behind_the_gap(app).await;
    eventually("ticker and oracle went on", || async {
        let now = counts().await;
        (now.0 >= before.0 + TICKS_AND_ROUNDS && now.1 >= before.1 + TICKS_AND_ROUNDS).then_some(())
    })
    .await;
    eventually("somebody wagered", || async {
        let sql = "SELECT FROM predictions WHERE bot_id > 1000 AND status <> 'OPEN'";
        superuser.query_opt(&format!("{sql} LIMIT 1"), &[]).await.unwrap().map(drop)
    })
    .await;
    let rows = superuser
        .query(
            // A statement that changes rows may read some blocks for each of them.
            "SELECT query, ceil(sum(shared_blks_hit + shared_blks_read) \
                    / sum(CASE WHEN query ~ '^(UPDATE|DELETE)' THEN greatest(calls, rows) \
                               ELSE calls END))::bigint AS blocks, \
                    sum(calls)::bigint \
               FROM seen.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid \
              WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                AND r.rolname = 'arena_app' \
              GROUP BY query ORDER BY blocks DESC",
            &[],
        )
        .await
        .unwrap();
    let seconds = began.elapsed().as_secs();
    println!("{what}: {} statements in {seconds} s", rows.len());
    assert!(rows.len() > 60, "only {} statements were seen", rows.len());
    assert_eq!(stack.stop(), Some(0));
    let statement = |row: &tokio_postgres::Row| {
        let (calls, blocks) = (row.get(2), row.get(1));
        (row.get(0), Statement { calls, blocks })
    };
    // Sessions report their counts when they end, and the stack's have ended.
    let read = superuser
        .query(
            "SELECT relname::text, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) \
               FROM pg_stat_user_tables WHERE schemaname = 'public'",
            &[],
        )
        .await
        .unwrap();
    Costs {
        statements: rows.iter().map(statement).collect(),
        rows: read.iter().map(|row| (row.get(0), row.get(1))).collect(),
    }
}

/// Each route, a page behind the first where a list goes on, and one market with its bets.
async fn ask_everything(superuser: &tokio_postgres::Client, stack: &Stack) {
    let token = stack.written("ADMIN_TOKEN");
    let http = Client::new();
    for route in ROUTES {
        ask(&http, stack, &token, route).await;
    }
    // Once more: a page behind the first, for those lists that go on.
    for route in ["/ledger", "/predictions", "/posts/feed", "/audit", "/prices", "/ticks"] {
        let answer = ask(&http, stack, &token, route).await;
        let cursor = answer["next_cursor"].as_str().unwrap();
        ask(&http, stack, &token, &format!("{route}?cursor={cursor}")).await;
    }
    let market = superuser
        .query_one("SELECT id::text FROM markets ORDER BY number LIMIT 1", &[])
        .await
        .unwrap();
    let market: String = market.get(0);
    for route in [format!("/markets/{market}"), format!("/markets/{market}/bets")] {
        ask(&http, stack, &token, &route).await;
    }
}

/// Everybody's entries from the middle of two days in which there were none, and the oldest events.
async fn behind_the_gap(app: &str) {
    let config = DatabaseConfig { url: app.to_owned(), pool_size: 1 };
    let database = Database::connect(config).await.unwrap();
    let mut conn = database.get().await.unwrap();
    let position = JournalPosition {
        recorded_at: db::now(&mut conn).await.unwrap().plus_seconds(-24 * 60 * 60),
        bot_id: BotId(1),
        sequence: 1,
    };
    let entries = journal(&mut conn, Some(position), 50).await.unwrap();
    assert_eq!(entries.len(), 50);
    let page = events::after(&mut conn, "0-0".parse().unwrap(), 100).await;
    assert_eq!(page.unwrap().events.len(), 100);
}

async fn ask(http: &Client, stack: &Stack, token: &str, route: &str) -> serde_json::Value {
    let url = format!("http://127.0.0.1:{}{route}", stack.api_port);
    let answer = http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{route}");
    answer.json().await.unwrap()
}

/// The statements and tables that history made dearer.
fn dearer(little: &Costs, much: &Costs) -> Vec<String> {
    let mut dearer = Vec::new();
    for (query, statement) in &much.statements {
        let known = little.statements.get(query).map_or(0, |s| s.blocks);
        let more = OF_A_HISTORY
            .iter()
            .find(|(text, _)| query.starts_with(text))
            .map_or(MORE, |(_, blocks)| *blocks);
        let Statement { calls, blocks } = *statement;
        let first = CATALOGUE * calls.min(FIRST_CALLS) / calls;
        if blocks > FACTOR * known + more + first {
            dearer.push(format!("{known} → {blocks} blocks in each of {calls} calls: {query}"));
        }
    }
    for (table, rows) in &much.rows {
        let known = little.rows.get(table).copied().unwrap_or(0);
        if *rows > FACTOR * known + ROWS {
            dearer.push(format!("{known} → {rows} rows of {table} in the run"));
        }
    }
    dearer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeated_costs_the_same_after_a_quarter() {
    let (superuser, owner, app) = database().await;
    fill(&superuser, 0, LITTLE, LITTLE).await;
    superuser.batch_execute("VACUUM ANALYZE").await.unwrap();
    let little = lived("with little history", &superuser, &owner, &app).await;

    #[allow(clippy::disallowed_methods, reason = "a switch for `make history`")]
    let much: i64 = std::env::var("HISTORY_ROWS").map_or(MUCH, |rows| rows.parse().unwrap());
    let (superuser, owner, app) = database().await;
    let began = Instant::now();
    // The statistics of its first days stay: it is not analysed for now.
    superuser
        .batch_execute(
            "DO $$ DECLARE t regclass; BEGIN \
             FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
             LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t); END LOOP; END $$",
        )
        .await
        .unwrap();
    fill(&superuser, 0, LITTLE, much).await;
    superuser.batch_execute("VACUUM ANALYZE").await.unwrap();
    fill(&superuser, LITTLE, much, much).await;
    println!("{much} entries and events in {} s", began.elapsed().as_secs());
    let stale = lived("stale statistics", &superuser, &owner, &app).await;
    superuser.batch_execute("VACUUM ANALYZE").await.unwrap();
    let fresh = lived("fresh statistics", &superuser, &owner, &app).await;
    let faults = [dearer(&little, &stale), dearer(&little, &fresh)];
    assert!(
        faults.iter().all(Vec::is_empty),
        "with stale statistics:\n{}\nwith fresh ones:\n{}",
        faults[0].join("\n"),
        faults[1].join("\n")
    );
}
