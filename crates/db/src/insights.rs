//! What one bot cost, produced and faces: by key look-ups alone, whatever its history.
//!
//! Everything comes from running totals that were added to as things happened. This module must
//! never sum over the ledger, the metrics or the positions.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::insights::{Reserve, lived_through};
use ledger_core::{BotId, BotStatus, Entry, Money, TickNumber, Timestamp};

use crate::bots::{BotRef, bot_named};
use crate::error::{DbError, DbResult};
use crate::ledger;
use crate::pool::Connection;
use crate::schema::sql_types::{
    self, BigInt, Bool, Instant, Integer, Nullable, Text, Units, Untyped,
};
use crate::sql::statement;
use crate::totals::{Totals, WINDOW_TICKS, totals_columns, window_of};

/// Ledger entries that are told with a bot.
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
    /// The next tick that reaches the bot, if it lives.
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

#[derive(QueryableByName)]
struct InsightsRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    handle: String,
    #[diesel(sql_type = sql_types::BotStatus)]
    status: BotStatus,
    #[diesel(sql_type = Units)]
    balance: Money,
    #[diesel(sql_type = Units)]
    phantom_fees: Money,
    #[diesel(sql_type = Integer)]
    idle_streak: i32,
    #[diesel(sql_type = Bool)]
    productive: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    shadow_died_in: Option<i64>,
    #[diesel(sql_type = BigInt)]
    last_tick: i64,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Units)]
    fees: i128,
    #[diesel(sql_type = BigInt)]
    ticks: i64,
    #[diesel(sql_type = BigInt)]
    idle_ticks: i64,
    #[diesel(sql_type = Nullable<Units>)]
    last_profit: Option<i128>,
    #[diesel(sql_type = Nullable<Units>)]
    previous_profit: Option<i128>,
    #[diesel(sql_type = Nullable<Instant>)]
    shadow_died_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    tick: Option<i64>,
    #[diesel(sql_type = Nullable<Instant>)]
    tick_began_at: Option<Timestamp>,
    #[diesel(sql_type = Bool)]
    tick_open: bool,
    #[diesel(sql_type = Instant)]
    as_of: Timestamp,
    #[diesel(embed)]
    totals: Totals,
}

/// One bot's insights.
///
/// # Errors
/// [`DbError::NotFound`] for a bot that does not exist; never for one about which nothing is known.
pub async fn find(conn: &mut Connection, bot: &BotRef) -> DbResult<Insights> {
    let (id, handle) = bot.named();
    let of = OfBot { window: WINDOW_TICKS, again: WINDOW_TICKS, id, handle };
    let row: Option<InsightsRow> = of.get_result(conn).await.optional()?;
    let row = row.ok_or(DbError::NotFound("bot"))?;
    // Not what came after the row was read: balance and entries then tell of one moment.
    let before = row.sequence.saturating_add(1);
    let recent = ledger::page(conn, BotId(row.id), Some(before), RECENT_ENTRIES).await?;
    Ok(row.with(recent))
}

impl InsightsRow {
    fn with(self, recent: Vec<Entry>) -> Insights {
        // Never before it was made, and later for who was dead or passed over in between: windows
        // with such ticks in them are left out rather than mistaken for lean ones.
        let born = TickNumber(self.last_tick - self.ticks);
        let window = window_of(TickNumber(self.last_tick));
        let profit = |number: i64, kept: Option<i128>| {
            let whole = lived_through(number, WINDOW_TICKS, born);
            whole.then(|| kept.unwrap_or(0))
        };
        let latest = self.tick.unwrap_or(0);
        let began_at = self.tick_began_at;
        // An open tick that has not reached the bot will, unless it failed to.
        let open = self.tick.is_some() && self.tick_open && self.last_tick < latest;
        Insights {
            bot_id: BotId(self.id),
            handle: self.handle,
            reserve: Reserve {
                status: self.status,
                balance: self.balance,
                phantom_fees: self.phantom_fees,
                idle_streak: self.idle_streak,
                productive: self.productive,
                shadow_died_in: self.shadow_died_in.map(TickNumber),
            },
            fees: self.fees,
            ticks: self.ticks,
            idle_ticks: self.idle_ticks,
            totals: self.totals,
            last_window: profit(window - 1, self.last_profit),
            previous_window: profit(window - 2, self.previous_profit),
            shadow_died_at: self.shadow_died_at,
            next_tick: TickNumber(if open { latest } else { latest + 1 }),
            next_tick_began_at: began_at.filter(|_| open),
            latest_began_at: began_at,
            recent,
            as_of: self.as_of,
        }
    }
}
