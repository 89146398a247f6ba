//! Costs and payouts.
//!
//! Every function here decides; none of them writes. A decision about one bot takes the bot's
//! locked [`Wallet`] and the [`EconomyRules`], and returns the [`Movement`] to append or the
//! [`Refusal`] with its numbers. The caller holds the lock, appends, and commits: lock, decide,
//! append.

use crate::charges::{self, CHARGES, Charge};
use crate::entry::Reference;
use crate::entry_types::EntryType;
use crate::ids::{MarketId, ObservationId, TickNumber};
use crate::insights::Reserve;
use crate::money::{Money, Stake};
pub use crate::movement::Movement;
use crate::movement::{Leg, PositionKind, Streak};
use crate::refusal::Refusal;
use crate::rules::PAYOUT_FACTOR_MAX;
pub use crate::rules::{EconomyRules, Enforcement, MarketRules, SettingProblem};
pub use crate::sources::SourceRules;
pub use crate::wallet::{BotStatus, Wallet};

/// The effect of one tick on one bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickOutcome {
    /// All charges of this tick together: paid, phantom, or what could not be paid.
    pub fee: Money,
    /// In enforce mode the payments, in order, or the liquidation of a bot that cannot pay; in
    /// observe mode nothing.
    pub movements: Vec<Movement>,
    /// The tick's effects on the bot besides the fee.
    pub fate: Fate,
    pub idle_streak: i32,
    pub phantom_fees: Money,
    pub shadow_died_in: Option<TickNumber>,
}

/// Whether a bot outlives a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lives,
    /// Enforce mode: the balance did not cover the fee.
    Liquidated,
    /// Observe mode: the shadow balance did not cover the fee, for the first time.
    WouldHaveBeenLiquidated,
}

/// Charges one living bot for one tick.
///
/// In enforce mode a balance below the fee is liquidated, even with open positions: they cannot pay
/// the fee. In observe mode the same rule uses the shadow balance and is only recorded.
pub fn tick(
    wallet: &Wallet,
    rules: &EconomyRules,
    tick: TickNumber,
    reference: &Reference,
) -> TickOutcome {
    tick_of(CHARGES, wallet, rules, tick, reference)
}

pub(crate) fn tick_of(
    charges: &[Charge],
    wallet: &Wallet,
    rules: &EconomyRules,
    tick: TickNumber,
    reference: &Reference,
) -> TickOutcome {
    let payer = Reserve::from(wallet).payer(rules.enforcement);
    let due = || {
        let of = |charge: &Charge| (charge.entry_type, (charge.due)(&payer, rules));
        charges.iter().map(of).filter(|(_, due)| due.is_positive())
    };
    let fee = charges::sum(due().map(|(_, due)| due));
    let mut outcome = TickOutcome {
        fee,
        movements: Vec::new(),
        fate: Fate::Lives,
        idle_streak: if wallet.productive { 0 } else { wallet.streak().saturating_add(1) },
        phantom_fees: wallet.phantom_fees,
        shadow_died_in: wallet.shadow_died_in,
    };
    match rules.enforcement {
        Enforcement::Enforce if wallet.balance() < fee => {
            outcome.movements.push(liquidate(wallet, reference.clone()));
            outcome.fate = Fate::Liquidated;
        }
        Enforcement::Enforce => {
            let paid = due().map(|(entry_type, due)| {
                Movement::one(entry_type, reference.clone(), Leg::Burn(due))
            });
            outcome.movements.extend(paid);
        }
        Enforcement::Observe => {
            if wallet.shadow_balance() < fee && wallet.shadow_died_in.is_none() {
                outcome.fate = Fate::WouldHaveBeenLiquidated;
                outcome.shadow_died_in = Some(tick);
            }
            // Only a bot idle for a century reaches the edge of the range; it stays there.
            outcome.phantom_fees =
                wallet.phantom_fees.checked_add(fee).unwrap_or(wallet.phantom_fees);
        }
    }
    outcome
}

/// The reference of every entry that a tick writes.
pub fn tick_reference(tick: TickNumber) -> Reference {
    Reference::built(&format!("TICK:{tick}"))
}

/// The first entry of every chain.
pub fn genesis(rules: &EconomyRules) -> Movement {
    let reference = Reference::built("GENESIS_GRANT");
    Movement::one(EntryType::Grant, reference, Leg::Mint(rules.genesis_grant))
}

