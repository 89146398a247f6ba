//! The journal: all entries in order of time.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::{BotId, Entry, Timestamp};

use super::reading::{EntryRow, entries_of};
use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::sql_types::{BigInt, Instant};

/// A place in the whole journal, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPosition {
    pub recorded_at: Timestamp,
    pub bot_id: BotId,
    pub sequence: i64,
}

impl JournalPosition {
    /// Behind every entry of this instant and later ones.
    const fn before(recorded_at: Timestamp) -> JournalPosition {
        JournalPosition { recorded_at, bot_id: BotId(i64::MIN), sequence: 0 }
    }

    pub const fn of(entry: &Entry) -> JournalPosition {
        JournalPosition {
            recorded_at: entry.recorded_at,
            bot_id: entry.bot_id,
            sequence: entry.sequence,
        }
    }
}

/// Everybody's entries, newest first, behind `after` where given.
///
/// The journal has no index in order of time, only a BRIN. Rows are read in consecutive slices of time: after a
/// slice with few rows the next one is longer, and a slice with too many is cut. So a page's cost depends on its
/// rows, not on gaps or on the length of history.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn journal(
    conn: &mut Connection,
    after: Option<JournalPosition>,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    use crate::schema::bots::dsl;
    let limit = limit.clamp(1, PAGE_MAX);
    let oldest: Option<Timestamp> =
        dsl::bots.order(dsl::id).select(dsl::created_at).first(conn).await.optional()?;
    let Some(oldest) = oldest else {
        return Ok(Vec::new());
    };
    // One second of slack: a first entry's time may lie before its bot's.
    let oldest = oldest.plus_seconds(-1);
    let slice = match after {
        Some(position) => Slice::of(position.recorded_at, position),
        // Reaches into the future: a clock that was set back hides nothing.
        None => {
            let now = crate::now(conn).await?;
            Slice::of(now, JournalPosition::before(now.plus_seconds(YEAR_SECONDS)))
        }
    };
    conn.transaction::<_, DbError, _>(async |conn| {
        // Regardless of statistics: any scan without the BRIN index would begin with the oldest
        // entries.
        diesel::sql_query(
            "SELECT set_config(name, 'off', true) FROM UNNEST(ARRAY['enable_seqscan', \
                'enable_indexscan', 'enable_indexonlyscan']) AS s (name)",
        )
        .execute(conn)
        .await?;
        newest_entries(conn, slice, oldest, limit).await
    })
    .await
}

const YEAR_SECONDS: i64 = 366 * 24 * 60 * 60;
/// The first slice of time that is looked into.
const FIRST_SLICE_MICROS: i64 = 2_000_000;
/// The most entries of a slice; a larger one is cut. More than a transaction of the ticker records
/// at one instant.
const SLICE_MAX: i64 = 2_000;

async fn newest_entries(
    conn: &mut Connection,
    mut slice: Slice,
    oldest: Timestamp,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let wanted = limit - i64::try_from(found.len()).unwrap_or(limit);
        let from = slice.from(oldest);
        match slice.read(conn, from, wanted).await? {
            None => slice.micros = (slice.micros / 4).max(1),
            Some(entries) => {
                let few = i64::try_from(entries.len()).is_ok_and(|count| count * 4 < wanted);
                let factor = if few { 4 } else { 1 };
                found.extend(entries);
                let enough = i64::try_from(found.len()).is_ok_and(|count| count >= limit);
                if enough || from <= oldest {
                    return Ok(found);
                }
                slice = Slice {
                    until: from,
                    micros: slice.micros.saturating_mul(factor),
                    below: JournalPosition::before(from),
                };
            }
        }
    }
}

/// A stretch of time that entries are sought in.
struct Slice {
    until: Timestamp,
    micros: i64,
    /// Entries in it lie behind this position.
    below: JournalPosition,
}

#[derive(QueryableByName)]
struct SliceRow {
    #[diesel(embed)]
    entry: EntryRow,
    #[diesel(sql_type = BigInt)]
    held: i64,
}

impl Slice {
    fn of(until: Timestamp, below: JournalPosition) -> Slice {
        Slice { until, micros: FIRST_SLICE_MICROS, below }
    }

    fn from(&self, oldest: Timestamp) -> Timestamp {
        let micros = self.until.micros().saturating_sub(self.micros);
        Timestamp::from_micros(micros).map_or(oldest, |from| from.max(oldest))
    }

    /// Its newest entries, at most `limit`; `None` if it has too many.
    async fn read(
        &self,
        conn: &mut Connection,
        from: Timestamp,
        limit: i64,
    ) -> DbResult<Option<Vec<Entry>>> {
        // One instant cannot be cut: all of it is read.
        let at_most = if self.micros > 1 { SLICE_MAX } else { i64::MAX - 1 };
        let below = self.below;
        let rows: Vec<SliceRow> = diesel::sql_query(
            "WITH slice AS MATERIALIZED (SELECT * FROM ledger \
                 WHERE recorded_at >= $1 AND recorded_at <= $2 \
                   AND (recorded_at, bot_id, sequence) < ($2, $3, $4) \
                 LIMIT $5) \
             SELECT *, (SELECT count(*) FROM slice) AS held FROM slice \
              ORDER BY recorded_at DESC, bot_id DESC, sequence DESC LIMIT $6",
        )
        .bind::<Instant, _>(from)
        .bind::<Instant, _>(below.recorded_at)
        .bind::<BigInt, _>(below.bot_id.0)
        .bind::<BigInt, _>(below.sequence)
        .bind::<BigInt, _>(at_most + 1)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
        if rows.as_slice().first().is_some_and(|row| row.held > at_most) {
            return Ok(None);
        }
        entries_of(rows.into_iter().map(|row| row.entry).collect()).map(Some)
    }
}
