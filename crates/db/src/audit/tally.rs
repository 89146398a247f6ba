//! What a bot's chain says of its positions, and what the positions say of its chain.
//!
//! Both sides are boiled down to order-independent sums, so that a bot with ten million
//! predictions is compared in constant memory.

use ledger_core::entry_types::{EntryType, House, Position, Total};
use ledger_core::market::BetState;
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
    /// Bets and answers, likewise.
    pub(super) bets_opened: u64,
    pub(super) bets_closed: u64,
    pub(super) bet_escrow: i128,
    /// Units the house made for this bot, and units that fell to it.
    pub(super) minted: i128,
    pub(super) burned: i128,
    /// What insights say of it.
    pub(super) worth: Worth,
}

/// What a bot's running totals must be, in units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Worth {
    pub(super) settled: i128,
    pub(super) payouts: i128,
    pub(super) bounties: i128,
    pub(super) lost_stakes: i128,
    pub(super) brier_sum: i128,
    pub(super) won: i128,
    pub(super) brier_count: i128,
    /// Payouts less stakes; lookup fees are taken off where the chain has told them.
    pub(super) profit: i128,
    /// Told by the chain alone.
    pub(super) fees: i128,
    pub(super) granted: i128,
    pub(super) lookup_fees: i128,
}

impl Worth {
    fn add(&mut self, stake: i128, payout: i128, bounty: i128, brier: Option<Money>, won: bool) {
        self.settled += 1;
        self.won += i128::from(won);
        self.payouts += payout;
        self.profit += payout - stake;
        self.bounties += bounty;
        self.brier_sum += brier.map_or(0, |brier| i128::from(brier.units()));
        self.brier_count += i128::from(brier.is_some());
        if !won {
            self.lost_stakes += stake;
        }
    }
}

impl Tally {
    /// Counts what an entry says by itself. A closing entry does not name its stake; the
    /// position's side adds that.
    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let units = i128::from(entry.amount.units());
        let declared = entry.entry_type.declaration();
        match declared.house {
            House::Mint => self.minted += units,
            House::Burn => self.burned -= units,
            // What a stake costs or brings the house stands in its position's row.
            House::IntoEscrow | House::OutOfEscrow => {}
        }
        match declared.total {
            Total::Granted => self.worth.granted += units,
            Total::Fees => self.worth.fees -= units,
            Total::LookupFees => self.worth.lookup_fees -= units,
            Total::None => {}
        }
        let reference = entry.reference.as_str();
        let mut amount = entry.amount;
        match declared.position {
            Position::None => return,
            Position::OpensPrediction => self.opened += 1,
            Position::OpensBet => self.bets_opened += 1,
            // The answer's row says that there was a fee, not what it cost then.
            Position::BesideAnswer => amount = Money::ZERO,
            // One type closes both kinds of positions; the reference tells which.
            Position::Closes if reference.starts_with("MARKET:") => self.bets_closed += 1,
            Position::Closes => self.closed += 1,
        }
        self.mix(reference, entry.entry_type, amount);
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
        if row.status != PredictionStatus::Void {
            let won = row.status == PredictionStatus::Won;
            self.worth.add(wager, payout, 0, row.brier, won);
        }
    }

    /// The same for the row of a bet or an answer.
    pub(super) fn add_bet(&mut self, row: &BetFacts) {
        let units = |money: Money| i128::from(money.units());
        let (stake, payout) = (units(row.stake), units(row.payout));
        self.bets_opened += 1;
        let opening = EntryType::MarketStake;
        self.mix(&row.reference, opening, row.stake.negated());
        if row.lookup == Some(true) {
            self.mix(&row.reference, EntryType::ResearchLookupFee, Money::ZERO);
        }
        let closing = match row.state {
            BetState::Open => {
                self.bet_escrow += stake;
                return;
            }
            BetState::Won if row.lookup.is_some() => EntryType::ResearchPayout,
            BetState::Won => EntryType::MarketPayout,
            BetState::Lost => EntryType::Slash,
            BetState::Void => EntryType::Refund,
            BetState::Forfeit => EntryType::Forfeit,
        };
        self.bets_closed += 1;
        self.mix(&row.reference, closing, row.payout);
        self.minted += units(row.minted);
        self.burned += units(row.burned);
        if row.state != BetState::Void {
            let won = row.state == BetState::Won;
            let bounty = units(row.minted);
            self.worth.add(stake, payout, bounty, row.brier, won);
        }
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
            && self.bets_opened == other.bets_opened
            && self.bets_closed == other.bets_closed
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
    pub(super) brier: Option<Money>,
}

/// The row of a bet or an answer, as far as the chain must match it.
#[derive(Debug)]
pub(super) struct BetFacts {
    /// Reference of all its entries.
    pub(super) reference: String,
    pub(super) stake: Money,
    pub(super) payout: Money,
    pub(super) minted: Money,
    pub(super) burned: Money,
    pub(super) brier: Option<Money>,
    pub(super) state: BetState,
    /// Of an answer: whether it used the lookup tool. `None` for a bet.
    pub(super) lookup: Option<bool>,
}
