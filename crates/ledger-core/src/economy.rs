//! What costs and what pays.
//!
//! Every function here decides; none of them writes. A decision about one bot takes the bot's
//! locked [`Wallet`] and the [`EconomyRules`], and returns the [`Movement`] to append or the
//! [`Refusal`] with its numbers. The caller holds the lock, appends, and commits: lock, decide,
//! append.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::entry::{EntryType, Posting, Reference};
use crate::ids::{CycleNumber, ObservationId};
use crate::money::{Money, MoneyError, Stake};
use crate::refusal::Refusal;

/// Whether entropy is charged or only recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Fees are phantom: recorded, never charged; insolvency is noted, nobody dies.
    Observe,
    /// Fees are entries; the insolvent are liquidated.
    Enforce,
}

impl Enforcement {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Enforcement::Observe => "observe",
            Enforcement::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be observe or enforce")]
pub struct UnknownEnforcement;

impl FromStr for Enforcement {
    type Err = UnknownEnforcement;

    fn from_str(text: &str) -> Result<Enforcement, UnknownEnforcement> {
        match text {
            "observe" => Ok(Enforcement::Observe),
            "enforce" => Ok(Enforcement::Enforce),
            _ => Err(UnknownEnforcement),
        }
    }
}

/// A bot's standing. Only an operator brings back the dead; nobody brings back the retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BotStatus {
    Alive,
    Dead,
    Retired,
}

impl BotStatus {
    pub const ALL: [BotStatus; 3] = [BotStatus::Alive, BotStatus::Dead, BotStatus::Retired];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BotStatus::Alive => "ALIVE",
            BotStatus::Dead => "DEAD",
            BotStatus::Retired => "RETIRED",
        }
    }
}

impl fmt::Display for BotStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The largest payout factor that can be configured.
const PAYOUT_FACTOR_MAX: i64 = 100;

/// The figures of the economy. [`EconomyRules::default`] holds the published ones; each can be
/// configured, and `GET /economy` shows those in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EconomyRules {
    pub enforcement: Enforcement,
    /// What a new bot is granted.
    pub genesis_grant: Money,
    /// Entropy of a bot that is not idle, per tick.
    pub entropy_base: Money,
    /// Added for each full [`idle_ticks_per_step`](Self::idle_ticks_per_step) of idleness.
    pub entropy_step: Money,
    pub idle_ticks_per_step: i32,
    /// Entropy never exceeds this, per tick.
    pub entropy_max: Money,
    /// The smallest wager or bet.
    pub stake_min: Money,
    /// The smallest wager or bet that counts as productive and ends an idle streak.
    pub productive_stake_min: Money,
    /// A right prediction pays its wager times this.
    pub payout_factor: i64,
    pub open_predictions_max: i32,
    /// The most a bot may have at stake in open predictions.
    pub open_stake_max: Money,
    /// From a prediction's first price to its second.
    pub prediction_horizon_seconds: i64,
    /// A price sample this late voids the prediction.
    pub sample_grace_seconds: i64,
    /// A price older than this halts the arena.
    pub price_ttl_seconds: i64,
    /// How long a ticket is good for.
    pub ticket_ttl_seconds: i64,
}

impl Default for EconomyRules {
    fn default() -> EconomyRules {
        EconomyRules {
            enforcement: Enforcement::Observe,
            genesis_grant: Money::cents(100_000),
            entropy_base: Money::cents(50),
            entropy_step: Money::cents(25),
            idle_ticks_per_step: 5,
            entropy_max: Money::cents(300),
            stake_min: Money::cents(1),
            productive_stake_min: Money::cents(50),
            payout_factor: 2,
            open_predictions_max: 20,
            open_stake_max: Money::cents(10_000),
            prediction_horizon_seconds: 300,
            sample_grace_seconds: 1800,
            price_ttl_seconds: 120,
            ticket_ttl_seconds: 5,
        }
    }
}

