//! The program itself: exit codes and the one message.

use std::process::{Child, Command, Output};

use test_kit::servers::free_port;
use test_kit::{Arena, eventually};

fn run(settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oracle"))
        .env_clear()
        .env("ARENA_ENV_FILE", "/dev/null")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn bad_settings_end_with_78_and_all_their_names() {
    let output = run(&[("REDIS_URL", "http://hunter2"), ("PRICE_SOURCES", "simulated:hunter2")]);
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["DATABASE_URL", "REDIS_URL", "PRICE_SOURCES"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn an_unreachable_postgres_ends_with_69_and_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let database_url = format!("postgres://arena_app:hunter2@{address}/arena");
    let output = run(&[("DATABASE_URL", &database_url), ("REDIS_URL", "redis://127.0.0.1:1/0")]);
    assert_eq!(output.status.code(), Some(69));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("Postgres at {address}")), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// A running oracle, killed outright when it is dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(arena: &Arena) -> Running {
        let port = free_port();
        let redis_url = arena.redis_url();
        let (server, _) = redis_url.rsplit_once('/').unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_oracle"))
            .env_clear()
            .env("ARENA_ENV_FILE", "/dev/null")
            .env("RUST_LOG", "warn")
            .env("DATABASE_URL", arena.database_url())
            .env("REDIS_URL", format!("{server}/9"))
            .env("ENV", "development")
            .env("PRICE_SOURCES", "simulated:000102030405060708090a0b0c0d0e0f")
            .env("ORACLE_INTERVAL_SECONDS", "1")
            .env("ORACLE_HEALTH_PORT", port.to_string())
            .spawn()
            .unwrap();
        Running { child, port }
    }

    async fn role(&self) -> Option<String> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/ready", self.port)).await.ok()?;
        let body: serde_json::Value = answer.json().await.ok()?;
        let checks = body["checks"].as_array()?;
        let role = checks.iter().find(|check| check["name"] == "role")?;
        Some(role["detail"].as_str()?.to_owned())
    }

    async fn until(&self, role: &str) {
        eventually(role, || async { (self.role().await.as_deref() == Some(role)).then_some(()) })
            .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The holder of the lease, and its fencing token.
async fn lease(arena: &Arena) -> (String, i64) {
    let sql = "SELECT holder, token FROM leases WHERE name = 'oracle'";
    let client = arena.owner_client().await;
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn samples(arena: &Arena) -> i64 {
    let sql = "SELECT count(*) FROM prices";
    let client = arena.owner_client().await;
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn after_kill_9_another_works_on_under_a_lease_of_its_own() {
    let arena = Arena::new().await;
    let first = Running::start(&arena);
    first.until("active").await;
    let second = Running::start(&arena);
    second.until("standby").await;
    eventually("the first one samples prices", || async {
        (samples(&arena).await > 0).then_some(())
    })
    .await;
    let before = lease(&arena).await;
    drop(first);
    second.until("active").await;
    let after = lease(&arena).await;
    assert_ne!(after.0, before.0, "another holder");
    assert!(after.1 > before.1, "{before:?}, then {after:?}");
    // The first one is dead: what comes from now on is the second one's.
    let already = samples(&arena).await;
    eventually("prices go on", || async { (samples(&arena).await > already).then_some(()) }).await;
}
