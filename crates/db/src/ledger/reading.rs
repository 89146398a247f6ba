//! Reading the journal: pages of entries, and a chain checked from its entries.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Bytea, Numeric, Timestamptz};
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::chain::{ChainFault, ChainVerifier, FaultyField, Head};
use ledger_core::{BotId, Entry, Hash, Money, Reference, Timestamp};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::ledger;
use crate::sql::{SqlEntryType, SqlMoney};

#[derive(Queryable, QueryableByName, Selectable)]
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
    /// Behind every entry of this instant and later ones.
    const fn before(recorded_at: Timestamp) -> JournalPosition {
        JournalPosition {
            recorded_at,
            bot_id: BotId(i64::MIN),
            sequence: 0,
        }
    }

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
/// The journal has no index in order of time, only a BRIN. Rows are sought in slices of time, each behind
/// the last: a slice that holds little makes the next one longer, and one that holds too much is cut.
/// So a page costs what it shows, however long nothing happened and however much happened before that.
pub async fn journal(
    conn: &mut Connection,
    after: Option<JournalPosition>,
    limit: i64,
) -> DbResult<Vec<Entry>> {
    use crate::schema::bots::dsl;
    let limit = limit.clamp(1, PAGE_MAX);
    let oldest: Option<DateTime<Utc>> = dsl::bots
        .order(dsl::id)
        .select(dsl::created_at)
        .first(conn)
        .await
        .optional()?;
    let Some(oldest) = oldest.map(Timestamp::from) else {
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
        // Whatever the statistics say: another scan than the BRIN's would begin with the oldest entries.
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
/// Entries that a slice may hold; one that holds more is cut. More than a transaction of the ticker
/// records at one instant.
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
        Slice {
            until,
            micros: FIRST_SLICE_MICROS,
            below,
        }
    }

    fn from(&self, oldest: Timestamp) -> Timestamp {
        let micros = self.until.micros().saturating_sub(self.micros);
        Timestamp::from_micros(micros).map_or(oldest, |from| from.max(oldest))
    }

    /// Its newest entries, at most `limit`; `None` if it holds too many to look through.
    async fn read(
        &self,
        conn: &mut Connection,
        from: Timestamp,
        limit: i64,
    ) -> DbResult<Option<Vec<Entry>>> {
        // One instant cannot be cut: all of it is read.
        let at_most = if self.micros > 1 {
            SLICE_MAX
        } else {
            i64::MAX - 1
        };
        let below = self.below;
        let rows: Vec<SliceRow> = diesel::sql_query(
            "WITH slice AS MATERIALIZED (SELECT * FROM ledger \
                 WHERE recorded_at >= $1 AND recorded_at <= $2 \
                   AND (recorded_at, bot_id, sequence) < ($2, $3, $4) \
                 LIMIT $5) \
             SELECT *, (SELECT count(*) FROM slice) AS held FROM slice \
              ORDER BY recorded_at DESC, bot_id DESC, sequence DESC LIMIT $6",
        )
        .bind::<Timestamptz, _>(from.datetime())
        .bind::<Timestamptz, _>(below.recorded_at.datetime())
        .bind::<BigInt, _>(below.bot_id.0)
        .bind::<BigInt, _>(below.sequence)
        .bind::<BigInt, _>(at_most + 1)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
        if rows
            .as_slice()
            .first()
            .is_some_and(|row| row.held > at_most)
        {
            return Ok(None);
        }
        entries_of(rows.into_iter().map(|row| row.entry).collect()).map(Some)
    }
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
/// What was kept is believed for a day after the end was reached for the first time. If the end was never
/// reached, it is believed for a day after the last call. In no case is it believed longer than seven days
/// after the first entry was verified, and only while its last entry is still what it was. Otherwise the
/// chain is verified from its first entry on. A fault is not kept: each call finds it anew, behind the
/// last sound entry.
///
/// Each call gets further or is the last one: where no entry is left to read, the chain ends, whatever the
/// wallet says.
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
            crate::audit::wallet_fault(&sound, wallet.sequence, wallet.balance, &wallet.hash)
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
        expected: format!("{} entries, as the wallet says", wallet.sequence),
        found: wallet.newest.to_string(),
    })
}

