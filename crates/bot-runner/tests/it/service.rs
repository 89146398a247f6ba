//! The whole service, from its settings to its stop.

use std::net::{Ipv4Addr, TcpListener};

use bot_runner::runner::Pace;
use bot_runner::service;
use daemon::process::{EXIT_CONFIG, EXIT_UNAVAILABLE};
use daemon::shutdown::Shutdown;
use db::schedules;
use test_kit::{Arena, eventually};

use crate::arena::StubArena;
use crate::config::{DEVELOPMENT, KEYS, PERSONA, home, read};

#[tokio::test]
async fn an_unreachable_postgres_is_told_apart() {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let config = read(home.path(), DEVELOPMENT).unwrap();
    let failure = service::run(config, Pace::default(), Shutdown::manual()).await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_UNAVAILABLE);
    let text = failure.to_string();
    assert!(text.contains("Postgres at 127.0.0.1:1"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// Settings for a real Postgres and a stub arena.
async fn settings(arena: &Arena, stub: &StubArena, health_port: u16) -> String {
    format!(
        "ENV=development\nDATABASE_URL={}\nAPI_URL={}\nBOT_RUNNER_HEALTH_PORT={health_port}",
        arena.database_url(),
        stub.stub.config().base_url,
    )
}

#[tokio::test]
async fn it_runs_from_its_settings_to_an_asked_for_stop() {
    let arena = Arena::new().await;
    let bot = arena.bot().hosted().create().await;
    let stub = StubArena::start(bot.id.0).await;
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot.id, 0).await.unwrap();
    let home = home(&[("mia.yaml", PERSONA), ("bad.yaml", "handle: 1")], Some(KEYS));
    let config = read(home.path(), &settings(&arena, &stub, 0).await).unwrap();
    let shutdown = Shutdown::manual();
    let stop = async {
        eventually("the mock model has led to an action", || async { stub.actions().pop() }).await;
        shutdown.request();
    };
    let (result, ()) = tokio::join!(service::run(config, Pace::default(), shutdown.clone()), stop);
    result.unwrap();
    assert_eq!(stub.actions()[0]["usage"]["provider"], "mock");
}

#[tokio::test]
async fn a_schema_of_another_version_stops_the_start() {
    let arena = Arena::new().await;
    let stub = StubArena::start(1).await;
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let settings = settings(&arena, &stub, 0).await;
    let sql = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    let owner = arena.owner_client().await;
    owner.batch_execute(sql).await.unwrap();
    let start = || {
        let config = read(home.path(), &settings).unwrap();
        service::run(config, Pace::default(), Shutdown::manual())
    };
    let failure = start().await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_CONFIG, "{failure}");

    let sql = "DELETE FROM __diesel_schema_migrations WHERE version = '99990101000000' \
                  OR version = (SELECT min(version) FROM __diesel_schema_migrations)";
    owner.batch_execute(sql).await.unwrap();
    let failure = start().await.unwrap_err();
    assert_eq!(failure.exit_code(), EXIT_UNAVAILABLE, "{failure}");
    assert!(failure.to_string().contains("scripts/migrate"), "{failure}");
}

#[tokio::test]
async fn a_taken_health_port_is_named() {
    let arena = Arena::new().await;
    let stub = StubArena::start(1).await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let config = read(home.path(), &settings(&arena, &stub, address.port()).await).unwrap();
    let failure = service::run(config, Pace::default(), Shutdown::manual()).await.unwrap_err();
    assert!(failure.to_string().contains(&address.to_string()), "{failure}");
}

#[tokio::test]
async fn it_is_not_ready_while_postgres_takes_no_writes() {
    let arena = Arena::new().await;
    let bot = arena.bot().hosted().create().await;
    let stub = StubArena::start(bot.id.0).await;
    let port = test_kit::servers::free_port();
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let config = read(home.path(), &settings(&arena, &stub, port).await).unwrap();
    let shutdown = Shutdown::manual();
    let watch = async {
        let until = async |what: &str, status: u16, word: &str| {
            eventually(what, || async {
                let (found, body) = test_kit::servers::ready(port).await?;
                (found == status && body.contains(word)).then_some(())
            })
            .await;
        };
        until("it is ready", 200, "").await;
        arena.refuse_writes(true).await;
        until("Postgres is read-only", 503, "default_transaction_read_only").await;
        arena.refuse_writes(false).await;
        until("it is ready again", 200, "").await;
        shutdown.request();
    };
    let running = service::run(config, Pace::default(), shutdown.clone());
    let (ended, ()) = tokio::join!(running, watch);
    assert!(ended.is_ok());
}
