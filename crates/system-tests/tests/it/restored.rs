//! A machine is lost: a backup made during work is restored on another cluster.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use system_tests::stack::{Running, Stack, bin_dir, free_port, ready};
use test_kit::eventually;
use tokio::task::JoinSet;

use crate::day::{HASTY, hasty_personas};
use crate::rolling::Load;

const AGENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// An operator command on the other cluster, which nothing in the environment names but `settings`.
fn arenactl(settings: &[(&str, &str)], arguments: &[&str]) -> Value {
    let output = Command::new(bin_dir().join("arenactl"))
        .arg("--json")
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ARENA_ENV_FILE", "/dev/null")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn economy(port: u16) -> Option<Value> {
    let url = format!("http://127.0.0.1:{port}/economy");
    reqwest::get(url).await.ok()?.json().await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_backed_up_under_load_goes_on_elsewhere() {
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.extend([("BOTS_DIR", bots.as_str()), ("OPEN_PREDICTIONS_MAX", "1000")]);
    let (stack, _) = Stack::start(&settings).await;
    let load = Load::default();
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let base = format!("http://127.0.0.1:{}", stack.api_port);
        agents.spawn(load.clone().live(base, number));
    }
    load.goes_on().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    let (succeeded, text) =
        tokio::task::block_in_place(|| stack.arenactl(&["--json", "backup", "--to", &to]));
    assert!(succeeded, "{text}");
    let backup: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    load.goes_on().await;
    load.over.store(true, Ordering::Relaxed);
    while let Some(agent) = agents.join_next().await {
        agent.unwrap();
    }
    load.assert_no_failure("the backup");
    let redis_url = stack.written("REDIS_URL");
    let secret_key = stack.written("SECRET_KEY");

    // Another cluster, which has never heard of this arena.
    let (owner, app) = test_kit::empty_database().await;
    let manifest = backup["manifest"].as_str().unwrap();
    let backup_key = stack.written("BACKUP_KEY");
    let into = [("RESTORE_DATABASE_URL", owner.as_str()), ("BACKUP_KEY", backup_key.as_str())];
    let restored = arenactl(&into, &["restore", manifest]);
    for field in ["bots", "entries", "heads_digest"] {
        assert_eq!(restored[field], backup[field], "{field}");
    }
    assert_ne!(restored["arena"], restored["arena_before"]);

    let (api_port, ticker_port) = (free_port(), free_port());
    // A Redis that still exists, without data that could matter.
    let service = |more: &[(&'static str, String)]| {
        let mut all = vec![
            ("DATABASE_URL", app.clone()),
            ("REDIS_URL", redis_url.clone()),
            ("SECRET_KEY", secret_key.clone()),
            ("ADMIN_TOKEN", "an-admin-token-of-enough-characters".to_owned()),
            ("ENFORCEMENT_MODE", "enforce".to_owned()),
            ("TICK_RATE", "1".to_owned()),
        ];
        all.extend(more.iter().cloned());
        all
    };
    let api = service(&[("API_PORT", api_port.to_string())]);
    let ticker = service(&[("TICKER_HEALTH_PORT", ticker_port.to_string())]);
    let _api = Running::service("api", &api);
    let _ticker = Running::service("ticker", &ticker);
    ready(api_port, PATIENCE).await;
    ready(ticker_port, PATIENCE).await;
    let before = economy(api_port).await.unwrap()["tick"].as_i64().unwrap();
    eventually("time goes on where it stopped", || async {
        let now = economy(api_port).await?;
        (now["tick"].as_i64()? > before).then_some(())
    })
    .await;
    let audit = arenactl(&[("DATABASE_URL", app.as_str())], &["inspect-ledger"]);
    assert_eq!(audit["sound"], true, "{audit}");
    assert!(audit["entries"].as_u64() > restored["entries"].as_u64());
    assert_eq!(stack.stop(), Some(0));
}
