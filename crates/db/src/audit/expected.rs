//! What is cached of each bot of a range, and what its predictions and bets say: the audit holds the
//! ledger against it.

use std::collections::BTreeMap;

use ledger_core::{BotId, PredictionId, Timestamp};
use tokio_postgres::Client;

use super::Fault;
use super::columns::{Columns, copy_out, malformed};
use super::tally::{BetFacts, PredictionFacts, Tally, Worth};
use super::verdicts::Verdicts;
use crate::error::DbResult;

/// Bots above `after` (if any) up to and with `up_to` (if any).
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) after: Option<BotId>,
    pub(super) up_to: Option<BotId>,
}

impl Bounds {
    /// As a condition on `column`. Numbers only, so nothing needs quoting; COPY takes no
    /// parameters.
    pub(super) fn condition(&self, column: &str) -> String {
        let after = self.after.map_or(String::from("true"), |id| format!("{column} > {id}"));
        let up_to = self.up_to.map_or(String::from("true"), |id| format!("{column} <= {id}"));
        format!("{after} AND {up_to}")
    }
}

/// What is cached of a bot and what its positions say.
pub(super) struct Expected {
    pub(super) bot_status: Option<String>,
    pub(super) wallet: Option<WalletRow>,
    pub(super) positions: Tally,
}

impl Expected {
    /// Of a bot that positions name and nothing else does.
    pub(super) fn unknown() -> Expected {
        Expected { bot_status: None, wallet: None, positions: Tally::default() }
    }
}

pub(super) struct WalletRow {
    pub(super) status: String,
    pub(super) sequence: i64,
    pub(super) balance: Option<i128>,
    pub(super) hash: Vec<u8>,
    pub(super) head_at: Option<Timestamp>,
    pub(super) open_predictions: i32,
    pub(super) open_stake: Option<i128>,
    pub(super) open_bets: i32,
    pub(super) bet_stake: Option<i128>,
    pub(super) minted: Option<i128>,
    pub(super) burned: Option<i128>,
    pub(super) worth: Worth,
}

pub(super) async fn load_wallets(
    client: &Client,
    bounds: Bounds,
) -> DbResult<BTreeMap<BotId, Expected>> {
    let mut expected = BTreeMap::new();
    let query = format!(
        "COPY (SELECT coalesce(b.id, w.bot_id), b.status::text, w.bot_id, w.status::text, \
                      w.sequence, w.balance, w.head_hash, w.head_at, w.open_predictions, \
                      w.open_stake, w.minted, w.burned, w.open_bets, w.bet_stake, w.fees, \
                      w.granted, t.settled::numeric, t.payouts, t.bounties, t.lost_stakes, t.brier_sum, \
                      t.lookup_fees, t.won::numeric, t.brier_count::numeric, t.profit \
                 FROM (SELECT * FROM bots WHERE {}) b \
                 FULL JOIN (SELECT * FROM wallets WHERE {}) w ON w.bot_id = b.id \
                 LEFT JOIN agent_totals t ON t.bot_id = w.bot_id) \
         TO STDOUT (FORMAT binary)",
        bounds.condition("id"),
        bounds.condition("bot_id"),
    );
    copy_out(client, &query, |row| {
        let mut row = Columns::<25>::of(row)?;
        let id = row.id()?;
        let bot_status = row.text();
        let has_wallet = row.raw().is_some();
        let wallet = WalletRow {
            status: row.text().unwrap_or_default(),
            sequence: row.int8().unwrap_or(-1),
            balance: row.units(),
            hash: row.raw().unwrap_or_default().to_vec(),
            head_at: row.instant(),
            open_predictions: row.int4().unwrap_or(-1),
            open_stake: row.units(),
            minted: row.units(),
            burned: row.units(),
            open_bets: row.int4().unwrap_or(-1),
            bet_stake: row.units(),
            worth: worth_of(|| row.units().unwrap_or(0)),
        };
        let bot = Expected {
            bot_status,
            wallet: has_wallet.then_some(wallet),
            positions: Tally::default(),
        };
        expected.insert(id, bot);
        DbResult::Ok(())
    })
    .await?;
    Ok(expected)
}

/// The running totals of a row, in the order of [`load_wallets`].
fn worth_of(mut next: impl FnMut() -> i128) -> Worth {
    // Counts came as numbers with eight decimals' worth of units.
    const ONE: i128 = 100_000_000;
    Worth {
        fees: next(),
        granted: next(),
        settled: next() / ONE,
        payouts: next(),
        bounties: next(),
        lost_stakes: next(),
        brier_sum: next(),
        lookup_fees: next(),
        won: next() / ONE,
        brier_count: next() / ONE,
        profit: next(),
    }
}

/// Adds to each bot what its predictions say; answers a fault for each that was judged otherwise
/// than by its rules and samples.
pub(super) async fn load_positions(
    client: &Client,
    bounds: Bounds,
    verdicts: &Verdicts,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<Vec<Fault>> {
    let mut misjudged = Vec::new();
    let predictions = verdicts.query(
        "p.bot_id, p.id, p.observation_id::text, p.wager_amount, p.payout, p.status::text, v.problem, \
         p.brier",
        &bounds.condition("p.bot_id"),
    );
    let query = format!("COPY ({predictions}) TO STDOUT (FORMAT binary)");
    copy_out(client, &query, |row| {
        let mut row = Columns::<8>::of(row)?;
        let bot_id: BotId = row.id()?;
        let id: PredictionId = row.id()?;
        let observation = row.text().unwrap_or_default();
        let (wager, payout) = (row.money(), row.money());
        let status = row.text().unwrap_or_default();
        let problem = row.text();
        let facts = PredictionFacts {
            observation: format!("OBS:{observation}"),
            reference: format!("PREDICTION:{id}"),
            wager,
            payout,
            status: status.parse().map_err(|_| malformed())?,
            brier: row.decimal(),
        };
        let bot = expected.entry(bot_id).or_insert_with(Expected::unknown);
        bot.positions.add_prediction(&facts);
        if let Some(problem) = problem {
            let field = format!("prediction {id}");
            let found = format!("{status} without it");
            misjudged.push(Fault::beside(bot_id, field, problem, found));
        }
        DbResult::Ok(())
    })
    .await?;
    Ok(misjudged)
}

/// Adds to each bot what its bets and answers say. Whether a whole market was shared out as it must
/// be is audited by itself: see [`super::markets`].
pub(super) async fn load_bets(
    client: &Client,
    bounds: Bounds,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<()> {
    let query = format!(
        "COPY (SELECT bot_id, market_id::text, stake, payout, minted, burned, brier, state::text, \
                      used_lookup \
                 FROM bets WHERE {} ORDER BY bot_id, id) TO STDOUT (FORMAT binary)",
        bounds.condition("bot_id"),
    );
    copy_out(client, &query, |row| {
        let mut row = Columns::<9>::of(row)?;
        let bot_id: BotId = row.id()?;
        let facts = BetFacts {
            reference: format!("MARKET:{}", row.text().unwrap_or_default()),
            stake: row.money(),
            payout: row.money(),
            minted: row.money(),
            burned: row.money(),
            brier: row.decimal(),
            state: row.parsed().ok_or_else(malformed)?,
            lookup: row.flag(),
        };
        let bot = expected.entry(bot_id).or_insert_with(Expected::unknown);
        bot.positions.add_bet(&facts);
        DbResult::Ok(())
    })
    .await
}
