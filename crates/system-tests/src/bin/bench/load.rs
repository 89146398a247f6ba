//! Load over HTTP: several clients at once, each on a connection that is kept alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use system_tests::http::Connection;
use tokio::sync::Barrier;

/// Requests a second of so many clients who ask for the same without pause.
pub(crate) async fn rate(port: u16, request: &[u8], clients: usize, window: Duration) -> f64 {
    let request: Arc<[u8]> = request.into();
    let start = Arc::new(Barrier::new(clients + 1));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (request, start) = (Arc::clone(&request), Arc::clone(&start));
        asking.spawn(async move {
            let mut connection = Connection::open(port).await;
            start.wait().await;
            let until = Instant::now() + window;
            let mut answers = 0_u32;
            while Instant::now() < until {
                let answer = connection.send(&request).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                answers += 1;
            }
            answers
        });
    }
    start.wait().await;
    let began = Instant::now();
    let mut answers = 0.0;
    while let Some(client) = asking.join_next().await {
        answers += f64::from(client.unwrap());
    }
    answers / began.elapsed().as_secs_f64()
}

/// Milliseconds of each of `count` requests, one after the other, a pause between them.
pub(crate) async fn latencies(
    port: u16,
    request: &[u8],
    count: usize,
    pause: Duration,
) -> Vec<f64> {
    let mut connection = Connection::open(port).await;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let answer = connection.send(request).await;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    took
}
