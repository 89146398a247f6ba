//! What listeners cost the API: its memory with thousands that wait, and how long one event takes
//! to reach all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use ledger_core::prediction::PriceSource;
use system_tests::http::{Connection, request};
use system_tests::stack::{self, Running, free_port, memory_kib};
use test_kit::Arena;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::table::Table;
use crate::wager::settings;

const LISTENERS: usize = 5_000;
const MEMORY_MB: f64 = 100.0;
/// Longer than the time between two signs of life: buffers that these need are in use.
const SETTLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections opened at once.
const OPENING: usize = 64;

const SERVER_SENT: (&str, &[(&str, &str)]) = ("/events", &[]);
const WEBSOCKET: (&str, &[(&str, &str)]) = (
    "/ws/stream",
    &[
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ],
);

pub(crate) async fn bench(table: &mut Table) {
    listen(table, "Server-Sent Events", SERVER_SENT).await;
    listen(table, "WebSockets", WEBSOCKET).await;
}

async fn listen(table: &mut Table, name: &str, (path, headers): (&str, &[(&str, &str)])) {
    let arena = Arena::new().await;
    let port = free_port();
    let api = Running::service("api", &settings(&arena, port));
    stack::ready(port, Duration::from_secs(20)).await;
    let mut quiet = Connection::open(port).await;
    quiet.send(&request("GET", "/economy", &[], "")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = memory_kib(api.pid(), "VmRSS").unwrap();

    let handshake = request("GET", path, headers, "");
    let reached = Arc::new(AtomicUsize::new(0));
    let connecting = stream::iter(0..LISTENERS).map(|_| open(port, &handshake));
    let open: Vec<TcpStream> = connecting.buffer_unordered(OPENING).collect().await;
    let mut listeners = JoinSet::new();
    for connection in open {
        listeners.spawn(read(connection, Arc::clone(&reached)));
    }
    tokio::time::sleep(SETTLE).await;
    table.at_most(
        &format!("memory of {LISTENERS} idle listeners: {name}"),
        megabytes(memory_kib(api.pid(), "VmRSS").unwrap() - before),
        "MB",
        MEMORY_MB,
    );
    let told = Instant::now();
    arena.price("64000.00", PriceSource::Simulated, 0).await;
    while reached.load(Ordering::Relaxed) < LISTENERS {
        assert!(told.elapsed() < PATIENCE, "{reached:?} were reached");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "{name}: one event reached {LISTENERS} in {:.0} ms; {:.1} MB then",
        told.elapsed().as_secs_f64() * 1000.0,
        megabytes(memory_kib(api.pid(), "VmRSS").unwrap() - before),
    );
}

#[allow(clippy::as_conversions, clippy::cast_precision_loss)]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1_000_000.0
}

/// Opens a stream, past the head of the answer.
async fn open(port: u16, handshake: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    connection.write_all(handshake).await.unwrap();
    let mut head = vec![0; 1024];
    let read = connection.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 101"), "{head}");
    connection
}

/// Reads on, and counts itself when the event is there.
async fn read(mut connection: TcpStream, reached: Arc<AtomicUsize>) {
    let mut bytes = [0; 1024];
    loop {
        let read = connection.read(&mut bytes).await.unwrap();
        assert!(read > 0, "a listener was sent away");
        if bytes[..read].windows(8).any(|part| part == b"\"price\",") {
            reached.fetch_add(1, Ordering::Relaxed);
        }
    }
}
