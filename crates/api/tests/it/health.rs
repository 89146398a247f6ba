use std::net::SocketAddr;

use api_types::ProblemKind;
use secrecy::SecretString;
use serde_json::{Value, json};
use test_kit::{Arena, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::service::{Answer, Service, wager};

#[tokio::test]
async fn health_is_a_word() {
    let service = Service::new().await;
    let answer = service.get("/health").await;
    assert_eq!(answer.json(), json!({ "status": "ok" }));
    let head = Answer::of(service.request(reqwest::Method::HEAD, "/health")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

fn state<'a>(readiness: &'a Value, name: &str) -> &'a str {
    let checks = readiness["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    check["state"].as_str().unwrap()
}

#[tokio::test]
async fn ready_names_what_it_depends_on_and_a_stale_price_only_degrades_it() {
    let service = Service::new().await;
    let readiness = service.get("/ready").await.json();
    assert_eq!(readiness["status"], "ready");
    for name in ["postgres", "redis", "schema", "price"] {
        assert_eq!(state(&readiness, name), "ok", "{name}");
    }
    service.take_price_away().await;
    let readiness = service.get("/ready").await.json();
    assert_eq!(
        (readiness["status"].as_str(), state(&readiness, "price")),
        (Some("ready"), "degraded")
    );
}

#[tokio::test]
async fn another_schema_is_not_ready() {
    let service = Service::new().await;
    let owner = service.arena.owner_client().await;
    owner
        .execute(
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')",
            &[],
        )
        .await
        .unwrap();
    let answer = service.get("/ready").await;
    assert_eq!(answer.status.as_u16(), 503);
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (readiness["status"].as_str(), state(&readiness, "schema")),
        (Some("unavailable"), "failed")
    );
    assert_eq!(state(&readiness, "postgres"), "ok");
}

/// A way to a server that can be cut.
struct Way {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    async fn to(server: String) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            // Dropped with the task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((mut inner, _)) = listener.accept().await {
                let mut outer = TcpStream::connect(&server).await.unwrap();
                connections.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        Way { address, task }
    }

    /// The URL with this way's address in place of the server's; the part after the credentials
    /// and before the path is the address.
    async fn instead(url: &str) -> (Way, String) {
        let (credentials, rest) = url.split_once('@').expect("credentials in the URL");
        let (server, path) = rest.split_once('/').expect("a path in the URL");
        let way = Way::to(server.to_owned()).await;
        let url = format!("{credentials}@{}/{path}", way.address);
        (way, url)
    }

    async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_health_stays() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.redis_url()).await;
    let service = Service::halted(arena, |config| config.redis_url = SecretString::from(url)).await;
    service.put_price("50000").await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    way.cut().await;

    let answer = service.act(&bot, &wager(&observation, "1")).await;
    let problem = answer.problem(ProblemKind::Unavailable);
    assert!(answer.header("retry-after").is_some());
    assert!(
        !problem.detail.to_lowercase().contains("redis"),
        "{problem:?}"
    );
    let answer = service.get("/ready").await;
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status.as_u16(), state(&readiness, "redis")),
        (503, "failed")
    );
    assert_eq!(state(&readiness, "postgres"), "ok");
    assert_eq!(service.get("/health").await.status.as_u16(), 200);
    // What needs no Redis goes on.
    assert_eq!(service.get("/bots").await.status.as_u16(), 200);
}

#[tokio::test]
async fn without_postgres_the_answer_is_503_until_it_is_back() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.database_url()).await;
    let service = Service::halted(arena, |config| {
        config.database_url = SecretString::from(url)
    })
    .await;
    let address = way.address;
    let server = service.arena.database_url();
    let server = server
        .split_once('@')
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0
        .to_owned();
    way.cut().await;

    let answer = service.get("/bots").await;
    answer.problem(ProblemKind::Unavailable);
    assert!(answer.header("retry-after").is_some());
    let answer = service.get("/ready").await;
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (answer.status.as_u16(), state(&readiness, "postgres")),
        (503, "failed")
    );
    assert_eq!(service.get("/health").await.status.as_u16(), 200);

    let listener = TcpListener::bind(address).await.unwrap();
    let mended = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut inner, _)) = listener.accept().await {
            let mut outer = TcpStream::connect(&server).await.unwrap();
            connections.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
            });
        }
    });
    let service = &service;
    eventually("Postgres is found again", || async move {
        service.get("/bots").await.status.is_success().then_some(())
    })
    .await;
    mended.abort();
}
