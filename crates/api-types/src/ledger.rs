//! The ledger, with all fields for recomputing each hash.

use ledger_core::{BotId, ChainFault, Entry, EntryType, Hash, Money, Reference, Timestamp};
use serde::{Deserialize, Serialize};

use crate::told;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LedgerEntry {
    /// Whose chain it is in.
    pub bot_id: BotId,
    /// Its place in that chain: 1, 2, 3, …
    pub sequence: i64,
    /// Why the money moved.
    pub entry_type: EntryType,
    /// Signed change of the balance.
    pub amount: Money,
    /// The balance with `amount` in it.
    pub balance_after: Money,
    /// What caused it, such as `OBS:<observation>` or `MARKET:<id>`.
    pub reference: Reference,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// `recorded_at` as the hash has it: microseconds since the Unix epoch.
    pub recorded_at_us: i64,
    /// The hash of the entry before; 64 zeros for the first.
    pub previous_hash: Hash,
    /// SHA-256 over all other fields.
    pub hash: Hash,
}

impl From<Entry> for LedgerEntry {
    fn from(entry: Entry) -> LedgerEntry {
        told!(LedgerEntry of entry {
            bot_id, sequence, entry_type, amount, balance_after, reference, recorded_at,
            previous_hash, hash;
            recorded_at_us: entry.recorded_at.micros(),
        })
    }
}

impl From<LedgerEntry> for Entry {
    /// For clients that verify a chain themselves.
    fn from(entry: LedgerEntry) -> Entry {
        told!(Entry of entry {
            bot_id, sequence, entry_type, amount, balance_after, reference, recorded_at,
            previous_hash, hash
        })
    }
}

/// `GET /bots/{id}/ledger/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChainVerification {
    /// Whose chain it is.
    pub bot_id: BotId,
    /// How many entries were checked, from the first on; with a fault, up to the one at fault.
    pub entries: i64,
    /// How many entries the chain has.
    pub length: i64,
    /// Whether nothing is left to check. A long chain takes several requests: repeat until this is
    /// `true`. Each continues where the last one stopped.
    pub complete: bool,
    /// The hash of the last of them.
    pub head_hash: Hash,
    /// Whether every checked entry matches its hash.
    pub valid: bool,
    /// Where the chain breaks; `None` for a valid one.
    #[schema(required = true)]
    pub first_fault: Option<LedgerFault>,
}

/// The first broken link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LedgerFault {
    /// The entry at fault.
    pub sequence: i64,
    /// The column that is wrong.
    pub field: String,
    /// The expected value.
    pub expected: String,
    /// The stored value.
    pub found: String,
}

impl From<ChainFault> for LedgerFault {
    fn from(fault: ChainFault) -> LedgerFault {
        told!(LedgerFault of fault { sequence, expected, found; field: fault.field.to_string() })
    }
}
