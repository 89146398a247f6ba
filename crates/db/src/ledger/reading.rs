//! Reading one bot's chain: pages of its entries, and a check of all of them.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::chain::{ChainFault, ChainVerifier, FaultyField, Head};
use ledger_core::{BotId, Entry, EntryType, Hash, Money, Reference, Timestamp};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::ledger;
use crate::schema::sql_types::{BigInt, Bool, Bytea, Instant, Units};
use crate::sql::statement;

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = ledger, check_for_backend(Pg))]
pub(super) struct EntryRow {
    bot_id: i64,
    sequence: i64,
    entry_type: EntryType,
    amount: Money,
    balance_after: Money,
    reference: String,
    recorded_at: Timestamp,
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
            entry_type: row.entry_type,
            amount: row.amount,
            balance_after: row.balance_after,
            reference: Reference::new(&row.reference).map_err(|_| DbError::corrupt(place()))?,
            recorded_at: row.recorded_at,
            previous_hash: hash(&row.previous_hash)?,
            hash: hash(&row.hash)?,
        })
    }
}

pub(super) fn entries_of(rows: Vec<EntryRow>) -> DbResult<Vec<Entry>> {
    rows.into_iter().map(Entry::try_from).collect()
}

/// One bot's entries, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
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

/// How far a bot's chain was checked.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The last entry that was checked; with a fault in an entry, the one at fault.
    pub head: Head,
    /// Entries the chain has.
    pub length: i64,
    /// Whether nothing is left to check: the end was reached, or a fault.
    pub complete: bool,
    pub first_fault: Option<ChainFault>,
}

/// Entries that one call of [`verify_on`] checks.
pub const VERIFY_BATCH: i64 = 5_000;

/// Recomputes the next [`VERIFY_BATCH`] entries of a bot's chain behind those that were verified before,
/// and keeps how far that was. At the end of the chain it is compared with the wallet's cached head.
///
/// The stored progress is valid for a day after the end was first reached. If the end was never
/// reached, it is valid for a day after the last call. It is never valid longer than seven days
/// after the first entry was verified, and only while its last entry is unchanged. Otherwise the
/// chain is verified from its first entry on. A fault is not stored: each call finds it again,
/// after the last valid entry.
///
/// Each call makes progress or is the last one: if no entry is left to read, the chain ends,
/// whatever the wallet says.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot. A fault in the chain is an answer and no error. Otherwise see
/// [`DbError`].
#[crate::boxed]
pub async fn verify_on(conn: &mut Connection, bot_id: BotId) -> DbResult<Verification> {
    // Before the wallet is read: another process may get further meanwhile.
    let kept = kept_head(conn, bot_id).await?;
    let wallet = wallet_head(conn, bot_id).await?;
    let start = believed(kept, &wallet).unwrap_or(Head::empty(bot_id));
    let mut verifier = ChainVerifier::resume(start);
    let mut sound = start;
    let mut first_fault = None;
    let entries = readable_entries(conn, bot_id, start.sequence, wallet.sequence).await?;
    // Entries up to the wallet's number were committed with it: those that are not there now are missing.
    let none_left = entries.is_empty();
    for entry in entries {
        let found = match entry {
            Ok(entry) => verifier.check(&entry).err(),
            Err(fault) => Some(*fault),
        };
        if found.is_some() {
            first_fault = found;
            break;
        }
        sound = *verifier.head();
    }
    let at_the_end = first_fault.is_none()
        && (none_left || sound.sequence >= wallet.sequence.min(wallet.newest));
    if at_the_end {
        first_fault =
            crate::audit::wallet_fault(&sound, wallet.sequence, wallet.balance, &wallet.head_hash)
                .or_else(|| beyond_the_wallet(&sound, &wallet));
    }
    let is_whole = at_the_end && first_fault.is_none();
    let was_whole = kept.is_some_and(|kept| kept.whole && kept.head == start);
    if sound.sequence > 0 && (sound != start || is_whole && !was_whole) {
        keep_head(conn, &sound, start.sequence == 0, is_whole).await?;
    }
    Ok(Verification {
        head: *verifier.head(),
        length: wallet.sequence,
        complete: at_the_end || first_fault.is_some(),
        first_fault,
    })
}

/// Entries above the wallet's number, which the next act of the bot would collide with.
fn beyond_the_wallet(head: &Head, wallet: &WalletHead) -> Option<ChainFault> {
    (wallet.newest > wallet.sequence).then(|| ChainFault {
        bot_id: head.bot_id,
        sequence: head.sequence,
        field: FaultyField::Sequence,
        expected: format!("{} entries by the wallet", wallet.sequence),
        found: wallet.newest.to_string(),
    })
}

/// How far a chain was verified before. Nothing is checked.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn verified(conn: &mut Connection, bot_id: BotId) -> DbResult<Verification> {
    let kept = kept_head(conn, bot_id).await?;
    let wallet = wallet_head(conn, bot_id).await?;
    let head = believed(kept, &wallet).unwrap_or(Head::empty(bot_id));
    Ok(Verification { head, length: wallet.sequence, complete: false, first_fault: None })
}

