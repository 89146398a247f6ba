//! The export of the ledger: every entry in chain order, from one consistent snapshot, one at a
//! time, so that memory does not grow with the ledger.
//!
//! It never judges: a broken but readable entry is exported unchanged, and a verification of the
//! export finds it.

use std::io;

use ledger_core::{BotId, Entry, Timestamp};

use crate::audit::Snapshot;
use crate::audit::columns::copy_out;
use crate::audit::entries::{ENTRY_COLUMNS, read_entry};
use crate::error::DbError;
use crate::pool::Database;

/// Why an export ended early.
#[derive(Debug)]
pub enum ExportError {
    Database(DbError),
    /// The receiver of the entries failed.
    Sink(io::Error),
}

impl From<DbError> for ExportError {
    fn from(error: DbError) -> ExportError {
        ExportError::Database(error)
    }
}

/// Hands every entry of one bot, or of all, to `sink`: bots in ascending order, each chain in order
/// of its sequence. Answers the moment of the snapshot.
///
/// # Errors
/// [`ExportError::Database`] when the ledger cannot be read, [`ExportError::Sink`] when `sink` fails.
pub async fn entries(
    database: &Database,
    bot: Option<BotId>,
    mut sink: impl FnMut(&Entry) -> io::Result<()>,
) -> Result<Timestamp, ExportError> {
    let snapshot = Snapshot::take(database).await?;
    let client = snapshot.share(database).await?;
    // A number, so nothing needs quoting; COPY takes no parameters.
    let condition = bot.map_or("true".to_owned(), |id| format!("bot_id = {id}"));
    let query = format!(
        "COPY (SELECT {ENTRY_COLUMNS} FROM ledger WHERE {condition} ORDER BY bot_id, sequence) \
         TO STDOUT (FORMAT binary)"
    );
    copy_out(&client, &query, |row| sink(&read_entry(row)?).map_err(ExportError::Sink)).await?;
    Ok(snapshot.as_of)
}
