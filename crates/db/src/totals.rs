//! Running totals of each agent's costs and results.
//!
//! They are updated in the transaction of each event, so that no query has to sum over history.
//! Values that change with each tick (entropy, ticks) are in `wallets`, where the tick writes
//! anyway.

use diesel::QueryableByName;
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use ledger_core::economy::{Movement, Wallet};
use ledger_core::{BotId, Decimal8, EntryType, Money, TickNumber};

use crate::error::{DbResult, first_cause};
use crate::pool::Connection;
use crate::schema::sql_types::{Array, BigInt, Units};
use crate::sql::{Prepare, column, reached};
use crate::usage::Usage;

/// Ticks in one window of a trend: ten minutes at the default rate.
pub const WINDOW_TICKS: i64 = 60;

/// The window of a trend that a tick falls into.
pub const fn window_of(tick: TickNumber) -> i64 {
    tick.0.div_euclid(WINDOW_TICKS)
}

/// Declares the totals, once for the fields and for their columns.
macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident: $rust:ident as $sql:ident,)+) => {
        /// A bot's running totals. Amounts are in units of 10⁻⁸ and may exceed one balance.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, QueryableByName)]
        pub struct Totals {
            $($(#[$doc])* #[diesel(sql_type = $sql)] pub $name: $rust,)+
        }

        /// The columns of [`Totals`] after others, of `agent_totals t` in a left join: a bot
        /// without totals has no row.
        macro_rules! totals_columns {
            () => {
                concat!($(", coalesce(t.", stringify!($name), ", 0) AS ", stringify!($name)),+)
            };
        }
    };
}

totals! {
    /// Positions that were won, lost or forfeit.
    settled: i64 as BigInt,
    won: i64 as BigInt,
    payouts: i128 as Units,
    /// The part of the payouts that the house made as bounty.
    bounties: i128 as Units,
    lost_stakes: i128 as Units,
    lookup_fees: i128 as Units,
    /// Payouts less the stakes of settled positions and the lookup fees.
    profit: i128 as Units,
    /// The sum of `brier_count` Brier scores.
    brier_sum: i128 as Units,
    brier_count: i64 as BigInt,
    llm_calls: i64 as BigInt,
    /// Those of them whose model has no price, or whose usage is unknown.
    unpriced_calls: i64 as BigInt,
    /// A part of `unpriced_calls`: their usage is unknown.
    unreported_calls: i64 as BigInt,
    input_tokens: i64 as BigInt,
    output_tokens: i64 as BigInt,
    /// A part of `input_tokens`.
    cached_input_tokens: i64 as BigInt,
    /// A part of `output_tokens`.
    reasoning_tokens: i64 as BigInt,
    /// By the price book, in US dollars.
    llm_usd: i128 as Units,
    /// As the agent reported it; nothing is decided by it.
    reported_usd: i128 as Units,
    /// The calls that `reported_usd` is the cost of.
    reported_usd_calls: i64 as BigInt,
    interventions: i64 as BigInt,
    errors: i64 as BigInt,
}
pub(crate) use totals_columns;

/// The change of a bot's totals by the end of one position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) bot_id: BotId,
    /// The bot's tick: which window it counts in.
    pub(crate) tick: TickNumber,
    pub(crate) stake: Money,
    pub(crate) payout: Money,
    /// The part of the payout that the house minted as a bounty.
    pub(crate) bounty: Money,
    /// The fee for the lookup.
    pub(crate) lookup_fee: Money,
    pub(crate) won: bool,
    pub(crate) brier: Option<Decimal8>,
}

impl Ended {
    /// By the movement that ended it. Void ones change nothing and are not passed.
    pub(crate) fn of(
        wallet: &Wallet,
        stake: Money,
        end: &Movement,
        brier: Option<Decimal8>,
    ) -> Option<Ended> {
        let (won, bounty) = match end.posting.entry_type {
            EntryType::Payout => (true, Money::ZERO),
            EntryType::MarketPayout | EntryType::ResearchPayout => (true, end.minted()),
            EntryType::Slash | EntryType::Forfeit => (false, Money::ZERO),
            _ => return None,
        };
        Some(Ended {
            bot_id: wallet.head.bot_id,
            tick: wallet.last_tick,
            stake,
            payout: end.posting.amount,
            bounty,
            lookup_fee: Money::ZERO,
            won,
            brier,
        })
    }

    fn profit(&self) -> i128 {
        let units = |money: Money| i128::from(money.units());
        units(self.payout) - units(self.stake) - units(self.lookup_fee)
    }
}

/// A statement that adds to the rows of these keys, or makes them. Each column is an array: the keys, and then
/// the added amounts. There are as few texts as calls of this, so they may stay prepared.
fn adding(table: &str, keys: &[&str], sums: &str) -> String {
    let sums: Vec<&str> = sums.split(' ').collect();
    let columns = [keys, &sums].concat().join(", ");
    let places = (1..=keys.len() + sums.len()).map(|place| format!("${place}"));
    let places = places.collect::<Vec<_>>().join(", ");
    let added = column(&sums, |sum| format!("{sum} = t.{sum} + EXCLUDED.{sum}")).join(", ");
    let keys = keys.join(", ");
    format!(
        "INSERT INTO {table} AS t ({columns}) SELECT * FROM UNNEST({places}) \
         ON CONFLICT ({keys}) DO UPDATE SET {added}"
    )
}

