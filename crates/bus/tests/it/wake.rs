use std::time::Duration;

use bus::EVENTS_CHANNEL;
use futures_util::StreamExt;

use crate::{own_bus, own_bus_and_namespace, redis_url};

#[tokio::test]
async fn a_wake_up_reaches_whoever_listens() {
    let (bus, namespace) = own_bus_and_namespace().await;
    let client = redis::Client::open(redis_url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener
        .subscribe(format!("{namespace}{EVENTS_CHANNEL}"))
        .await
        .unwrap();
    let mut messages = listener.on_message();
    for _ in 0..3 {
        bus.wake_soon();
        let heard = tokio::time::timeout(Duration::from_secs(10), messages.next()).await;
        assert!(heard.expect("a message within ten seconds").is_some());
    }
}

#[tokio::test]
async fn nobody_listening_is_no_error() {
    assert_eq!(own_bus().await.wake().await, Ok(0));
}
