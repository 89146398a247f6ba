//! The event log, from which live streams resume.
//!
//! Events are written in the transaction of the act. Their position is `(transaction id, id)`, and
//! a reader stays below the oldest running transaction, so that an event committed out of order is
//! neither lost nor sent twice.
//!
//! Immutable data is not written but looked up when an event is read, which costs readers and not
//! writers: the bot's handle, and for an entry the other fields of its hash.

use std::fmt;
use std::str::FromStr;

use diesel::OptionalExtension;
use diesel_async::RunQueryDsl;
pub use ledger_core::EventKind;
use ledger_core::event::{LookedUp, Sealed};
use ledger_core::{BotId, Hash, NewEvent, Timestamp};
use serde_json::Value;

use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::sql_types::{Array, BigInt, Bytea, Instant, Jsonb, Nullable, Text};
use crate::sql::{Prepare, column, reached, statement};

/// How long an event is kept at least, in days.
pub const KEPT_DAYS: i64 = 7;
/// The most events that one call of [`prune`] deletes.
pub const PRUNE_MAX: i64 = 10_000;

/// Writes events in the caller's transaction.
pub(crate) async fn write(mut conn: &Connection, new: &[NewEvent]) -> DbResult<()> {
    if new.is_empty() {
        return Ok(());
    }
    let data: Result<Vec<Value>, _> = new.iter().map(serde_json::to_value).collect();
    let written = diesel::sql_query(
        "INSERT INTO events (kind, data) SELECT k::event_kind, d FROM UNNEST($1, $2) AS e (k, d)",
    )
    .bind::<Array<Text>, _>(column(new, |event| event.kind().as_str()))
    .bind::<Array<Jsonb>, _>(data.map_err(DbError::corrupt)?)
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(written, new.len(), "an event was not written")
}

/// A place in the event log, after an event or between transactions. As text `<xid>-<id>`, in one
/// spelling alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Postgres' id of the transaction, with its epoch: it never comes again within one cluster.
    xid: u64,
    id: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a position from the stream, such as 7341-12")]
pub struct PositionError;

impl Position {
    /// Before everything that transaction `xid` wrote.
    const fn before(xid: u64) -> Position {
        Position { xid, id: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.xid, self.id)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Position, PositionError> {
        let (xid, id) = text.split_once('-').ok_or(PositionError)?;
        let position = Position {
            xid: xid.parse().map_err(|_| PositionError)?,
            id: id.parse().map_err(|_| PositionError)?,
        };
        // Signs and leading zeros parse, and would be other spellings of the same place.
        if position.to_string() == text && position.id >= 0 {
            Ok(position)
        } else {
            Err(PositionError)
        }
    }
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub position: Position,
    pub kind: EventKind,
    pub at: Timestamp,
    /// Its bot, if it has one.
    pub bot_id: Option<BotId>,
    /// Its stored fields, as [`NewEvent`] serializes them.
    pub data: Value,
    pub looked_up: LookedUp,
}

/// The readable range of the log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Earlier events were deleted.
    oldest: Position,
    /// Earlier events are complete; later ones are not sent yet.
    pub now: Position,
    /// No transaction has a larger id yet.
    newest_xid: u64,
}

/// Why a reader cannot continue from a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresumable {
    /// Events after it may have been deleted.
    Forgotten,
    /// This log never had it: it is another arena's, or this one was restored from an older copy.
    Foreign,
}

impl Bounds {
    /// Whether a reader can continue from `position` without missing events.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, position: Position) -> Result<(), Unresumable> {
        if position < self.oldest {
            Err(Unresumable::Forgotten)
        } else if position.xid > self.newest_xid {
            Err(Unresumable::Foreign)
        } else {
            Ok(())
        }
    }
}

/// The result of one call of [`after`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order in which they are sent.
    pub events: Vec<Event>,
    pub bounds: Bounds,
    /// The next position: everything up to here has been read.
    pub until: Position,
}

type BoundsRow = (String, String, i64, String);
/// All or nothing of it is there: the bounds come without an event too.
type EventRow =
    (Option<String>, Option<i64>, Option<Timestamp>, Option<String>, Option<i64>, Option<Value>);
/// The bot's handle; for an entry also its time, and the hash of the entry before it.
type LookedUpRow = (Option<String>, Option<Timestamp>, Option<Vec<u8>>);

statement! {
    struct SelectEvents {
        xid: String as Text,
        id: i64 as BigInt,
        limit: i64 as BigInt,
    } returns (
        (Text, Text, BigInt, Text),
        (Nullable<Text>, Nullable<BigInt>, Nullable<Instant>, Nullable<Text>, Nullable<BigInt>,
         Nullable<Jsonb>),
        (Nullable<Text>, Nullable<Instant>, Nullable<Bytea>),
    ) =
    "SELECT b.now::text, b.oldest_xid::text, b.oldest_id, b.newest::text, \
            e.xid::text, e.id, e.at, e.kind::text, e.bot_id, e.data, \
            (SELECT handle FROM bots WHERE bots.id = e.bot_id), l.recorded_at, l.previous_hash \
       FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS now, \
                    pg_snapshot_xmax(pg_current_snapshot()) AS newest, \
                    h.xid AS oldest_xid, h.id AS oldest_id FROM events_horizon h) b \
       LEFT JOIN (SELECT xid, id, at, kind, data, (data->>'bot_id')::bigint AS bot_id FROM events \
                   WHERE (xid, id) > ({}::xid8, {}) \
                     AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
                   ORDER BY xid, id LIMIT {}) e ON true \
       LEFT JOIN LATERAL (SELECT recorded_at, previous_hash FROM ledger \
                           WHERE e.kind = 'entry' AND ledger.bot_id = e.bot_id \
                             AND ledger.sequence = (e.data->>'sequence')::bigint LIMIT 1) l ON true \
      ORDER BY e.xid, e.id"
}

