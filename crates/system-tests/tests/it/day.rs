//! A day in the arena: hosted bots wager, are settled and charged, and every chain adds up.

use std::time::Duration;

use serde_json::Value;
use system_tests::stack::{Stack, root};
use test_kit::eventually;

/// Personas that think every ten seconds.
pub(crate) fn hasty_personas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["momentum-mia", "yolo-yara", "contrarian-carl", "bull-bruno"] {
        let text = std::fs::read_to_string(root().join(format!("bots/{name}.yaml"))).unwrap();
        let hasty = |line: &str| match line.starts_with("interval_seconds:") {
            true => "interval_seconds: 10".to_owned(),
            false => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(hasty).collect();
        std::fs::write(folder.path().join(format!("{name}.yaml")), text.join("\n")).unwrap();
    }
    folder
}

/// Settings under which minutes pass in seconds.
pub(crate) const HASTY: [(&str, &str); 7] = [
    ("ENFORCEMENT_MODE", "enforce"),
    ("TICK_RATE", "1"),
    ("ORACLE_INTERVAL_SECONDS", "1"),
    ("SETTLE_INTERVAL_SECONDS", "1"),
    ("PREDICTION_HORIZON", "3"),
    ("SAMPLE_LAG_SECONDS", "1"),
    // Wagers of a load must not use it up: they would be refused for the rest of the hour.
    ("HOUSE_LOSS_BUDGET_PER_HOUR", "1000000000.00"),
];

pub(crate) async fn get(stack: &Stack, path: &str) -> Value {
    let url = format!("http://127.0.0.1:{}{path}", stack.api_port);
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

/// Waits until the four hosted bots have wagered and were settled, and holds them to account.
pub(crate) async fn lived_through(stack: &Stack) {
    for kind in ["WAGER", "SETTLEMENT"] {
        eventually(&format!("the feed tells of a {kind}"), || async {
            let feed = get(stack, "/posts/feed?limit=200").await;
            let told = feed["items"].as_array().unwrap().iter().any(|post| post["kind"] == kind);
            told.then_some(())
        })
        .await;
    }
    let economy = get(stack, "/economy").await;
    assert_eq!(economy["mode"], "enforce");
    assert_eq!(economy["price"]["source"], "simulated", "never passed off as a real one");
    assert_eq!(economy["bots"]["alive"], 4);
    let predictions = get(stack, "/predictions?limit=200").await;
    let settled = predictions["items"].as_array().unwrap().iter().find(|p| p["status"] != "OPEN");
    assert!(
        settled.is_some_and(|p| p["price_source"] == "simulated" && p["end_price"].is_string())
    );
    for bot in get(stack, "/bots").await["items"].as_array().unwrap() {
        assert_eq!(bot["hosted"], true);
        let verify = get(stack, &format!("/bots/{}/ledger/verify", bot["id"])).await;
        assert!(verify["valid"] == true && verify["complete"] == true, "{verify}");
        let chain = get(stack, &format!("/bots/{}/ledger?limit=200", bot["id"])).await;
        let charged = chain["items"].as_array().unwrap();
        let charged = charged.iter().any(|entry| entry["entry_type"] == "HEARTBEAT");
        assert!(charged, "{chain}");
    }
    let (sound, report) = stack.arenactl(&["inspect-ledger"]);
    assert!(sound, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosted_bots_earn_wager_pay_and_are_accounted_for() {
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.push(("BOTS_DIR", &bots));
    let (stack, _) = Stack::start(&settings).await;
    lived_through(&stack).await;

    let pids: Vec<u32> = ["postgres", "redis", "api", "ticker", "oracle", "bot-runner"]
        .iter()
        .map(|name| stack.pid(name).unwrap())
        .collect();
    assert_eq!(stack.stop(), Some(0));
    eventually("nothing is left running", || {
        let gone = pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists());
        std::future::ready(gone.then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_alone_names_every_missing_setting_and_exits_78() {
    for service in ["api", "ticker", "oracle", "bot-runner"] {
        let output = std::process::Command::new(system_tests::stack::bin_dir().join(service))
            .env_clear()
            .env("ARENA_ENV_FILE", "/dev/null")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{service}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("DATABASE_URL"), "{service}: {message}");
        if service == "api" {
            for name in ["REDIS_URL", "SECRET_KEY", "ADMIN_TOKEN"] {
                assert!(message.contains(name), "{name}: {message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_postgres_is_told_within_seconds_with_69() {
    let began = std::time::Instant::now();
    let output = std::process::Command::new(system_tests::stack::bin_dir().join("ticker"))
        .env_clear()
        .env("ARENA_ENV_FILE", "/dev/null")
        .env("DATABASE_URL", "postgres://arena_app:not-to-be-shown@127.0.0.1:9/arena")
        .env("REDIS_URL", test_kit::redis_url())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(began.elapsed() < Duration::from_secs(6));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("127.0.0.1:9") && !message.contains("not-to-be-shown"), "{message}");
}
