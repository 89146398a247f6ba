//! Why the rules say no. Each refusal carries the numbers that decided it.

use crate::economy::BotStatus;
use crate::money::{Money, Stake};

/// A rule's no to something an agent or an operator asked for. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this bot is {status}: only the living act")]
    NotAlive { status: BotStatus },
    #[error("a stake of {} exceeds the balance of {balance}", stake.money())]
    InsufficientFunds { stake: Stake, balance: Money },
    #[error("{open} predictions are open and the limit is {limit}: wait until one settles")]
    TooManyOpenPredictions { open: i32, limit: i32 },
    #[error("{open} is at stake already, {} more would exceed the limit of {limit}", stake.money())]
    OpenStakeLimit {
        open: Money,
        stake: Stake,
        limit: Money,
    },
    #[error("only a dead bot can be revived, this one is {status}")]
    NotDead { status: BotStatus },
    #[error("a retired bot stays retired")]
    Retired,
    #[error("a revival needs an amount above zero, not {amount}")]
    ReviveAmount { amount: Money },
    #[error("the balance would leave its range of ±9999999999.99999999")]
    Overflow,
}
