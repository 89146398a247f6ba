//! A first and a repeated start, and the output about a running stack.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::{Bench, PARTS, SERVICES, signal, until};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
#[allow(clippy::too_many_lines, reason = "one start, told in order")]
fn a_first_start_comes_up_in_order_and_stops_in_reverse() {
    let mut bench = Bench::new();
    bench.status().ended_with(3).says("not running: ").says("does not exist yet");
    bench.open();
    let mut expected = vec!["prepare".to_owned()];
    for name in SERVICES {
        expected.extend([format!("start {name}"), format!("ready {name}")]);
    }
    assert_eq!(bench.order(), expected, "each waits for the one before");
    assert_eq!(mode(&bench.env_file()), 0o600);
    assert!(bench.has_said("wrote "), "{}", bench.out());
    let key = bench.env_value("BACKUP_KEY");
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    bench.says(&format!("shown this once: BACKUP_KEY={key}\n"));
    assert_eq!(bench.env_value("ARENA_PRIVATE_SERVICES"), "postgres,redis");
    let status = bench.status().ended_with(0).says_not("\u{1b}");
    for part in PARTS {
        assert!(status.said.contains(&format!("\n{part:<12} ready ")), "{}", status.said);
    }
    bench.arenactl(&["up"]).ended_with(1).says("already running (pid ");
    bench.arenactl(&["reset", "--yes"]).ended_with(1).says("already running");
    bench.status().ended_with(0);

    // Commands with other settings still know the addresses of the start.
    bench.told = ["API_PORT", "TICKER_HEALTH_PORT", "ORACLE_HEALTH_PORT", "BOT_RUNNER_HEALTH_PORT"]
        .map(|name| (name.to_owned(), String::new()))
        .into();
    let port = bench.ports[2];
    bench.status().ended_with(0).says(&format!("127.0.0.1:{port}\n"));
    bench.told.clear();

    let log = bench.data().join("logs/api.log");
    let environment = fs::read(bench.path("environment-api")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let told = format!("LOG_FILE={}\0", log.display());
    assert!(environment.contains(&told), "{environment}");
    for secret in ["SECRET_KEY=", "DATABASE_URL="] {
        assert!(!environment.contains(secret), "services read it themselves");
    }

    fs::remove_file(bench.path("order")).unwrap();
    bench.arenactl(&["stop"]).ended_with(0).says("stopped (pid ");
    let mut reverse = SERVICES.map(|name| format!("stop {name}"));
    reverse.reverse();
    assert_eq!(bench.order(), reverse);
    bench.end().ended_with(0);
    bench.is_empty();
    bench.arenactl(&["stop"]).ended_with(0).says("not running");

    let before = bench.env_text();
    bench.open();
    assert!(!bench.has_said("wrote ") && !bench.has_said("BACKUP_KEY"), "{}", bench.out());
    assert_eq!(bench.env_text(), before);
    bench.close("INT");

    bench.arenactl(&["reset"]).ended_with(1).says("nothing deleted");
    assert!(bench.data().join("postgres").exists());
    bench.arenactl(&["reset", "--yes"]).ended_with(0);
    assert!(!bench.data().exists() && bench.env_file().exists());
}

#[test]
fn a_stop_while_it_starts_is_an_asked_for_stop() {
    let mut bench = Bench::new();
    fs::write(bench.path("unready-oracle"), "").unwrap();
    bench.start();
    until("the oracle runs", || bench.pid("oracle").is_some());
    bench.arenactl(&["stop"]).ended_with(0);
    bench.end().ended_with(0);
    bench.is_empty();
    // Elsewhere than usual, and by another signal.
    fs::remove_file(bench.path("unready-oracle")).unwrap();
    bench.tell("API_HOST", "127.0.0.3");
    bench.tell("HEALTH_HOST", "127.0.0.2");
    bench.open();
    bench.status().ended_with(0).says("127.0.0.3:");
    bench.close("HUP");
}

#[test]
fn a_service_that_refuses_to_start_ends_the_start() {
    let mut bench = Bench::new();
    let wrong = "settings are wrong:\n  SECRET_KEY is missing\n";
    fs::write(bench.path("refuse-oracle"), format!("78\n{wrong}")).unwrap();
    let refusal = bench.refusal().ended_with(78).says("settings are wrong:");
    refusal.says("  SECRET_KEY is missing").says_not("{\"level\"");
    assert!(!bench.order().iter().any(|line| line.contains("bot-runner")));
    bench.is_empty();
    fs::write(bench.path("refuse-oracle"), "69\nnoise\nRedis is gone\n").unwrap();
    bench.refusal().ended_with(69).says("Redis is gone").says_not("noise");
    fs::write(bench.path("refuse-arenactl"), "69\nno such role\n").unwrap();
    bench.refusal().ended_with(69).says("no such role");
    assert_eq!(bench.order(), [""; 0]);
    bench.is_empty();
}

#[test]
fn readiness_is_watched() {
    let mut bench = Bench::new();
    bench.open();
    fs::write(bench.path("unready-oracle"), "").unwrap();
    bench.says("oracle is not ready; http://");
    bench.status().ended_with(1).says("\noracle       not ready");
    fs::remove_file(bench.path("unready-oracle")).unwrap();
    bench.says("oracle is ready again");
    bench.status().ended_with(0);
}

#[test]
fn logs_are_shown_over_a_rotation() {
    let mut bench = Bench::new();
    bench.open();
    let postgres = bench.arenactl(&["logs", "postgres"]).ended_with(0);
    postgres.says("ready to accept connections");
    let lines = |from: u32, to: u32| (from..=to).map(|n| format!("line {n}\n")).collect::<String>();
    let logs = bench.data().join("logs");
    fs::write(logs.join("odd.log.1"), lines(1, 60)).unwrap();
    fs::write(logs.join("odd.log"), lines(61, 120)).unwrap();
    assert_eq!(bench.arenactl(&["logs", "odd"]).ended_with(0).said, lines(21, 120));
    let unknown = bench.arenactl(&["logs", "nobody"]).ended_with(1);
    unknown.says("There is: api bot-runner odd oracle postgres redis ticker");
    bench.arenactl(&["logs", "../run/lock"]).ended_with(1);
}

#[test]
fn two_arenas_run_side_by_side() {
    let (mut one, mut other) = (Bench::new(), Bench::new());
    one.open();
    // Only the ports of services are required; private servers find their own.
    other.forget_ports(&["PRIVATE_POSTGRES_PORT", "PRIVATE_REDIS_PORT"]);
    other.open();
    one.status().ended_with(0);
    other.status().ended_with(0);
    signal(other.supervisor_pid(), "TERM");
    other.end().ended_with(0);
    one.status().ended_with(0);
}
