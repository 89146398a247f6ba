//! `arenactl up` with servers of one's own: they must answer, under every credential, before anything is
//! started.

use std::net::TcpListener;

use crate::bench::{Bench, Ran};

const PORTS: [&str; 4] =
    ["API_PORT", "TICKER_HEALTH_PORT", "ORACLE_HEALTH_PORT", "BOT_RUNNER_HEALTH_PORT"];

/// The result of a start with another value in one setting.
fn started(bench: &Bench, setting: &str, value: &str) -> Ran {
    let held = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = held.map(|socket| socket.local_addr().unwrap().port().to_string());
    let mut command = bench.command(&["up"]);
    command
        .env("ARENA_DATA_DIR", bench.dir.path().join("data"))
        .envs(PORTS.into_iter().zip(ports))
        .env(setting, value);
    bench.finish(command)
}

/// The URL with another password, which is never shown.
fn with_password(url: &str, password: &str) -> String {
    let (head, at) = url.rsplit_once('@').unwrap();
    let (user, _) = head.rsplit_once(':').unwrap();
    format!("{user}:{password}@{at}")
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn servers_that_refuse_are_told_in_one_line() {
    let bench = Bench::new().await;
    let (app, owner, redis) = (
        bench.arena.database_url().to_owned(),
        bench.arena.owner_url().to_owned(),
        bench.arena.redis_url().to_owned(),
    );
    // Its connections are accepted by the kernel and never answered.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let frozen = format!("postgres://a:hunter2@{}/arena", frozen.local_addr().unwrap());
    let (base, _) = app.rsplit_once('/').unwrap();
    let dead = "does not accept connections. Is it running, and is";
    for (setting, value, parts) in [
        (
            "DATABASE_URL",
            with_password(&app, "hunter2"),
            ["Postgres at 127.0.0.1:", " refuses DATABASE_URL: ", "password authentication failed"],
        ),
        (
            "DATABASE_OWNER_URL",
            with_password(&owner, "hunter2"),
            ["Postgres at ", " refuses DATABASE_OWNER_URL: ", "password authentication failed"],
        ),
        (
            "DATABASE_URL",
            format!("{base}/nonesuch"),
            ["Postgres at ", " refuses DATABASE_URL: ", "\"nonesuch\" does not exist"],
        ),
        ("DATABASE_URL", frozen, ["Postgres at ", " refuses DATABASE_URL: ", "no answer within"]),
        (
            "DATABASE_URL",
            "postgres://a:hunter2@127.0.0.1:1/arena".to_owned(),
            ["Postgres at 127.0.0.1:1 ", dead, "DATABASE_URL right?"],
        ),
        (
            "DATABASE_URL",
            "postgres://a:hunter2@192.0.2.1/arena".to_owned(),
            ["Postgres at 192.0.2.1:5432 ", dead, "DATABASE_URL right?"],
        ),
        (
            "REDIS_URL",
            with_password(&redis, "hunter2"),
            ["Redis at 127.0.0.1:", " refuses REDIS_URL: ", "refused the credentials"],
        ),
        (
            "REDIS_URL",
            "redis://:hunter2@127.0.0.1:1".to_owned(),
            ["Redis at 127.0.0.1:1 ", dead, "REDIS_URL right?"],
        ),
        (
            "REDIS_URL",
            redis.replace("redis://", "rediss://"),
            ["Redis at 127.0.0.1:", " refuses REDIS_URL: ", ""],
        ),
    ] {
        let ran = started(&bench, setting, &value).ended_with(69);
        for part in parts {
            assert!(ran.stderr.contains(part), "{setting}: {part}: {}", ran.stderr);
        }
        assert_eq!(ran.stderr.lines().count(), 1, "{setting}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{setting}");
        assert!(!ran.stderr.contains("hunter2"), "{setting}");
    }
}

#[tokio::test]
async fn nothing_runs_where_nothing_was_started() {
    let bench = Bench::new().await;
    let data = bench.dir.path().join("data");
    let run = |words: &[&str]| {
        let mut command = bench.command(words);
        command.env("ARENA_DATA_DIR", &data);
        bench.finish(command)
    };
    let status = run(&["status", "--services"]).ended_with(3);
    assert!(status.stdout.contains("\npostgres     ready"), "{}", status.stdout);
    assert!(status.stdout.contains(" given "), "{}", status.stdout);
    assert_eq!(run(&["stop"]).ended_with(0).stdout, "not running\n");
    let logs = run(&["logs", "api"]).ended_with(1);
    assert!(logs.stderr.contains("There is: none yet"), "{}", logs.stderr);
}
