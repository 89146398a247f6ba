//! The agents of a simulation: scripts that look and decide, and never learn.
//!
//! A decision is a pure function of the seed, the agent, the tick and its observation. None of them can bypass
//! the arena's rules: all actions use the API's functions. Some know the outcome in advance, but get a wrong one
//! at a rate given by their skill. That is how an agent of known skill is made.

use std::collections::BTreeSet;
use std::fmt;

use db::actions::Wager;
use db::markets::{Market, NewAnswer, NewBet, Slip};
use ledger_core::charges::{self, Payer};
use ledger_core::economy::Lookup;
use ledger_core::market::{MarketSource, Side};
use ledger_core::prediction::Direction;
use ledger_core::{
    BotId, Confidence, Decimal8, EconomyRules, MarketId, Money, ObservationId, Stake, TickNumber,
    Timestamp,
};
use uuid::Builder;

use crate::dice::{mix, roll, roll_signed, word};
use crate::world::World;

/// How an agent decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Does nothing, and pays for it.
    Idle,
    /// Predicts at random, with a confidence of 50 %.
    Walker,
    /// Follows the price of the last ten minutes.
    Momentum,
    /// Goes against it.
    Contrarian,
    /// Knows the outcome as often as its confidence claims.
    Calibrated,
    /// Knows it little better than chance, with a confidence of 95 %.
    Overconfident,
    /// Answers research, right as often as its confidence claims.
    Researcher,
    /// Bets on markets by the house rules of hosted bots.
    Portfolio,
    /// Stakes much on nothing and guesses at research.
    Spender,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Idle,
        Kind::Walker,
        Kind::Momentum,
        Kind::Contrarian,
        Kind::Calibrated,
        Kind::Overconfident,
        Kind::Researcher,
        Kind::Portfolio,
        Kind::Spender,
    ];

    /// Its name, the ticks between two looks, and its colour (red, green, blue) in every plot.
    const fn facts(self) -> (&'static str, u64, [u8; 3]) {
        match self {
            Kind::Idle => ("idle", u64::MAX, [138, 143, 152]),
            Kind::Walker => ("walker", 4, [78, 143, 209]),
            Kind::Momentum => ("momentum", 3, [47, 163, 124]),
            Kind::Contrarian => ("contrarian", 3, [199, 154, 43]),
            Kind::Calibrated => ("calibrated", 2, [123, 95, 211]),
            Kind::Overconfident => ("overconfident", 3, [224, 83, 61]),
            Kind::Researcher => ("researcher", 4, [23, 162, 184]),
            Kind::Portfolio => ("portfolio", 4, [212, 103, 159]),
            Kind::Spender => ("spender", 2, [160, 105, 62]),
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    const fn period(self) -> u64 {
        self.facts().1
    }

    pub(crate) const fn colour(self) -> [u8; 3] {
        self.facts().2
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An agent and its memory.
#[derive(Debug, Clone)]
pub struct Agent {
    pub bot_id: BotId,
    pub kind: Kind,
    pub handle: String,
    /// Markets that have its one bet or answer.
    pub been_in: BTreeSet<MarketId>,
}

/// An agent's observation.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub seed: u64,
    pub tick: TickNumber,
    pub now: Timestamp,
    pub rules: &'a EconomyRules,
    pub world: &'a World,
    pub markets: &'a [Market],
    /// When the prices are sampled that a prediction made now starts and ends at.
    pub samples: (Timestamp, Timestamp),
    /// The agent's own.
    pub balance: Money,
    pub open_predictions: i32,
    pub open_stake: Money,
}

/// An agent's actions in a tick.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub wager: Option<Wager>,
    pub slip: Option<Slip>,
    pub answer: Option<NewAnswer>,
}

/// Lets an agent look and decide.
pub fn decide(agent: &Agent, view: &View<'_>) -> Turn {
    let draw = |what: &str| mix(&view.words(agent, what));
    let offset = draw_of(agent, view, "offset");
    let tick = view.tick.0.cast_unsigned();
    let mut turn = Turn { answer: view.answer(agent), ..Turn::default() };
    if agent.kind == Kind::Idle || !tick.wrapping_add(offset).is_multiple_of(agent.kind.period()) {
        return turn;
    }
    let coin = if draw("coin") % 2 == 0 { Direction::Up } else { Direction::Down };
    turn.wager = match agent.kind {
        Kind::Idle | Kind::Portfolio => None,
        Kind::Walker => view.wager(agent, Some(coin), 100, 50),
        Kind::Researcher => view.wager(agent, Some(coin), 50, 50),
        Kind::Spender => view.wager(agent, Some(coin), 500, 75),
        Kind::Momentum => view.wager(agent, view.trend(), 250, 58),
        Kind::Contrarian => view.wager(agent, view.trend().map(opposite), 250, 58),
        Kind::Calibrated => {
            let skill = 50 + roll_signed(36, &view.words(agent, "skill"));
            let said = view.foresight(agent, skill);
            // The strength of a prediction: zero for a random one.
            view.wager(agent, said, (skill - 50) * 20, skill)
        }
        Kind::Overconfident => view.wager(agent, view.foresight(agent, 54), 500, 95),
    };
    turn.slip = view.slip(agent);
    turn
}

/// An agent's own number, the same in all ticks.
fn draw_of(agent: &Agent, view: &View<'_>, what: &str) -> u64 {
    roll(1_000, &[view.seed, word(what), agent.bot_id.0.cast_unsigned()])
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    }
}

