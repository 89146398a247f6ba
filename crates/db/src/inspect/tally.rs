//! What a bot's chain says of its positions, and what the positions say of its chain.
//!
//! Both sides are boiled down to order-independent sums, so that a bot with ten million
//! predictions is compared in constant memory.

use ledger_core::entry::EntryType;
use ledger_core::prediction::PredictionStatus;
use ledger_core::{Entry, Money};
use sha2::{Digest, Sha256};

/// One side's view of a bot's positions and of what the house gave and took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sum over SHA-256(reference, type, amount), modulo 2¹²⁸, of every opening and closing entry.
    fingerprint: u128,
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// Stakes of what is open, in units.
    pub(super) escrow: i128,
    /// Units the house made for this bot, and units that fell to it.
    pub(super) minted: i128,
    pub(super) burned: i128,
}

impl Tally {
    /// Counts what an entry says by itself. A closing entry does not name its stake; the
    /// position's side adds that.
    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let units = i128::from(entry.amount.units());
        match entry.entry_type {
            EntryType::Grant | EntryType::Revive => self.minted += units,
            EntryType::Heartbeat
            | EntryType::Liquidation
            | EntryType::Retired
            | EntryType::ResearchLookupFee => self.burned -= units,
            EntryType::Wager => {
                self.opened += 1;
                self.mix(entry.reference.as_str(), EntryType::Wager, entry.amount);
            }
            EntryType::Payout | EntryType::Slash | EntryType::Forfeit | EntryType::Refund => {
                self.closed += 1;
                self.mix(entry.reference.as_str(), entry.entry_type, entry.amount);
            }
            EntryType::MarketStake | EntryType::MarketPayout | EntryType::ResearchPayout => {}
        }
    }

    /// Counts what a prediction's row says the chain must hold, and what its end meant for the
    /// house.
    pub(super) fn add_prediction(&mut self, row: &PredictionFacts) {
        let wager = i128::from(row.wager.units());
        let payout = i128::from(row.payout.units());
        self.opened += 1;
        self.mix(&row.observation, EntryType::Wager, row.wager.negated());
        let closing = match row.status {
            PredictionStatus::Open => {
                self.escrow += wager;
                return;
            }
            PredictionStatus::Won => EntryType::Payout,
            PredictionStatus::Lost => EntryType::Slash,
            PredictionStatus::Void => EntryType::Refund,
            PredictionStatus::Forfeit => EntryType::Forfeit,
        };
        self.closed += 1;
        self.mix(&row.reference, closing, row.payout);
        self.minted += (payout - wager).max(0);
        self.burned += (wager - payout).max(0);
    }

    fn mix(&mut self, reference: &str, entry_type: EntryType, amount: Money) {
        let mut hasher = Sha256::new();
        hasher.update(reference.as_bytes());
        hasher.update(b"\n");
        hasher.update(entry_type.as_str().as_bytes());
        hasher.update(b"\n");
        hasher.update(amount.units().to_be_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut half = [0u8; 16];
        half.copy_from_slice(&digest[..16]);
        self.fingerprint = self.fingerprint.wrapping_add(u128::from_be_bytes(half));
    }

    /// Whether both sides tell of the same openings and closings.
    pub(super) fn agrees_with(&self, other: &Tally) -> bool {
        self.fingerprint == other.fingerprint
            && self.opened == other.opened
            && self.closed == other.closed
    }
}

/// A prediction's row, as far as the chain must match it.
#[derive(Debug)]
pub(super) struct PredictionFacts {
    /// Reference of its opening entry.
    pub(super) observation: String,
    /// Reference of its closing entry.
    pub(super) reference: String,
    pub(super) wager: Money,
    pub(super) payout: Money,
    pub(super) status: PredictionStatus,
}
