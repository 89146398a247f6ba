//! An arena on a given Postgres and Redis.

use system_tests::stack::Stack;
use test_kit::servers::RedisServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_servers_are_used_and_left_running() {
    let (owner, app) = test_kit::empty_database().await;
    let redis = RedisServer::start(&[]).await;
    let redis_url = redis.url();
    let given = [
        ("DATABASE_URL", app.as_str()),
        ("DATABASE_OWNER_URL", owner.as_str()),
        ("REDIS_URL", redis_url.as_str()),
    ];
    let (stack, _) = Stack::start(&given).await;
    for name in ["postgres", "redis"] {
        assert_eq!(stack.pid(name), None, "{name} is not ours to start");
    }
    let (is_ready, told) = stack.arenactl(&["status", "--services"]);
    assert!(is_ready, "{told}");
    assert_eq!(told.matches(" given ").count(), 2, "{told}");
    let (is_known, told) = stack.arenactl(&["status"]);
    assert!(is_known && told.contains("bots    10 alive"), "{told}");
    assert_eq!(stack.stop(), Some(0));
    assert!(redis.said("PING").await.unwrap().starts_with("+PONG"));
    let client = test_kit::connect(&owner).await;
    let bots: i64 = client.query_one("SELECT count(*) FROM bots", &[]).await.unwrap().get(0);
    assert_eq!(bots, 10);
}
