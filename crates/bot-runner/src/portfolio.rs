//! How much a bot bets on which markets: pure, exact, and inside every limit.
//!
//! A model names sides and how sure it is of them; the stakes are not its to choose. The bet with the highest
//! confidence comes first, and each gets its share of the balance or the rest of the turn's limit.

use arena_client::api_types::{Market, Parameters};
use ledger_core::charges::{self, Payer};
use ledger_core::market::Side;
use ledger_core::{Confidence, Decimal8, Enforcement, MarketId, Money};
use llm::output;
use serde::Deserialize;
use serde_json::Value;

use crate::decision::Unusable;
use crate::reading::{confidence, is_word, reasoning, share, text};

/// Bets in one turn.
pub const BETS_MAX: usize = 3;
/// Bets are placed above this confidence only.
pub const CONFIDENCE_ABOVE: Decimal8 = Decimal8::hundredths(65);
/// A stake is balance × confidence × this.
pub const STAKE_FACTOR: Decimal8 = Decimal8::hundredths(15);
/// All stakes of a turn, of the balance that the coming tick leaves.
pub const TOTAL_SHARE: Decimal8 = Decimal8::hundredths(20);
/// Below this balance nothing is bet.
pub const BALANCE_MIN: Money = Money::cents(500);
const UNITS_PER_CENT: i64 = 1_000_000;

/// A side that a model chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    pub market: MarketId,
    pub side: Side,
    pub confidence: Confidence,
    /// The amount that the market's pool still accepts.
    pub room: Money,
    pub reasoning: Option<String>,
}

/// A pick with its stake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    pub pick: Pick,
    pub stake: Money,
}

/// The limits of the stakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    pub balance: Money,
    /// The fee of the next tick.
    pub fee: Money,
    pub stake_min: Money,
    /// Bets that one request may place.
    pub bets_max: usize,
}

impl Purse {
    pub fn new(balance: Money, idle_streak: i32, parameters: &Parameters) -> Purse {
        let bets = usize::try_from(parameters.markets.bets_per_request_max).unwrap_or(0);
        Purse {
            balance,
            fee: fee(balance, idle_streak, parameters),
            stake_min: parameters.stake_min,
            bets_max: bets.min(BETS_MAX),
        }
    }

    /// The most that all stakes of a turn may be; zero when nothing may be bet.
    pub fn limit(&self) -> Money {
        if self.balance < BALANCE_MIN {
            return Money::ZERO;
        }
        self.balance.checked_sub(self.fee).map_or(Money::ZERO, |left| share(left, TOTAL_SHARE))
    }

    /// Whether any bet is possible.
    pub fn is_open(&self) -> bool {
        let limit = self.limit();
        self.bets_max > 0 && limit.is_positive() && limit >= self.stake_min
    }
}

/// The cost of the coming tick for a bot that does nothing productive before it. It uses the balance in both
/// modes: the shadow balance is never higher, so its fee is not higher either.
pub(crate) fn fee(balance: Money, idle_streak: i32, parameters: &Parameters) -> Money {
    let payer = Payer { left: balance, streak: idle_streak, productive: false };
    charges::due(&payer, &parameters.rules(Enforcement::Enforce))
}

/// Gives each pick its stake, the surest first. Picks with too little confidence, too late, or without enough
/// credits left are omitted, and so is a second pick on one market.
pub fn allot(mut picks: Vec<Pick>, purse: &Purse) -> Vec<Stake> {
    let mut left = purse.limit();
    let mut stakes: Vec<Stake> = Vec::new();
    picks.sort_by_key(|pick| std::cmp::Reverse(pick.confidence));
    for pick in picks {
        let is_new = stakes.iter().all(|it| it.pick.market != pick.market);
        let is_sure = pick.confidence.decimal() > CONFIDENCE_ABOVE;
        if stakes.len() >= purse.bets_max || !is_new || !is_sure {
            continue;
        }
        let wanted = whole_cents(wanted(purse.balance, pick.confidence)).max(purse.stake_min);
        let stake = match wanted.min(left).min(pick.room) {
            stake if stake == wanted => stake,
            cut => whole_cents(cut),
        };
        if stake < purse.stake_min || !stake.is_positive() {
            continue;
        }
        left = left.checked_sub(stake).unwrap_or(Money::ZERO);
        stakes.push(Stake { pick, stake });
    }
    stakes
}

/// balance × confidence × 0.15, in one step, so that it is rounded once.
fn wanted(balance: Money, confidence: Confidence) -> Money {
    const UNITS_SQUARED: i128 = 100_000_000 * 100_000_000;
    // At most 10^18 × 10^8 × 10^8: inside an i128.
    let units = i128::from(balance.units())
        * i128::from(confidence.decimal().units())
        * i128::from(STAKE_FACTOR.units());
    i64::try_from(units / UNITS_SQUARED).ok().and_then(Money::from_units).unwrap_or(Money::ZERO)
}

/// Rounded down to whole cents.
fn whole_cents(amount: Money) -> Money {
    let units = amount.units();
    Money::from_units(units - units.rem_euclid(UNITS_PER_CENT)).unwrap_or(Money::ZERO)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    bets: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WrittenBet {
    market: Value,
    side: Value,
    confidence: Value,
    reasoning: Value,
}

/// Reads a model's picks among `markets`, which it was shown numbered from 1. A bet that makes no
/// sense, or is on a market that it was not shown, is no bet.
///
/// # Errors
/// When the text holds no list of bets.
pub fn read(text: &str, markets: &[Market], pool_max: Money) -> Result<Vec<Pick>, Unusable> {
    let written: Written = output::parse_object(text)?;
    let Value::Array(bets) = written.bets else {
        return Err(Unusable::Bets);
    };
    let picks = bets.into_iter().filter_map(|bet| {
        let bet: WrittenBet = serde_json::from_value(bet).ok()?;
        pick(&bet, markets, pool_max)
    });
    Ok(picks.collect())
}

fn pick(bet: &WrittenBet, markets: &[Market], pool_max: Money) -> Option<Pick> {
    let market = find(&bet.market, markets)?;
    let side = if is_word(&bet.side, &["YES"]) {
        Side::Yes
    } else if is_word(&bet.side, &["NO"]) {
        Side::No
    } else {
        return None;
    };
    Some(Pick {
        market: market.id,
        side,
        confidence: confidence(&bet.confidence)?,
        room: pool_max.checked_sub(market.pool).unwrap_or(Money::ZERO),
        reasoning: reasoning(&bet.reasoning),
    })
}

/// By number, or by id.
fn find<'a>(named: &Value, markets: &'a [Market]) -> Option<&'a Market> {
    let text = text(named)?;
    match text.parse::<usize>() {
        Ok(number) => markets.get(number.checked_sub(1)?),
        Err(_) => markets.iter().find(|market| market.id.to_string() == text),
    }
}
