//! Sealing a posting into a chain, and checking a chain link by link.
//!
//! Only [`seal`] creates an [`Entry`]; only [`ChainVerifier`] verifies one. Both use
//! [`Entry::compute_hash`], so a writer and an auditor cannot drift apart.

pub(crate) mod head;

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::entry::{Entry, Hash, Posting, Reference};
use crate::entry_types::EntryType;
use crate::ids::BotId;
use crate::money::Money;
use crate::movement::{Movement, PositionKind};
use crate::time::Timestamp;
use crate::wallet::{BotStatus, Wallet};
pub use head::Head;

/// Why a posting cannot become an entry. Reaching one means that a decision was made on other
/// facts than the chain's: a bug or a damaged wallet, never an agent's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("an entry of type {entry_type} cannot carry the amount {amount}")]
    Sign { entry_type: EntryType, amount: Money },
    #[error("an entry of type {entry_type} is not allowed for a bot that is {status}")]
    Status { entry_type: EntryType, status: BotStatus },
    #[error("{entry_type} with amount {amount} would take the balance {balance} out of its range")]
    Balance { entry_type: EntryType, amount: Money, balance: Money },
    #[error("{entry_type} must drain the balance {balance} exactly, not {amount}")]
    NotDrained { entry_type: EntryType, amount: Money, balance: Money },
    #[error("a chain starts with GRANT and has no other, got {entry_type} at sequence {sequence}")]
    Genesis { entry_type: EntryType, sequence: i64 },
    #[error("the chain has no next sequence")]
    Sequence,
    #[error("{reference} would take the wallet's open positions below zero")]
    OpenPositions { reference: Reference },
}

/// Appends `posting` to the chain that ends in `head`: the entry, and the head after it.
///
/// `now` is Postgres' clock read after the wallet was locked. Should it lie before the last entry
/// (a clock was set back), the last entry's time is taken, so time never runs backwards in a chain.
pub fn seal(
    head: &Head,
    status: BotStatus,
    posting: Posting,
    now: Timestamp,
    scratch: &mut Vec<u8>,
) -> Result<(Entry, Head), SealError> {
    let Posting { entry_type, amount, reference } = posting;
    if !entry_type.allows_amount(amount) {
        return Err(SealError::Sign { entry_type, amount });
    }
    if !entry_type.allowed_for(status) {
        return Err(SealError::Status { entry_type, status });
    }
    let sequence = head.sequence.checked_add(1).ok_or(SealError::Sequence)?;
    if (sequence == 1) != (entry_type == EntryType::Grant) {
        return Err(SealError::Genesis { entry_type, sequence });
    }
    if entry_type.drains() && amount != head.balance.negated() {
        return Err(SealError::NotDrained { entry_type, amount, balance: head.balance });
    }
    let balance_after = head
        .balance
        .checked_add(amount)
        .filter(|after| !after.is_negative())
        .ok_or(SealError::Balance { entry_type, amount, balance: head.balance })?;
    let mut entry = Entry {
        bot_id: head.bot_id,
        sequence,
        entry_type,
        amount,
        balance_after,
        reference,
        recorded_at: head.next_at(now),
        previous_hash: head.hash,
        hash: Hash::ZERO,
    };
    entry.hash = entry.compute_hash(scratch);
    let next = Head::after(&entry);
    Ok((entry, next))
}

/// [`seal`] for a locked wallet: carries out the whole movement on it and returns the entry.
pub fn seal_onto(
    wallet: &mut Wallet,
    movement: Movement,
    now: Timestamp,
    scratch: &mut Vec<u8>,
) -> Result<Entry, SealError> {
    let (predictions, prediction_stake) = movement.position(PositionKind::Prediction);
    let (bets, stake_on_bets) = movement.position(PositionKind::Bet);
    let (becomes, posting) = (movement.status(), movement.posting);
    let predictions = wallet.open_predictions.checked_add(predictions);
    let bets = wallet.open_bets.checked_add(bets);
    let not_negative = |stake: &Money| !stake.is_negative();
    let open_stake = wallet.open_stake.checked_add(prediction_stake);
    let bet_stake = wallet.bet_stake.checked_add(stake_on_bets);
    let (Some(open_predictions @ 0..), Some(open_bets @ 0..), Some(open_stake), Some(bet_stake)) =
        (predictions, bets, open_stake.filter(not_negative), bet_stake.filter(not_negative))
    else {
        return Err(SealError::OpenPositions { reference: posting.reference });
    };
    let (entry, head) = seal(&wallet.head, wallet.status, posting, now, scratch)?;
    wallet.head = head;
    wallet.open_predictions = open_predictions;
    wallet.open_stake = open_stake;
    wallet.open_bets = open_bets;
    wallet.bet_stake = bet_stake;
    wallet.productive |= movement.productive;
    wallet.status = becomes.unwrap_or(wallet.status);
    Ok(entry)
}

/// One digest over the heads of many chains: a copy kept elsewhere shows later whether any of them
/// was rewritten.
///
/// SHA-256 over a line `<bot_id> <sequence> <hash>\n` a chain, in ascending order of bots.
#[derive(Debug, Default)]
pub struct HeadsDigest(Sha256);

impl HeadsDigest {
    /// Appends the line of one head to `out`.
    pub fn write_line(head: &Head, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {} ", head.bot_id, head.sequence).as_bytes());
        head.hash.write_hex(out);
        out.push(b'\n');
    }

