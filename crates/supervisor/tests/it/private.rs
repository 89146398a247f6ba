//! Private servers: their ports, their roles, their secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::bench::{Bench, Squatter, is_root};

#[test]
fn a_private_server_whose_port_is_taken_moves_and_stays() {
    let mut bench = Bench::new();
    bench.open();
    bench.close("TERM");
    bench.forget_ports(&["PRIVATE_POSTGRES_PORT", "PRIVATE_REDIS_PORT"]);
    for (index, name) in ["postgres", "redis"].into_iter().enumerate() {
        let squatter = Squatter::new(bench.ports[index]);
        let (port, pid) = (squatter.port(), std::process::id());
        bench.open();
        bench.says(&format!("(pid {pid}): the private {name} moves to "));
        bench.says(&format!("port {port} is taken by "));
        let moved = bench.env_text();
        assert!(!moved.contains(&format!("@127.0.0.1:{port}/")), "{moved}");
        let mode = fs::metadata(bench.env_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        bench.status().ended_with(0);
        crate::bench::signal(bench.supervisor_pid(), "TERM");
        bench.end().ended_with(0);
        drop(squatter);
        bench.open();
        assert!(!bench.has_said("moves to"), "{}", bench.out());
        assert_eq!(bench.env_text(), moved);
        bench.close("TERM");
    }
}

#[test]
fn roles_and_passwords_follow_the_settings() {
    let mut bench = Bench::new();
    bench.open();
    bench.close("TERM");
    // A `.env` that has lost its private servers and the end of its last line, and is open to others.
    let kept: Vec<String> = bench
        .env_text()
        .lines()
        .filter(|line| !["DATABASE", "REDIS_URL", "PRIVATE"].iter().any(|name| line.contains(name)))
        .map(str::to_owned)
        .collect();
    bench.write_env(kept.join("\n"));
    fs::set_permissions(bench.env_file(), fs::Permissions::from_mode(0o644)).unwrap();
    bench.open();
    bench.says("readable by its owner alone (mode 0600)");
    let mode = fs::metadata(bench.env_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = bench.env_text();
    assert!(text.lines().any(|line| Some(line) == kept.last().map(String::as_str)));
    bench.close("TERM");

    // Every secret with everything that a shell, a URL or a configuration could trip over.
    let encoded = r"p!a$$w%20o%23r%22d%27%5C%25`id`";
    let odd = "p!a$$w o#r\"d'\\%`id`";
    let text: String = bench
        .env_text()
        .lines()
        .filter(|line| !line.starts_with("SECRET_KEY=") && !line.starts_with("ADMIN_TOKEN="))
        .map(|line| with_password(line, encoded) + "\n")
        .collect();
    let names = ["SECRET_KEY", "ADMIN_TOKEN", "REGISTRATION_TOKEN", "LLM_API_KEY"];
    let text = names.iter().fold(text, |text, name| format!("{text}{name}=\"{odd}\"\n"));
    bench.write_env(&text);
    bench.open();
    bench.status().ended_with(0);
    assert_eq!(bench.env_text(), text);
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(!words.contains(odd) && !words.contains(encoded), "a secret on a command line");
    }

    // Statements with passwords that fail must not get into the log.
    bench.psql("ALTER ROLE postgres SET default_transaction_read_only = on");
    bench.close("TERM");
    let refusal = bench.refusal().ended_with(69);
    refusal.says("cannot create the roles of the private Postgres: ").says("read-only transaction");
    let log = fs::read_to_string(bench.data().join("logs/postgres.log")).unwrap();
    assert!(!log.contains("PASSWORD"), "{log}");
    bench.is_empty();
}

/// The line with another password in its URL.
fn with_password(line: &str, password: &str) -> String {
    let parts = line.split_once("://").and_then(|(head, rest)| {
        let (user, rest) = rest.split_once(':')?;
        let (_, at) = rest.split_once('@')?;
        line.contains("_URL=").then(|| format!("{head}://{user}:{password}@{at}"))
    });
    parts.unwrap_or_else(|| line.to_owned())
}

#[test]
fn an_empty_cluster_under_a_rotated_role_has_what_the_first_one_is_granted() {
    let mut bench = Bench::new();
    let port = bench.ports[0];
    bench.write_env(format!(
        "ARENA_PRIVATE_SERVICES=postgres\n\
         DATABASE_URL=postgres://arena_app_2:a@127.0.0.1:{port}/arena\n\
         DATABASE_OWNER_URL=postgres://arena_owner:o@127.0.0.1:{port}/arena\n"
    ));
    bench.open();
    let has = bench.psql("SELECT pg_has_role('arena_app_2', 'arena_app', 'USAGE')");
    assert_eq!(has, "t");
    assert_eq!(bench.env_value("ARENA_PRIVATE_SERVICES"), "postgres,redis");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    let small = bench.path("full");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m,mode=755", "ledgerdome-test"])
        .arg(&small)
        .status();
    if !mounted.unwrap().success() {
        return;
    }
    bench.tell("ARENA_DATA_DIR", small.join("data").display().to_string());
    bench.start();
    let refusal = bench.end();
    let unmounted = Command::new("umount").arg(&small).status();
    refusal.ended_with(69).says("No space left on device");
    assert!(unmounted.unwrap().success(), "something still runs there");
    bench.is_empty();
}

/// Closed to others, as root's home is.
#[test]
fn where_servers_cannot_go_their_files_are_kept_elsewhere() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    let closed = bench.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    bench.tell("ARENA_DATA_DIR", closed.join("data").display().to_string());
    bench.open();
    bench.says("is closed to other users: postgres keeps its files in /var/lib/ledgerdome/");
    let outside = fs::read_link(closed.join("data/postgres")).unwrap();
    assert!(outside.join("cluster/PG_VERSION").exists());
    crate::bench::signal(bench.supervisor_pid(), "TERM");
    bench.end().ended_with(0);
    bench.arenactl(&["reset", "--yes"]).ended_with(0);
    assert!(!outside.exists() && !closed.join("data").exists());
}
