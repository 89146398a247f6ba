//! Entries as a COPY sends them, the readable and those that are not.

use std::str::FromStr;

use ledger_core::chain::Head;
use ledger_core::entry_types::EntryType;
use ledger_core::{BotId, Entry, Hash, Reference};

use super::columns::malformed;
use crate::copy::{fields, int8, money, timestamp_of};
use crate::error::{DbError, DbResult};

/// An invalid row, and the position after it.
pub(super) struct Unreadable {
    pub(super) field: &'static str,
    pub(super) expected: &'static str,
    pub(super) found: String,
    pub(super) head: Head,
}

pub(super) type Columns<'a> = [Option<&'a [u8]>; 9];

/// The columns of an entry, in the order in which rows are decoded.
pub(crate) const ENTRY_COLUMNS: &str = "bot_id, sequence, entry_type, amount, balance_after, \
    reference, recorded_at, previous_hash, hash";

/// A row of [`ENTRY_COLUMNS`], for callers that cannot continue after an unreadable one.
pub(crate) fn read_entry(row: &[u8]) -> DbResult<Entry> {
    let columns = fields::<9>(row).ok_or_else(malformed)?;
    let bot_id = BotId(int8(columns[0]).ok_or_else(malformed)?);
    let sequence = int8(columns[1]).ok_or_else(malformed)?;
    decode(bot_id, sequence, &columns).map_err(|unreadable| {
        DbError::corrupt(format!(
            "bot {bot_id}, entry {sequence}: {} is not {}; `arenactl inspect-ledger` lists all faults",
            unreadable.field, unreadable.expected
        ))
    })
}

pub(super) fn decode(
    bot_id: BotId,
    sequence: i64,
    columns: &Columns<'_>,
) -> Result<Entry, Box<Unreadable>> {
    let [_, _, kind, amount, balance_after, reference, recorded_at, previous_hash, hash] = *columns;
    let head = Head {
        bot_id,
        sequence,
        balance: money(balance_after).unwrap_or_default(),
        hash: hash.and_then(Hash::from_slice).unwrap_or(Hash::ZERO),
        recorded_at: recorded_at.and_then(timestamp_of),
    };
    let broken = |field, expected, raw: Option<&[u8]>| {
        let found = String::from_utf8_lossy(raw.unwrap_or_default()).escape_debug().to_string();
        Box::new(Unreadable { field, expected, found, head })
    };
    let label = |raw: &[u8]| {
        std::str::from_utf8(raw).ok().and_then(|label| EntryType::from_str(label).ok())
    };
    let printable =
        |raw: &[u8]| std::str::from_utf8(raw).ok().and_then(|text| Reference::new(text).ok());
    let digest = |raw: Option<&[u8]>| raw.and_then(Hash::from_slice);
    Ok(Entry {
        bot_id,
        sequence,
        entry_type: kind
            .and_then(label)
            .ok_or_else(|| broken("entry_type", "a known entry type", kind))?,
        amount: money(amount).ok_or_else(|| broken("amount", "a number", amount))?,
        balance_after: money(balance_after)
            .ok_or_else(|| broken("balance_after", "a number", balance_after))?,
        reference: reference
            .and_then(printable)
            .ok_or_else(|| broken("reference", "1 to 200 printable characters", reference))?,
        recorded_at: recorded_at
            .and_then(timestamp_of)
            .ok_or_else(|| broken("recorded_at", "an instant", None))?,
        previous_hash: digest(previous_hash)
            .ok_or_else(|| broken("previous_hash", "32 bytes", None))?,
        hash: digest(hash).ok_or_else(|| broken("hash", "32 bytes", None))?,
    })
}
