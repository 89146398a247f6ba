//! The event log: what live streams resume from.
//!
//! Events are written in the transaction of what they tell of. Their position is
//! `(transaction id, id)`, and a reader stays below the oldest transaction that is still running,
//! so that one which commits out of order is neither lost nor told twice.

use diesel::sql_types::{Array, Jsonb, Text, Untyped};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::sql::statement;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Entry,
    Post,
    Prediction,
    Market,
    Tick,
    Price,
    Bot,
}

impl EventKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Entry => "entry",
            EventKind::Post => "post",
            EventKind::Prediction => "prediction",
            EventKind::Market => "market",
            EventKind::Tick => "tick",
            EventKind::Price => "price",
            EventKind::Bot => "bot",
        }
    }
}

/// An event that is yet to be written.
#[derive(Debug, Clone)]
pub(crate) struct EventDraft {
    pub(crate) kind: EventKind,
    pub(crate) data: Value,
}

statement! {
    struct InsertEvents<'a> {
        kind: Vec<&'static str> as Array<Text>,
        data: Vec<&'a Value> as Array<Jsonb>,
    } returns Untyped =
    "INSERT INTO events (kind, data) SELECT k::event_kind, d FROM UNNEST({}, {}) AS e (k, d)"
}

/// Writes events in the caller's transaction.
pub(crate) async fn write(mut conn: &Connection, drafts: &[EventDraft]) -> DbResult<()> {
    if drafts.is_empty() {
        return Ok(());
    }
    let insert = InsertEvents {
        kind: drafts.iter().map(|draft| draft.kind.as_str()).collect(),
        data: drafts.iter().map(|draft| &draft.data).collect(),
    };
    if insert.execute(&mut conn).await? != drafts.len() {
        return Err(DbError::corrupt("an event was not written"));
    }
    Ok(())
}
