//! Commands of the operator's guide, unchanged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::bench::{Bench, Ran, root};

fn guide() -> String {
    fs::read_to_string(root().join("docs/operators.md")).unwrap()
}

/// The first command that begins so.
fn command_of(beginning: &str) -> String {
    let guide = guide();
    let mut commands = guide.lines().filter_map(|line| line.strip_prefix("$ "));
    let found = commands.find(|line| line.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no command begins with {beginning}")).to_owned()
}

#[test]
fn no_command_is_for_one_port_or_one_installed_postgres() {
    for line in guide().lines().filter(|line| line.starts_with(['$', ' '])) {
        assert!(!line.contains("5433") && !line.contains("postgresql/*"), "{line}");
    }
}

/// A new machine has `.env` and no data yet.
#[test]
fn its_first_start_on_a_new_machine_leaves_a_cluster_to_restore_into() {
    let mut bench = Bench::new();
    let command = command_of("./run_system.sh & ");
    let mut shell = bench.command("/bin/bash", &["-c", &command]);
    shell.current_dir(root());
    bench.start_as(shell);
    bench.end().ended_with(0).says("The arena is open").says("stopped (pid ");
    bench.is_empty();
    let password = fs::read_to_string(bench.data().join("postgres/superuser")).unwrap();
    assert!(!password.trim().is_empty());
    // Where the guide finds that Postgres.
    let port = format!("{}; echo \"$port\"", command_of("port="));
    let shell = Command::new("bash").args(["-c", &port]).current_dir(bench.dir.path()).output();
    let told = Ran::of(&shell.unwrap()).ended_with(0).said;
    assert_eq!(told.trim(), bench.ports[0].to_string());
}

#[test]
fn its_arenactl_under_systemd_has_all_of_its_settings() {
    let bench = Bench::new();
    let at = |name: &str| bench.path(name).display().to_string();
    fs::create_dir_all(bench.path("etc")).unwrap();
    fs::create_dir_all(bench.path("opt/bin")).unwrap();
    let url = "postgres://o:p@h/arena?sslmode=verify-full&sslrootcert=/my ca.pem";
    fs::write(bench.path("etc/owner.env"), format!("# the owner\nDATABASE_OWNER_URL={url}\n"))
        .unwrap();
    let program = bench.path("opt/bin/arenactl");
    let text = "#!/bin/sh\nprintf '%s\\n' \"$*\" \"$ARENA_ENV_FILE\" \"$ARENA_HOME\" \"$DATABASE_OWNER_URL\"\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let guide = guide();
    let (_, function) = guide.split_once("\narenactl() (\n").unwrap();
    let (function, _) = function.split_once("\n)\n").unwrap();
    let function =
        function.replace("/etc/ledgerdome", &at("etc")).replace("/opt/ledgerdome", &at("opt"));
    let text = format!("arenactl() (\n{function}\n)\narenactl backup --to 'a b'");
    let told = Command::new("sh").args(["-c", &text]).output().unwrap();
    let expected = format!("backup --to a b\n{}/arena.env\n{}\n{url}\n", at("etc"), at("opt"));
    assert_eq!(Ran::of(&told).ended_with(0).said, expected);
}
