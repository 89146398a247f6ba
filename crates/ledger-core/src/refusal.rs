//! Reasons for which rules refuse a request. Each refusal carries the numbers that decided it.

use crate::ids::MarketId;
use crate::market::status::MarketStatus;
use crate::money::{Money, Stake};
use crate::pause::Pause;
use crate::sources::MarketSource;
use crate::time::Timestamp;
use crate::wallet::status::BotStatus;

/// A rule's refusal of a request by an agent or an operator. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this bot is {status}: only a bot that is alive can act")]
    NotAlive { status: BotStatus },
    #[error("the arena is paused since {}: {}", pause.since, pause.reason)]
    ArenaPaused { pause: Pause },
    #[error("this bot is paused since {}: {}", pause.since, pause.reason)]
    BotPaused { pause: Pause },
    #[error("market {market} is paused since {}: {}", pause.since, pause.reason)]
    MarketPaused { market: MarketId, pause: Box<Pause> },
    #[error("a stake of {} exceeds the balance of {balance}", stake.money())]
    InsufficientFunds { stake: Stake, balance: Money },
    #[error("{open} predictions are open and the limit is {limit}: wait until one settles")]
    TooManyOpenPredictions { open: i32, limit: i32 },
    #[error("open stakes are {open}, {} more would exceed the limit of {limit}", stake.money())]
    OpenStakeLimit { open: Money, stake: Stake, limit: Money },
    #[error(
        "price predictions may cost the house {limit} an hour, and that much is reserved or paid out: wagers \
         open again at {opens_at} at the earliest"
    )]
    HouseBudget { limit: Money, opens_at: Timestamp },
    #[error("only a dead bot can be revived, this one is {status}")]
    NotDead { status: BotStatus },
    #[error("a retired bot cannot be revived")]
    Retired,
    #[error("a revival needs an amount above zero, not {amount}")]
    ReviveAmount { amount: Money },
    #[error("an answer costs {cost} and the balance is {balance}")]
    AnswerUnaffordable { cost: Money, balance: Money },
    #[error("there is no market {market}")]
    NoSuchMarket { market: MarketId },
    #[error("the deadline {problem}")]
    Deadline { problem: &'static str },
    #[error("all {places} places for open markets are taken")]
    BoardFull { places: i64 },
    #[error("market {market} is {status}: only an open one takes bets and answers")]
    MarketNotOpen { market: MarketId, status: MarketStatus },
    #[error("market {market} took bets and answers until {closed_at}")]
    BetsClosed { market: MarketId, closed_at: Timestamp },
    #[error("market {market} is of the kind {source_kind}, which takes {takes}")]
    WrongKind { market: MarketId, source_kind: MarketSource, takes: &'static str },
    #[error("this bot already has its one bet or answer on market {market}")]
    AlreadyIn { market: MarketId },
    #[error("only one answer a tick: this bot has already answered in this tick")]
    AnsweredThisTick,
    #[error("the pool of {pool} may not exceed {limit}, {} more would", stake.money())]
    PoolLimit { pool: Money, stake: Stake, limit: Money },
    #[error("market {market} is {status}: it is settled and does not change")]
    MarketSettled { market: MarketId, status: MarketStatus },
    #[error("the bounties of this hour come to {spent} and may not exceed {limit}")]
    BountyBudget { spent: Money, limit: Money },
    #[error("a market about {subject} already exists and keeps its place until {until}")]
    SubjectTaken { subject: String, until: Timestamp },
    #[error("the balance would leave its range of ±9999999999.99999999")]
    Overflow,
}

impl Refusal {
    /// An operator's pause, where that is the reason: it ends.
    pub fn pause(&self) -> Option<&Pause> {
        match self {
            Refusal::ArenaPaused { pause } | Refusal::BotPaused { pause } => Some(pause),
            Refusal::MarketPaused { pause, .. } => Some(pause),
            _ => None,
        }
    }

    /// The market that is the reason, where one is.
    pub const fn market(&self) -> Option<MarketId> {
        match self {
            Refusal::NoSuchMarket { market }
            | Refusal::MarketPaused { market, .. }
            | Refusal::MarketNotOpen { market, .. }
            | Refusal::BetsClosed { market, .. }
            | Refusal::WrongKind { market, .. }
            | Refusal::AlreadyIn { market }
            | Refusal::MarketSettled { market, .. } => Some(*market),
            _ => None,
        }
    }
}
