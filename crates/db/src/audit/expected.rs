//! Cached values of each bot of a range, and values from its predictions and bets: the audit
//! compares the ledger with them.

use std::collections::BTreeMap;

use ledger_core::movement::PositionKind;
use ledger_core::{BotId, Timestamp};
use tokio_postgres::Client;

use super::Fault;
use super::columns::{Columns, copy_out, row};
use super::tally::{PositionRow, Tally, Worth};
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

/// A bot's cached values and those of its positions; only these if nothing else names the bot.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) bot_status: Option<String>,
    pub(super) wallet: Option<(WalletRow, Worth)>,
    pub(super) positions: Tally,
}

row! {
    struct WalletRow(row) {
        status: String = "w.status::text" => row.text().unwrap_or_default(),
        sequence: i64 = "w.sequence" => row.count(),
        balance: Option<i128> = "w.balance" => row.units(),
        hash: Vec<u8> = "w.head_hash" => row.raw().unwrap_or_default().to_vec(),
        head_at: Option<Timestamp> = "w.head_at" => row.instant(),
        open_predictions: i64 = "w.open_predictions::bigint" => row.count(),
        open_stake: Option<i128> = "w.open_stake" => row.units(),
        open_bets: i64 = "w.open_bets::bigint" => row.count(),
        bet_stake: Option<i128> = "w.bet_stake" => row.units(),
        minted: Option<i128> = "w.minted" => row.units(),
        burned: Option<i128> = "w.burned" => row.units(),
    }
}

pub(super) async fn load_wallets(
    client: &Client,
    bounds: Bounds,
) -> DbResult<BTreeMap<BotId, Expected>> {
    let mut expected = BTreeMap::new();
    let query = format!(
        "COPY (SELECT coalesce(b.id, w.bot_id), b.status::text, w.bot_id, {}, {} \
                 FROM (SELECT * FROM bots WHERE {}) b \
                 FULL JOIN (SELECT * FROM wallets WHERE {}) w ON w.bot_id = b.id \
                 LEFT JOIN agent_totals t ON t.bot_id = w.bot_id) \
         TO STDOUT (FORMAT binary)",
        WalletRow::columns(),
        Worth::columns(),
        bounds.condition("id"),
        bounds.condition("bot_id"),
    );
    copy_out(client, &query, |row| {
        let mut row = Columns::<{ 3 + WalletRow::COUNT + Worth::COUNT }>::of(row)?;
        let (id, bot_status, has_wallet) = (row.id()?, row.text(), row.raw().is_some());
        let wallet = (WalletRow::read(&mut row)?, Worth::read(&mut row)?);
        let wallet = has_wallet.then_some(wallet);
        expected.insert(id, Expected { bot_status, wallet, ..Expected::default() });
        DbResult::Ok(())
    })
    .await?;
    Ok(expected)
}

/// Adds each bot's predictions; returns a fault for each that was not judged by its rules and
/// samples.
pub(super) async fn load_predictions(
    client: &Client,
    bounds: Bounds,
    verdicts: &Verdicts,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<Vec<Fault>> {
    let rows = verdicts.query(
        "p.bot_id, 'OBS:' || p.observation_id AS opening, 'PREDICTION:' || p.id AS closing, \
         p.wager_amount AS stake, p.payout, greatest(p.payout - p.wager_amount, 0) AS minted, \
         greatest(p.wager_amount - p.payout, 0) AS burned, 0::numeric AS bounty, p.brier, \
         p.status::text AS state, NULL::boolean AS lookup, v.problem",
        &bounds.condition("p.bot_id"),
    );
    load_positions(client, PositionKind::Prediction, &rows, expected).await
}

/// Adds each bot's bets and answers. The distribution of a whole market is audited separately: see
/// [`super::markets`].
pub(super) async fn load_bets(
    client: &Client,
    bounds: Bounds,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<Vec<Fault>> {
    let rows = format!(
        "SELECT bot_id, 'MARKET:' || market_id AS opening, 'MARKET:' || market_id AS closing, \
                stake, payout, minted, burned, minted AS bounty, brier, state::text AS state, \
                used_lookup AS lookup, NULL::text AS problem \
           FROM bets WHERE {} ORDER BY bot_id, id",
        bounds.condition("bot_id"),
    );
    load_positions(client, PositionKind::Bet, &rows, expected).await
}

async fn load_positions(
    client: &Client,
    kind: PositionKind,
    rows: &str,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<Vec<Fault>> {
    let mut misjudged = Vec::new();
    let columns = PositionRow::columns();
    let query =
        format!("COPY (SELECT bot_id, {columns} FROM ({rows}) p) TO STDOUT (FORMAT binary)");
    copy_out(client, &query, |row| {
        let mut row = Columns::<{ 1 + PositionRow::COUNT }>::of(row)?;
        let (bot_id, position) = (row.id()?, PositionRow::read(&mut row)?);
        expected.entry(bot_id).or_default().positions.add(kind, &position);
        if let Some(problem) = position.problem {
            let field = position.closing.replace("PREDICTION:", "prediction ");
            let found = format!("{} without it", position.state);
            misjudged.push(Fault::beside(bot_id, field, problem, found));
        }
        DbResult::Ok(())
    })
    .await?;
    Ok(misjudged)
}
