//! Checks whether a server answers, and its answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::address::authority;

/// A host that drops packets would delay a connection for minutes.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub(crate) async fn accepts(host: &str, port: u16) -> bool {
    let connecting = timeout(ANSWERS_WITHIN, TcpStream::connect((host, port)));
    matches!(connecting.await, Ok(Ok(_)))
}

/// The status of `/ready`; `None` without such an answer.
pub(crate) async fn ready(host: &str, port: u16) -> Option<u16> {
    let at = authority(host, port);
    let asking = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        let request = format!("GET /ready HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        // "HTTP/1.1 200"
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.ok()?;
        let code = line.strip_prefix(b"HTTP/1.1 ")?;
        std::str::from_utf8(code).ok()?.parse().ok()
    };
    timeout(ANSWERS_WITHIN, asking).await.ok().flatten()
}

/// Asks a Redis for a PING under its default user; the error is its answer, or empty where there is none.
pub(crate) async fn ping(port: u16, password: &str) -> Result<(), String> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        for words in [&["AUTH", password][..], &["PING"]] {
            stream.write_all(&command(words)).await.ok()?;
            let answer = line(&mut stream).await?;
            if !answer.starts_with('+') {
                return Some(answer);
            }
        }
        Some(String::new())
    };
    match timeout(ANSWERS_WITHIN, asking).await.ok().flatten() {
        Some(refusal) if refusal.is_empty() => Ok(()),
        Some(refusal) => Err(refusal),
        None => Err(String::new()),
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

async fn line(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < 1024 {
        match stream.read_u8().await.ok()? {
            b'\n' => break,
            byte => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
