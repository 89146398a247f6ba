//! What is cached of each bot of a range, and what its predictions and bets say: the audit holds the
//! ledger against it.

use std::collections::BTreeMap;

use ledger_core::prediction::PredictionStatus;
use ledger_core::{BotId, Timestamp};
use tokio_postgres::Client;

use super::Fault;
use super::columns::{copy_out, int4, int8, malformed, money};
use super::tally::{BetFacts, PredictionFacts, Tally, Worth};
use super::verdicts::Verdicts;
use crate::copy::{fields, numeric_units, timestamp_of};
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
        let after = self
            .after
            .map_or(String::from("true"), |id| format!("{column} > {id}"));
        let up_to = self
            .up_to
            .map_or(String::from("true"), |id| format!("{column} <= {id}"));
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
        Expected {
            bot_status: None,
            wallet: None,
            positions: Tally::default(),
        }
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
        let [id, bot_status, wallet, status, rest @ ..] =
            fields::<25>(row).ok_or_else(malformed)?;
        let [
            sequence,
            balance,
            hash,
            head_at,
            open,
            stake,
            minted,
            burned,
            open_bets,
            bet_stake,
            worth @ ..,
        ] = rest;
        let text = |value: Option<&[u8]>| {
            value
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default()
        };
        let wallet = wallet.map(|_| WalletRow {
            status: text(status),
            sequence: int8(sequence).unwrap_or(-1),
            balance: balance.and_then(numeric_units),
            hash: hash.unwrap_or_default().to_vec(),
            head_at: head_at.and_then(timestamp_of),
            open_predictions: int4(open).unwrap_or(-1),
            open_stake: stake.and_then(numeric_units),
            minted: minted.and_then(numeric_units),
            burned: burned.and_then(numeric_units),
            open_bets: int4(open_bets).unwrap_or(-1),
            bet_stake: bet_stake.and_then(numeric_units),
            worth: worth_of(worth),
        });
        let bot_status = bot_status.map(|_| text(bot_status));
        let positions = Tally::default();
        expected.insert(
            BotId(int8(id).ok_or_else(malformed)?),
            Expected {
                bot_status,
                wallet,
                positions,
            },
        );
        Ok(())
    })
    .await?;
    Ok(expected)
}

/// The running totals of a row, in the order of [`load_wallets`].
fn worth_of(columns: [Option<&[u8]>; 11]) -> Worth {
    let totals = columns.map(|total| total.and_then(numeric_units).unwrap_or(0));
    let [
        fees,
        granted,
        settled,
        payouts,
        bounties,
        lost_stakes,
        brier_sum,
        lookup_fees,
        won,
        brier_count,
        profit,
    ] = totals;
    Worth {
        // Counts, which came as numbers with eight decimals' worth of units.
        settled: settled / 100_000_000,
        won: won / 100_000_000,
        brier_count: brier_count / 100_000_000,
        profit,
        payouts,
        bounties,
        lost_stakes,
        brier_sum,
        fees,
        granted,
        lookup_fees,
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
        let [
            bot_id,
            id,
            observation,
            wager,
            payout,
            status,
            problem,
            brier,
        ] = fields::<8>(row).ok_or_else(malformed)?;
        let bot_id = BotId(int8(bot_id).ok_or_else(malformed)?);
        let id = int8(id).ok_or_else(malformed)?;
        let observation = String::from_utf8_lossy(observation.unwrap_or_default());
        let status = String::from_utf8_lossy(status.unwrap_or_default());
        let facts = PredictionFacts {
            observation: format!("OBS:{observation}"),
            reference: format!("PREDICTION:{id}"),
            wager: money(wager).unwrap_or_default(),
            payout: money(payout).unwrap_or_default(),
            status: PredictionStatus::ALL
                .into_iter()
                .find(|known| known.as_str() == status)
                .ok_or_else(malformed)?,
            brier: money(brier),
        };
        let bot = expected.entry(bot_id).or_insert_with(Expected::unknown);
        bot.positions.add_prediction(&facts);
        if let Some(problem) = problem {
            let field = format!("prediction {id}");
            let expected = String::from_utf8_lossy(problem);
            misjudged.push(beside(
                bot_id,
                &field,
                expected,
                format!("{status} without it"),
            ));
        }
        Ok(())
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
        let [
            bot_id,
            market,
            stake,
            payout,
            minted,
            burned,
            brier,
            state,
            lookup,
        ] = fields::<9>(row).ok_or_else(malformed)?;
        let bot_id = BotId(int8(bot_id).ok_or_else(malformed)?);
        let market = String::from_utf8_lossy(market.unwrap_or_default());
        let state = String::from_utf8_lossy(state.unwrap_or_default());
        let facts = BetFacts {
            reference: format!("MARKET:{market}"),
            stake: money(stake).unwrap_or_default(),
            payout: money(payout).unwrap_or_default(),
            minted: money(minted).unwrap_or_default(),
            burned: money(burned).unwrap_or_default(),
            brier: money(brier),
            state: state.parse().map_err(|_| malformed())?,
            lookup: lookup.map(|used| used == [1]),
        };
        let bot = expected.entry(bot_id).or_insert_with(Expected::unknown);
        bot.positions.add_bet(&facts);
        Ok(())
    })
    .await
}

/// A fault that is in no entry of the bot's chain.
pub(super) fn beside(
    bot_id: BotId,
    field: &str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Fault {
    Fault {
        bot_id: Some(bot_id),
        market_id: None,
        sequence: None,
        field: field.to_owned(),
        expected: expected.into(),
        found: found.into(),
    }
}