impl EconomyRules {
    /// Every figure that makes no sense, by the name of its setting. Empty means sound.
    #[must_use]
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        let mut need = |holds: bool, name: &'static str, problem: &str| {
            if !holds {
                problems.push(SettingProblem {
                    name,
                    problem: problem.to_owned(),
                });
            }
        };
        need(
            self.genesis_grant.is_positive(),
            "GENESIS_GRANT",
            "must be above zero",
        );
        need(
            self.entropy_base.is_positive(),
            "ENTROPY_BASE",
            "must be above zero",
        );
        need(
            !self.entropy_step.is_negative(),
            "ENTROPY_STEP",
            "must not be negative",
        );
        need(
            self.idle_ticks_per_step > 0,
            "IDLE_TICKS_PER_STEP",
            "must be above zero",
        );
        need(
            self.entropy_max >= self.entropy_base,
            "ENTROPY_MAX",
            "must be at least ENTROPY_BASE",
        );
        need(
            self.stake_min.is_positive(),
            "STAKE_MIN",
            "must be above zero",
        );
        need(
            !self.productive_stake_min.is_negative(),
            "PRODUCTIVE_STAKE_MIN",
            "must not be negative",
        );
        need(
            (2..=PAYOUT_FACTOR_MAX).contains(&self.payout_factor),
            "PAYOUT_FACTOR",
            "must be from 2 to 100",
        );
        need(
            self.open_predictions_max > 0,
            "OPEN_PREDICTIONS_MAX",
            "must be above zero",
        );
        need(
            self.open_stake_max >= self.stake_min,
            "OPEN_STAKE_MAX",
            "must be at least STAKE_MIN",
        );
        need(
            self.prediction_horizon_seconds > 0,
            "PREDICTION_HORIZON",
            "must be above zero seconds",
        );
        need(
            self.sample_grace_seconds > 0,
            "SAMPLE_GRACE_SECONDS",
            "must be above zero",
        );
        need(
            self.price_ttl_seconds > 0,
            "PRICE_TTL_SECONDS",
            "must be above zero",
        );
        need(
            self.ticket_ttl_seconds > 0,
            "TICKET_TTL_SECONDS",
            "must be above zero",
        );
        problems
    }

    /// An amount as a stake, if it is at least the smallest one.
    pub fn stake(&self, amount: Money) -> Result<Stake, MoneyError> {
        Stake::checked(amount, self.stake_min)
    }

    /// The fee of one tick: `min(base + step × floor(idle_streak / n), max)`.
    #[must_use]
    pub fn entropy(&self, idle_streak: i32) -> Money {
        let steps = i64::from(idle_streak.max(0) / self.idle_ticks_per_step.max(1));
        self.entropy_step
            .checked_mul(steps)
            .and_then(|surcharge| self.entropy_base.checked_add(surcharge))
            .map_or(self.entropy_max, |fee| fee.min(self.entropy_max))
    }
}

/// A bot's locked wallet: the head of its chain and what the rules need to know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    pub head: Head,
    pub status: BotStatus,
    /// Consecutive past ticks without a productive action.
    pub idle_streak: i32,
    /// Whether a productive action happened since the last tick.
    pub productive: bool,
    /// Sum of all phantom fees (observe mode).
    pub phantom_fees: Money,
    /// The cycle in which the shadow balance first failed to cover a fee.
    pub shadow_died_in: Option<CycleNumber>,
    pub open_predictions: i32,
    /// What is at stake in open predictions.
    pub open_stake: Money,
    /// The last cycle this bot was ticked in, or was made in.
    pub last_cycle: CycleNumber,
}

/// One movement of money with all it does to the wallet: what a decision returns and
/// `append` carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub posting: Posting,
    /// What the house made out of nothing for it.
    pub minted: Money,
    /// What fell to the house and is gone.
    pub burned: Money,
    /// Change of the number of open predictions.
    pub open_predictions: i32,
    /// Signed change of the stake in open predictions.
    pub open_stake: Money,
    /// Whether it ends an idle streak.
    pub productive: bool,
    /// The bot's status from then on, where it changes.
    pub status: Option<BotStatus>,
}

impl Movement {
    fn of(posting: Posting) -> Movement {
        Movement {
            posting,
            minted: Money::ZERO,
            burned: Money::ZERO,
            open_predictions: 0,
            open_stake: Money::ZERO,
            productive: false,
            status: None,
        }
    }

    /// A movement that closes an open prediction of `stake`.
    pub(crate) fn closing(
        posting: Posting,
        stake: Money,
        minted: Money,
        burned: Money,
    ) -> Movement {
        Movement {
            minted,
            burned,
            open_predictions: -1,
            open_stake: stake.negated(),
            ..Movement::of(posting)
        }
    }
}

impl Wallet {
    #[must_use]
    pub const fn balance(&self) -> Money {
        self.head.balance
    }

    /// What the bot would have left had its phantom fees been real; below zero once it would have
    /// died of them.
    #[must_use]
    pub fn shadow_balance(&self) -> Money {
        // Both are within numeric(18,8); a difference beyond it is cut off at the edge.
        self.balance()
            .checked_sub(self.phantom_fees)
            .unwrap_or_else(|| {
                Money::cents(0)
                    .checked_sub(self.phantom_fees)
                    .unwrap_or_default()
            })
    }
}

