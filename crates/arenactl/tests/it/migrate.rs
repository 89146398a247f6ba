//! The schema is migrated completely and once, for any number of migrators.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::bench::Bench;

/// A second, empty database, and the migrator with its one required setting.
async fn empty_database(bench: &Bench) -> String {
    let name: String = {
        let client = bench.arena.owner_client().await;
        let row = client.query_one("SELECT current_database() || '_empty'", &[]).await.unwrap();
        let name: String = row.get(0);
        client.batch_execute(&format!("CREATE DATABASE {name} OWNER arena_owner")).await.unwrap();
        name
    };
    let url = bench.arena.owner_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

fn migrator(bench: &Bench, url: &str, args: &[&str]) -> Command {
    let mut command = bench.bare_command(args);
    command.env("DATABASE_OWNER_URL", url).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn an_empty_database_gets_every_migration_and_the_next_run_finds_nothing_to_do() {
    let bench = Bench::new().await;
    let url = empty_database(&bench).await;
    let first = bench.finish(migrator(&bench, &url, &["migrate", "--by", "ada"])).ended_with(0);
    assert!(first.stdout.contains("applied  20261101000002"), "{}", first.stdout);
    let client = test_kit::connect(&url).await;
    let acts = "SELECT count(*) FROM audit_log WHERE action = 'MIGRATE' AND actor = 'ada'";
    let acts: i64 = client.query_one(acts, &[]).await.unwrap().get(0);
    assert_eq!(acts, 1);
    let count = "SELECT count(*) FROM __diesel_schema_migrations";
    let applied: i64 = client.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(first.stdout.matches("applied  ").count(), usize::try_from(applied).unwrap());

    let second = bench.finish(migrator(&bench, &url, &["migrate", "--json"])).ended_with(0);
    assert_eq!(second.json(), json!({ "applied": [], "entry_types": [], "sources": [] }));
}

#[tokio::test]
async fn two_at_once_apply_each_migration_once() {
    let bench = Bench::new().await;
    let url = empty_database(&bench).await;
    let start = || migrator(&bench, &url, &["--json", "migrate"]).spawn().unwrap();
    let (one, other) = (start(), start());
    let mut applied = 0;
    for child in [one, other] {
        let ran = bench.wait(child).ended_with(0);
        applied += ran.json()["applied"].as_array().unwrap().len();
    }
    let client = test_kit::connect(&url).await;
    let count = "SELECT count(*) FROM __diesel_schema_migrations";
    let known: i64 = client.query_one(count, &[]).await.unwrap().get(0);
    assert!(known > 0);
    assert_eq!(applied, usize::try_from(known).unwrap());
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused() {
    let bench = Bench::new().await;
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    bench.arena.owner_client().await.batch_execute(newer).await.unwrap();
    for command in ["migrate", "genesis", "sync-keys", "inspect-ledger"] {
        bench.personas(&["Mia"]);
        let ran = bench.run(&[command]).ended_with(1);
        assert!(ran.stderr.contains("this build does not know"), "{command}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_database_without_schema_sends_to_migrate() {
    let bench = Bench::new().await;
    let url = empty_database(&bench).await;
    let mut command = bench.bare_command(&["inspect-ledger"]);
    command.env("DATABASE_URL", &url);
    let ran = bench.finish(command).ended_with(1);
    assert!(ran.stderr.contains("run `arenactl migrate`"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_database_in_another_encoding_is_refused_before_anything_is_made() {
    let bench = Bench::new().await;
    let (url, _) = test_kit::empty_database_in("SQL_ASCII").await;
    let ran = bench.finish(migrator(&bench, &url, &["migrate"])).ended_with(78);
    for part in ["DATABASE_OWNER_URL", "SQL_ASCII", "UTF8"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
}