/// The events after `position` that are complete, at most `limit`.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn after(conn: &mut Connection, position: Position, limit: i64) -> DbResult<Page> {
    let select = SelectEvents { xid: position.xid.to_string(), id: position.id, limit };
    let rows: Vec<(BoundsRow, EventRow, LookedUpRow)> = select.load(conn).await?;
    let bounds = match rows.as_slice().first() {
        Some((bounds, ..)) => bounds_of(bounds)?,
        None => return Err(DbError::corrupt("the event log has no horizon")),
    };
    let events: Vec<Event> = rows
        .into_iter()
        .filter_map(|(_, event, looked_up)| event_of(event, looked_up).transpose())
        .collect::<DbResult<_>>()?;
    let is_full = i64::try_from(events.len()).is_ok_and(|count| count >= limit);
    let until = match events.as_slice().last() {
        Some(last) if is_full => last.position,
        _ if is_full => position,
        _ => bounds.now.max(position),
    };
    Ok(Page { events, bounds, until })
}

/// The readable range of the log now.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn bounds(conn: &mut Connection) -> DbResult<Bounds> {
    Ok(after(conn, Position::before(u64::MAX), 0).await?.bounds)
}

fn bounds_of((now, oldest_xid, oldest_id, newest): &BoundsRow) -> DbResult<Bounds> {
    Ok(Bounds {
        oldest: Position { xid: xid(oldest_xid)?, id: *oldest_id },
        now: Position::before(xid(now)?),
        newest_xid: xid(newest)?,
    })
}

fn event_of(row: EventRow, looked_up: LookedUpRow) -> DbResult<Option<Event>> {
    let (Some(in_xid), Some(id), Some(at), Some(kind), bot_id, Some(data)) = row else {
        return Ok(None);
    };
    Ok(Some(Event {
        position: Position { xid: xid(&in_xid)?, id },
        kind: kind.parse().map_err(DbError::corrupt)?,
        at,
        bot_id: bot_id.map(BotId),
        data,
        looked_up: looked_up_of(looked_up)?,
    }))
}

fn looked_up_of((handle, recorded_at, previous_hash): LookedUpRow) -> DbResult<LookedUp> {
    let sealed = recorded_at.zip(previous_hash).map(|(at, hash)| {
        let previous_hash = Hash::from_slice(&hash);
        let previous_hash =
            previous_hash.ok_or_else(|| DbError::corrupt("a hash that does not have 32 bytes"))?;
        DbResult::Ok(Sealed { recorded_at_us: at.micros(), previous_hash })
    });
    Ok(LookedUp { handle, sealed: sealed.transpose()? })
}

fn xid(text: &str) -> DbResult<u64> {
    text.parse().map_err(|_| DbError::corrupt("a transaction id is no number"))
}

statement! {
    /// When the oldest event was written that is left.
    struct OldestAt {} returns Instant =
    "SELECT at FROM events \
      WHERE (xid, id) > ((SELECT xid FROM events_horizon), (SELECT id FROM events_horizon)) \
        AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
      ORDER BY xid, id LIMIT 1"
}

statement! {
    /// The rows are read by their physical place, so that no other row is read, whatever the
    /// statistics.
    struct Prune {
        before: Timestamp as Instant,
        limit: i64 as BigInt,
    } returns BigInt =
    "WITH given AS (SELECT {} AS before), \
     oldest AS MATERIALIZED ( \
        SELECT ctid AS place, xid, id, at FROM events \
         WHERE (xid, id) > ((SELECT xid FROM events_horizon), (SELECT id FROM events_horizon)) \
           AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
         ORDER BY xid, id LIMIT {}), \
     old AS MATERIALIZED ( \
        SELECT place, xid, id, bool_and(at < before) OVER (ORDER BY xid, id) AS goes FROM oldest, given), \
     gone AS ( \
        DELETE FROM events WHERE ctid = ANY (ARRAY(SELECT place FROM old WHERE goes)) \
        RETURNING xid, id), \
     moved AS ( \
        UPDATE events_horizon h SET xid = l.xid, id = l.id \
          FROM (SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1) l) \
     SELECT count(*) FROM gone"
}

/// Forgets the oldest events, as far as all of them were written before `before`, at most
/// [`PRUNE_MAX`]; returns how many. If there is nothing to delete, it reads one event.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn prune(conn: &mut Connection, before: Timestamp) -> DbResult<i64> {
    let oldest: Option<Timestamp> = OldestAt {}.get_result(conn).await.optional()?;
    if oldest.is_none_or(|at| at >= before) {
        return Ok(0);
    }
    let prune = Prune { before, limit: PRUNE_MAX };
    Ok(prune.get_result(conn).await?)
}