impl View<'_> {
    /// The words of a draw that is this agent's in this tick.
    fn words(&self, agent: &Agent, what: &str) -> [u64; 4] {
        let bot = agent.bot_id.0.cast_unsigned();
        [self.seed, word(what), bot, self.tick.0.cast_unsigned()]
    }

    /// Where the price went in the last ten minutes.
    fn trend(&self) -> Option<Direction> {
        let before = self.world.cents(self.now.plus_seconds(-600));
        direction(before, self.world.cents(self.now))
    }

    /// Where the price will go, known with so many per cent of certainty.
    fn foresight(&self, agent: &Agent, skill: i64) -> Option<Direction> {
        let (start, end) = self.samples;
        let truth = direction(self.world.cents(start), self.world.cents(end))?;
        let right = roll_signed(100, &self.words(agent, "foresight")) < skill;
        Some(if right { truth } else { opposite(truth) })
    }

    /// A wager of so many cents, if it has a direction and the rules leave room for it.
    fn wager(
        &self,
        agent: &Agent,
        direction: Option<Direction>,
        cents: i64,
        percent: i64,
    ) -> Option<Wager> {
        let amount = of_cents(cents)?;
        let open = self.open_stake.checked_add(amount)?;
        if open > self.rules.open_stake_max
            || self.open_predictions >= self.rules.open_predictions_max
            || amount > self.balance
        {
            return None;
        }
        Some(Wager {
            bot_id: agent.bot_id,
            observation_id: self.observation(agent),
            direction: direction?,
            stake: self.stake(amount)?,
            confidence: confidence(percent)?,
            reasoning: format!("{} of {percent} %", agent.kind),
            usage: None,
        })
    }

    /// The observation that the gateway would have given out.
    fn observation(&self, agent: &Agent) -> ObservationId {
        let mut bytes = [0; 16];
        let halves = [mix(&self.words(agent, "ticket")), mix(&self.words(agent, "other half"))];
        for (half, part) in halves.iter().zip(bytes.chunks_exact_mut(8)) {
            part.copy_from_slice(&half.to_le_bytes());
        }
        ObservationId(Builder::from_random_bytes(bytes).into_uuid())
    }

    fn stake(&self, amount: Money) -> Option<Stake> {
        self.rules.stake(amount).ok()
    }

    /// Markets that take a bet of this agent now.
    fn open_to<'a>(&'a self, agent: &'a Agent) -> impl Iterator<Item = &'a Market> {
        self.markets
            .iter()
            .filter(|market| self.now < market.bets_close_at && !agent.been_in.contains(&market.id))
    }

    /// Bets of this turn, all or none.
    fn slip(&self, agent: &Agent) -> Option<Slip> {
        let mut bets = Vec::new();
        // A fifth of what is left after this tick's fee, over all bets of a turn.
        let payer = Payer { left: self.balance, streak: 0, productive: true };
        let mut left = self.balance.checked_sub(charges::due(&payer, self.rules))?.units() / 5;
        let most = usize::try_from(self.rules.markets.bets_per_request_max).ok()?;
        for market in self.open_to(agent).filter(|market| market.source != MarketSource::Research) {
            if bets.len() >= most {
                break;
            }
            let Some((side, percent, units)) = self.opinion(agent, market) else {
                continue;
            };
            // Whole cents, and never more than is left.
            let units = units.min(left) / 1_000_000 * 1_000_000;
            let stake = Money::from_units(units).and_then(|amount| self.stake(amount));
            let (Some(stake), Some(confidence)) = (stake, confidence(percent)) else {
                continue;
            };
            left -= units;
            bets.push(NewBet {
                market_id: market.id,
                side,
                stake,
                confidence,
                reasoning: format!("{} of {percent} %", agent.kind),
            });
        }
        (!bets.is_empty()).then_some(Slip { bot_id: agent.bot_id, bets, usage: None })
    }

    /// An agent's bet on a market: a side, per cent, and the stake in units.
    fn opinion(&self, agent: &Agent, market: &Market) -> Option<(Side, i64, i64)> {
        let bot = agent.bot_id.0.cast_unsigned();
        let words = |what: &str| [self.seed, word(what), bot, market.number.cast_unsigned()];
        let truth = self.world.truth(&market.criteria, &market.times())?;
        let told = |skill: i64| {
            let right = roll_signed(100, &words("told")) < skill;
            if right { truth } else { other(truth) }
        };
        let balance = self.balance.units();
        match agent.kind {
            Kind::Calibrated => {
                let skill = 50 + roll_signed(36, &words("skill"));
                (skill >= 55).then(|| (told(skill), skill, balance / 1_000 * (skill - 50)))
            }
            Kind::Overconfident => Some((told(54), 95, balance / 20)),
            Kind::Portfolio => {
                let skill = 50 + roll_signed(41, &words("skill"));
                let rich = self.balance >= Money::cents(500);
                (skill > 65 && rich).then(|| (told(skill), skill, balance / 10_000 * skill * 15))
            }
            Kind::Spender => Some((told(50), 75, balance / 10)),
            Kind::Walker => Some((told(50), 50, 100_000_000)),
            Kind::Idle | Kind::Momentum | Kind::Contrarian | Kind::Researcher => None,
        }
    }

    /// An answer to research, at most one a tick.
    fn answer(&self, agent: &Agent) -> Option<NewAnswer> {
        let percent = match agent.kind {
            Kind::Researcher => {
                let bot = agent.bot_id.0.cast_unsigned();
                55 + roll_signed(36, &[self.seed, word("researcher"), bot])
            }
            // A guess, looked up nowhere and paid for all the same.
            Kind::Spender => 30,
            _ => return None,
        };
        // A decision takes some time, which differs between agents.
        if roll(6, &self.words(agent, "thinking")) != 0 {
            return None;
        }
        let cost = self.rules.markets.answer_stake.checked_add(self.rules.markets.lookup_fee)?;
        let market = self.open_to(agent).find(|market| market.source == MarketSource::Research)?;
        if cost > self.balance {
            return None;
        }
        let page = match &market.criteria {
            ledger_core::criteria::Criteria::Research(c) => self.world.page_id(c.article.as_str()),
            _ => return None,
        };
        let knows = agent.kind == Kind::Researcher
            && roll_signed(100, &self.words(agent, "research")) < percent;
        let said = if knows { page } else { page + 1 };
        Some(NewAnswer {
            bot_id: agent.bot_id,
            market_id: market.id,
            answer: said.to_string().parse().ok()?,
            lookup: if roll(2, &self.words(agent, "lookup")) == 0 {
                Lookup::Used
            } else {
                Lookup::NotUsed
            },
            confidence: confidence(percent)?,
            reasoning: format!("{} of {percent} %", agent.kind),
            usage: None,
        })
    }
}

const fn other(side: Side) -> Side {
    match side {
        Side::Yes => Side::No,
        Side::No => Side::Yes,
    }
}

/// `None` for a price that stayed the same.
fn direction(from: i64, to: i64) -> Option<Direction> {
    match to.cmp(&from) {
        std::cmp::Ordering::Greater => Some(Direction::Up),
        std::cmp::Ordering::Less => Some(Direction::Down),
        std::cmp::Ordering::Equal => None,
    }
}

fn of_cents(cents: i64) -> Option<Money> {
    Money::from_units(cents.checked_mul(1_000_000)?)
}

fn confidence(percent: i64) -> Option<Confidence> {
    Confidence::new(Decimal8::from_units(percent.checked_mul(1_000_000)?)?).ok()
}
