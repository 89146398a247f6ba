//! The whole service in this process.

use daemon::config::Sources;
use daemon::shutdown::Shutdown;
use test_kit::servers::{RedisServer, free_port, ready};
use test_kit::{Arena, eventually};
use ticker::config::Config;
use ticker::service;

#[tokio::test]
async fn it_is_not_ready_while_postgres_or_redis_takes_no_writes() {
    let (arena, redis) = (Arena::new().await, RedisServer::start(&[]).await);
    let port = free_port();
    let text = format!(
        "DATABASE_URL={}\nREDIS_URL={}\nENV=development\nTICKER_HEALTH_PORT={port}\n",
        arena.database_url(),
        redis.url()
    );
    let config = Config::read(&Sources::from_parts(&text, [])).unwrap();
    let shutdown = Shutdown::manual();
    let watch = async {
        let until = async |what: &str, status: u16, word: &str| {
            eventually(what, || async {
                let (found, body) = ready(port).await?;
                (found == status && body.contains(word)).then_some(())
            })
            .await;
        };
        until("it is ready", 200, "").await;
        redis.command("CONFIG SET maxmemory 1").await;
        until("Redis is full", 503, "Redis refuses writes: its memory is full").await;
        redis.command("CONFIG SET maxmemory 0").await;
        until("it is ready again", 200, "").await;
        arena.refuse_writes(true).await;
        until("Postgres is read-only", 503, "default_transaction_read_only").await;
        arena.refuse_writes(false).await;
        until("it is ready in the end", 200, "").await;
        // The answer has no address and no server's message.
        drop(redis);
        until("Redis is gone", 503, "\"Redis does not answer; see the log\"").await;
        shutdown.request();
    };
    let (ended, ()) = tokio::join!(service::run(config, shutdown.clone()), watch);
    assert!(ended.is_ok());
}
