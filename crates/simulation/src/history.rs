//! Records during a run: balances, deaths and the supply, at intervals.

use anyhow::Context;
use ledger_core::supply::Supply;
use ledger_core::{BotId, BotStatus, Money, TickNumber};
use tokio_postgres::{Client, Statement};

use crate::agents::{Agent, Kind};

/// Points of a plot.
const POINTS: i64 = 400;

/// The state of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub bot_id: BotId,
    pub status: BotStatus,
    pub balance: Money,
    /// The balance if recorded fees had been charged, in units; it may be below zero.
    pub shadow_units: i64,
    pub open_predictions: i32,
    pub open_stake: Money,
    /// Observe mode: when it would have died.
    pub shadow_died_in: Option<i64>,
}

impl Standing {
    /// The query of [`Standing::all`]: all bots, in order.
    pub(crate) const QUERY: &str = "SELECT bot_id, status::text, (balance * 100000000)::bigint, \
                ((balance - phantom_fees) * 100000000)::bigint, open_predictions, \
                (open_stake * 100000000)::bigint, shadow_died_in \
           FROM wallets ORDER BY bot_id";

    /// Everybody, in the order in which the agents were made.
    pub(crate) async fn all(client: &Client, query: &Statement) -> anyhow::Result<Vec<Standing>> {
        let rows = client.query(query, &[]).await?;
        let money = |units: i64| Money::from_units(units).context("an amount out of range");
        rows.iter()
            .map(|row| {
                Ok(Standing {
                    bot_id: BotId(row.get(0)),
                    status: row.get::<_, &str>(1).parse()?,
                    balance: money(row.get(2))?,
                    shadow_units: row.get(3),
                    open_predictions: row.get(4),
                    open_stake: money(row.get(5))?,
                    shadow_died_in: row.get(6),
                })
            })
            .collect()
    }
}

/// One kind at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfKind {
    pub kind: Kind,
    pub agents: i64,
    /// Those that live; in observe mode those that would.
    pub alive: i64,
    /// Over all of its agents, dead ones with zero.
    pub balance_units: i128,
    pub shadow_units: i128,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub tick: i64,
    pub kinds: Vec<OfKind>,
    pub supply: Supply,
}

/// The recorded states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    stride: i64,
    last: i64,
    pub moments: Vec<Moment>,
    /// The tick in which each agent died, in their order; in observe mode the one in which it would
    /// have.
    pub deaths: Vec<Option<i64>>,
}

impl History {
    pub(crate) fn new(ticks: i64) -> History {
        History { stride: (ticks / POINTS).max(1), last: ticks, ..History::default() }
    }

    /// Whether this tick is one of those that are kept.
    pub(crate) fn is_due(&self, tick: TickNumber) -> bool {
        tick.0 == 1 || tick.0 % self.stride == 0 || tick.0 == self.last
    }

    /// Notes who died.
    pub(crate) fn see(&mut self, tick: TickNumber, agents: &[Agent], standings: &[Standing]) {
        self.deaths.resize(agents.len(), None);
        for (death, standing) in self.deaths.iter_mut().zip(standings) {
            let died = match standing.status {
                BotStatus::Alive => standing.shadow_died_in,
                BotStatus::Dead | BotStatus::Retired => Some(tick.0),
            };
            *death = death.or(died);
        }
    }

    pub(crate) fn record(
        &mut self,
        tick: TickNumber,
        agents: &[Agent],
        standings: &[Standing],
        supply: Supply,
    ) {
        let kinds = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let mut of =
                    OfKind { kind, agents: 0, alive: 0, balance_units: 0, shadow_units: 0 };
                for (agent, standing) in agents.iter().zip(standings) {
                    if agent.kind != kind {
                        continue;
                    }
                    let lives =
                        standing.status == BotStatus::Alive && standing.shadow_died_in.is_none();
                    of.agents += 1;
                    of.alive += i64::from(lives);
                    of.balance_units += i128::from(standing.balance.units());
                    of.shadow_units += i128::from(standing.shadow_units);
                }
                (of.agents > 0).then_some(of)
            })
            .collect();
        self.moments.push(Moment { tick: tick.0, kinds, supply });
    }
}
