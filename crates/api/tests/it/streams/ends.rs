//! The end of streams: with the service, or for a listener that does not read.

use std::time::{Duration, Instant};

use api_types::close_code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{in_time, number, write_events};
use crate::service::Service;

#[tokio::test]
async fn a_service_that_stops_lets_its_listeners_go_at_once() {
    let service = Service::new().await;
    let mut sse = service.listening().await;
    let mut ws = service.websocket("").await;
    write_events(&service.arena.owner_client().await, &[1]).await;
    assert_eq!(sse.event().await, Some(ws.event().await.unwrap()));
    let began = Instant::now();
    let arena = service.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(ws.event().await, Err(close_code::GOING_AWAY));
    let farewell = sse.block().await.unwrap();
    assert!(farewell.comment.unwrap().contains("stops"));
    assert!(sse.block().await.is_none());

    // A listener that reconnects to the next service continues where it was.
    write_events(&arena.owner_client().await, &[2]).await;
    let next = Service::halted(arena, |_| ()).await;
    let mut again = next.resume(&sse.last_id.unwrap()).await;
    assert_eq!(number(&again.event().await.unwrap()), 2);
}

/// A connection that announces little room and reads nothing.
async fn stuck(service: &Service, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = service.base.trim_start_matches("http://");
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 64];
    let read = in_time("an answer", stream.read(&mut head)).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

/// Whether the other end, which is in this process, still holds its side of the connection. A
/// reader that reads nothing does not learn of it otherwise.
fn has_peer(stream: &TcpStream) -> bool {
    let [near, far] = [stream.local_addr(), stream.peer_addr()].map(|at| at.unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (near, far) = (format!(":{near:04X} "), format!(":{far:04X} "));
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let mut ends_with =
            |port: &str| words.next().is_some_and(|word| format!("{word} ").ends_with(port));
        ends_with(&far) && ends_with(&near)
    })
}

const SERVER_SENT: &str = "GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n";
const WEBSOCKET: &str = "GET /ws/stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
                         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off_and_the_others_go_on() {
    let service = Service::with(|config| config.connections.stall = Duration::from_secs(1)).await;
    let mut quick = service.listening().await;
    let stuck = [stuck(&service, SERVER_SENT).await, stuck(&service, WEBSOCKET).await];
    assert!(stuck.iter().all(has_peer));
    let owner = service.arena.owner_client().await;
    // Far more than the buffers between hold.
    let fill = "INSERT INTO events (kind, data) \
                SELECT 'price', jsonb_build_object('n', n, 'filling', repeat('x', 2000)) \
                  FROM generate_series(1, 5000) AS n";
    owner.batch_execute(fill).await.unwrap();
    for expected in 1..=5_000 {
        assert_eq!(number(&quick.event().await.unwrap()), expected);
    }
    for stream in &stuck {
        test_kit::eventually("the connection is cut", || async {
            (!has_peer(stream)).then_some(())
        })
        .await;
    }
    write_events(&owner, &[6_000]).await;
    assert_eq!(number(&quick.event().await.unwrap()), 6_000);
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let service = Service::with(|config| {
        config.streams.keep_alive = Duration::from_millis(50);
    })
    .await;
    let mut silent = stuck(&service, WEBSOCKET).await;
    let mut rest = Vec::new();
    in_time("the end", silent.read_to_end(&mut rest)).await.unwrap();
    // Pings, and at last a close frame: 1013, with a reason.
    let close = rest.windows(4).position(|part| {
        let [opcode, _, high, low] = part else {
            return false;
        };
        *opcode == 0x88 && [*high, *low] == 1013_u16.to_be_bytes()
    });
    assert!(close.is_some(), "{rest:?}");
}
