//! Missing and malformed settings are all reported at once; an unreachable server ends the command within
//! seconds.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::bench::Bench;

#[tokio::test]
async fn every_missing_or_malformed_setting_is_named_at_once() {
    let bench = Bench::new().await;
    for (command, names) in [
        (&["migrate"][..], &["DATABASE_OWNER_URL is not set"][..]),
        (&["genesis"], &["DATABASE_URL is not set", "GENESIS_GRANT", "STAKE_MIN"]),
        (&["sync-keys"], &["DATABASE_URL is not set"]),
        (&["inspect-ledger"], &["DATABASE_URL is not set"]),
        (&["revive", "mia", "--amount", "1", "--reason", "x"], &["DATABASE_URL is not set"]),
        (&["retire", "mia", "--reason", "x", "--yes"], &["DATABASE_URL is not set"]),
    ] {
        let mut bare = bench.bare_command(command);
        bare.env("GENESIS_GRANT", "a-fortune").env("STAKE_MIN", "tiny");
        let ran = bench.finish(bare).ended_with(78);
        assert!(ran.stdout.is_empty(), "{command:?}: {}", ran.stdout);
        for name in names {
            assert!(ran.stderr.contains(name), "{command:?}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("a-fortune"), "{}", ran.stderr);
    }
    let mut malformed = bench.bare_command(&["migrate", "--json"]);
    malformed.env("DATABASE_OWNER_URL", "mysql://root:hunter2@localhost/x");
    let ran = bench.finish(malformed).ended_with(78);
    assert!(ran.stderr.contains("DATABASE_OWNER_URL") && !ran.stderr.contains("hunter2"));
    assert_eq!(ran.json()["exit_code"], 78);
}

#[tokio::test]
async fn settings_come_from_the_file_and_the_environment_wins() {
    let bench = Bench::new().await;
    let text = format!("# ours\nexport DATABASE_URL='{}'\n", bench.arena.database_url());
    fs::write(bench.dir.path().join(".env"), text).unwrap();
    bench.finish(bench.bare_command(&["inspect-ledger"])).ended_with(0);
    let mut overridden = bench.bare_command(&["inspect-ledger"]);
    overridden.env("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x");
    bench.finish(overridden).ended_with(69);
}

#[tokio::test]
async fn an_unreachable_or_silent_postgres_ends_the_command_within_five_seconds() {
    let bench = Bench::new().await;
    bench.personas(&["Mia"]);
    // It accepts connections, by its backlog, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let mut running = Vec::new();
    for port in [1, silent] {
        for command in [&["migrate"][..], &["genesis"], &["inspect-ledger"]] {
            let url = format!("postgres://u:hunter2@127.0.0.1:{port}/x");
            let mut unreachable = bench.command(command);
            unreachable.env("DATABASE_URL", &url).env("DATABASE_OWNER_URL", &url);
            unreachable.stdout(Stdio::piped()).stderr(Stdio::piped());
            running.push((Instant::now(), port, unreachable.spawn().unwrap()));
        }
    }
    for (began, port, child) in running {
        let ran = bench.wait(child).ended_with(69);
        assert!(began.elapsed() < Duration::from_secs(5), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "one line: {}", ran.stderr);
        let place = format!("Postgres at 127.0.0.1:{port}");
        assert!(ran.stderr.contains(&place) && !ran.stderr.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_wrong_password_says_which_setting_to_look_at() {
    let bench = Bench::new().await;
    let mut command = bench.command(&["migrate"]);
    let url = bench.arena.owner_url().replace("for-tests-only", "hunter2");
    command.env("DATABASE_OWNER_URL", url);
    let ran = bench.finish(command).ended_with(69);
    assert!(ran.stderr.contains("password authentication failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is DATABASE_OWNER_URL right?"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"));
}
