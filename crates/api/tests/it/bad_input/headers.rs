//! Line ends where a header could begin.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::refused;
use crate::service::Service;
use crate::state::State;

#[tokio::test]
async fn no_input_becomes_a_header() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let before = State::of(&service.arena).await;
    let host = service.base.strip_prefix("http://").unwrap();
    let injected = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>";
    for path in [
        format!("/bots/{injected}"),
        format!("/markets/{injected}"),
        format!("/problems/{injected}"),
        format!("/bots?cursor={injected}"),
        format!("/{injected}"),
    ] {
        let answer = service.get(&path).await;
        refused(&answer, &bot, &path);
        assert_eq!(answer.header("set-cookie"), None);
    }
    // A header cannot contain a line end; the remaining cases are refused.
    for (name, value) in [
        ("X-Agent-Secret", "a\r\n b"),
        ("X-Agent-Secret", "a\nX-Operator: b"),
        ("Authorization", "Bearer a\0b"),
        ("Idempotency-Key", "a\rb"),
        ("X-Request-Id", "a\r\nSet-Cookie: a=b"),
    ] {
        let text = format!(
            "GET /bots/me HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok();
        assert!(answer.starts_with("HTTP/1.1 4"), "{name} {value:?}: {answer}");
        assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "headers");
}
