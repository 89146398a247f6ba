use db::{Database, DatabaseConfig};
use test_kit::Arena;

async fn pool(url: String, pool_size: usize) -> Database {
    let config = DatabaseConfig { url, pool_size };
    Database::connect(config).await.unwrap()
}

#[tokio::test]
async fn a_pool_that_fits_has_room_and_one_as_large_as_postgres_has_not() {
    let arena = Arena::new().await;
    let (one, two) = (arena.owner_client().await, arena.owner_client().await);
    let setting = async |name: &str| -> i64 {
        let row = one.query_one(&format!("SHOW {name}"), &[]).await.unwrap();
        row.get::<_, &str>(0).parse().unwrap()
    };
    let sessions_max =
        setting("max_connections").await - setting("superuser_reserved_connections").await;

    let small = pool(arena.database_url(), 2).await;
    let room = small.room().await.unwrap().unwrap();
    assert_eq!((room.sessions_max, room.pool_size), (sessions_max, 2));
    // Those of superusers take room too, and that of the arena's own pool.
    assert!(room.others >= 3, "{room}");
    assert!(room.suffices(), "{room}");

    let size = usize::try_from(sessions_max).unwrap();
    let large = pool(arena.database_url(), size).await;
    let room = large.room().await.unwrap().unwrap();
    assert!(!room.suffices(), "{room}");
    let advice = room.to_string();
    for word in ["DATABASE_POOL_SIZE", "max_connections", "PgBouncer"] {
        assert!(advice.contains(word), "{advice}");
    }
    drop(two);
}

#[tokio::test]
async fn behind_a_pooler_nobody_counts() {
    let arena = Arena::new().await;
    let url = format!("{}?pooler=transaction", arena.database_url());
    let pooled = pool(url, 10_000).await;
    assert_eq!(pooled.room().await.unwrap(), None);
}