/// How far a chain was verified before. Nothing is checked.
pub async fn verified(conn: &mut Connection, bot_id: BotId) -> DbResult<Verification> {
    let kept = kept_head(conn, bot_id).await?;
    let wallet = wallet_head(conn, bot_id).await?;
    let head = believed(kept, &wallet).unwrap_or(Head::empty(bot_id));
    Ok(Verification {
        head,
        length: wallet.sequence,
        complete: false,
        first_fault: None,
    })
}

/// A head that was kept, and whether the chain was verified up to its end by then.
#[derive(Debug, Clone, Copy)]
struct KeptHead {
    head: Head,
    whole: bool,
}

/// A chain that is shorter than what was verified of it is another one.
fn believed(kept: Option<KeptHead>, wallet: &WalletHead) -> Option<Head> {
    kept.map(|kept| kept.head)
        .filter(|head| head.sequence <= wallet.sequence)
}

#[derive(QueryableByName)]
struct KeptRow {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Numeric)]
    balance: SqlMoney,
    #[diesel(sql_type = Bytea)]
    hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    recorded_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    whole: bool,
}

async fn kept_head(conn: &mut Connection, bot_id: BotId) -> DbResult<Option<KeptHead>> {
    let row: Option<KeptRow> = diesel::sql_query(
        "SELECT v.sequence, v.balance, v.hash, l.recorded_at, v.whole_at IS NOT NULL AS whole \
           FROM verified_heads v \
           JOIN ledger l ON l.bot_id = v.bot_id AND l.sequence = v.sequence \
                        AND l.hash = v.hash AND l.balance_after = v.balance \
          WHERE v.bot_id = $1 \
            AND v.begun_at > clock_timestamp() - interval '7 days' \
            AND coalesce(v.whole_at, v.touched_at) > clock_timestamp() - interval '1 day'",
    )
    .bind::<BigInt, _>(bot_id.0)
    .get_result(conn)
    .await
    .optional()?;
    let Some(row) = row else { return Ok(None) };
    let hash = Hash::from_slice(&row.hash).ok_or_else(|| DbError::corrupt("a verified head"))?;
    let head = Head {
        bot_id,
        sequence: row.sequence,
        balance: row.balance.0,
        hash,
        recorded_at: Some(row.recorded_at.into()),
    };
    Ok(Some(KeptHead {
        head,
        whole: row.whole,
    }))
}

/// `anew`: verified from the first entry on, so that its times begin again.
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
    .bind::<Numeric, _>(SqlMoney(head.balance))
    .bind::<Bytea, _>(&head.hash.0[..])
    .bind::<Bool, _>(anew)
    .bind::<Bool, _>(whole)
    .execute(conn)
    .await?;
    Ok(())
}

/// The next entries above `after` up to `last`; one that is no entry at all is a fault, and then the
/// only item.
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

/// Where the wallet says that the chain ends, and where the ledger does, both at one moment.
struct WalletHead {
    sequence: i64,
    balance: Money,
    hash: Vec<u8>,
    /// The number of the newest entry there is, 0 if there is none.
    newest: i64,
}

#[derive(QueryableByName)]
struct WalletRow {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Numeric)]
    balance: SqlMoney,
    #[diesel(sql_type = Bytea)]
    head_hash: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    newest: i64,
}

async fn wallet_head(conn: &mut Connection, bot_id: BotId) -> DbResult<WalletHead> {
    let row: Option<WalletRow> = diesel::sql_query(
        "SELECT w.sequence, w.balance, w.head_hash, \
                coalesce((SELECT l.sequence FROM ledger l WHERE l.bot_id = w.bot_id \
                           ORDER BY l.sequence DESC LIMIT 1), 0) AS newest \
           FROM wallets w WHERE w.bot_id = $1",
    )
    .bind::<BigInt, _>(bot_id.0)
    .get_result(conn)
    .await
    .optional()?;
    let row = row.ok_or(DbError::NotFound("bot"))?;
    Ok(WalletHead {
        sequence: row.sequence,
        balance: row.balance.0,
        hash: row.head_hash,
        newest: row.newest,
    })
}
