//! A ledger entry and its one canonical form, `ledger/v1`.
//!
//! The hash of an entry is the SHA-256 of these lines, UTF-8, each ended by one `\n` (0x0A), with
//! nothing before or after:
//!
//! ```text
//! ledger/v1
//! <bot_id, decimal>
//! <sequence, decimal>
//! <entry_type, as in the table>
//! <amount>
//! <balance_after>
//! <reference>
//! <recorded_at as microseconds since the Unix epoch, decimal>
//! <previous_hash, 64 lower-case hex digits>
//! ```
//!
//! Amounts are written by [`Money::write_canonical`]. No field can hold a line feed, so no two
//! entries share a form, and `printf '…' | sha256sum` reproduces every hash. This module holds the
//! only encoder: writers and auditors both call [`Entry::compute_hash`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::ids::BotId;
use crate::money::Money;
use crate::time::Timestamp;

pub use crate::entry_types::EntryType;

/// The cause of an entry: 1–200 printable ASCII characters, such as `TICK:7` or `PREDICTION:12`.
#[derive(Clone, PartialEq, Eq, Hash, derive_more::Display)]
pub struct Reference(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} printable ASCII characters", Reference::MAX_LENGTH)]
pub struct ReferenceError;

impl Reference {
    pub const MAX_LENGTH: usize = 200;

    pub fn new(text: &str) -> Result<Reference, ReferenceError> {
        let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if printable && (1..=Self::MAX_LENGTH).contains(&text.len()) {
            Ok(Reference(text.into()))
        } else {
            Err(ReferenceError)
        }
    }

    /// For references this crate builds itself from a fixed prefix and a printable id.
    pub(crate) fn built(text: &str) -> Reference {
        debug_assert!(Reference::new(text).is_ok(), "built reference {text:?} breaks its rule");
        Reference(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::new(text)
    }
}

as_string!(Reference);

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The previous hash of a chain's first entry.
    pub const ZERO: Hash = Hash([0; 32]);

    /// From exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }

    /// From 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Hash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Hash(bytes))
    }

    pub fn write_hex(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.0 {
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 0x0f)]);
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

shown_as_text!(Hash);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 lower-case hex digits")]
pub struct HashError;

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        Hash::from_hex(text).ok_or(HashError)
    }
}

as_string!(Hash);

/// A movement that a rule decided on and that is yet to be sealed into a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub entry_type: EntryType,
    /// Signed change of the balance.
    pub amount: Money,
    pub reference: Reference,
}

/// One link of a bot's chain, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub bot_id: BotId,
    /// 1, 2, 3, … without a gap.
    pub sequence: i64,
    pub entry_type: EntryType,
    pub amount: Money,
    pub balance_after: Money,
    pub reference: Reference,
    pub recorded_at: Timestamp,
    pub previous_hash: Hash,
    pub hash: Hash,
}

impl Entry {
    /// Writes the canonical form of everything but `hash` into `out`, replacing what was there.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"ledger/v1\n");
        write_integer(out, self.bot_id.0);
        write_integer(out, self.sequence);
        out.extend_from_slice(self.entry_type.as_str().as_bytes());
        out.push(b'\n');
        self.amount.write_canonical(out);
        out.push(b'\n');
        self.balance_after.write_canonical(out);
        out.push(b'\n');
        out.extend_from_slice(self.reference.as_str().as_bytes());
        out.push(b'\n');
        write_integer(out, self.recorded_at.micros());
        self.previous_hash.write_hex(out);
        out.push(b'\n');
    }

    /// The hash this entry ought to have. `scratch` is overwritten; passing the same buffer again
    /// saves an allocation an entry, which is most of the cost when millions are audited.
    pub fn compute_hash(&self, scratch: &mut Vec<u8>) -> Hash {
        self.write_canonical(scratch);
        Hash(Sha256::digest(&scratch[..]).into())
    }
}

fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.push(b'\n');
}
