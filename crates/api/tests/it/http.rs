//! Clients that are slow, greedy or ambiguous.

use std::time::Duration;

use api_types::{Problem, ProblemKind};
use daemon::config::{Reader, Sources};
use daemon::hosts::Hosts;
use test_kit::{PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::service::Service;

async fn open(service: &Service) -> TcpStream {
    let address = service.base.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// The answer to these bytes until the server closes.
async fn answered(service: &Service, request: &str) -> String {
    let mut client = open(service).await;
    client.write_all(request.as_bytes()).await.unwrap();
    rest(&mut client).await
}

async fn rest(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset ends an answer as well.
    let _ = timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

#[track_caller]
fn is_problem(answer: &str, kind: ProblemKind, case: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = kind.facts().status;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {head}");
    let problem: Problem = serde_json::from_str(body).unwrap();
    assert_eq!(problem.kind(), Some(kind), "{case}: {body}");
}

#[tokio::test]
async fn what_is_more_than_an_agent_needs_is_refused_as_a_problem() {
    let service = Service::new().await;
    let long = format!("/bots?cursor={}", "x".repeat(5_000));
    let many: String = (0..70).map(|at| format!("X-{at}: y\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "y".repeat(20_000));
    for (request, kind) in [
        (get(&long, ""), ProblemKind::UriTooLong),
        (get("/bots", &many), ProblemKind::HeadersTooLarge),
        (get("/bots", &large), ProblemKind::HeadersTooLarge),
        (get("/bots", "Content-Length: 65537\r\n"), ProblemKind::PayloadTooLarge),
    ] {
        let case = request.chars().take(30).collect::<String>();
        is_problem(&answered(&service, &request).await, kind, &case);
    }
    let fits = format!("/?x={}", "x".repeat(4_000));
    let answer = answered(&service, &get(&fits, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let service = Service::new().await;
    for twice in [
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "X-Agent-Secret: a\r\nX-Agent-Secret: b\r\n",
        "Idempotency-Key: a\r\nidempotency-key: a\r\n",
        "X-Operator: a\r\nX-Operator: b\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    ] {
        let answer = answered(&service, &get("/bots", twice)).await;
        is_problem(&answer, ProblemKind::MalformedRequest, twice);
    }
    for target in ["*", "x:80"] {
        let method = if target == "*" { "OPTIONS" } else { "CONNECT" };
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = answered(&service, &request).await;
        is_problem(&answer, ProblemKind::MalformedRequest, target);
    }
    for host in ["a b", "x/y", "me@x", "x:y:z"] {
        let request = format!("GET /bots HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = answered(&service, &request).await;
        is_problem(&answer, ProblemKind::MalformedRequest, host);
    }
    // Servers must take the absolute form (RFC 9112, 3.2.2).
    let answer = answered(&service, &get("http://localhost/economy", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A page elsewhere can have its own name lead to a loopback arena (DNS rebinding). The browser treats the answer
/// as the page's own, but sends the name in each request.
#[tokio::test]
async fn what_is_asked_under_another_name_is_refused() {
    let service = Service::with(|config| {
        let settings = Sources::from_parts("PUBLIC_HOSTS=arena.example\n", []);
        config.hosts = Hosts::read(&mut Reader::new(&settings));
    })
    .await;
    let address = service.base.trim_start_matches("http://");
    let ask = |head: &str, host: &str| {
        format!("{head}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    };
    for path in ["/economy", "/metrics", "/", "/openapi.json", "/nowhere"] {
        for own in [address, "localhost:8000", "[::1]", "arena.example", "Arena.Example.:443"] {
            let head = format!("GET {path} HTTP/1.1");
            let answer = answered(&service, &ask(&head, own)).await;
            assert!(!answer.starts_with("HTTP/1.1 421"), "{path} {own}: {answer}");
        }
        for other in [
            "evil.example",
            "evil.example:8000",
            "0.0.0.0:8000",
            "192.0.2.9",
            "localhost.evil.example",
        ] {
            let head = format!("GET {path} HTTP/1.1");
            let answer = answered(&service, &ask(&head, other)).await;
            is_problem(&answer, ProblemKind::UnknownHost, path);
            assert!(!answer.contains("evil.example"), "{answer}");
        }
        let absolute = format!("GET http://evil.example{path} HTTP/1.1");
        let answer = answered(&service, &ask(&absolute, "localhost")).await;
        is_problem(&answer, ProblemKind::UnknownHost, path);
        let silent = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = answered(&service, &silent).await;
        assert!(answer.contains("malformed-request"), "{path}: {answer}");
    }
    for (method, path) in
        [("POST", "/bots"), ("POST", "/auth/token"), ("GET", "/ws/stream"), ("GET", "/events")]
    {
        let answer =
            answered(&service, &ask(&format!("{method} {path} HTTP/1.1"), "evil.example")).await;
        is_problem(&answer, ProblemKind::UnknownHost, path);
    }
    // Balancers and supervisors have names and addresses of their own for it.
    for path in ["/health", "/ready"] {
        let answer =
            answered(&service, &ask(&format!("GET {path} HTTP/1.1"), "10.1.2.3:8000")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_connection_closed() {
    let service = Service::new().await;
    for request in [
        "GET /bots HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        get("/bots", "Host: localhost\r\n"),
        get("/bots", "X-Odd: a\rb\r\n"),
        get("/bots", "X-Odd: a\0b\r\n"),
        get("/bots", "X Odd: a\r\n"),
        get("/bots", "Content-Length: 1\r\nContent-Length: 2\r\n"),
        get("/bots", "Content-Length: -1\r\n"),
        get("/bots", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        "GET /bots HTTP/9.9\r\nHost: localhost\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let answer = answered(&service, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    let endless = get("/bots", &format!("X-Endless: {}", "y".repeat(200_000)));
    let answer = answered(&service, &endless).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn what_follows_a_line_break_in_a_value_is_no_header_of_ours() {
    let service = Service::new().await;
    let target = "/bots/x%0d%0aSet-Cookie:%20a=b";
    let answer = answered(&service, &get(target, "")).await;
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let service = Service::new().await;
    let mut client = open(&service).await;
    client.write_all(b"GET /bots HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answers_is_cut_off() {
    let service =
        Service::with(|config| config.connections.stall = Duration::from_millis(500)).await;
    let client = open(&service).await;
    let request = "GET /economy HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    // It sends requests and never reads, until every buffer is full and the server disconnects.
    let client = &client;
    let request = request.as_bytes();
    eventually("the server hangs up", || async move {
        match client.try_write(request) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Some(()),
            _ => None,
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let service = Service::with(|config| config.connections.per_address = Some(3)).await;
    let service = &service;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = open(service).await;
        client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(client);
    }
    let mut fourth = open(service).await;
    let _ = fourth.write_all(get("/health", "").as_bytes()).await;
    assert_eq!(rest(&mut fourth).await, "");
    drop(held.pop());
    eventually("there is room for another", || async move {
        let mut client = open(service).await;
        client.write_all(get("/health", "").as_bytes()).await.ok()?;
        rest(&mut client).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}