/// What one tick does to one bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickOutcome {
    /// The fee of this tick: charged, phantom, or the one that could not be paid.
    pub fee: Money,
    /// `HEARTBEAT` or `LIQUIDATION` in enforce mode, nothing in observe mode.
    pub movement: Option<Movement>,
    /// What the tick did to the bot beyond its fee.
    pub fate: Fate,
    pub idle_streak: i32,
    pub phantom_fees: Money,
    pub shadow_died_in: Option<CycleNumber>,
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

/// Charges one living bot for one cycle.
///
/// In enforce mode a balance below the fee is liquidated whatever positions are open: rent is due
/// in cash. In observe mode the same is judged on the shadow balance and only recorded.
#[must_use]
pub fn tick(
    wallet: &Wallet,
    rules: &EconomyRules,
    cycle: CycleNumber,
    reference: &Reference,
) -> TickOutcome {
    let streak = if wallet.productive {
        0
    } else {
        wallet.idle_streak
    };
    let fee = rules.entropy(streak);
    let mut outcome = TickOutcome {
        fee,
        movement: None,
        fate: Fate::Lives,
        idle_streak: if wallet.productive {
            0
        } else {
            streak.saturating_add(1)
        },
        phantom_fees: wallet.phantom_fees,
        shadow_died_in: wallet.shadow_died_in,
    };
    match rules.enforcement {
        Enforcement::Enforce if wallet.balance() < fee => {
            outcome.movement = Some(liquidate(wallet, reference.clone()));
            outcome.fate = Fate::Liquidated;
        }
        Enforcement::Enforce => {
            outcome.movement = Some(Movement {
                burned: fee,
                ..Movement::of(Posting {
                    entry_type: EntryType::Heartbeat,
                    amount: fee.negated(),
                    reference: reference.clone(),
                })
            });
        }
        Enforcement::Observe => {
            if wallet.shadow_balance() < fee && wallet.shadow_died_in.is_none() {
                outcome.fate = Fate::WouldHaveBeenLiquidated;
                outcome.shadow_died_in = Some(cycle);
            }
            // Only a bot idle for a century reaches the edge of the range; it stays there.
            outcome.phantom_fees = wallet
                .phantom_fees
                .checked_add(fee)
                .unwrap_or(wallet.phantom_fees);
        }
    }
    outcome
}

/// The reference of every entry that a cycle writes.
#[must_use]
pub fn tick_reference(cycle: CycleNumber) -> Reference {
    Reference::built(&format!("TICK:{cycle}"))
}

/// The first entry of every chain.
#[must_use]
pub fn genesis(rules: &EconomyRules) -> Movement {
    let amount = rules.genesis_grant;
    let reference = Reference::built("GENESIS_GRANT");
    Movement {
        minted: amount,
        ..Movement::of(Posting {
            entry_type: EntryType::Grant,
            amount,
            reference,
        })
    }
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
        return Err(Refusal::InsufficientFunds {
            stake,
            balance: wallet.balance(),
        });
    }
    if wallet.open_predictions >= rules.open_predictions_max {
        return Err(Refusal::TooManyOpenPredictions {
            open: wallet.open_predictions,
            limit: rules.open_predictions_max,
        });
    }
    let at_stake = wallet
        .open_stake
        .checked_add(stake.money())
        .ok_or(Refusal::Overflow)?;
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
    Ok(Movement {
        open_predictions: 1,
        open_stake: stake.money(),
        productive: stake.money() >= rules.productive_stake_min,
        ..Movement::of(Posting {
            entry_type: EntryType::Wager,
            amount: stake.money().negated(),
            reference: observation_reference(observation),
        })
    })
}

/// The reference of what an action did.
#[must_use]
pub fn observation_reference(observation: ObservationId) -> Reference {
    Reference::built(&format!("OBS:{observation}"))
}

/// Refuses whoever is not alive.
pub const fn alive(wallet: &Wallet) -> Result<(), Refusal> {
    match wallet.status {
        BotStatus::Alive => Ok(()),
        status => Err(Refusal::NotAlive { status }),
    }
}

/// Whether the reaper takes this bot: alive, at zero, nothing open, and fees are real.
#[must_use]
pub const fn is_reapable(wallet: &Wallet, rules: &EconomyRules) -> bool {
    matches!(rules.enforcement, Enforcement::Enforce)
        && matches!(wallet.status, BotStatus::Alive)
        && wallet.head.balance.is_zero()
        && wallet.open_predictions == 0
}

