use std::net::SocketAddr;
use std::time::Duration;

use daemon::health::{Check, CheckState, HealthServer, Readiness, ReadinessStatus, look, serve};
use daemon::hosts::Hosts;
use daemon::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const DEADLINE: Duration = Duration::from_secs(10);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}

async fn ask(server: &HealthServer, method: &str, path: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    exchange(server.local_addr(), &request).await
}

async fn exchange(address: SocketAddr, request: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

async fn server_with(checks: Vec<Check>) -> (HealthServer, Shutdown) {
    let shutdown = Shutdown::manual();
    let probe = move || {
        let checks = checks.clone();
        async move { checks }
    };
    (serve(ANY_PORT, Hosts::default(), "ticker", probe, shutdown.clone()).await.unwrap(), shutdown)
}

#[tokio::test]
async fn health_is_ok_and_asks_nobody() {
    let probe = || async { panic!("health must not ask the probe") };
    let server =
        serve(ANY_PORT, Hosts::default(), "ticker", probe, Shutdown::manual()).await.unwrap();
    let answer = ask(&server, "GET", "/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"status":"ok"}"#);
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.contains("cache-control: no-store"));
    assert!(answer.head.contains("connection: close"));
}

#[tokio::test]
async fn ready_names_each_check() {
    let checks = vec![Check::ok("postgres"), Check::degraded("price", "91 s old")];
    let (server, _shutdown) = server_with(checks).await;
    let answer = ask(&server, "GET", "/ready").await;
    assert_eq!(answer.status, 200, "a degraded check does not fail readiness");
    assert_eq!(
        answer.json(),
        serde_json::json!({"status": "ready", "checks": [
            {"name": "postgres", "state": "ok"},
            {"name": "price", "state": "degraded", "detail": "91 s old"},
        ]})
    );
}

#[tokio::test]
async fn one_failed_check_makes_it_unavailable() {
    let checks = vec![Check::ok("postgres"), Check::failed("redis", "no answer to PING")];
    let (server, _shutdown) = server_with(checks).await;
    let answer = ask(&server, "GET", "/ready").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "unavailable");
    assert_eq!(answer.json()["checks"][1]["state"], "failed");
    assert_eq!(ask(&server, "GET", "/health").await.status, 200, "alive all the same");
}

#[tokio::test]
async fn a_probe_that_panics_or_hangs_is_a_failed_check() {
    let shutdown = Shutdown::manual();
    let panics = serve(
        ANY_PORT,
        Hosts::default(),
        "ticker",
        || async { panic!("broken") },
        shutdown.clone(),
    );
    let hangs = serve(
        ANY_PORT,
        Hosts::default(),
        "ticker",
        std::future::pending::<Vec<Check>>,
        shutdown.clone(),
    );
    for server in [panics.await.unwrap(), hangs.await.unwrap()] {
        let answer = ask(&server, "GET", "/ready").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["checks"][0]["name"], "probe");
    }
}

#[tokio::test]
async fn other_paths_are_404_and_other_methods_405() {
    let (server, _shutdown) = server_with(vec![]).await;
    for path in ["/", "/healthz", "/health/", "/metrics/", "/ready/x"] {
        assert_eq!(ask(&server, "GET", path).await.status, 404, "{path}");
    }
    let answer = ask(&server, "POST", "/health").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head"));
    assert_eq!(ask(&server, "GET", "/ready?verbose").await.status, 200);
    let head = ask(&server, "HEAD", "/ready").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_shutdown_stops_it() {
    let (server, shutdown) = server_with(vec![]).await;
    let address = server.local_addr();
    shutdown.request();
    tokio::time::timeout(DEADLINE, server.stopped()).await.expect("it stops");
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let (server, _shutdown) = server_with(vec![]).await;
    let address = server.local_addr();
    let error = serve(address, Hosts::default(), "oracle", || async { vec![] }, Shutdown::manual())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn readiness_follows_from_the_checks() {
    let status = |checks: Vec<Check>| Readiness::from(checks).status;
    assert_eq!(status(vec![]), ReadinessStatus::Ready);
    assert_eq!(status(vec![Check::degraded("a", "b")]), ReadinessStatus::Ready);
    assert_eq!(status(vec![Check::ok("a"), Check::failed("b", "c")]), ReadinessStatus::Unavailable);
    assert_eq!(Check::ok("a").state, CheckState::Ok);
}

#[tokio::test]
async fn metrics_tell_of_the_process_and_of_its_checks() {
    let checks = vec![
        Check::ok("sound"),
        Check::degraded("shaky", "it is old"),
        Check::failed("broken", "it is gone"),
    ];
    let (server, _shutdown) = server_with(checks).await;
    let answer = ask(&server, "GET", "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"));
    for line in [
        "arena_check_ok{check=\"sound\"} 1",
        "arena_check_ok{check=\"shaky\"} 1",
        "arena_check_ok{check=\"broken\"} 0",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(answer.body.contains(line), "{line}: {}", answer.body);
    }
}

/// A page elsewhere can have its own name lead here; its name stays in the request.
#[tokio::test]
async fn metrics_are_not_told_under_a_name_of_somebody_else() {
    let (server, _shutdown) = server_with(vec![Check::ok("sound")]).await;
    let address = server.local_addr();
    for (head, status) in [
        (format!("GET /metrics HTTP/1.1\r\nHost: {address}"), 200),
        ("GET /metrics HTTP/1.1\r\nHost: localhost:8001".to_owned(), 200),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example:8001".to_owned(), 421),
        ("GET /metrics HTTP/1.0".to_owned(), 421),
        ("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost".to_owned(), 421),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example".to_owned(), 421),
        // Balancers use any address.
        ("GET /ready HTTP/1.1\r\nHost: evil.example".to_owned(), 200),
        ("GET /health HTTP/1.0".to_owned(), 200),
    ] {
        let answer = exchange(address, &format!("{head}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{head}");
        assert_eq!(
            answer.body.contains("arena_check_ok"),
            status == 200 && head.contains("/metrics")
        );
    }
}

#[tokio::test]
async fn whoever_asks_how_often_the_probe_is_asked_once_a_second_at_most() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let asked = Arc::new(AtomicUsize::new(0));
    let probe = {
        let asked = Arc::clone(&asked);
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { vec![Check::ok("postgres")] }
        }
    };
    let server =
        serve(ANY_PORT, Hosts::default(), "ticker", probe, Shutdown::manual()).await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(ask(&server, "GET", "/ready").await.status, 200);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(asked.load(Ordering::SeqCst) <= seconds + 1);
}

#[tokio::test]
async fn whoever_asks_is_not_shown_what_a_dependency_said() {
    let refused = || async { Err::<(), _>("no password for role arena at 10.0.0.7") };
    let hidden = look("Postgres", refused(), |_| None).await;
    assert_eq!(
        Check::of("postgres", hidden),
        Check::failed("postgres", "Postgres does not answer; see the log")
    );
    let fixed = look("Postgres", refused(), |_| Some("takes no writes".to_owned())).await;
    assert_eq!(fixed, Err("takes no writes".to_owned()));
    let well = look("Postgres", async { Ok::<_, String>(7) }, |_| None).await;
    assert_eq!(well, Ok(7));
}
