//! The help of each program, and that it is true.

use std::process::{Command, Output};

use system_tests::stack;

const SERVICES: [&str; 4] = ["api", "ticker", "oracle", "bot-runner"];

/// A program without settings.
fn ask(program: &str, argument: Option<&str>) -> Output {
    Command::new(stack::bin_dir().join(program))
        .env_clear()
        .env("ARENA_ENV_FILE", "/dev/null")
        .args(argument)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_program_names_its_version() {
    for program in SERVICES.into_iter().chain(["arenactl"]) {
        let output = ask(program, Some("--version"));
        let expected = format!("ledgerdome-{program} {} (", env!("CARGO_PKG_VERSION"));
        let version = text(&output.stdout);
        assert!(version.starts_with(&expected), "{version}");
        assert!(version.ends_with(")\n"), "{version}");
        assert_eq!(output.status.code(), Some(0), "{program}");
    }
}

#[test]
fn every_service_names_the_settings_it_does_not_start_without() {
    for service in SERVICES {
        let help = ask(service, Some("--help"));
        assert_eq!(help.status.code(), Some(0), "{service}");
        let named: Vec<&str> = text(&help.stdout)
            .lines()
            .skip_while(|line| !line.ends_with("It does not start without:"))
            .skip(1)
            .map_while(|line| line.strip_prefix("  "))
            .collect();
        let refused = ask(service, None);
        assert_eq!(refused.status.code(), Some(78), "{service}");
        let missing: Vec<&str> = text(&refused.stderr)
            .lines()
            .filter_map(|line| line.strip_prefix("  - ")?.strip_suffix(" is not set"))
            .collect();
        assert!(!named.is_empty(), "{service}");
        assert_eq!(named, missing, "{service}");
    }
}

#[test]
fn an_unknown_argument_starts_nothing() {
    for service in SERVICES {
        let output = ask(service, Some("--prot"));
        assert_eq!(output.status.code(), Some(2), "{service}");
        let said = text(&output.stderr);
        assert!(said.contains("\"--prot\" is not an argument"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_service_that_does_not_run_is_not_healthy() {
    for service in SERVICES {
        let port = stack::free_port().to_string();
        let output = Command::new(stack::bin_dir().join(service))
            .env_clear()
            .env("ARENA_ENV_FILE", "/dev/null")
            .envs(
                ["API_PORT", "TICKER_HEALTH_PORT", "ORACLE_HEALTH_PORT", "BOT_RUNNER_HEALTH_PORT"]
                    .map(|name| (name, &port)),
            )
            .arg("--health-check")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{service}");
        let said = text(&output.stderr);
        assert!(said.contains(&format!("127.0.0.1:{port}/ready")), "{said}");
    }
}
