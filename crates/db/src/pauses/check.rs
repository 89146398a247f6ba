//! How a transaction checks for pauses: of the arena, and of the rows that it has locked.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::{Pause, Refusal, Timestamp};

use crate::connection::Connection;
use crate::error::DbResult;
use crate::schema::sql_types::{Instant, Text};
use crate::sql::statement;

/// Whether a pause of the arena stops an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhilePaused {
    /// Work of agents, the clock and the house: not while the arena is paused.
    Refuse,
    /// Operators' commands, and work that moves no money.
    Proceed,
}

statement! {
    struct HoldArenaPause {} returns (Instant, Text) =
    "SELECT paused_at, reason FROM hold_arena_pause()"
}

impl WhilePaused {
    /// Refuses while the arena is paused, and else keeps it from being paused until this transaction
    /// ends.
    pub(crate) async fn check(self, mut conn: &Connection) -> DbResult<()> {
        if self == WhilePaused::Proceed {
            return Ok(());
        }
        let row: Option<(Timestamp, String)> =
            HoldArenaPause {}.get_result(&mut conn).await.optional()?;
        match row {
            None => Ok(()),
            Some((since, reason)) => {
                let pause = Pause { since, reason };
                Err(Refusal::ArenaPaused { pause }.into())
            }
        }
    }
}

/// A value of two columns that are both set or both NULL.
pub(crate) fn pause_in(since: Option<Timestamp>, reason: Option<String>) -> Option<Pause> {
    Some(Pause { since: since?, reason: reason? })
}
