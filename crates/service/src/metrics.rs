//! Metrics of the pool of connections to Postgres.

use daemon::metrics::{Declared, IntGauge, IntGaugeVec, gauge, gauges, on_scrape, whole};
use db::{Database, PoolUse};

static POOL_CONNECTIONS: Declared<IntGaugeVec> =
    gauges("arena_db_pool_connections", "Connections to Postgres that are open.", &["state"]);
static POOL_SIZE_MAX: Declared<IntGauge> = gauge(
    "arena_db_pool_size_max",
    "The most connections to Postgres that this process opens in its pool.",
);
static POOL_WAITING: Declared<IntGauge> =
    gauge("arena_db_pool_waiting", "Callers that wait for a connection to Postgres.");

/// Says at each scrape how the process' pool is used.
pub fn watch_pool(database: &Database) {
    let database = database.clone();
    on_scrape("pool", move || tell_pool(database.pool_use()));
}

fn tell_pool(now: PoolUse) {
    let connections = |state: &str| POOL_CONNECTIONS.with_label_values(&[state]);
    connections("in_use").set(whole(now.in_use));
    connections("idle").set(whole(now.idle));
    POOL_SIZE_MAX.set(whole(now.size_max));
    POOL_WAITING.set(whole(now.waiting));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pool_is_watched_by_what_it_says_of_itself() {
        on_scrape("pool", || {
            tell_pool(PoolUse { in_use: 1, idle: 2, waiting: 3, size_max: 4 });
        });
        let text = daemon::metrics::text().unwrap();
        let lines = text.lines().filter(|line| line.starts_with("arena_db_pool"));
        let told: Vec<&str> = lines.collect();
        assert_eq!(
            told,
            [
                "arena_db_pool_connections{state=\"idle\"} 2",
                "arena_db_pool_connections{state=\"in_use\"} 1",
                "arena_db_pool_size_max 4",
                "arena_db_pool_waiting 3",
            ]
        );
    }
}
