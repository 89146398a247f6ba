use std::process::Command;

use db::migrations::{self, SchemaState};
use test_kit::Arena;

/// The schema as pg_dump tells it, without data. Days of partitions depend on today and are made
/// again by the same function, so two dumps of one day agree.
fn schema_dump(url: &str) -> String {
    let output = Command::new("pg_dump")
        .args(["--schema-only", "--no-comments", "--dbname", url])
        .output()
        .expect("pg_dump from the postgresql-client package");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let dump = String::from_utf8(output.stdout).unwrap();
    // Newer versions wrap a dump in a random key of their own.
    let random = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    dump.lines().filter(random).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_goes_down_and_up_again_to_the_same_schema() {
    let arena = Arena::new().await;
    let url = arena.owner_url();
    let before = schema_dump(&url);
    assert!(before.contains("CREATE TABLE public.ledger"));
    let down = migrations::revert_all(&url).await.unwrap();
    let bare = schema_dump(&url);
    assert!(
        !bare.contains("CREATE TYPE") && !bare.contains("public.ledger"),
        "{bare}"
    );
    let up = migrations::run(&url).await.unwrap();
    assert_eq!(down.versions.len(), up.versions.len());
    let dump = |text: &str| text.replace("START WITH 1\n", "");
    assert_eq!(dump(&schema_dump(&url)), dump(&before));
    assert_eq!(
        arena.database().schema_state().await.unwrap(),
        SchemaState::Current
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn migrators_at_once_wait_for_each_other() {
    let arena = Arena::new().await;
    migrations::revert_all(&arena.owner_url()).await.unwrap();
    assert!(matches!(
        arena.database().schema_state().await.unwrap(),
        SchemaState::Behind { missing: 1.. }
    ));
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = arena.owner_url();
        migrators.spawn(async move { migrations::run(&url).await.unwrap().versions.len() });
    }
    let mut applied = Vec::new();
    while let Some(count) = migrators.join_next().await {
        applied.push(count.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert!(applied[3] > 0);
}

#[tokio::test]
async fn a_newer_schema_is_recognised() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    owner
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')")
        .await
        .unwrap();
    let state = arena.database().schema_state().await.unwrap();
    assert_eq!(state, SchemaState::Ahead { unknown: 1 });
}
