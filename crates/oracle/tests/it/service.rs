//! The whole service in this process: it samples, shows how it is, and stops.

use daemon::config::Sources;
use daemon::health::CheckState;
use daemon::process::{EXIT_CONFIG, EXIT_UNAVAILABLE};
use daemon::shutdown::Shutdown;
use oracle::leadership::{Leadership, LeaseTimes};
use oracle::{Config, service};
use test_kit::servers::free_port;
use test_kit::{Arena, eventually};

use crate::support::cache;

fn config(arena: &Arena, more: &str) -> Config {
    // Another database of Redis: the service uses the key without a prefix.
    let redis_url = arena.redis_url();
    let (server, _) = redis_url.rsplit_once('/').unwrap();
    let text = format!(
        "DATABASE_URL={}\nREDIS_URL={server}/9\nENV=development\nPRICE_SOURCES=simulated:000102030405060708090a0b0c0d0e0f\n\
         ORACLE_INTERVAL_SECONDS=1\n{more}",
        arena.database_url()
    );
    Config::read(&Sources::from_parts(&text, [])).unwrap()
}

async fn sample_count(arena: &Arena) -> usize {
    db::prices::page(&mut *arena.conn().await, None, 100).await.unwrap().len()
}

#[tokio::test]
async fn it_works_shows_its_role_and_gives_the_lease_up() {
    let arena = Arena::new().await;
    let port = free_port();
    let shutdown = Shutdown::manual();
    let config = config(&arena, &format!("ORACLE_HEALTH_PORT={port}\n"));
    let watch = async {
        eventually("two prices are sampled", || async {
            (sample_count(&arena).await >= 2).then_some(())
        })
        .await;
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/ready")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body: serde_json::Value = answer.json().await.unwrap();
        shutdown.request();
        body
    };
    let (ended, body) = tokio::join!(service::run(config, shutdown.clone()), watch);
    ended.expect("an asked-for stop");
    assert_eq!(body["status"], "ready");
    let checks = body["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(of("role")["detail"], "active");
    for name in ["postgres", "schema", "redis", "price"] {
        assert_eq!(of(name)["state"], "ok", "{name}");
    }
    let expired: bool = arena
        .owner_client()
        .await
        .query_one("SELECT expires_at <= clock_timestamp() FROM leases WHERE name = 'oracle'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(expired, "the next oracle need not wait");
}

#[tokio::test]
async fn a_taken_health_port_stops_the_start() {
    let arena = Arena::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = config(&arena, &format!("ORACLE_HEALTH_PORT={port}\n"));
    let failure = service::run(config, Shutdown::manual()).await.unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains(&port.to_string()), "{failure}");
}

#[tokio::test]
async fn an_unmigrated_database_stops_the_start() {
    let arena = Arena::new().await;
    db::migrations::revert_all(&arena.owner_url()).await.unwrap();
    let failure = service::run(config(&arena, ""), Shutdown::manual()).await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_UNAVAILABLE, "{failure}");
    assert!(failure.to_string().contains("scripts/migrate"), "{failure}");
}

#[tokio::test]
async fn a_database_in_another_encoding_stops_the_start() {
    let arena = Arena::new().await;
    let (_, url) = test_kit::empty_database_in("LATIN1").await;
    let mut config = config(&arena, "");
    config.postgres.url = url.into();
    let failure = service::run(config, Shutdown::manual()).await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_CONFIG, "{failure}");
    for part in ["DATABASE_URL", "LATIN1", "UTF8"] {
        assert!(failure.to_string().contains(part), "{failure}");
    }
}

#[tokio::test]
async fn a_newer_schema_stops_the_start_and_shows_in_the_probe() {
    let arena = Arena::new().await;
    let sql = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    let owner = arena.owner_client().await;
    owner.batch_execute(sql).await.unwrap();
    let failure = service::run(config(&arena, ""), Shutdown::manual()).await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_CONFIG, "{failure}");
    assert!(failure.to_string().contains("DATABASE_URL"), "{failure}");

    let (leadership, contest) =
        Leadership::contend(arena.database().clone(), LeaseTimes::default());
    contest.withdraw().await;
    let checks =
        service::probe(arena.database().clone(), cache(&arena).await, leadership, 120).await;
    let schema = checks.iter().find(|check| check.name == "schema").unwrap();
    assert_eq!(schema.state, CheckState::Failed);
}

#[tokio::test]
async fn without_a_price_it_is_ready_but_degraded() {
    let arena = Arena::new().await;
    let (leadership, contest) =
        Leadership::contend(arena.database().clone(), LeaseTimes::default());
    contest.withdraw().await;
    let database = arena.database().clone();
    let checks = service::probe(database, cache(&arena).await, leadership, 120).await;
    let of = |name: &str| checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(of("price").state, CheckState::Degraded);
    assert_eq!(of("role").detail.as_deref(), Some("standby"));
    assert_eq!((of("postgres").state, of("redis").state), (CheckState::Ok, CheckState::Ok));
}

#[tokio::test]
async fn it_is_not_ready_while_postgres_or_redis_takes_no_writes() {
    let arena = Arena::new().await;
    let redis = test_kit::servers::RedisServer::start(&[]).await;
    let own = cache::CacheConfig { url: redis.url(), namespace: String::new() };
    let own = cache::Cache::connect(own).await.unwrap();
    let (leadership, _contest) =
        Leadership::contend(arena.database().clone(), LeaseTimes::default());
    let why = async |name: &str| {
        let database = arena.database().clone();
        let checks = service::probe(database, own.clone(), leadership.clone(), 120).await;
        let check = checks.into_iter().find(|check| check.name == name).unwrap();
        (check.state == CheckState::Failed).then(|| check.detail.unwrap())
    };
    assert_eq!((why("redis").await, why("postgres").await), (None, None));
    redis.command("REPLICAOF 127.0.0.1 1").await;
    let said = eventually("Redis is a replica", || why("redis")).await;
    assert!(said.contains("read-only replica"), "{said}");
    arena.refuse_writes(true).await;
    eventually("Postgres is read-only", || async {
        let said = why("postgres").await?;
        said.contains("default_transaction_read_only").then_some(())
    })
    .await;
    arena.refuse_writes(false).await;
    redis.command("REPLICAOF NO ONE").await;
    eventually("all is well", || async {
        (why("redis").await.is_none() && why("postgres").await.is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_set_aside_is_counted_anew_at_the_start() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let wrong = "UPDATE house_exposure SET reserved = 9.5";
    owner.batch_execute(wrong).await.unwrap();
    let shutdown = Shutdown::manual();
    let config = config(&arena, &format!("ORACLE_HEALTH_PORT={}\n", free_port()));
    let watch = async {
        eventually("the sum is right", || async {
            let seen = db::house::look(&*arena.conn().await).await.unwrap();
            (seen.reserved == 0).then_some(())
        })
        .await;
        shutdown.request();
    };
    let (ended, ()) = tokio::join!(service::run(config, shutdown.clone()), watch);
    ended.expect("an asked-for stop");
}
