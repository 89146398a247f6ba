//! Markets: questions that data decides.
//!
//! [`crate::criteria`] decides a market, [`crate::parimutuel`] distributes a pool, and
//! [`crate::research`] commits to an answer before the market opens. This module has a market's
//! state, the conditions for a bet, and the entries of its end.

pub(crate) mod status;

use crate::criteria::bets_close_at;
pub use crate::criteria::{Resolution, Side};
use crate::decimal::Decimal8;
use crate::economy::market_reference;
use crate::entry_types::EntryType;
use crate::ids::MarketId;
use crate::money::{Money, Outcome};
use crate::movement::{Leg, Movement, PositionKind};
use crate::parimutuel::{self, Share, StakedBet};
use crate::pause::Pause;
use crate::refusal::Refusal;
pub use crate::sources::{MarketSource, Taking};
use crate::time::Timestamp;
pub use status::MarketStatus;

/// Whether a market of this source may last from `opens_at` to `deadline`.
pub fn check_deadline(
    source: MarketSource,
    opens_at: Timestamp,
    deadline: Timestamp,
) -> Result<(), Refusal> {
    let seconds = deadline.seconds_since(opens_at);
    let about = source.about();
    let (least, too_soon) = about.least_seconds;
    let (most, too_late) = about.most_seconds;
    let problem = if seconds < least {
        too_soon
    } else if seconds > most {
        too_late
    } else {
        return Ok(());
    };
    Err(Refusal::Deadline { problem })
}

/// The longest pause between two fetches that decide nothing, in seconds.
pub const RETRY_MAX_SECONDS: i64 = 900;

/// How long to wait after so many fetches in a row that decided nothing, in seconds: 30, 60, …, 900.
pub fn retry_seconds(attempts: i32) -> i64 {
    (30_i64 << attempts.clamp(1, 6).saturating_sub(1)).min(RETRY_MAX_SECONDS)
}

labelled! {
    /// The state of a bet.
    BetState {
        Open = "OPEN",
        Won = "WON",
        Lost = "LOST",
        /// The stake came back.
        Void = "VOID",
        /// Its owner was dead at the settlement.
        Forfeit = "FORFEIT",
    }
}

/// A market under its row's lock, as far as admitting a bet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketView {
    pub id: MarketId,
    pub source: MarketSource,
    pub status: MarketStatus,
    pub opens_at: Timestamp,
    pub deadline: Timestamp,
    /// Set while it is paused: it takes nothing and pays nothing.
    pub pause: Option<Pause>,
}

impl MarketView {
    /// Whether the market takes this at `now`, which is Postgres' clock read under the lock.
    pub fn admit(&self, taking: Taking, now: Timestamp) -> Result<(), Refusal> {
        let MarketView { id: market, source, status, .. } = *self;
        let takes = source.about().takes;
        if takes != taking {
            return Err(Refusal::WrongKind {
                market,
                source_kind: source,
                takes: match takes {
                    Taking::Answer => "answers, not bets",
                    Taking::Bet => "bets, not answers",
                },
            });
        }
        if status != MarketStatus::Open {
            return Err(Refusal::MarketNotOpen { market, status });
        }
        let closed_at = bets_close_at(source, self.opens_at, self.deadline);
        // A pause extends the deadline of research.
        let stands = self.pause.as_ref().filter(|_| takes == Taking::Answer);
        let at = stands.map_or(now, |pause| pause.since.min(now));
        if at >= closed_at {
            return Err(Refusal::BetsClosed { market, closed_at });
        }
        self.unless_paused()
    }

    /// Whether this market is paused.
    pub fn unless_paused(&self) -> Result<(), Refusal> {
        if let Some(pause) = self.pause.clone() {
            let (market, pause) = (self.id, Box::new(pause));
            return Err(Refusal::MarketPaused { market, pause });
        }
        Ok(())
    }
}

/// How one bet ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BetSettlement {
    pub movement: Movement,
    pub state: BetState,
    /// The payout to the bot.
    pub payout: Money,
    /// The Brier score; `None` where nothing was decided for it.
    pub brier: Option<Decimal8>,
}

/// How a whole market ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketSettlement {
    /// One for each bet, in their order.
    pub bets: Vec<BetSettlement>,
    /// Whether the pool was paid; if not, stakes came back and no bounty was minted.
    pub paid: bool,
}

/// Turns a resolution into the closing entry of every bet.
///
/// Stakes + bounty = payouts + the house's part, exactly. The bounty is distributed over the
/// winners like the pool, so that each wallet's totals are the sum of its own entries.
///
/// `None` if a payout leaves the range of money. The market must then be void.
pub fn settle(
    market: MarketId,
    bets: &[StakedBet],
    bounty: Money,
    resolution: Resolution,
) -> Option<MarketSettlement> {
    let division = parimutuel::divide(bets, bounty, resolution)?;
    let mut bounties = parimutuel::shares_of(bounty, bets, &division)?.into_iter();
    let mut settled = Vec::with_capacity(bets.len());
    for (bet, share) in bets.iter().zip(&division.shares) {
        let stake = bet.stake.money();
        let minted = bounties.next()?;
        let mint = minted.is_positive().then_some(Leg::Mint(minted));
        let (entry_type, state, pool) = match share {
            Share::Won(units) => {
                let payout = Money::from_units(i64::try_from(*units).ok()?)?;
                let won = payout.checked_sub(stake)?.checked_sub(minted)?;
                (EntryType::MarketPayout, BetState::Won, Some(Leg::Pool(won)))
            }
            Share::Lost => (EntryType::Slash, BetState::Lost, Some(Leg::Pool(stake.negated()))),
            Share::Refunded => (EntryType::Refund, BetState::Void, None),
            Share::Forfeited => {
                // In a paid pool, the stakes of dead bots go to the winners.
                let leg = if division.paid { Leg::Pool(stake.negated()) } else { Leg::Burn(stake) };
                (EntryType::Forfeit, BetState::Forfeit, Some(leg))
            }
        };
        let brier = match state {
            BetState::Won => Some(bet.confidence.brier(Outcome::Happened)),
            BetState::Lost => Some(bet.confidence.brier(Outcome::DidNotHappen)),
            BetState::Open | BetState::Void | BetState::Forfeit => None,
        };
        let position = (PositionKind::Bet, stake);
        let reference = market_reference(market);
        let movement = Movement::closing(entry_type, reference, position, [pool, mint])?;
        settled.push(BetSettlement { payout: movement.posting.amount, movement, state, brier });
    }
    let settlement = MarketSettlement { bets: settled, paid: division.paid };
    settlement.balances(bets, bounty).then_some(settlement)
}

impl MarketSettlement {
    /// Whether payments in equal payments out, to the last unit.
    fn balances(&self, bets: &[StakedBet], bounty: Money) -> bool {
        let staked: i128 = bets.iter().map(|b| i128::from(b.stake.money().units())).sum();
        let sum = |part: fn(&BetSettlement) -> Money| -> i128 {
            self.bets.iter().map(|bet| i128::from(part(bet).units())).sum()
        };
        let (paid, minted) = (sum(|bet| bet.payout), sum(|bet| bet.movement.minted()));
        let house = if self.paid { bounty } else { Money::ZERO };
        minted == i128::from(house.units())
            && staked + minted == paid + sum(|b| b.movement.burned())
    }
}
