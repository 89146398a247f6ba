//! Each credential is tried, and the ones that fail are named with the reason.

use serde_json::Value;

use crate::bench::Bench;

fn state_of<'a>(report: &'a Value, credential: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["credential"] == credential);
    let check = check.unwrap_or_else(|| panic!("{credential} is not in {report}"));
    (check["state"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

#[tokio::test]
async fn what_genesis_made_works() {
    let bench = Bench::new().await;
    bench.personas(&["Mia", "Bob"]);
    bench.run(&["genesis"]).ended_with(0);
    let ran = bench.run(&["debug-auth"]).ended_with(0);
    assert!(ran.stdout.contains("8 checks, 0 failing"), "{}", ran.stdout);
    assert!(ran.stdout.contains("works  MIA_API_KEY: is the key of Mia"), "{}", ran.stdout);
}

#[tokio::test]
async fn wrong_passwords_and_keys_are_named_and_not_shown() {
    let bench = Bench::new().await;
    let mia = bench.arena.bot().handle("Mia").hosted().create().await;
    bench.arena.bot().handle("Bob").hosted().create().await;
    bench.arena.bot().handle("Cyd").hosted().create().await;
    bench.write_keys(&format!(
        "MIA_API_KEY={}\nBOB_API_KEY=hunter2-bob\nGHOST_API_KEY=hunter2-ghost\n",
        mia.api_key
    ));
    let mut command = bench.command(&["--json", "debug-auth"]);
    let wrong = bench.arena.owner_url().replace("for-tests-only", "hunter2-owner");
    let redis = bench.arena.redis_url();
    let (_, server) = redis.rsplit_once('@').unwrap();
    command
        .env("DATABASE_OWNER_URL", wrong)
        .env("REDIS_URL", format!("redis://default:hunter2-redis@{server}"));
    let ran = bench.finish(command).ended_with(1);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"));
    let report = ran.json();
    assert_eq!(state_of(&report, "DATABASE_URL").0, "works");
    let (state, detail) = state_of(&report, "DATABASE_OWNER_URL");
    assert!(state == "fails" && detail.contains("password authentication failed"), "{detail}");
    let (state, detail) = state_of(&report, "REDIS_URL");
    assert!(state == "fails" && detail.contains("refused the credentials"), "{detail}");
    assert_eq!(state_of(&report, "MIA_API_KEY").0, "works");
    for (variable, part) in [
        ("BOB_API_KEY", "sync-keys"),
        ("CYD_API_KEY", "has no key"),
        ("GHOST_API_KEY", "no hosted bot"),
    ] {
        let (state, detail) = state_of(&report, variable);
        assert!(state == "fails" && detail.contains(part), "{variable}: {detail}");
    }
    assert_eq!(report["failed"], 5);
}

#[tokio::test]
async fn what_is_not_configured_and_what_cannot_be_reached_is_told_apart() {
    let bench = Bench::new().await;
    bench.write_keys("MIA_API_KEY=ldk_whatever\n");
    let mut command = bench.bare_command(&["--json", "debug-auth"]);
    command
        .env("BOTS_ENV_FILE", bench.keys_file())
        .env("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x");
    let ran = bench.finish(command).ended_with(1);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"));
    let report = ran.json();
    let (state, detail) = state_of(&report, "DATABASE_URL");
    assert!(state == "fails" && detail.contains("Postgres at 127.0.0.1:1"), "{detail}");
    assert_eq!(state_of(&report, "DATABASE_OWNER_URL").0, "not_tried");
    assert_eq!(state_of(&report, "REDIS_URL"), ("fails", "is not set"));
    assert_eq!(state_of(&report, "MIA_API_KEY").0, "not_tried");
}
