//! Reading the journal: pages of entries, and a chain checked from its entries.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::chain::{ChainFault, ChainVerifier, FaultyField, Head};
use ledger_core::{BotId, Entry, Hash, Money, Reference, Timestamp};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::ledger;
use crate::sql::{SqlEntryType, SqlMoney};

#[derive(Queryable, Selectable)]
#[diesel(table_name = ledger, check_for_backend(Pg))]
struct EntryRow {
    bot_id: i64,
    sequence: i64,
    entry_type: SqlEntryType,
    amount: SqlMoney,
    balance_after: SqlMoney,
    reference: String,
    recorded_at: DateTime<Utc>,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<EntryRow> for Entry {
    type Error = DbError;

    fn try_from(row: EntryRow) -> DbResult<Entry> {
        let place = || format!("entry {} of bot {}", row.sequence, row.bot_id);
        let hash = |bytes: &[u8]| Hash::from_slice(bytes).ok_or_else(|| DbError::corrupt(place()));
        Ok(Entry {
            bot_id: BotId(row.bot_id),
            sequence: row.sequence,
            entry_type: row.entry_type.0,
            amount: row.amount.0,
            balance_after: row.balance_after.0,
            reference: Reference::new(&row.reference).map_err(|_| DbError::corrupt(place()))?,
            recorded_at: row.recorded_at.into(),
            previous_hash: hash(&row.previous_hash)?,
            hash: hash(&row.hash)?,
        })
    }
}

fn entries_of(rows: Vec<EntryRow>) -> DbResult<Vec<Entry>> {
    rows.into_iter().map(Entry::try_from).collect()
}

/// One bot's entries, newest first, below `before` where given.
pub async fn page(
    conn: &mut Connection,
    bot_id: BotId,
    before: Option<i64>,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    let rows = ledger::table
        .filter(ledger::bot_id.eq(bot_id.0))
        .filter(ledger::sequence.lt(before.unwrap_or(i64::MAX)))
        .order(ledger::sequence.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(EntryRow::as_select())
        .load(conn)
        .await?;
    entries_of(rows)
}

/// A place in the whole journal, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPosition {
    pub recorded_at: Timestamp,
    pub bot_id: BotId,
    pub sequence: i64,
}

impl JournalPosition {
    #[must_use]
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
/// The journal has no index in order of time, only a BRIN: rows are sought in windows that grow
/// until they hold enough, so that a page costs what the newest entries cost, not what all do.
pub async fn journal(
    conn: &mut Connection,
    after: Option<JournalPosition>,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    const FIRST_WINDOW_SECONDS: i64 = 2;
    let limit = limit.clamp(1, PAGE_MAX);
    let oldest: Option<DateTime<Utc>> = crate::schema::bots::table
        .order(crate::schema::bots::id)
        .select(crate::schema::bots::created_at)
        .first(conn)
        .await
        .optional()?;
    let Some(oldest) = oldest.map(Timestamp::from) else {
        return Ok(Vec::new());
    };
    let newest = match after {
        Some(position) => position.recorded_at,
        // The window's end stays open: a clock that was set back hides nothing.
        None => crate::now(conn).await?,
    };
    let mut window = FIRST_WINDOW_SECONDS;
    loop {
        let from = newest.plus_seconds(-window);
        let mut query = ledger::table
            .filter(ledger::recorded_at.ge(from.datetime()))
            .order((
                ledger::recorded_at.desc(),
                ledger::bot_id.desc(),
                ledger::sequence.desc(),
            ))
            .limit(limit)
            .select(EntryRow::as_select())
            .into_boxed();
        if let Some(JournalPosition {
            recorded_at,
            bot_id,
            sequence,
        }) = after
        {
            let at = recorded_at.datetime();
            query = query.filter(ledger::recorded_at.le(at)).filter(
                ledger::recorded_at
                    .lt(at)
                    .or(ledger::bot_id.lt(bot_id.0))
                    .or(ledger::bot_id
                        .eq(bot_id.0)
                        .and(ledger::sequence.lt(sequence))),
            );
        }
        let rows = query.load(conn).await?;
        let enough = i64::try_from(rows.len()).is_ok_and(|found| found >= limit);
        // One second of slack: a first entry's time may lie before its bot's.
        if enough || from < oldest.plus_seconds(-1) {
            return entries_of(rows);
        }
        window = window.saturating_mul(4);
    }
}

/// A chain checked up to `head`, and its first fault.
#[derive(Debug, Clone)]
pub struct Verification {
    pub head: Head,
    pub first_fault: Option<ChainFault>,
}

/// Recomputes a bot's chain from `verified` (or from its first entry) to its end, in batches that
/// keep memory flat, and compares the end with the wallet's cached head.
pub async fn verify(
    conn: &mut Connection,
    bot_id: BotId,
    verified: Option<Head>,
) -> DbResult<Verification> {
    const BATCH: i64 = 5_000;
    let (sequence, balance, hash) = wallet_head(conn, bot_id).await?;
    let mut verifier = ChainVerifier::resume(verified.unwrap_or(Head::empty(bot_id)));
    let mut batch = BATCH;
    loop {
        let after = verifier.head().sequence;
        let found = match entries_between(conn, bot_id, after, sequence, batch).await {
            Ok(entries) if entries.is_empty() => break,
            Ok(entries) => entries
                .iter()
                .try_for_each(|entry| verifier.check(entry).map_err(Box::new)),
            // One of them is no entry at all: one by one from here, to find out which.
            Err(DbError::Corrupt(_)) if batch > 1 => {
                batch = 1;
                continue;
            }
            Err(DbError::Corrupt(found)) => Err(Box::new(ChainFault {
                bot_id,
                sequence: after + 1,
                field: FaultyField::Row,
                expected: "an entry of the ledger".to_owned(),
                found,
            })),
            Err(error) => return Err(error),
        };
        if let Err(fault) = found {
            return Ok(Verification {
                head: *verifier.head(),
                first_fault: Some(*fault),
            });
        }
    }
    let head = *verifier.head();
    let fault = crate::inspect::wallet_fault(&head, sequence, balance, &hash);
    Ok(Verification {
        head,
        first_fault: fault,
    })
}

/// One bot's entries above `after` up to `last`, oldest first.
async fn entries_between(
    conn: &mut Connection,
    bot_id: BotId,
    after: i64,
    last: i64,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    let rows: Vec<EntryRow> = ledger::table
        .filter(ledger::bot_id.eq(bot_id.0))
        .filter(ledger::sequence.gt(after))
        .filter(ledger::sequence.le(last))
        .order(ledger::sequence.asc())
        .limit(limit)
        .select(EntryRow::as_select())
        .load(conn)
        .await?;
    entries_of(rows)
}

async fn wallet_head(conn: &mut Connection, bot_id: BotId) -> DbResult<(i64, Money, Vec<u8>)> {
    use crate::schema::wallets::dsl;
    let row: Option<(i64, SqlMoney, Vec<u8>)> = dsl::wallets
        .find(bot_id.0)
        .select((dsl::sequence, dsl::balance, dsl::head_hash))
        .first(conn)
        .await
        .optional()?;
    let (sequence, balance, hash) = row.ok_or(DbError::NotFound("bot"))?;
    Ok((sequence, balance.0, hash))
}
