use api_types::ProblemKind;
use secrecy::SecretString;
use serde_json::{Value, json};
use test_kit::{Arena, eventually};

use crate::service::{Answer, Service, wager};
use crate::way::Way;

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
    // A result is valid for a second.
    let readiness = eventually("the price is missed", || async {
        let readiness = service.get("/ready").await.json();
        (state(&readiness, "price") == "degraded").then_some(readiness)
    })
    .await;
    assert_eq!(readiness["status"], "ready");
}

#[tokio::test]
async fn another_schema_is_not_ready() {
    let service = Service::new().await;
    let owner = service.arena.owner_client().await;
    owner
        .execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')", &[])
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

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_health_stays() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.redis_url()).await;
    let service = Service::halted(arena, |config| config.redis.url = SecretString::from(url)).await;
    service.put_price("50000").await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    way.cut().await;

    let answer = service.act(&bot, &wager(&observation, "1")).await;
    let problem = answer.problem(ProblemKind::Unavailable);
    assert!(answer.header("retry-after").is_some());
    assert!(!problem.detail.to_lowercase().contains("redis"), "{problem:?}");
    let answer = service.get("/ready").await;
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), state(&readiness, "redis")), (503, "failed"));
    assert_eq!(state(&readiness, "postgres"), "ok");
    assert_eq!(service.get("/health").await.status.as_u16(), 200);
    // Requests without Redis still work.
    assert_eq!(service.get("/bots").await.status.as_u16(), 200);
}

#[tokio::test]
async fn without_postgres_the_answer_is_503_until_it_is_back() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.database_url()).await;
    let service =
        Service::halted(arena, |config| config.postgres.url = SecretString::from(url)).await;
    let cut = way.cut().await;

    let answer = service.get("/bots").await;
    answer.problem(ProblemKind::Unavailable);
    assert!(answer.header("retry-after").is_some());
    let answer = service.get("/ready").await;
    let readiness: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), state(&readiness, "postgres")), (503, "failed"));
    assert_eq!(service.get("/health").await.status.as_u16(), 200);

    let _mended = cut.mend().await;
    let service = &service;
    eventually("Postgres is found again", || async move {
        service.get("/bots").await.status.is_success().then_some(())
    })
    .await;
}
