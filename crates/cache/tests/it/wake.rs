use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{Cache, CacheConfig, EVENTS_CHANNEL};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{own_cache, own_cache_and_namespace, redis_url};

#[tokio::test]
async fn a_wake_up_reaches_whoever_listens() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let client = redis::Client::open(redis_url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener.subscribe(format!("{namespace}{EVENTS_CHANNEL}")).await.unwrap();
    let mut messages = listener.on_message();
    for _ in 0..3 {
        cache.wake_soon();
        let heard = tokio::time::timeout(Duration::from_secs(10), messages.next()).await;
        assert!(heard.expect("a message within ten seconds").is_some());
    }
}

#[tokio::test]
async fn nobody_listening_is_no_error() {
    assert_eq!(own_cache().await.wake().await, Ok(0));
}

#[tokio::test]
async fn a_wake_up_is_heard_and_many_at_once_are_one() {
    let cache = own_cache().await;
    let wake_ups = cache.wake_ups();
    // The first shows that it listens.
    heard(&wake_ups).await;
    for _ in 0..3 {
        assert_eq!(cache.wake().await, Ok(1));
        heard(&wake_ups).await;
    }
}

#[tokio::test]
async fn a_listener_comes_back_after_its_connection_was_cut() {
    let (direct, namespace) = own_cache_and_namespace().await;
    let proxy = Proxy::start().await;
    let through = CacheConfig { url: proxy.url.clone(), namespace };
    let wake_ups = Cache::connect(through).await.unwrap().wake_ups();
    heard(&wake_ups).await;
    proxy.cut();
    crate::eventually("the connection is cut", async || direct.wake().await == Ok(0)).await;
    // That it listens again is a wake-up too: something may have come in between.
    heard(&wake_ups).await;
    assert_eq!(direct.wake().await, Ok(1));
    heard(&wake_ups).await;
}

/// A way to the test's Redis that can be cut.
struct Proxy {
    url: String,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Proxy {
    async fn start() -> Proxy {
        let (start, address) = redis_url()
            .rsplit_once('@')
            .map(|(start, address)| (start.to_owned(), address.to_owned()))
            .unwrap();
        let (address, database) = address.split_once('/').unwrap_or((&address, ""));
        let address = address.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{start}@{}/{database}", listener.local_addr().unwrap());
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let address = address.clone();
                accepted.lock().unwrap().spawn(async move {
                    let mut far = TcpStream::connect(address).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Proxy { url, connections }
    }

    fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

#[tokio::test]
async fn nobody_listens_once_the_listener_is_gone() {
    let cache = own_cache().await;
    let wake_ups = cache.wake_ups();
    heard(&wake_ups).await;
    drop(wake_ups);
    crate::eventually("it is gone", async || cache.wake().await == Ok(0)).await;
}

async fn heard(wake_ups: &cache::WakeUps) {
    tokio::time::timeout(Duration::from_secs(10), wake_ups.next())
        .await
        .expect("a wake-up within ten seconds");
}
