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

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::economy::BotStatus;
use crate::ids::BotId;
use crate::money::Money;
use crate::time::Timestamp;

/// What moved the money. The sign of an entry's amount must fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryType {
    Grant,
    Heartbeat,
    Wager,
    Payout,
    Slash,
    Forfeit,
    Refund,
    MarketStake,
    MarketPayout,
    ResearchPayout,
    ResearchLookupFee,
    Liquidation,
    Revive,
    Retired,
}

/// Which amounts an entry type may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignRule {
    Positive,
    Negative,
    Zero,
    /// Negative or zero.
    NotPositive,
}

impl EntryType {
    pub const ALL: [EntryType; 14] = [
        EntryType::Grant,
        EntryType::Heartbeat,
        EntryType::Wager,
        EntryType::Payout,
        EntryType::Slash,
        EntryType::Forfeit,
        EntryType::Refund,
        EntryType::MarketStake,
        EntryType::MarketPayout,
        EntryType::ResearchPayout,
        EntryType::ResearchLookupFee,
        EntryType::Liquidation,
        EntryType::Revive,
        EntryType::Retired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryType::Grant => "GRANT",
            EntryType::Heartbeat => "HEARTBEAT",
            EntryType::Wager => "WAGER",
            EntryType::Payout => "PAYOUT",
            EntryType::Slash => "SLASH",
            EntryType::Forfeit => "FORFEIT",
            EntryType::Refund => "REFUND",
            EntryType::MarketStake => "MARKET_STAKE",
            EntryType::MarketPayout => "MARKET_PAYOUT",
            EntryType::ResearchPayout => "RESEARCH_PAYOUT",
            EntryType::ResearchLookupFee => "RESEARCH_LOOKUP_FEE",
            EntryType::Liquidation => "LIQUIDATION",
            EntryType::Revive => "REVIVE",
            EntryType::Retired => "RETIRED",
        }
    }

    #[must_use]
    pub const fn sign_rule(self) -> SignRule {
        match self {
            EntryType::Grant
            | EntryType::Payout
            | EntryType::Refund
            | EntryType::MarketPayout
            | EntryType::ResearchPayout
            | EntryType::Revive => SignRule::Positive,
            EntryType::Heartbeat
            | EntryType::Wager
            | EntryType::MarketStake
            | EntryType::ResearchLookupFee => SignRule::Negative,
            EntryType::Slash | EntryType::Forfeit => SignRule::Zero,
            EntryType::Liquidation | EntryType::Retired => SignRule::NotPositive,
        }
    }

    #[must_use]
    pub const fn allows_amount(self, amount: Money) -> bool {
        match self.sign_rule() {
            SignRule::Positive => amount.is_positive(),
            SignRule::Negative => amount.is_negative(),
            SignRule::Zero => amount.is_zero(),
            SignRule::NotPositive => !amount.is_positive(),
        }
    }

    /// Whether a bot in this status may receive such an entry. The dead only lose what they left
    /// open, are revived, or retired; the retired only lose what they left open.
    #[must_use]
    pub const fn allowed_for(self, status: BotStatus) -> bool {
        match status {
            BotStatus::Alive => !matches!(self, EntryType::Revive | EntryType::Forfeit),
            BotStatus::Dead => {
                matches!(
                    self,
                    EntryType::Forfeit | EntryType::Revive | EntryType::Retired
                )
            }
            BotStatus::Retired => matches!(self, EntryType::Forfeit),
        }
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown entry type")]
pub struct UnknownEntryType;

impl FromStr for EntryType {
    type Err = UnknownEntryType;

    fn from_str(text: &str) -> Result<EntryType, UnknownEntryType> {
        EntryType::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or(UnknownEntryType)
    }
}

impl Serialize for EntryType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What caused an entry: 1–200 printable ASCII characters, such as `TICK:7` or `PREDICTION:12`.
#[derive(Clone, PartialEq, Eq, Hash)]
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
        debug_assert!(
            Reference::new(text).is_ok(),
            "built reference {text:?} breaks its rule"
        );
        Reference(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry of a chain names as the hash before it.
    pub const ZERO: Hash = Hash([0; 32]);

    /// From exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }

    /// From 64 lower-case hex digits.
    #[must_use]
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

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

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
    #[must_use]
    pub fn compute_hash(&self, scratch: &mut Vec<u8>) -> Hash {
        self.write_canonical(scratch);
        Hash(Sha256::digest(&scratch[..]).into())
    }
}

fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
    out.push(b'\n');
}