/// The reaper's liquidation of a bot for which [`is_reapable`] holds.
#[must_use]
pub fn reap(wallet: &Wallet, oracle_cycle: i64) -> Movement {
    liquidate(wallet, Reference::built(&format!("REAPER:{oracle_cycle}")))
}

/// Brings a dead bot back with `amount` to live on. `who` becomes part of the reference.
pub fn revive(wallet: &Wallet, amount: Money, who: &Operator) -> Result<Movement, Refusal> {
    match wallet.status {
        BotStatus::Dead => {}
        BotStatus::Retired => return Err(Refusal::Retired),
        BotStatus::Alive => {
            return Err(Refusal::NotDead {
                status: wallet.status,
            });
        }
    }
    if !amount.is_positive() {
        return Err(Refusal::ReviveAmount { amount });
    }
    // What was left open may be won yet, at the highest factor there is.
    wallet
        .open_stake
        .checked_mul(PAYOUT_FACTOR_MAX)
        .and_then(|winnings| winnings.checked_add(amount))
        .ok_or(Refusal::Overflow)?;
    let reference = Reference::built(&format!("REVIVE:{who}"));
    Ok(Movement {
        minted: amount,
        status: Some(BotStatus::Alive),
        ..Movement::of(Posting {
            entry_type: EntryType::Revive,
            amount,
            reference,
        })
    })
}

/// Takes a bot out for good; what it has left is burnt.
pub fn retire(wallet: &Wallet, who: &Operator) -> Result<Movement, Refusal> {
    if wallet.status == BotStatus::Retired {
        return Err(Refusal::Retired);
    }
    let reference = Reference::built(&format!("RETIRE:{who}"));
    Ok(drain(
        EntryType::Retired,
        BotStatus::Retired,
        wallet,
        reference,
    ))
}

fn liquidate(wallet: &Wallet, reference: Reference) -> Movement {
    drain(EntryType::Liquidation, BotStatus::Dead, wallet, reference)
}

/// Takes exactly what is there, so that the chain ends at zero.
fn drain(entry_type: EntryType, to: BotStatus, wallet: &Wallet, reference: Reference) -> Movement {
    let balance = wallet.balance();
    Movement {
        burned: balance,
        status: Some(to),
        ..Movement::of(Posting {
            entry_type,
            amount: balance.negated(),
            reference,
        })
    }
}

/// Who acted with the operator's authority: 1–64 of `A-Z a-z 0-9 _ . @ -`, fit for a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operator's name is 1 to 64 of A-Z a-z 0-9 _ . @ -")]
pub struct OperatorError;

impl FromStr for Operator {
    type Err = OperatorError;

    fn from_str(text: &str) -> Result<Operator, OperatorError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.@-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Operator(text.to_owned()))
        } else {
            Err(OperatorError)
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A setting that is no figure for the economy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    pub name: &'static str,
    /// What it must be; never the value that was found.
    pub problem: String,
}

impl EconomyRules {
    /// The defaults, overridden by whatever `setting` knows under the names of the table in this
    /// function. Every problem is reported, not only the first.
    pub fn from_settings(
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<EconomyRules, Vec<SettingProblem>> {
        let mut rules = EconomyRules::default();
        let mut problems = Vec::new();
        macro_rules! read {
            ($($name:literal => $field:ident),+ $(,)?) => {
                $(if let Some(text) = setting($name) {
                    match text.trim().parse() {
                        Ok(value) => rules.$field = value,
                        Err(error) => problems.push(SettingProblem {
                            name: $name,
                            problem: error.to_string(),
                        }),
                    }
                })+
            };
        }
        read! {
            "ENFORCEMENT_MODE" => enforcement,
            "GENESIS_GRANT" => genesis_grant,
            "ENTROPY_BASE" => entropy_base,
            "ENTROPY_STEP" => entropy_step,
            "IDLE_TICKS_PER_STEP" => idle_ticks_per_step,
            "ENTROPY_MAX" => entropy_max,
            "STAKE_MIN" => stake_min,
            "PRODUCTIVE_STAKE_MIN" => productive_stake_min,
            "PAYOUT_FACTOR" => payout_factor,
            "OPEN_PREDICTIONS_MAX" => open_predictions_max,
            "OPEN_STAKE_MAX" => open_stake_max,
            "PREDICTION_HORIZON" => prediction_horizon_seconds,
            "SAMPLE_GRACE_SECONDS" => sample_grace_seconds,
            "PRICE_TTL_SECONDS" => price_ttl_seconds,
            "TICKET_TTL_SECONDS" => ticket_ttl_seconds,
        }
        if problems.is_empty() {
            problems = rules.problems();
        }
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }
}
