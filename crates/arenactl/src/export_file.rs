//! The file that `export` writes and `verify-export` believes nothing of: one JSON object a line.
//!
//! First every entry of a chain, with the names of `GET /ledger`; behind the last one
//! `{"head": …}`, which tells where the chain ends; then the next chain, bots in ascending order.
//! The last line is `{"end": …}` with the counts and the digest of all heads. A file that was cut,
//! wherever that was, lacks a head or its end.

use ledger_core::chain::Head;
use ledger_core::{BotId, Entry, EntryType, Hash, Money, Reference, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) const FORMAT: &str = "ledger-export/v1";

/// An entry: every field that the hash covers, and the hash.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryLine {
    bot_id: BotId,
    sequence: i64,
    #[serde(deserialize_with = "entry_type")]
    entry_type: EntryType,
    amount: Money,
    balance_after: Money,
    #[serde(deserialize_with = "reference")]
    reference: Reference,
    recorded_at: Timestamp,
    /// `recorded_at` as the hash has it: microseconds since the Unix epoch.
    recorded_at_us: i64,
    #[serde(deserialize_with = "hash")]
    previous_hash: Hash,
    #[serde(deserialize_with = "hash")]
    hash: Hash,
}

impl From<&Entry> for EntryLine {
    fn from(entry: &Entry) -> EntryLine {
        EntryLine {
            bot_id: entry.bot_id,
            sequence: entry.sequence,
            entry_type: entry.entry_type,
            amount: entry.amount,
            balance_after: entry.balance_after,
            reference: entry.reference.clone(),
            recorded_at: entry.recorded_at,
            recorded_at_us: entry.recorded_at.micros(),
            previous_hash: entry.previous_hash,
            hash: entry.hash,
        }
    }
}

impl EntryLine {
    /// The entry; `None` where the two forms of its time differ.
    pub(crate) fn entry(self) -> Option<Entry> {
        (self.recorded_at.micros() == self.recorded_at_us).then_some(Entry {
            bot_id: self.bot_id,
            sequence: self.sequence,
            entry_type: self.entry_type,
            amount: self.amount,
            balance_after: self.balance_after,
            reference: self.reference,
            recorded_at: self.recorded_at,
            previous_hash: self.previous_hash,
            hash: self.hash,
        })
    }
}

/// Where a chain ends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadLine {
    pub(crate) head: HeadFields,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadFields {
    pub(crate) bot_id: BotId,
    pub(crate) sequence: i64,
    #[serde(deserialize_with = "hash")]
    pub(crate) hash: Hash,
}

impl From<&Head> for HeadFields {
    fn from(head: &Head) -> HeadFields {
        HeadFields {
            bot_id: head.bot_id,
            sequence: head.sequence,
            hash: head.hash,
        }
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndLine {
    pub(crate) end: EndFields,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndFields {
    pub(crate) format: String,
    /// The moment of the snapshot.
    pub(crate) as_of: Timestamp,
    /// The one bot that was asked for; absent when it was everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only_bot: Option<BotId>,
    pub(crate) bots: u64,
    pub(crate) entries: u64,
    /// As `inspect-ledger` shows it, over the chains in this file.
    #[serde(deserialize_with = "hash")]
    pub(crate) heads_digest: Hash,
}

fn entry_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EntryType, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
    Reference::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    Hash::from_hex(&String::deserialize(deserializer)?)
        .ok_or_else(|| D::Error::custom("must be 64 lower-case hex digits"))
}