/// Stakes part of the balance on a price prediction.
pub fn wager(
    wallet: &Wallet,
    stake: Stake,
    rules: &EconomyRules,
    observation: ObservationId,
) -> Result<Movement, Refusal> {
    alive(wallet)?;
    if stake.money() > wallet.balance() {
        return Err(Refusal::InsufficientFunds { stake, balance: wallet.balance() });
    }
    if wallet.open_predictions >= rules.open_predictions_max {
        return Err(Refusal::TooManyOpenPredictions {
            open: wallet.open_predictions,
            limit: rules.open_predictions_max,
        });
    }
    let at_stake = wallet.open_stake.checked_add(stake.money()).ok_or(Refusal::Overflow)?;
    if at_stake > rules.open_stake_max {
        return Err(Refusal::OpenStakeLimit {
            open: wallet.open_stake,
            stake,
            limit: rules.open_stake_max,
        });
    }
    // A stake that could not be paid out would stay in escrow for ever.
    at_stake
        .checked_mul(rules.payout_factor)
        .and_then(|winnings| wallet.balance().checked_add(winnings))
        .ok_or(Refusal::Overflow)?;
    let leg = Leg::Stake(PositionKind::Prediction, stake.money());
    let streak = Streak::of_stake(stake.money(), rules.productive_stake_min);
    let reference = observation_reference(observation);
    Ok(Movement::one(EntryType::Wager, reference, leg).with_streak(streak))
}

/// Stakes part of the balance on a market whose pool, bounty included, is `pool` before it.
pub fn bet(
    wallet: &Wallet,
    stake: Stake,
    pool: Money,
    rules: &EconomyRules,
    market: MarketId,
) -> Result<Movement, Refusal> {
    alive(wallet)?;
    if stake.money() > wallet.balance() {
        return Err(Refusal::InsufficientFunds { stake, balance: wallet.balance() });
    }
    let limit = rules.markets.pool_max;
    let pool_after = pool.checked_add(stake.money());
    if pool_after.is_none_or(|after| after > limit) {
        return Err(Refusal::PoolLimit { pool, stake, limit });
    }
    let streak = Streak::of_stake(stake.money(), rules.productive_stake_min);
    Ok(open_bet(stake.money(), market, streak))
}

fn open_bet(stake: Money, market: MarketId, streak: Streak) -> Movement {
    let leg = Leg::Stake(PositionKind::Bet, stake);
    Movement::one(EntryType::MarketStake, market_reference(market), leg).with_streak(streak)
}

/// The reference of every entry that has to do with a market.
pub fn market_reference(market: MarketId) -> Reference {
    Reference::built(&format!("MARKET:{market}"))
}

labelled! {
    /// Whether a research answer is the one that was committed to.
    AnswerResult {
        Correct = "CORRECT",
        Wrong = "WRONG",
    }
}

/// Whether an agent looked its answer up with the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Used,
    NotUsed,
}

/// The effects of an attempt at a research question on its bot, from stake to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub movements: Vec<Movement>,
    pub stake: Money,
    /// The fee for the lookup.
    pub fee: Money,
    /// The payout to the bot: stake and bounty, or nothing.
    pub payout: Money,
}

/// The cost of any answer before it is judged: its stake, and the fee for the lookup.
pub const fn answer_cost(lookup: Lookup, rules: &EconomyRules) -> (Money, Money) {
    let fee = match lookup {
        Lookup::Used => rules.markets.lookup_fee,
        Lookup::NotUsed => Money::ZERO,
    };
    (rules.markets.answer_stake, fee)
}

