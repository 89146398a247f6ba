//! One bot's cost, results and future: only by key look-ups, for any length of history.
//!
//! Everything comes from running totals that were added to as things happened. This module must
//! never sum over the ledger, the metrics or the positions.

use diesel::deserialize;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::NamedRow;
use diesel_async::RunQueryDsl;
use ledger_core::insights::{Reserve, lived_through};
use ledger_core::{BotId, Entry, Money, TickNumber, Timestamp};

use crate::bots::{BotRef, bot_named};
use crate::error::{DbError, DbResult};
use crate::ledger;
use crate::pool::Connection;
use crate::schema::sql_types::{
    self, BigInt, Bool, Instant, Integer, Nullable, Text, Units, Untyped,
};
use crate::sql::statement;
use crate::totals::{Totals, WINDOW_TICKS, totals_columns, window_of};

/// Ledger entries returned with a bot.
const RECENT_ENTRIES: i64 = 10;

/// All that is kept about one bot, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insights {
    pub bot_id: BotId,
    pub handle: String,
    /// Status, balance and idleness.
    pub reserve: Reserve,
    /// Entropy that was charged, in units of 10⁻⁸.
    pub fees: i128,
    pub ticks: i64,
    /// Those of them before which nothing productive was done.
    pub idle_ticks: i64,
    pub totals: Totals,
    /// The profit in the last whole window of [`WINDOW_TICKS`] ticks, and in the one before it;
    /// `None` where the bot did not live through it.
    pub last_window: Option<i128>,
    pub previous_window: Option<i128>,
    /// When the tick began in which the shadow died.
    pub shadow_died_at: Option<Timestamp>,
    /// The next tick that reaches the bot, if it is alive.
    pub next_tick: TickNumber,
    /// When that tick began; `None` if it is yet to begin.
    pub next_tick_began_at: Option<Timestamp>,
    /// When the latest tick began; `None` before the first.
    pub latest_began_at: Option<Timestamp>,
    /// The last entries of its ledger, newest first.
    pub recent: Vec<Entry>,
    pub as_of: Timestamp,
}

// Each table once, by its key. The windows are those of the bot's own ticks: a dead bot's stay.
statement! {
    struct OfBot<'a> {
        window: i64 as BigInt,
        again: i64 as BigInt,
        id: Option<i64> as Nullable<BigInt>,
        handle: Option<&'a str> as Nullable<Text>,
    } returns Untyped = concat!(
        "SELECT b.id, b.handle, b.status, w.balance, w.phantom_fees, w.idle_streak, \
                w.productive, w.shadow_died_in, w.last_tick, w.sequence, w.fees, w.ticks, \
                w.idle_ticks, last.profit AS last_profit, previous.profit AS previous_profit, \
                died.started_at AS shadow_died_at, latest.number AS tick, \
                latest.started_at AS tick_began_at, \
                latest.closed_at IS NULL AND NOT EXISTS ( \
                    SELECT FROM tick_failures f \
                     WHERE f.tick = latest.number AND f.bot_id = b.id) AS tick_open, \
                clock_timestamp() AS as_of",
        totals_columns!(),
        " FROM bots b \
          JOIN wallets w ON w.bot_id = b.id \
          LEFT JOIN agent_totals t ON t.bot_id = b.id \
          LEFT JOIN agent_windows last \
            ON last.bot_id = b.id AND last.number = w.last_tick / {} - 1 \
          LEFT JOIN agent_windows previous \
            ON previous.bot_id = b.id AND previous.number = w.last_tick / {} - 2 \
          LEFT JOIN ticks died ON died.number = w.shadow_died_in \
          LEFT JOIN LATERAL (SELECT number, started_at, closed_at FROM ticks \
                              ORDER BY number DESC LIMIT 1) latest ON true \
         WHERE b.id = ",
        bot_named!()
    )
}

/// The values of one row; the entries are read separately.
struct Found {
    sequence: i64,
    insights: Insights,
}

impl QueryableByName<Pg> for Found {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Found> {
        let number = |column: &str| NamedRow::get::<BigInt, i64>(row, column);
        let units = |column: &str| NamedRow::get::<Nullable<Units>, Option<i128>>(row, column);
        let money = |column: &str| NamedRow::get::<Units, Money>(row, column);
        let maybe_at = |column: &str| NamedRow::get::<Nullable<Instant>, Option<_>>(row, column);
        let tick = |column: &str| NamedRow::get::<Nullable<BigInt>, Option<i64>>(row, column);
        let flag = |column: &str| NamedRow::get::<Bool, bool>(row, column);
        let (last_tick, ticks) = (number("last_tick")?, number("ticks")?);
        // Never before its creation, and later for a bot that was dead or skipped in between:
        // windows with such ticks are left out, because their low earnings would mislead.
        let born = TickNumber(last_tick - ticks);
        let window = window_of(TickNumber(last_tick));
        let profit = |number: i64, kept: Option<i128>| {
            let whole = lived_through(number, WINDOW_TICKS, born);
            whole.then(|| kept.unwrap_or(0))
        };
        let (latest, latest_began_at) = (tick("tick")?, maybe_at("tick_began_at")?);
        // An open tick that has not reached the bot will, unless it failed to.
        let next = latest.filter(|latest| last_tick < *latest);
        let next = if flag("tick_open")? { next } else { None };
        let insights = Insights {
            bot_id: BotId(number("id")?),
            handle: NamedRow::get::<Text, _>(row, "handle")?,
            reserve: Reserve {
                status: NamedRow::get::<sql_types::BotStatus, _>(row, "status")?,
                balance: money("balance")?,
                phantom_fees: money("phantom_fees")?,
                idle_streak: NamedRow::get::<Integer, _>(row, "idle_streak")?,
                productive: flag("productive")?,
                shadow_died_in: tick("shadow_died_in")?.map(TickNumber),
            },
            fees: NamedRow::get::<Units, _>(row, "fees")?,
            ticks,
            idle_ticks: number("idle_ticks")?,
            totals: <Totals as QueryableByName<Pg>>::build(row)?,
            last_window: profit(window - 1, units("last_profit")?),
            previous_window: profit(window - 2, units("previous_profit")?),
            shadow_died_at: maybe_at("shadow_died_at")?,
            next_tick: TickNumber(next.unwrap_or_else(|| latest.unwrap_or(0) + 1)),
            next_tick_began_at: latest_began_at.filter(|_| next.is_some()),
            latest_began_at,
            recent: Vec::new(),
            as_of: NamedRow::get::<Instant, _>(row, "as_of")?,
        };
        Ok(Found { sequence: number("sequence")?, insights })
    }
}

/// One bot's insights.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that does not exist; never for one about which nothing is known.
#[crate::boxed]
pub async fn find(conn: &mut Connection, bot: &BotRef) -> DbResult<Insights> {
    let (id, handle) = bot.named();
    let of = OfBot { window: WINDOW_TICKS, again: WINDOW_TICKS, id, handle };
    let found: Option<Found> = of.get_result(conn).await.optional()?;
    let Found { sequence, mut insights } = found.ok_or(DbError::NotFound("bot"))?;
    // Without entries after the row was read: so balance and entries are of one moment.
    let before = sequence.saturating_add(1);
    insights.recent = ledger::page(conn, insights.bot_id, Some(before), RECENT_ENTRIES).await?;
    Ok(insights)
}
