//! Checks for `/ready` of the stores that a service depends on.

use cache::{Cache, CacheError};
use daemon::health::{Check, look};
use db::{Database, DbError};

/// Whether Postgres takes writes.
pub async fn postgres(database: &Database) -> Check {
    let writes = database.must_take_writes();
    Check::of("postgres", look("Postgres", writes, DbError::shown).await)
}

/// Whether the database has the migrations of this build.
pub async fn schema(database: &Database) -> Check {
    let fits = match look("Postgres", database.schema_state(), DbError::shown).await {
        Ok(state) => state.fault().map_or(Ok(()), Err),
        Err(_) => Err("cannot be looked at".to_owned()),
    };
    Check::of("schema", fits)
}

/// Whether Redis takes writes.
pub async fn redis(cache: &Cache) -> Check {
    let writes = cache.must_take_writes();
    Check::of("redis", look("Redis", writes, CacheError::shown).await)
}
