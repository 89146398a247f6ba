//! How the pool of a market is shared out, to the last unit.
//!
//! Pari-mutuel: the winners share all stakes and the bounty in proportion to their stakes. Shares
//! are rounded down, and the remaining units go one each to the largest remainders (Hare's method),
//! ties to the older bet, so that payouts sum to the pool exactly.

use crate::criteria::{Resolution, Side};
use crate::ids::BetId;
use crate::money::{Confidence, Money, Stake};

/// A bet as far as sharing out goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StakedBet {
    pub id: BetId,
    pub side: Side,
    pub stake: Stake,
    /// The probability its owner gave to its side.
    pub confidence: Confidence,
    /// Whether its owner is dead or retired, judged under the wallet's lock.
    pub owner_dead: bool,
}

/// The result of one bet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Right: this many units of the pool. It may exceed the range of one balance.
    Won(i128),
    /// Wrong: its stake is part of what the others won.
    Lost,
    /// No outcome, or no living bot was right: the stake is returned.
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
/// Stakes of dead bots stay in the pool if a living bot was right. The sum of all [`Share::Won`] is
/// then the pool, exactly.
///
/// `None` if a pool times a stake leaves the range of an `i128`, which takes a pool of more than a
/// hundred times the largest balance.
pub fn divide(bets: &[StakedBet], bounty: Money, resolution: Resolution) -> Option<Division> {
    let won = |bet: &StakedBet| resolution.is(bet.side) && !bet.owner_dead;
    let staked = |bet: &StakedBet| i128::from(bet.stake.money().units());
    let winning: i128 = bets.iter().filter(|bet| won(bet)).map(staked).sum();
    if winning == 0 {
        let shares = bets.iter().map(|bet| match bet.owner_dead {
            true => Share::Forfeited,
            false => Share::Refunded,
        });
        return Some(Division { shares: shares.collect(), paid: false });
    }
    let pool = bets.iter().map(staked).sum::<i128>() + i128::from(bounty.units());
    let winners = bets.iter().filter(|bet| won(bet));
    let mut units =
        apportion(pool, winners.map(|bet| (bet.id, staked(bet))).collect())?.into_iter();
    let shares = bets.iter().map(|bet| {
        if bet.owner_dead {
            Some(Share::Forfeited)
        } else if won(bet) {
            units.next().map(Share::Won)
        } else {
            Some(Share::Lost)
        }
    });
    let shares = shares.collect::<Option<Vec<Share>>>()?;
    Some(Division { shares, paid: true })
}

/// How much of `bounty` is in each bet's share, in their order: spread over the winners as the pool
/// is, and nothing where none was paid.
pub fn shares_of(bounty: Money, bets: &[StakedBet], division: &Division) -> Option<Vec<Money>> {
    let won = |share: &Share| matches!(share, Share::Won(_));
    let winners = bets.iter().zip(&division.shares).filter(|(_, share)| won(share));
    let weights = winners.map(|(bet, _)| (bet.id, i128::from(bet.stake.money().units())));
    let mut units = apportion(i128::from(bounty.units()), weights.collect())?.into_iter();
    let each = division.shares.iter().map(|share| {
        if won(share) {
            Money::from_units(i64::try_from(units.next()?).ok()?)
        } else {
            Some(Money::ZERO)
        }
    });
    each.collect()
}

/// Splits `total` units in proportion to the weights, in their order: rounded down, and the
/// remaining units one each to the largest remainders, ties to the older bet.
fn apportion(total: i128, weights: Vec<(BetId, i128)>) -> Option<Vec<i128>> {
    let sum: i128 = weights.iter().map(|(_, weight)| weight).sum();
    let mut shares = Vec::with_capacity(weights.len());
    // Place, remainder and age of each.
    let mut remainders = Vec::with_capacity(weights.len());
    let mut left = total;
    for (place, (id, weight)) in weights.into_iter().enumerate() {
        let product = total.checked_mul(weight)?;
        let share = product.checked_div(sum)?;
        left -= share;
        shares.push(share);
        remainders.push((place, product % sum, id));
    }
    if left > 0 {
        remainders.sort_by_key(|&(_, remainder, id)| (std::cmp::Reverse(remainder), id));
    }
    for (place, ..) in remainders {
        if left <= 0 {
            break;
        }
        if let Some(share) = shares.get_mut(place) {
            *share += 1;
            left -= 1;
        }
    }
    Some(shares)
}
