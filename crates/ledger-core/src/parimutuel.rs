//! How the pool of a market is shared out, to the last unit.
//!
//! Pari-mutuel: whoever was right shares everything that was staked, and the bounty, in proportion
//! to the stakes. Shares are rounded down and what is left over goes one unit each to the largest
//! remainders (Hare's method), ties to the older bet, so that payouts sum to the pool exactly.

use crate::ids::BetId;
use crate::market::{Resolution, Side};
use crate::money::{Money, Stake};

/// A bet as far as sharing out goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StakedBet {
    pub id: BetId,
    pub side: Side,
    pub stake: Stake,
    /// Whether its owner is dead or retired, judged under the wallet's lock.
    pub owner_dead: bool,
}

/// What becomes of one bet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Right: this many units of the pool. It may exceed the range of one balance.
    Won(i128),
    /// Wrong: its stake is part of what the others won.
    Lost,
    /// Nothing was decided, or nobody living was right: the stake comes back.
    Refunded,
    /// Its owner is dead. The stake stays in the pool, or is burnt where all others are refunded.
    Forfeited,
}

/// A whole market shared out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// One for each bet, in their order.
    pub shares: Vec<Share>,
    /// Whether the pool was paid. If not, living bettors are refunded and no bounty is minted.
    pub paid: bool,
}

/// Shares out the pool of `bets` and `bounty`.
///
/// Stakes of dead bots stay in the pool where somebody living was right. The sum of all
/// [`Share::Won`] is then the pool, exactly.
///
/// `None` if a pool times a stake leaves the range of an `i128`, which takes a pool of more than a
/// hundred times the largest balance.
#[must_use]
pub fn divide(bets: &[StakedBet], bounty: Money, resolution: Resolution) -> Option<Division> {
    let won = |bet: &StakedBet| resolution.is(bet.side) && !bet.owner_dead;
    let staked = |bet: &StakedBet| i128::from(bet.stake.money().units());
    let winning: i128 = bets.iter().filter(|bet| won(bet)).map(staked).sum();
    if winning == 0 {
        let shares = bets.iter().map(|bet| match bet.owner_dead {
            true => Share::Forfeited,
            false => Share::Refunded,
        });
        return Some(Division {
            shares: shares.collect(),
            paid: false,
        });
    }
    let pool = bets.iter().map(staked).sum::<i128>() + i128::from(bounty.units());
    let mut shares: Vec<Share> = Vec::with_capacity(bets.len());
    // Place, remainder and age of each winner.
    let mut remainders: Vec<(usize, i128, BetId)> = Vec::new();
    let mut left = pool;
    for (place, bet) in bets.iter().enumerate() {
        shares.push(if bet.owner_dead {
            Share::Forfeited
        } else if won(bet) {
            let product = pool.checked_mul(staked(bet))?;
            let share = product / winning;
            left -= share;
            remainders.push((place, product % winning, bet.id));
            Share::Won(share)
        } else {
            Share::Lost
        });
    }
    remainders.sort_by_key(|&(_, remainder, id)| (std::cmp::Reverse(remainder), id));
    for (place, ..) in remainders {
        if left == 0 {
            break;
        }
        if let Some(Share::Won(units)) = shares.get_mut(place) {
            *units += 1;
            left -= 1;
        }
    }
    Some(Division { shares, paid: true })
}
