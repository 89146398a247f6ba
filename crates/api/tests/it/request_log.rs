//! The lines that the program writes about requests, read back from its log.

use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde_json::{Value, json};
use test_kit::servers::free_port;
use test_kit::{Arena, eventually};

use crate::service::{ADMIN_TOKEN, SECRET_KEY};

/// The program itself, with its log in a file.
struct Running {
    child: Child,
    base: String,
    log: tempfile::NamedTempFile,
}

impl Running {
    async fn start(arena: &Arena, settings: &[(&str, &str)]) -> Running {
        let port = free_port();
        let log = tempfile::NamedTempFile::new().unwrap();
        // The keys of this program have no prefix: another database of Redis.
        let redis_url = arena.redis_url();
        let (server, _) = redis_url.rsplit_once('/').unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_api"))
            .env_clear()
            .env("ARENA_ENV_FILE", "/dev/null")
            .env("ENV", "development")
            .env("DATABASE_URL", arena.database_url())
            .env("REDIS_URL", format!("{server}/11"))
            .env("SECRET_KEY", SECRET_KEY)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("API_PORT", port.to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let running = Running {
            child,
            base: format!("http://127.0.0.1:{port}"),
            log,
        };
        let health = format!("{}/health", running.base);
        eventually("the API answers", || async {
            reqwest::get(&health).await.ok()
        })
        .await;
        running
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// The lines about requests.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["fields"]["message"] == "request" || line["message"] == "request")
            .map(|line| {
                if line["fields"].is_object() {
                    line["fields"].clone()
                } else {
                    line
                }
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TOKEN: &str = "lds_a-secret-that-somebody-sent-by-mistake";

/// Requests that are refused: what each is answered with and its id.
async fn refused(api: &Running) -> Vec<(u16, &'static str, &'static str, String)> {
    let http = Client::new();
    let base = &api.base;
    let bad = json!({ "handle": TOKEN.repeat(3) });
    let sent = [
        (
            http.get(format!("{base}/bots/{TOKEN}")),
            "/bots/{bot}",
            "not-found",
        ),
        (
            http.get(format!("{base}/{TOKEN}")),
            "unmatched",
            "not-found",
        ),
        (
            http.get(format!("{base}/markets?{TOKEN}=1")),
            "/markets",
            "invalid-field",
        ),
        (
            http.post(format!("{base}/bots")).json(&bad),
            "/bots",
            "invalid-field",
        ),
        (
            http.put(format!("{base}/bots")),
            "/bots",
            "method-not-allowed",
        ),
        (
            http.get(format!("{base}/bots/me")).bearer_auth(TOKEN),
            "/bots/me",
            "unauthorized",
        ),
    ];
    let mut refused = Vec::new();
    for (request, route, problem) in sent {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap();
        refused.push((
            status,
            route,
            problem,
            told["request_id"].as_str().unwrap().to_owned(),
        ));
    }
    refused
}

#[tokio::test]
async fn every_refusal_is_found_by_its_id_and_no_line_has_what_was_sent() {
    let arena = Arena::new().await;
    let api = Running::start(&arena, &[("REQUEST_LOG_SAMPLE", "1000000")]).await;
    for (status, route, problem, id) in refused(&api).await {
        let line = eventually("the line is written", || async {
            let mut lines = api.lines().into_iter();
            lines.find(|line| line["request.id"] == id)
        })
        .await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["route"], route, "{line}");
        assert_eq!(line["problem"], problem, "{line}");
        assert!(
            line["milliseconds"].is_u64() && line["method"].is_string(),
            "{line}"
        );
    }
    for _ in 0..50 {
        reqwest::get(format!("{}/economy", api.base)).await.unwrap();
    }
    let lines = api.lines();
    let healthy = lines.iter().filter(|line| line["status"] == 200).count();
    assert!(healthy < 5, "{lines:?}");
    assert!(!api.text().contains(TOKEN), "{}", api.text());
}

#[tokio::test]
async fn which_requests_are_told_is_a_setting() {
    let arena = Arena::new().await;
    let all = Running::start(&arena, &[("REQUEST_LOG", "all")]).await;
    let answer = reqwest::get(format!("{}/economy?", all.base))
        .await
        .unwrap();
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let line = eventually("the line is written", || async {
        all.lines()
            .into_iter()
            .find(|line| line["request.id"] == id)
    })
    .await;
    assert_eq!(
        (&line["route"], &line["status"]),
        (&json!("/economy"), &json!(200)),
        "{line}"
    );
    assert!(line.get("problem").is_none_or(Value::is_null), "{line}");

    let off = Running::start(&arena, &[("REQUEST_LOG", "off")]).await;
    let ids = refused(&off).await;
    assert!(
        off.lines().is_empty() && !ids.is_empty(),
        "{:?}",
        off.lines()
    );
}
