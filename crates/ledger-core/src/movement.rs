//! A movement of money: an entry of a bot's chain, and its counterparties.
//!
//! A rule declares the counterparties as [`Leg`]s. The amount of the entry, the minted and burned
//! amounts, and the bot's new positions and status follow from them and from the entry's type.

use crate::entry::{Posting, Reference};
use crate::entry_types::EntryType;
use crate::money::Money;
use crate::wallet::status::BotStatus;

/// The kind of position that a stake opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionKind {
    Prediction,
    /// On a market, or an answer to research.
    Bet,
}

/// One other side of an entry. Amounts are not negative, but for the pool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The house makes it, and the bot gets it.
    Mint(Money),
    /// The bot loses it, and it is gone.
    Burn(Money),
    /// It goes into escrow, and a position is open.
    Stake(PositionKind, Money),
    /// It comes out of escrow, and a position is closed.
    Release(PositionKind, Money),
    /// The bot's gain from the other bets of a market, or its loss to them if negative.
    Pool(Money),
}

impl Leg {
    /// The amount added to the balance, in units.
    fn units(self) -> i128 {
        match self {
            Leg::Mint(amount) | Leg::Release(_, amount) | Leg::Pool(amount) => {
                i128::from(amount.units())
            }
            Leg::Burn(amount) | Leg::Stake(_, amount) => -i128::from(amount.units()),
        }
    }
}

/// An entry's other sides: at most a position, the pool and the house.
const LEGS_MAX: usize = 3;

/// One movement of money with all it does to the wallet: what a decision returns and `append` carries
/// out.
#[must_use = "money moves once the movement is written"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub posting: Posting,
    legs: [Option<Leg>; LEGS_MAX],
    /// Whether it ends an idle streak.
    pub productive: bool,
}

impl Movement {
    /// With a single other side, whose amount always is one of money.
    pub(crate) fn one(entry_type: EntryType, reference: Reference, leg: Leg) -> Movement {
        let amount = match leg {
            Leg::Mint(amount) | Leg::Release(_, amount) | Leg::Pool(amount) => amount,
            Leg::Burn(amount) | Leg::Stake(_, amount) => amount.negated(),
        };
        Movement {
            posting: Posting { entry_type, amount, reference },
            legs: [Some(leg), None, None],
            productive: false,
        }
    }

    /// Closes a position; `others` are the counterparties besides its escrow, at most two. `None`
    /// if the amount leaves the range of money.
    pub(crate) fn closing(
        entry_type: EntryType,
        reference: Reference,
        (kind, stake): (PositionKind, Money),
        others: [Option<Leg>; LEGS_MAX - 1],
    ) -> Option<Movement> {
        let [first, second] = others;
        let legs = [Some(Leg::Release(kind, stake)), first, second];
        let units: i128 = legs.iter().flatten().map(|leg| leg.units()).sum();
        let amount = Money::from_units(i64::try_from(units).ok()?)?;
        Some(Movement {
            posting: Posting { entry_type, amount, reference },
            legs,
            productive: false,
        })
    }

    /// The same, which ends an idle streak if it is `productive`.
    pub(crate) fn with_streak(self, productive: Streak) -> Movement {
        Movement { productive: productive == Streak::Ends, ..self }
    }

    /// The other sides.
    pub fn legs(&self) -> impl Iterator<Item = Leg> + '_ {
        self.legs.iter().copied().flatten()
    }

    /// The amount that the house minted for it.
    pub fn minted(&self) -> Money {
        self.of(|leg| match leg {
            Leg::Mint(amount) => Some(amount),
            _ => None,
        })
    }

    /// The amount that the house burned.
    pub fn burned(&self) -> Money {
        self.of(|leg| match leg {
            Leg::Burn(amount) => Some(amount),
            _ => None,
        })
    }

    /// There is at most one leg of a kind.
    fn of(&self, amount: impl Fn(Leg) -> Option<Money>) -> Money {
        self.legs().find_map(amount).unwrap_or_default()
    }

    /// The change of the number of open positions of this kind, and the signed change of what is at
    /// stake in them.
    pub fn position(&self, kind: PositionKind) -> (i32, Money) {
        self.legs()
            .find_map(|leg| match leg {
                Leg::Stake(of, stake) if of == kind => Some((1, stake)),
                Leg::Release(of, stake) if of == kind => Some((-1, stake.negated())),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// The bot's status from then on, where it changes.
    pub const fn status(&self) -> Option<BotStatus> {
        self.posting.entry_type.declaration().becomes
    }
}

/// Whether a movement ends an idle streak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streak {
    Ends,
    GoesOn,
}

impl Streak {
    /// A stake of at least `least` is productive.
    pub(crate) fn of_stake(stake: Money, least: Money) -> Streak {
        if stake >= least { Streak::Ends } else { Streak::GoesOn }
    }
}
