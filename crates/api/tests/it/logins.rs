//! Floods of logins, and logins that still succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_types::Registration;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::service::{Answer, Service};

/// More than there are places.
const CLIENTS: usize = 100;

async fn login(base: &str, http: &Client, from: &str, body: &Value) -> Answer {
    let request = http.post(format!("{base}/auth/token"));
    Answer::of(request.header("X-Forwarded-For", from).json(body)).await
}

fn key_of(bot: &Registration) -> Value {
    json!({ "handle": bot.handle, "api_key": bot.api_key })
}

/// A bot whose key costs what keys cost: those of the kit are hashed cheaply.
async fn registered(service: &Service, handle: &str) -> Registration {
    service.post("/bots", &json!({ "handle": handle })).await.ok()
}

/// Wrong keys for one bot, again and again, until it is dropped.
struct Flood {
    _clients: JoinSet<()>,
    turned_away: Arc<AtomicUsize>,
}

impl Flood {
    async fn begin(service: &Service, bot: &Registration, from: fn(usize) -> String) -> Flood {
        let body = json!({ "handle": bot.handle, "api_key": "ldk_wrong" });
        let (asked, turned_away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (base, http, body) = (service.base.clone(), Client::new(), body.clone());
            let (asked, turned_away) = (Arc::clone(&asked), Arc::clone(&turned_away));
            clients.spawn(async move {
                loop {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    let answer = login(&base, &http, &from(number), &body).await;
                    if answer.status == 429 {
                        turned_away.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let flood = Flood { _clients: clients, turned_away };
        let deadline = Instant::now() + Duration::from_secs(30);
        while flood.turned_away.load(Ordering::Relaxed) < 2 * CLIENTS {
            assert!(Instant::now() < deadline, "the queue never fills");
            sleep(Duration::from_millis(10)).await;
        }
        flood
    }
}

async fn behind_a_proxy() -> Service {
    Service::with(|config| config.proxies.trusted = "127.0.0.1".parse().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_place_keeps_nobody_out() {
    let service = behind_a_proxy().await;
    let victim = registered(&service, "Mia").await;
    let other = registered(&service, "Max").await;
    let floods: [fn(usize) -> String; 2] = [
        |_| "203.0.113.7".to_owned(),
        // Each time another /64 of one /48.
        |number| format!("2001:db8:1:{:x}::1", number % 0x10000),
    ];
    for from in floods {
        let _flood = Flood::begin(&service, &victim, from).await;
        for (bot, from) in
            [(&victim, "198.51.100.1"), (&other, "198.51.100.2"), (&other, "2001:db8:2::1")]
        {
            let answer = login(&service.base, &service.http, from, &key_of(bot)).await;
            assert_eq!(answer.status, 200, "{from}: {}", answer.text());
        }
    }
}

/// With as many addresses as there are places a flood takes all unreserved places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_everywhere_keeps_no_bot_out_that_proved_itself_lately() {
    let service = behind_a_proxy().await;
    let victim = registered(&service, "Mia").await;
    let first = login(&service.base, &service.http, "192.0.2.1", &key_of(&victim)).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let _flood = Flood::begin(&service, &victim, |number| {
        format!("10.{}.{}.1", number / 256 % 256, number % 256)
    })
    .await;
    // From wherever it comes.
    for from in ["192.0.2.1", "198.51.100.1", "2001:db8:2::1"] {
        let answer = login(&service.base, &service.http, from, &key_of(&victim)).await;
        assert_eq!(answer.status, 200, "{from}: {}", answer.text());
    }
    // And its keys can be changed.
    let request = service
        .request(Method::POST, &format!("/bots/{}/keys", victim.id))
        .header("X-Agent-Secret", victim.api_secret.expose());
    assert_eq!(Answer::of(request).await.status, 200);
}
