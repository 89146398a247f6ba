//! A bot's positions by its chain, and its chain by its positions.
//!
//! Both sides are boiled down to order-independent sums, so that a bot with ten million
//! predictions is compared in constant memory.

use ledger_core::entry_types::{EntryType, House, Position, Total};
use ledger_core::market::BetState;
use ledger_core::movement::PositionKind;
use ledger_core::{Decimal8, Entry, Money};
use sha2::{Digest, Sha256};

use super::columns::{malformed, row};

/// One side's totals of a bot's positions and of the house.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sum over SHA-256(reference, type, amount), modulo 2¹²⁸, of every opening and closing entry.
    fingerprint: u128,
    pub(super) predictions: Positions,
    /// Bets and answers.
    pub(super) bets: Positions,
    /// Units the house made for this bot, and units that fell to it.
    pub(super) minted: i128,
    pub(super) burned: i128,
    /// Its totals in insights.
    pub(super) worth: Worth,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// Stakes of open positions, in units.
    pub(super) escrow: i128,
}

row! {
    /// The expected running totals of a bot, in units.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    struct Worth(row) {
        settled: i128 = "t.settled * 0.00000001" => row.total(),
        payouts: i128 = "t.payouts" => row.total(),
        bounties: i128 = "t.bounties" => row.total(),
        lost_stakes: i128 = "t.lost_stakes" => row.total(),
        brier_sum: i128 = "t.brier_sum" => row.total(),
        won: i128 = "t.won * 0.00000001" => row.total(),
        brier_count: i128 = "t.brier_count * 0.00000001" => row.total(),
        /// Payouts less stakes; lookup fees are subtracted when the chain has them.
        profit: i128 = "t.profit" => row.total(),
        /// Told by the chain alone.
        fees: i128 = "w.fees" => row.total(),
        granted: i128 = "w.granted" => row.total(),
        lookup_fees: i128 = "t.lookup_fees" => row.total(),
    }
}

impl Worth {
    fn add(&mut self, row: &PositionRow) {
        let (stake, payout) = (units(row.stake), units(row.payout));
        let won = row.state == BetState::Won;
        self.settled += 1;
        self.won += i128::from(won);
        self.payouts += payout;
        self.profit += payout - stake;
        self.bounties += units(row.bounty);
        self.brier_sum += row.brier.map_or(0, |brier| i128::from(brier.units()));
        self.brier_count += i128::from(row.brier.is_some());
        if !won {
            self.lost_stakes += stake;
        }
    }
}

impl Tally {
    /// Counts the values of an entry alone. A closing entry does not name its stake; the position's
    /// side adds that.
    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let units = units(entry.amount);
        let declared = entry.entry_type.declaration();
        match declared.house {
            House::Mint => self.minted += units,
            House::Burn => self.burned -= units,
            // The house's gain or loss by a stake is in its position's row.
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
            Position::OpensPrediction => self.predictions.opened += 1,
            Position::OpensBet => self.bets.opened += 1,
            // The answer's row shows that there was a fee, but not its amount.
            Position::BesideAnswer => amount = Money::ZERO,
            // One type closes both kinds of positions; the reference distinguishes them.
            Position::Closes if reference.starts_with("MARKET:") => self.bets.closed += 1,
            Position::Closes => self.predictions.closed += 1,
        }
        self.mix(reference, entry.entry_type, amount);
    }

    /// Counts the entries that a position requires in the chain, and its result for the house.
    pub(super) fn add(&mut self, kind: PositionKind, row: &PositionRow) {
        let (opening, positions) = match kind {
            PositionKind::Prediction => (EntryType::Wager, &mut self.predictions),
            PositionKind::Bet => (EntryType::MarketStake, &mut self.bets),
        };
        positions.opened += 1;
        if row.state == BetState::Open {
            positions.escrow += units(row.stake);
        } else {
            positions.closed += 1;
        }
        self.mix(&row.opening, opening, row.stake.negated());
        if row.lookup == Some(true) {
            self.mix(&row.opening, EntryType::ResearchLookupFee, Money::ZERO);
        }
        let closing = match (row.state, kind) {
            (BetState::Open, _) => return,
            (BetState::Won, PositionKind::Prediction) => EntryType::Payout,
            (BetState::Won, PositionKind::Bet) if row.lookup.is_some() => EntryType::ResearchPayout,
            (BetState::Won, PositionKind::Bet) => EntryType::MarketPayout,
            (BetState::Lost, _) => EntryType::Slash,
            (BetState::Void, _) => EntryType::Refund,
            (BetState::Forfeit, _) => EntryType::Forfeit,
        };
        self.mix(&row.closing, closing, row.payout);
        self.minted += units(row.minted);
        self.burned += units(row.burned);
        if row.state != BetState::Void {
            self.worth.add(row);
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

    /// Whether both sides have the same openings and closings.
    pub(super) fn agrees_with(&self, other: &Tally) -> bool {
        let counts = |tally: &Tally| {
            [&tally.predictions, &tally.bets].map(|positions| (positions.opened, positions.closed))
        };
        self.fingerprint == other.fingerprint && counts(self) == counts(other)
    }
}

row! {
    /// The row of a prediction, a bet or an answer, as far as the chain must match it.
    struct PositionRow(row) {
        /// Reference of its opening entry, and of the fee for a lookup.
        opening: String = "opening" => row.text().unwrap_or_default(),
        /// Reference of its closing entry.
        closing: String = "closing" => row.text().unwrap_or_default(),
        stake: Money = "stake" => row.money(),
        payout: Money = "payout" => row.money(),
        minted: Money = "minted" => row.money(),
        burned: Money = "burned" => row.money(),
        /// Its gain besides the stakes of others.
        bounty: Money = "bounty" => row.money(),
        brier: Option<Decimal8> = "brier" => row.decimal(),
        /// A prediction's has the same labels.
        state: BetState = "state" => row.parsed().ok_or_else(malformed)?,
        /// Of an answer: whether it used the lookup tool.
        lookup: Option<bool> = "lookup" => row.flag(),
        /// The expected result of a prediction.
        problem: Option<String> = "problem" => row.text(),
    }
}

fn units(money: Money) -> i128 {
    i128::from(money.units())
}
