//! The rules, tested against published vectors and properties that must hold for every input.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chain;
mod economy;
mod insights;
mod money;
mod parimutuel;
mod post;
mod prediction;
mod price_book;
mod research;
mod subject;
mod vectors;

use ledger_core::economy::{BotStatus, Wallet};
use ledger_core::{BotId, Hash, Head, Money, TickNumber};

/// The wallet of a living bot with one entry.
fn wallet(balance: &str) -> Wallet {
    Wallet {
        head: Head {
            bot_id: BotId(7),
            sequence: 1,
            balance: balance.parse().unwrap(),
            hash: Hash([1; 32]),
            recorded_at: None,
        },
        status: BotStatus::Alive,
        idle_streak: 0,
        productive: false,
        phantom_fees: Money::ZERO,
        shadow_died_in: None,
        open_predictions: 0,
        open_stake: Money::ZERO,
        open_bets: 0,
        bet_stake: Money::ZERO,
        last_tick: TickNumber(0),
        pause: None,
    }
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}
