//! Running totals of what each agent cost and was worth.
//!
//! They are added to in the transaction in which a thing happens, so that nobody ever sums over
//! history to answer a question. What changes with each tick (entropy, ticks) is kept in `wallets`,
//! where the tick writes anyway.

use diesel::sql_types::{Array, BigInt, Numeric, Untyped};
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use ledger_core::economy::Wallet;
use ledger_core::{BotId, CycleNumber, Money};

use crate::error::{DbError, DbResult, first_cause};
use crate::pool::Connection;
use crate::sql::{SqlTotal, statement};

/// Ticks in one window of a trend: ten minutes at the default rate.
pub const WINDOW_TICKS: i64 = 60;

/// The window of a trend that a tick falls into.
#[must_use]
pub const fn window_of(tick: CycleNumber) -> i64 {
    tick.0.div_euclid(WINDOW_TICKS)
}

/// What the end of one position adds to its bot's totals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) bot_id: BotId,
    /// The bot's tick: which window it counts in.
    pub(crate) tick: CycleNumber,
    pub(crate) stake: Money,
    pub(crate) payout: Money,
    /// What of the payout the house made as a bounty.
    pub(crate) bounty: Money,
    /// What the lookup cost.
    pub(crate) lookup_fee: Money,
    pub(crate) end: End,
    pub(crate) brier: Option<Money>,
}

/// How a position ended, as far as totals go. Void ones change nothing and are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Won,
    /// Lost or forfeit.
    Lost,
}

impl Ended {
    pub(crate) fn of(wallet: &Wallet, stake: Money, payout: Money, end: End) -> Ended {
        Ended {
            bot_id: wallet.head.bot_id,
            tick: wallet.last_cycle,
            stake,
            payout,
            bounty: Money::ZERO,
            lookup_fee: Money::ZERO,
            end,
            brier: None,
        }
    }

    fn profit(&self) -> i128 {
        let units = |money: Money| i128::from(money.units());
        units(self.payout) - units(self.stake) - units(self.lookup_fee)
    }
}

statement! {
    struct AddTotals {
        bot_id: Vec<i64> as Array<BigInt>,
        settled: Vec<i64> as Array<BigInt>,
        won: Vec<i64> as Array<BigInt>,
        payouts: Vec<SqlTotal> as Array<Numeric>,
        bounties: Vec<SqlTotal> as Array<Numeric>,
        lost_stakes: Vec<SqlTotal> as Array<Numeric>,
        lookup_fees: Vec<SqlTotal> as Array<Numeric>,
        profit: Vec<SqlTotal> as Array<Numeric>,
        brier_sum: Vec<SqlTotal> as Array<Numeric>,
        brier_count: Vec<i64> as Array<BigInt>,
    } returns Untyped =
    "INSERT INTO agent_totals AS t (bot_id, settled, won, payouts, bounties, lost_stakes, \
                                    lookup_fees, profit, brier_sum, brier_count) \
     SELECT * FROM UNNEST({}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
     ON CONFLICT (bot_id) DO UPDATE \
        SET settled = t.settled + EXCLUDED.settled, won = t.won + EXCLUDED.won, \
            payouts = t.payouts + EXCLUDED.payouts, bounties = t.bounties + EXCLUDED.bounties, \
            lost_stakes = t.lost_stakes + EXCLUDED.lost_stakes, \
            lookup_fees = t.lookup_fees + EXCLUDED.lookup_fees, \
            profit = t.profit + EXCLUDED.profit, brier_sum = t.brier_sum + EXCLUDED.brier_sum, \
            brier_count = t.brier_count + EXCLUDED.brier_count"
}

statement! {
    struct AddWindows {
        bot_id: Vec<i64> as Array<BigInt>,
        number: Vec<i64> as Array<BigInt>,
        profit: Vec<SqlTotal> as Array<Numeric>,
        settled: Vec<i64> as Array<BigInt>,
    } returns Untyped =
    "INSERT INTO agent_windows AS w (bot_id, number, profit, settled) \
     SELECT * FROM UNNEST({}, {}, {}, {}) \
     ON CONFLICT (bot_id, number) DO UPDATE \
        SET profit = w.profit + EXCLUDED.profit, settled = w.settled + EXCLUDED.settled"
}

