//! The database layer against a real Postgres, one isolated database a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines)]

mod actions;
pub mod audit;
mod bots;
mod connection_headroom;
mod credentials;
mod events;
mod guards;
mod house;
mod idempotency;
mod insights;
mod languages;
mod leases;
mod ledger;
mod markets;
mod migrations;
mod pauses;
mod pooler;
mod predictions;
mod retention;
mod rules;
mod schedules;
mod schema;
mod standings;
mod ticks;
mod tls;
mod tx;
mod upgrades;
mod usage;

use db::actions::{Wager, Wait};
use ledger_core::economy::EconomyRules;
use ledger_core::prediction::Direction;
use ledger_core::{BotId, ObservationId};
use uuid::Uuid;

/// A wager of `amount` up, with a fresh observation.
fn wager(bot_id: BotId, amount: &str) -> Wager {
    Wager {
        bot_id,
        observation_id: ObservationId(Uuid::new_v4()),
        direction: Direction::Up,
        stake: EconomyRules::default().stake(amount.parse().unwrap()).unwrap(),
        confidence: "0.60".parse().unwrap(),
        reasoning: "because".to_owned(),
        usage: None,
    }
}

/// A WAIT with the observation of a wager.
fn waiting(wager: &Wager) -> Wait {
    Wait {
        bot_id: wager.bot_id,
        observation_id: wager.observation_id,
        reasoning: String::new(),
        usage: None,
    }
}
