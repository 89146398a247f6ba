#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod connection;
mod limits;
mod observations;
mod presence;
mod prices;
mod wake;

use std::future::Future;
use std::time::{Duration, Instant};

use cache::{Cache, CacheConfig};
use ledger_core::ObservationId;
use uuid::Uuid;

/// The Redis of this test run, started by `scripts/with-test-services`.
pub fn redis_url() -> String {
    std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL; run under scripts/with-test-services")
}

/// A cache with its own keys.
pub async fn own_cache() -> Cache {
    own_cache_and_namespace().await.0
}

pub async fn own_cache_and_namespace() -> (Cache, String) {
    let namespace = format!("cache-test-{}:", Uuid::new_v4());
    let config = CacheConfig { url: redis_url(), namespace: namespace.clone() };
    (Cache::connect(config).await.unwrap(), namespace)
}

/// A bare connection, for looking at what the cache wrote.
pub async fn raw() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis_url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

pub fn observation() -> ObservationId {
    ObservationId(Uuid::new_v4())
}

/// Polls until the condition holds, for at most ten seconds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
