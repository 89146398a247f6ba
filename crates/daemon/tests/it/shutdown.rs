use std::time::{Duration, Instant};

use daemon::shutdown::{Shutdown, Wake};

const LONG: Duration = Duration::from_secs(600);
const PROMPT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_sleep_without_a_request_lasts_its_time() {
    let shutdown = Shutdown::manual();
    let began = Instant::now();
    assert_eq!(shutdown.sleep(Duration::from_millis(30)).await, Wake::Elapsed);
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert!(!shutdown.is_requested());
}

#[tokio::test]
async fn a_request_wakes_every_sleeper_within_a_second() {
    let shutdown = Shutdown::manual();
    let sleepers: Vec<_> = (0..4)
        .map(|_| {
            let shutdown = shutdown.clone();
            tokio::spawn(async move { shutdown.sleep(LONG).await })
        })
        .collect();
    tokio::task::yield_now().await;

    let began = Instant::now();
    shutdown.request();
    for sleeper in sleepers {
        assert_eq!(sleeper.await.unwrap(), Wake::ShutdownRequested);
    }
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn after_a_request_nobody_sleeps_any_more() {
    let shutdown = Shutdown::manual();
    shutdown.request();
    let began = Instant::now();
    assert_eq!(shutdown.sleep(LONG).await, Wake::ShutdownRequested);
    assert_eq!(shutdown.sleep(Duration::ZERO).await, Wake::ShutdownRequested);
    shutdown.wait().await;
    assert!(shutdown.is_requested());
    assert!(began.elapsed() < PROMPT);
}
