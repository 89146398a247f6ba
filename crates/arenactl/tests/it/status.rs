//! The arena's state, from Postgres and the logs.

use std::path::Path;

use crate::bench::Bench;

#[tokio::test]
async fn it_shows_the_arena_without_any_service() {
    let bench = Bench::new().await;
    bench.arena.bot().create().await;
    bench.arena.bot().dead().create().await;
    let owner = bench.arena.owner_client().await;
    owner
        .batch_execute(
            "INSERT INTO ticks (number, enforcement, started_at, closed_at) \
                  VALUES (41, 'enforce', now() - interval '1 hour', now()), \
                         (42, 'enforce', now() - interval '1 minute', NULL); \
             INSERT INTO prices (source, price, provider_at) VALUES ('simulated', 67000.5, now() - interval '2 minutes'); \
             INSERT INTO prices (source, price, provider_at, history) \
                  VALUES ('simulated', 1, now() - interval '3 hours', true)",
        )
        .await
        .unwrap();
    let status = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("ARENA_HOME", bench.dir.path());
        bench.finish(command).ended_with(0)
    };
    let ran = status(&["status", "--json"]).json();
    assert_eq!(ran["arena"]["tick"]["number"], 42);
    assert!((60..90).contains(&ran["arena"]["tick"]["age_seconds"].as_i64().unwrap()));
    assert_eq!(ran["arena"]["price"]["value"], "67000.50000000");
    assert!((120..150).contains(&ran["arena"]["price"]["age_seconds"].as_i64().unwrap()));
    assert_eq!(ran["arena"]["alive"], 1);
    assert_eq!(ran["arena"]["dead"], 1);
    assert!(ran["errors"].is_null());
    bench.run(&["pause", "--reason", "a look"]).ended_with(0);
    let ran = status(&["status"]);
    for part in [
        "tick    42, begun 6",
        "price   67000.50000000 by simulated, 12",
        "bots    1 alive, 1 dead",
        ": a look",
        "errors  not known: ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn errors_are_looked_for_where_run_system_writes_them() {
    let bench = Bench::new().await;
    let told = |name: &str, value: &Path| {
        let mut command = bench.command(&["status"]);
        command.env(name, value);
        bench.finish(command).ended_with(0).stdout
    };
    let none = "errors  none in the last minute";
    let home = bench.dir.path();
    assert!(!told("ARENA_HOME", home).contains(none));
    let data = home.join(".data");
    std::fs::create_dir_all(data.join("logs")).unwrap();
    for (name, value) in [("ARENA_HOME", home), ("ARENA_DATA_DIR", &data)] {
        let told = told(name, value);
        assert!(told.contains(none), "{name}: {told}");
    }
}

#[tokio::test]
async fn errors_are_told_when_postgres_is_gone() {
    let bench = Bench::new().await;
    let logs = bench.dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let line = bench
        .arena
        .owner_client()
        .await
        .query_one(
            "SELECT json_build_object('timestamp', now(), 'level', 'ERROR', 'message', 'Postgres is gone')::text",
            &[],
        )
        .await
        .unwrap();
    let line: String = line.get(0);
    std::fs::write(logs.join("oracle.log"), line + "\n").unwrap();
    let mut command = bench.command(&["status", "--logs", logs.to_str().unwrap()]);
    command.env("DATABASE_URL", "postgres://arena_app:secret@127.0.0.1:1/arena");
    let ran = bench.finish(command).ended_with(69);
    assert!(ran.stdout.contains("not known: Postgres does not answer"));
    assert!(
        ran.stdout.contains("oracle: 1 in the last minute, the last: Postgres is gone"),
        "{}",
        ran.stdout
    );
}