/// One bot's part of what ended.
#[derive(Default)]
struct Sum {
    window: i64,
    settled: i64,
    won: i64,
    payouts: i128,
    bounties: i128,
    lost_stakes: i128,
    lookup_fees: i128,
    profit: i128,
    brier_sum: i128,
    brier_count: i64,
}

/// Adds positions that ended, in the caller's transaction, which holds their bots' wallets.
pub(crate) async fn add_ended(conn: &Connection, ended: &[Ended]) -> DbResult<()> {
    // A statement may meet each row once, so several of one bot are added up first; in the order
    // of bots, so that no two transactions wait for each other.
    let mut sums = std::collections::BTreeMap::<BotId, Sum>::new();
    for end in ended {
        let units = |money: Money| i128::from(money.units());
        let sum = sums.entry(end.bot_id).or_default();
        sum.window = window_of(end.tick);
        sum.settled += 1;
        sum.won += i64::from(end.end == End::Won);
        sum.payouts += units(end.payout);
        sum.bounties += units(end.bounty);
        if end.end == End::Lost {
            sum.lost_stakes += units(end.stake);
        }
        sum.lookup_fees += units(end.lookup_fee);
        sum.profit += end.profit();
        sum.brier_sum += end.brier.map_or(0, units);
        sum.brier_count += i64::from(end.brier.is_some());
    }
    if sums.is_empty() {
        return Ok(());
    }
    let bots = || sums.keys().map(|bot| bot.0).collect::<Vec<i64>>();
    let totals = |part: fn(&Sum) -> i128| sums.values().map(|s| SqlTotal(part(s))).collect();
    let counts = |part: fn(&Sum) -> i64| sums.values().map(part).collect::<Vec<i64>>();
    let add = AddTotals {
        bot_id: bots(),
        settled: counts(|s| s.settled),
        won: counts(|s| s.won),
        payouts: totals(|s| s.payouts),
        bounties: totals(|s| s.bounties),
        lost_stakes: totals(|s| s.lost_stakes),
        lookup_fees: totals(|s| s.lookup_fees),
        profit: totals(|s| s.profit),
        brier_sum: totals(|s| s.brier_sum),
        brier_count: counts(|s| s.brier_count),
    };
    let windows = AddWindows {
        bot_id: bots(),
        number: counts(|s| s.window),
        profit: totals(|s| s.profit),
        settled: counts(|s| s.settled),
    };
    let (mut first, mut second) = (conn, conn);
    let (added, windowed) = join(add.execute(&mut first), windows.execute(&mut second)).await;
    let whole = |written: diesel::QueryResult<usize>| match written {
        Ok(rows) if rows == sums.len() => Ok(()),
        Ok(_) => Err(DbError::corrupt("totals did not reach all of their rows")),
        Err(error) => Err(error.into()),
    };
    first_cause([whole(added), whole(windowed)])
}

/// What an operator or an error adds to a bot's totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// An operator had to act on it.
    Intervention,
    /// Something failed for it and was recorded.
    Error,
}

statement! {
    struct AddAttention {
        bot_id: i64 as BigInt,
        interventions: i64 as BigInt,
        errors: i64 as BigInt,
    } returns Untyped =
    "INSERT INTO agent_totals AS t (bot_id, interventions, errors) VALUES ({}, {}, {}) \
     ON CONFLICT (bot_id) DO UPDATE \
        SET interventions = t.interventions + EXCLUDED.interventions, \
            errors = t.errors + EXCLUDED.errors"
}

/// Counts what took somebody's attention, in the caller's transaction.
pub(crate) async fn add_attention(
    mut conn: &Connection,
    bot_id: BotId,
    what: Attention,
) -> DbResult<()> {
    let add = AddAttention {
        bot_id: bot_id.0,
        interventions: i64::from(what == Attention::Intervention),
        errors: i64::from(what == Attention::Error),
    };
    add.execute(&mut conn).await?;
    Ok(())
}
