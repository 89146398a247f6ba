//! Whether Postgres has room for a pool besides the existing sessions.
//!
//! A pool opens its connections as they are needed: one that cannot be had is noticed under load,
//! as a request that fails. So a service looks when it starts.

use std::fmt;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use tracing::{debug, warn};

use crate::error::DbResult;
use crate::pool::Database;
use crate::sql::statement;

/// How long a start waits for the count.
const LOOK_SECONDS: u64 = 1;

/// The connections that a pool may need, and the available ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Sessions that Postgres allows those who are no superusers.
    pub sessions_max: i64,
    /// Sessions of others, this arena's and any other's. Their pools may be larger than that.
    pub others: i64,
    pub pool_size: i64,
}

statement! {
    // A role that is not a superuser sees only the existence and the owner of others' sessions.
    struct CountSessions {} returns (BigInt, BigInt) =
    "SELECT (SELECT sum(CASE name WHEN 'max_connections' THEN setting::bigint \
                                  ELSE -setting::bigint END) \
               FROM pg_settings \
              WHERE name IN ('max_connections', 'superuser_reserved_connections', \
                             'reserved_connections'))::bigint, \
            (SELECT count(*) FROM pg_stat_activity \
              WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND pid <> pg_backend_pid())"
}

impl Room {
    pub const fn suffices(&self) -> bool {
        self.others.saturating_add(self.pool_size) <= self.sessions_max
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Postgres has room for {} sessions; {} of others are there, and this process may want \
             {}. Lower DATABASE_POOL_SIZE, raise Postgres' max_connections, or put PgBouncer \
             between (docs/scaling.md)",
            self.sessions_max, self.others, self.pool_size
        )
    }
}

impl Database {
    /// Counts the sessions. `None` behind a pooler, which has fewer servers than clients on purpose.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`crate::DbError`].
    #[crate::boxed]
    pub async fn room(&self) -> DbResult<Option<Room>> {
        if self.is_pooled() {
            return Ok(None);
        }
        let mut connection = self.get().await?;
        let (sessions_max, others): (i64, i64) =
            CountSessions {}.get_result(&mut *connection).await?;
        Ok(Some(Room {
            sessions_max,
            others,
            pool_size: i64::try_from(self.pool_use().size_max).unwrap_or(i64::MAX),
        }))
    }

    /// Logs a warning if the whole pool does not fit with the existing sessions. For a start,
    /// before other connections are opened; it fails nothing and delays it by no more than a
    /// second.
    #[crate::boxed]
    pub async fn warn_if_crowded(&self) {
        let limit = Duration::from_secs(LOOK_SECONDS);
        match tokio::time::timeout(limit, self.room()).await {
            Ok(Ok(Some(room))) if !room.suffices() => warn!("{room}"),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, "the sessions in Postgres could not be counted"),
            Err(_) => debug!("the sessions in Postgres were not counted in time"),
        }
    }
}