/// One bot's part of ended positions.
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
    // A statement may change each row once, so several changes of one bot are added up first; in
    // the order of bots, so that two transactions cannot deadlock.
    let mut sums = std::collections::BTreeMap::<BotId, Sum>::new();
    for end in ended {
        let units = |money: Money| i128::from(money.units());
        let sum = sums.entry(end.bot_id).or_default();
        sum.window = window_of(end.tick);
        sum.settled += 1;
        sum.won += i64::from(end.won);
        sum.payouts += units(end.payout);
        sum.bounties += units(end.bounty);
        if !end.won {
            sum.lost_stakes += units(end.stake);
        }
        sum.lookup_fees += units(end.lookup_fee);
        sum.profit += end.profit();
        sum.brier_sum += end.brier.map_or(0, |brier| i128::from(brier.units()));
        sum.brier_count += i64::from(end.brier.is_some());
    }
    if sums.is_empty() {
        return Ok(());
    }
    let (mut first, mut second) = (conn, conn);
    let bots = || column(sums.keys(), |bot| bot.0);
    let totals = |part: fn(&Sum) -> i128| column(sums.values(), part);
    let counts = |part: fn(&Sum) -> i64| column(sums.values(), part);
    let add = diesel::sql_query(adding(
        "agent_totals",
        &["bot_id"],
        "settled won payouts bounties lost_stakes lookup_fees profit brier_sum brier_count",
    ))
    .bind::<Array<BigInt>, _>(bots())
    .bind::<Array<BigInt>, _>(counts(|s| s.settled))
    .bind::<Array<BigInt>, _>(counts(|s| s.won))
    .bind::<Array<Units>, _>(totals(|s| s.payouts))
    .bind::<Array<Units>, _>(totals(|s| s.bounties))
    .bind::<Array<Units>, _>(totals(|s| s.lost_stakes))
    .bind::<Array<Units>, _>(totals(|s| s.lookup_fees))
    .bind::<Array<Units>, _>(totals(|s| s.profit))
    .bind::<Array<Units>, _>(totals(|s| s.brier_sum))
    .bind::<Array<BigInt>, _>(counts(|s| s.brier_count))
    .prepared()
    .execute(&mut first);
    let windows =
        diesel::sql_query(adding("agent_windows", &["bot_id", "number"], "profit settled"))
            .bind::<Array<BigInt>, _>(bots())
            .bind::<Array<BigInt>, _>(counts(|s| s.window))
            .bind::<Array<Units>, _>(totals(|s| s.profit))
            .bind::<Array<BigInt>, _>(counts(|s| s.settled))
            .prepared()
            .execute(&mut second);
    let (added, windowed) = join(add, windows).await;
    let whole = |rows: diesel::QueryResult<usize>| {
        reached(rows?, sums.len(), "totals did not reach all of their rows")
    };
    first_cause([whole(added), whole(windowed)])
}

/// Adds usage, in the caller's transaction, which holds the bot's wallet. Calls without a price add
/// no cost and are counted as such.
pub(crate) async fn add_usage(mut conn: &Connection, bot_id: BotId, usage: &Usage) -> DbResult<()> {
    let calls = i64::from(usage.llm_calls);
    let unreported_calls = i64::from(usage.unreported_calls);
    let unpriced_calls = match usage.priced_usd {
        None => calls,
        Some(_) => unreported_calls,
    };
    let reported_usd_calls = if usage.cost_usd.is_some() { calls } else { 0 };
    diesel::sql_query(adding(
        "agent_totals",
        &["bot_id"],
        "llm_calls unpriced_calls unreported_calls input_tokens output_tokens cached_input_tokens \
         reasoning_tokens llm_usd reported_usd reported_usd_calls",
    ))
    .bind::<Array<BigInt>, _>(vec![bot_id.0])
    .bind::<Array<BigInt>, _>(vec![calls])
    .bind::<Array<BigInt>, _>(vec![unpriced_calls])
    .bind::<Array<BigInt>, _>(vec![unreported_calls])
    .bind::<Array<BigInt>, _>(vec![usage.input_tokens])
    .bind::<Array<BigInt>, _>(vec![usage.output_tokens])
    .bind::<Array<BigInt>, _>(vec![usage.cached_input_tokens.unwrap_or(0)])
    .bind::<Array<BigInt>, _>(vec![usage.reasoning_tokens.unwrap_or(0)])
    .bind::<Array<Units>, _>(vec![usage.priced_usd.unwrap_or_default()])
    .bind::<Array<Units>, _>(vec![usage.cost_usd.unwrap_or_default()])
    .bind::<Array<BigInt>, _>(vec![reported_usd_calls])
    .prepared()
    .execute(&mut conn)
    .await?;
    Ok(())
}

/// The change of a bot's totals by an operator or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// An operator had to act on it.
    Intervention,
    /// Something failed for it and was recorded.
    Error,
}

/// Counts events that took human attention, in the caller's transaction.
pub(crate) async fn add_attention(
    mut conn: &Connection,
    bot_id: BotId,
    what: Attention,
) -> DbResult<()> {
    let sum = match what {
        Attention::Intervention => "interventions",
        Attention::Error => "errors",
    };
    diesel::sql_query(adding("agent_totals", &["bot_id"], sum))
        .bind::<Array<BigInt>, _>(vec![bot_id.0])
        .bind::<Array<BigInt>, _>(vec![1_i64])
        .prepared()
        .execute(&mut conn)
        .await?;
    Ok(())
}