/// A head that was kept, and whether the chain was verified up to its end by then.
#[derive(Debug, Clone, Copy)]
struct KeptHead {
    head: Head,
    whole: bool,
}

/// A chain that is shorter than its verified part is another one.
fn believed(kept: Option<KeptHead>, wallet: &WalletHead) -> Option<Head> {
    kept.map(|kept| kept.head).filter(|head| head.sequence <= wallet.sequence)
}

statement! {
    struct FindKept { bot_id: i64 as BigInt } returns (BigInt, Units, Bytea, Instant, Bool) =
    "SELECT v.sequence, v.balance, v.hash, l.recorded_at, v.whole_at IS NOT NULL \
       FROM verified_heads v \
       JOIN ledger l ON l.bot_id = v.bot_id AND l.sequence = v.sequence \
                    AND l.hash = v.hash AND l.balance_after = v.balance \
      WHERE v.bot_id = {} \
        AND v.begun_at > clock_timestamp() - interval '7 days' \
        AND coalesce(v.whole_at, v.touched_at) > clock_timestamp() - interval '1 day'"
}

async fn kept_head(conn: &mut Connection, bot_id: BotId) -> DbResult<Option<KeptHead>> {
    type Row = (i64, Money, Vec<u8>, Timestamp, bool);
    let find = FindKept { bot_id: bot_id.0 };
    let row: Option<Row> = find.get_result(conn).await.optional()?;
    let Some((sequence, balance, hash, recorded_at, whole)) = row else {
        return Ok(None);
    };
    let hash = Hash::from_slice(&hash).ok_or_else(|| DbError::corrupt("a verified head"))?;
    let head = Head { bot_id, sequence, balance, hash, recorded_at: Some(recorded_at) };
    Ok(Some(KeptHead { head, whole }))
}

/// `anew`: verified from the first entry on, so its times restart.
async fn keep_head(conn: &mut Connection, head: &Head, anew: bool, whole: bool) -> DbResult<()> {
    diesel::sql_query(
        "INSERT INTO verified_heads AS v (bot_id, sequence, balance, hash, whole_at) \
         VALUES ($1, $2, $3, $4, CASE WHEN $6 THEN clock_timestamp() END) \
         ON CONFLICT (bot_id) DO UPDATE \
            SET sequence = EXCLUDED.sequence, balance = EXCLUDED.balance, hash = EXCLUDED.hash, \
                begun_at = CASE WHEN $5 THEN clock_timestamp() ELSE v.begun_at END, \
                touched_at = clock_timestamp(), \
                whole_at = CASE WHEN $5 THEN EXCLUDED.whole_at \
                                ELSE coalesce(v.whole_at, EXCLUDED.whole_at) END",
    )
    .bind::<BigInt, _>(head.bot_id.0)
    .bind::<BigInt, _>(head.sequence)
    .bind::<Units, _>(head.balance)
    .bind::<Bytea, _>(&head.hash.0[..])
    .bind::<Bool, _>(anew)
    .bind::<Bool, _>(whole)
    .execute(conn)
    .await?;
    Ok(())
}

/// The next entries above `after` up to `last`; an invalid one is a fault, and then the only item.
async fn readable_entries(
    conn: &mut Connection,
    bot_id: BotId,
    after: i64,
    last: i64,
) -> DbResult<Vec<Result<Entry, Box<ChainFault>>>> {
    let mut batch = VERIFY_BATCH;
    loop {
        match entries_between(conn, bot_id, after, last, batch).await {
            Ok(entries) => return Ok(entries.into_iter().map(Ok).collect()),
            // One of them is no entry: fewer, until those before it can be read.
            Err(DbError::Corrupt(_)) if batch > 1 => batch /= 2,
            Err(DbError::Corrupt(found)) => {
                let fault = ChainFault {
                    bot_id,
                    sequence: after + 1,
                    field: FaultyField::Row,
                    expected: "an entry of the ledger".to_owned(),
                    found,
                };
                return Ok(vec![Err(Box::new(fault))]);
            }
            Err(error) => return Err(error),
        }
    }
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

/// The chain's end by the wallet and by the ledger, both at one moment.
#[derive(Queryable)]
struct WalletHead {
    sequence: i64,
    balance: Money,
    head_hash: Vec<u8>,
    /// The number of the newest entry there is, 0 if there is none.
    newest: i64,
}

statement! {
    struct FindHead { bot_id: i64 as BigInt } returns (BigInt, Units, Bytea, BigInt) =
    "SELECT w.sequence, w.balance, w.head_hash, \
            coalesce((SELECT l.sequence FROM ledger l WHERE l.bot_id = w.bot_id \
                       ORDER BY l.sequence DESC LIMIT 1), 0) \
       FROM wallets w WHERE w.bot_id = {}"
}

async fn wallet_head(conn: &mut Connection, bot_id: BotId) -> DbResult<WalletHead> {
    let find = FindHead { bot_id: bot_id.0 };
    find.get_result(conn).await.optional()?.ok_or(DbError::NotFound("bot"))
}
