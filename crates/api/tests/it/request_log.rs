//! The lines that the program writes about requests, read back from its log.

use std::process::{Child, Command, Stdio};

use reqwest::Client;
use serde_json::{Value, json};
use test_kit::servers::free_port;
use test_kit::{Arena, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

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
        let running = Running { child, base: format!("http://127.0.0.1:{port}"), log };
        let health = format!("{}/health", running.base);
        eventually("the API answers", || async { reqwest::get(&health).await.ok() }).await;
        running
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// The lines about requests.
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["fields"]["message"] == "request" || line["message"] == "request")
            .map(|line| if line["fields"].is_object() { line["fields"].clone() } else { line })
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
        (http.get(format!("{base}/bots/{TOKEN}")), "/bots/{bot}", "not-found"),
        (http.get(format!("{base}/{TOKEN}")), "unmatched", "not-found"),
        (http.get(format!("{base}/markets?{TOKEN}=1")), "/markets", "invalid-field"),
        (http.post(format!("{base}/bots")).json(&bad), "/bots", "invalid-field"),
        (http.put(format!("{base}/bots")), "/bots", "method-not-allowed"),
        (http.get(format!("{base}/bots/me")).bearer_auth(TOKEN), "/bots/me", "unauthorized"),
    ];
    let mut refused = Vec::new();
    for (request, route, problem) in sent {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap();
        refused.push((status, route, problem, told["request_id"].as_str().unwrap().to_owned()));
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
        assert!(line["milliseconds"].is_u64() && line["method"].is_string(), "{line}");
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
    let answer = reqwest::get(format!("{}/economy?", all.base)).await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let line = eventually("the line is written", || async {
        all.lines().into_iter().find(|line| line["request.id"] == id)
    })
    .await;
    assert_eq!((&line["route"], &line["status"]), (&json!("/economy"), &json!(200)), "{line}");
    assert!(line.get("problem").is_none_or(Value::is_null), "{line}");

    let off = Running::start(&arena, &[("REQUEST_LOG", "off")]).await;
    let ids = refused(&off).await;
    assert!(off.lines().is_empty() && !ids.is_empty(), "{:?}", off.lines());
}

/// Could be a handle, so that it is looked up.
const SENT: &str = "lds_sent-by-mistake";

/// The problem of an answer that is 503, and the id of its request.
fn unavailable(status: u16, body: &str) -> String {
    assert_eq!(status, 503, "{body}");
    let told: Value = serde_json::from_str(body).unwrap();
    assert!(told["instance"].as_str().unwrap().contains(SENT));
    told["request_id"].as_str().unwrap().to_owned()
}

/// Asks while Postgres does not come to it.
async fn held_up(api: &Running) -> String {
    let answer = reqwest::get(format!("{}/bots/{SENT}", api.base)).await.unwrap();
    unavailable(answer.status().as_u16(), &answer.text().await.unwrap())
}

/// Sends a head, and never its body.
async fn given_up(api: &Running) -> String {
    let address = api.base.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /bots/{SENT}/revive HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 50\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset ends an answer as well.
    let _ = client.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    unavailable(status, body)
}

/// Even where no other request has a line.
#[tokio::test]
async fn what_fails_on_our_side_has_one_line_that_says_why_and_not_what_was_sent() {
    let arena = Arena::new().await;
    let api = Running::start(&arena, &[("REQUEST_LOG", "off")]).await;
    let owner = arena.owner_client().await;
    owner.batch_execute("BEGIN; LOCK TABLE bots IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (held_up, given_up) = tokio::join!(held_up(&api), given_up(&api));
    owner.batch_execute("COMMIT").await.unwrap();
    let metrics = reqwest::get(format!("{}/metrics", api.base)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (id, method, route) in
        [(held_up, "GET", "/bots/{bot}"), (given_up, "POST", "/bots/{bot}/revive")]
    {
        let line = eventually("the line is written", || async {
            let mut lines = api.lines().into_iter();
            lines.find(|line| line["request.id"] == id)
        })
        .await;
        assert_eq!((&line["status"], &line["route"]), (&json!(503), &json!(route)), "{line}");
        assert_eq!((&line["method"], &line["problem"]), (&json!(method), &json!("unavailable")));
        assert!(line["error"].as_str().is_some_and(|why| why.len() > 10), "{line}");
        let text = api.text();
        assert_eq!(text.lines().filter(|line| line.contains(&id)).count(), 1, "{text}");
        let counted = metrics.lines().any(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains(&format!("http_route=\"{route}\""))
                && line.contains("http_response_status_code=\"503\"")
        });
        assert!(counted, "{route} in {metrics}");
    }
    assert!(!api.text().contains(SENT), "{}", api.text());
}

#[tokio::test]
async fn what_no_limit_counts_does_not_fill_the_log() {
    let arena = Arena::new().await;
    let api = Running::start(&arena, &[("REQUEST_LOG", "errors")]).await;
    let (http, began) = (Client::new(), Instant::now());
    for _ in 0..150 {
        let url = format!("{}/economy", api.base);
        let stranger = http.get(&url).header("Host", "another.example");
        assert_eq!(stranger.send().await.unwrap().status(), 421);
        let long = http.get(format!("{url}?{}", "x".repeat(5_000)));
        assert_eq!(long.send().await.unwrap().status(), 414);
    }
    // Once a later one's line is there, so are all others.
    let last = http.get(format!("{}/no/such/path", api.base)).send().await.unwrap();
    let id = last.headers()["x-request-id"].to_str().unwrap().to_owned();
    eventually("the line is written", || async {
        let mut lines = api.lines().into_iter();
        lines.find(|line| line["request.id"] == id)
    })
    .await;
    let uncounted = |line: &&Value| [421, 414].iter().any(|status| line["status"] == *status);
    let lines = api.lines();
    let told = u64::try_from(lines.iter().filter(uncounted).count()).unwrap();
    // So many at once, and one more each second.
    let most = 60 + began.elapsed().as_secs() + 1;
    assert!((60..=most).contains(&told), "{told} of at most {most}");
}
