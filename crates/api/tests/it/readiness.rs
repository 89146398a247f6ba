//! `/ready` while Postgres or Redis answers, and takes no writes.

use api_types::ProblemKind;
use secrecy::SecretString;
use serde_json::{Value, json};
use test_kit::servers::RedisServer;
use test_kit::{Arena, eventually};

use crate::service::Service;

/// Why this check fails, while it alone is why the service is not ready.
async fn why(service: &Service, name: &str) -> Option<String> {
    let answer = service.get("/ready").await;
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    let failed = readiness["checks"].as_array().unwrap().iter();
    let failed: Vec<&Value> = failed.filter(|check| check["state"] == "failed").collect();
    let [check] = failed[..] else { return None };
    assert_eq!(answer.status, 503);
    (check["name"] == name).then(|| check["detail"].as_str().unwrap().to_owned())
}

async fn is_ready(service: &Service) -> Option<()> {
    (service.get("/ready").await.status == 200).then_some(())
}

#[tokio::test]
async fn a_redis_that_refuses_writes_is_not_ready_and_says_why() {
    let redis = RedisServer::start(&["save 3600 1", "dbfilename snapshot"]).await;
    let url = redis.url();
    let arena = Arena::new().await;
    let service = Service::halted(arena, |config| config.redis.url = SecretString::from(url)).await;
    assert_eq!(is_ready(&service).await, Some(()));
    for (refuse, take, expected) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "replica"),
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
            "min-replicas-to-write",
        ),
    ] {
        redis.command(refuse).await;
        let said = eventually(refuse, || why(&service, "redis")).await;
        assert!(said.starts_with("Redis refuses writes: ") && said.contains(expected), "{said}");
        redis.command(take).await;
        eventually(take, || is_ready(&service)).await;
    }
    // It cannot write its snapshot where a folder is in the way, and takes no writes then.
    let in_the_way = redis.folder().join("snapshot");
    std::fs::create_dir(&in_the_way).unwrap();
    redis.said("BGSAVE").await.unwrap();
    let said = eventually("no snapshot", || why(&service, "redis")).await;
    assert!(said.contains("could not save"), "{said}");
    std::fs::remove_dir(&in_the_way).unwrap();
    redis.said("BGSAVE").await.unwrap();
    eventually("a snapshot", || is_ready(&service)).await;
}

#[tokio::test]
async fn a_postgres_that_takes_no_writes_is_not_ready_and_says_why() {
    let service = Service::new().await;
    let before = service.arena.ledger_entries().await;
    assert_eq!(is_ready(&service).await, Some(()));
    service.arena.refuse_writes(true).await;
    let said = eventually("it is read-only", || why(&service, "postgres")).await;
    assert!(said.contains("default_transaction_read_only"), "{said}");
    // Nobody's fault: it may be sent again later.
    for number in 0..10 {
        let body = json!({ "handle": format!("mia-{number}") });
        service.post("/bots", &body).await.problem(ProblemKind::Unavailable);
    }
    service.arena.refuse_writes(false).await;
    eventually("it takes writes", || is_ready(&service)).await;
    assert_eq!(service.arena.ledger_entries().await, before);
}