    /// Feeds lines made by [`HeadsDigest::write_line`], the next in order.
    pub fn add_lines(&mut self, lines: &[u8]) {
        self.0.update(lines);
    }

    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

labelled! {
    /// The field of an entry that is wrong.
    FaultyField {
        BotId = "bot_id",
        Sequence = "sequence",
        EntryType = "entry_type",
        Amount = "amount",
        BalanceAfter = "balance_after",
        Reference = "reference",
        RecordedAt = "recorded_at",
        PreviousHash = "previous_hash",
        Hash = "hash",
        /// The whole row: it holds something that is no entry.
        Row = "row",
    }
}

/// A broken link: which entry, which field, what it should have been and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("bot {bot_id} entry {sequence}: {field} should be {expected}, found {found}")]
pub struct ChainFault {
    pub bot_id: BotId,
    pub sequence: i64,
    pub field: FaultyField,
    pub expected: String,
    pub found: String,
}

/// Checks one chain, entry by entry, in constant memory.
///
/// After a fault it continues from the entry as stored, so that one flipped byte is reported once
/// and not again for each later entry.
#[derive(Debug)]
pub struct ChainVerifier {
    head: Head,
    /// The bot's state after the entries so far; `None` if it was not followed from the start.
    status: Option<BotStatus>,
    scratch: Vec<u8>,
}

impl ChainVerifier {
    pub fn new(bot_id: BotId) -> ChainVerifier {
        ChainVerifier {
            status: Some(BotStatus::Alive),
            ..ChainVerifier::resume(Head::empty(bot_id))
        }
    }

    /// Continues behind entries that were verified before.
    pub fn resume(head: Head) -> ChainVerifier {
        ChainVerifier { head, status: None, scratch: Vec::with_capacity(512) }
    }

    /// Starts over for the next chain, keeping the buffer.
    pub fn restart(&mut self, bot_id: BotId) {
        self.head = Head::empty(bot_id);
        self.status = Some(BotStatus::Alive);
    }

    /// The head after all entries seen so far.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The bot's state after the entries so far; `None` if they do not determine it.
    pub const fn status(&self) -> Option<BotStatus> {
        self.status
    }

    /// Checks the next entry in sequence order and moves on to it, valid or not.
    pub fn check(&mut self, entry: &Entry) -> Result<(), ChainFault> {
        let fault = self.fault_of(entry);
        self.head = Head::after(entry);
        self.status = entry.entry_type.declaration().becomes.or(self.status);
        match fault {
            None => Ok(()),
            Some((field, expected, found)) => Err(ChainFault {
                bot_id: entry.bot_id,
                sequence: entry.sequence,
                field,
                expected,
                found,
            }),
        }
    }

    /// Moves on to an entry that is too broken to be read as one, and that was reported as such.
    pub fn skip_to(&mut self, head: Head) {
        self.head = head;
    }

    fn fault_of(&mut self, entry: &Entry) -> Option<(FaultyField, String, String)> {
        let head = &self.head;
        // The hash first: it covers every other column, so every changed byte is caught here, and
        // only a consistently forged entry reaches the finer checks.
        let hash = entry.compute_hash(&mut self.scratch);
        let differs = |field, expected: &dyn fmt::Display, found: &dyn fmt::Display| {
            Some((field, expected.to_string(), found.to_string()))
        };
        if entry.bot_id != head.bot_id {
            return differs(FaultyField::BotId, &head.bot_id, &entry.bot_id);
        }
        if Some(entry.sequence) != head.sequence.checked_add(1) {
            return differs(
                FaultyField::Sequence,
                &head.sequence.saturating_add(1),
                &entry.sequence,
            );
        }
        if entry.hash != hash {
            return differs(FaultyField::Hash, &hash, &entry.hash);
        }
        if entry.previous_hash != head.hash {
            return differs(FaultyField::PreviousHash, &head.hash, &entry.previous_hash);
        }
        if (entry.sequence == 1) != (entry.entry_type == EntryType::Grant) {
            let expected = if entry.sequence == 1 { "GRANT" } else { "any type but GRANT" };
            return differs(FaultyField::EntryType, &expected, &entry.entry_type);
        }
        if !entry.entry_type.allows_amount(entry.amount) {
            let expected = format!("{:?} for {}", entry.entry_type.sign_rule(), entry.entry_type);
            return differs(FaultyField::Amount, &expected, &entry.amount);
        }
        let balance = head.balance.checked_add(entry.amount).filter(|b| !b.is_negative());
        if balance != Some(entry.balance_after) {
            let expected = balance.map_or("a balance in range".to_owned(), |b| b.to_string());
            return differs(FaultyField::BalanceAfter, &expected, &entry.balance_after);
        }
        if entry.entry_type.drains() && !entry.balance_after.is_zero() {
            return differs(FaultyField::BalanceAfter, &Money::ZERO, &entry.balance_after);
        }
        if let Some(status) = self.status.filter(|status| !entry.entry_type.allowed_for(*status)) {
            let expected = format!("an entry that a bot that is {status} may receive");
            return differs(FaultyField::EntryType, &expected, &entry.entry_type);
        }
        if head.recorded_at.is_some_and(|last| entry.recorded_at < last) {
            let last = head.recorded_at.map(|at| format!("{at} or later")).unwrap_or_default();
            return differs(FaultyField::RecordedAt, &last, &entry.recorded_at);
        }
        None
    }
}