/// Stakes on a research answer, pays for the lookup, and pays or takes the stake at once.
pub fn answer(
    wallet: &Wallet,
    result: AnswerResult,
    lookup: Lookup,
    bounty: Money,
    rules: &EconomyRules,
    market: MarketId,
) -> Result<Attempt, Refusal> {
    alive(wallet)?;
    let (stake, fee) = answer_cost(lookup, rules);
    let cost = stake.checked_add(fee).ok_or(Refusal::Overflow)?;
    let balance = wallet.balance();
    if cost > balance {
        return Err(Refusal::AnswerUnaffordable { cost, balance });
    }
    // Any answer is productive, whatever its stake: it took work.
    let mut movements = vec![open_bet(stake, market, Streak::Ends)];
    if fee.is_positive() {
        let reference = market_reference(market);
        movements.push(Movement::one(EntryType::ResearchLookupFee, reference, Leg::Burn(fee)));
    }
    let (entry_type, leg) = match result {
        AnswerResult::Correct => {
            balance.checked_add(bounty).ok_or(Refusal::Overflow)?;
            (EntryType::ResearchPayout, Leg::Mint(bounty))
        }
        AnswerResult::Wrong => (EntryType::Slash, Leg::Burn(stake)),
    };
    let position = (PositionKind::Bet, stake);
    let reference = market_reference(market);
    let end = Movement::closing(entry_type, reference, position, [Some(leg), None])
        .ok_or(Refusal::Overflow)?;
    let payout = end.posting.amount;
    movements.push(end);
    Ok(Attempt { movements, stake, fee, payout })
}

/// The reference of an action's entries.
pub fn observation_reference(observation: ObservationId) -> Reference {
    Reference::built(&format!("OBS:{observation}"))
}

/// Refuses bots that are not alive or are paused.
pub fn alive(wallet: &Wallet) -> Result<(), Refusal> {
    match (wallet.status, &wallet.pause) {
        (BotStatus::Alive, None) => Ok(()),
        (BotStatus::Alive, Some(pause)) => Err(Refusal::BotPaused { pause: pause.clone() }),
        (status, _) => Err(Refusal::NotAlive { status }),
    }
}

/// Whether the reaper takes this bot: alive, at zero, nothing open, and fees are real.
pub const fn is_reapable(wallet: &Wallet, rules: &EconomyRules) -> bool {
    matches!(rules.enforcement, Enforcement::Enforce)
        && matches!(wallet.status, BotStatus::Alive)
        && wallet.pause.is_none()
        && wallet.head.balance.is_zero()
        && wallet.open_predictions == 0
        && wallet.open_bets == 0
}

/// The reaper's liquidation of a bot for which [`is_reapable`] holds.
pub fn reap(wallet: &Wallet, oracle_round: i64) -> Movement {
    liquidate(wallet, Reference::built(&format!("REAPER:{oracle_round}")))
}

/// Brings a dead bot back with `amount` to live on. `who` becomes part of the reference.
pub fn revive(wallet: &Wallet, amount: Money, who: &Operator) -> Result<Movement, Refusal> {
    match wallet.status {
        BotStatus::Dead => {}
        BotStatus::Retired => return Err(Refusal::Retired),
        BotStatus::Alive => {
            return Err(Refusal::NotDead { status: wallet.status });
        }
    }
    if !amount.is_positive() {
        return Err(Refusal::ReviveAmount { amount });
    }
    // Open positions may still win, at the highest factor that exists.
    wallet
        .open_stake
        .checked_mul(PAYOUT_FACTOR_MAX)
        .and_then(|winnings| winnings.checked_add(wallet.bet_stake))
        .and_then(|back| back.checked_add(amount))
        .ok_or(Refusal::Overflow)?;
    let reference = Reference::built(&format!("REVIVE:{who}"));
    Ok(Movement::one(EntryType::Revive, reference, Leg::Mint(amount)))
}

/// Retires a bot permanently; its remaining balance is burned.
pub fn retire(wallet: &Wallet, who: &Operator) -> Result<Movement, Refusal> {
    if wallet.status == BotStatus::Retired {
        return Err(Refusal::Retired);
    }
    let reference = Reference::built(&format!("RETIRE:{who}"));
    Ok(drain(EntryType::Retired, wallet, reference))
}

fn liquidate(wallet: &Wallet, reference: Reference) -> Movement {
    drain(EntryType::Liquidation, wallet, reference)
}

/// Takes exactly the balance, so that the chain ends at zero.
fn drain(entry_type: EntryType, wallet: &Wallet, reference: Reference) -> Movement {
    Movement::one(entry_type, reference, Leg::Burn(wallet.balance()))
}

checked_text! {
    /// The name of the operator who acted: 1–64 of `A-Z a-z 0-9 _ . @ -`, valid in a reference.
    Operator, OperatorError = "an operator's name is 1 to 64 of A-Z a-z 0-9 _ . @ -",
    |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.@-".contains(&b);
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    }
}
