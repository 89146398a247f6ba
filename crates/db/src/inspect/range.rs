//! The audit of one range of bots: wallets, then positions, then every entry in chain order.

use std::collections::BTreeMap;
use std::str::FromStr;

use ledger_core::chain::{ChainVerifier, Head, HeadsDigest};
use ledger_core::entry::EntryType;
use ledger_core::prediction::PredictionStatus;
use ledger_core::{BotId, BotStatus, Entry, Hash, Money, Reference, Timestamp};
use tokio_postgres::Client;

use super::columns::{copy_out, int4, int8, malformed, money};
use super::tally::{BetFacts, PredictionFacts, Tally, Worth};
use super::{Fault, RangeReport, wallet_fault};
use crate::copy::{fields, numeric_units, timestamp_of};
use crate::error::{DbError, DbResult};

/// Bots above `after` (if any) up to and with `up_to` (if any).
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) after: Option<BotId>,
    pub(super) up_to: Option<BotId>,
}

impl Bounds {
    /// As a condition on `column`. Numbers only, so nothing needs quoting; COPY takes no
    /// parameters.
    fn condition(&self, column: &str) -> String {
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
struct Expected {
    bot_status: Option<String>,
    wallet: Option<WalletRow>,
    positions: Tally,
}

impl Expected {
    /// Of a bot that positions name and nothing else does.
    fn unknown() -> Expected {
        Expected {
            bot_status: None,
            wallet: None,
            positions: Tally::default(),
        }
    }
}

struct WalletRow {
    status: String,
    sequence: i64,
    balance: Option<i128>,
    hash: Vec<u8>,
    head_at: Option<Timestamp>,
    open_predictions: i32,
    open_stake: Option<i128>,
    open_bets: i32,
    bet_stake: Option<i128>,
    minted: Option<i128>,
    burned: Option<i128>,
    worth: Worth,
}

pub(super) async fn audit(client: &Client, bounds: Bounds) -> DbResult<RangeReport> {
    let mut expected = load_wallets(client, bounds).await?;
    let mut report = RangeReport::default();
    for misjudged in load_positions(client, bounds, &mut expected).await? {
        report.fault(misjudged);
    }
    load_bets(client, bounds, &mut expected).await?;
    let mut auditor = Auditor {
        expected,
        report,
        verifier: ChainVerifier::new(BotId(0)),
        current: None,
        facts: Tally::default(),
    };
    auditor.read_ledger(client, bounds).await?;
    Ok(auditor.finish())
}

async fn load_wallets(client: &Client, bounds: Bounds) -> DbResult<BTreeMap<BotId, Expected>> {
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

/// Whether a decided prediction is what its two samples say, and they are what was kept.
const WELL_JUDGED: &str = "CASE WHEN p.status IN ('WON', 'LOST') THEN coalesce( \
    s.price = p.start_price AND e.price = p.end_price AND s.price <> e.price \
    AND s.source = e.source AND s.source = p.price_source \
    AND s.provider_at >= p.created_at AND e.provider_at > s.provider_at \
    AND (p.status = 'WON') = ((p.direction = 'UP') = (e.price > s.price)), false) ELSE true END";

/// Adds to each bot what its predictions say; answers a fault for each that was judged otherwise
/// than by its samples.
async fn load_positions(
    client: &Client,
    bounds: Bounds,
    expected: &mut BTreeMap<BotId, Expected>,
) -> DbResult<Vec<Fault>> {
    let mut misjudged = Vec::new();
    let query = format!(
        "COPY (SELECT p.bot_id, p.id, p.observation_id::text, p.wager_amount, p.payout, \
                      p.status::text, {WELL_JUDGED}, p.brier \
                 FROM predictions p \
                 LEFT JOIN prices s ON s.id = p.start_price_id \
                 LEFT JOIN prices e ON e.id = p.end_price_id \
                WHERE {} ORDER BY p.bot_id, p.id) TO STDOUT (FORMAT binary)",
        bounds.condition("p.bot_id"),
    );
    copy_out(client, &query, |row| {
        let [
            bot_id,
            id,
            observation,
            wager,
            payout,
            status,
            well_judged,
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
        if well_judged != Some(&[1]) {
            let field = format!("prediction {id}");
            let judged = format!("{status} against its own samples");
            misjudged.push(beside(bot_id, &field, "the verdict of its samples", judged));
        }
        Ok(())
    })
    .await?;
    Ok(misjudged)
}

/// Adds to each bot what its bets and answers say. Whether a whole market was shared out as it must
/// be is audited by itself: see [`super::markets`].
async fn load_bets(
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

/// Walks the ledger in chain order and compares each chain's end with what is expected of it.
struct Auditor {
    /// Bots that the walk has not come to yet.
    expected: BTreeMap<BotId, Expected>,
    report: RangeReport,
    verifier: ChainVerifier,
    current: Option<BotId>,
    /// What the current chain says of positions and house.
    facts: Tally,
}

impl Auditor {
    async fn read_ledger(&mut self, client: &Client, bounds: Bounds) -> DbResult<()> {
        let query = format!(
            "COPY (SELECT {ENTRY_COLUMNS} FROM ledger WHERE {} ORDER BY bot_id, sequence) \
             TO STDOUT (FORMAT binary)",
            bounds.condition("bot_id"),
        );
        copy_out(client, &query, |row| self.entry(row)).await
    }

    fn entry(&mut self, row: &[u8]) -> DbResult<()> {
        let columns = fields::<9>(row).ok_or_else(malformed)?;
        let bot_id = BotId(int8(columns[0]).ok_or_else(malformed)?);
        let sequence = int8(columns[1]).ok_or_else(malformed)?;
        if self.current != Some(bot_id) {
            self.end_chain();
            self.current = Some(bot_id);
            self.verifier.restart(bot_id);
        }
        self.report.entries += 1;
        match decode(bot_id, sequence, &columns) {
            Ok(entry) => {
                self.facts.add_entry(&entry);
                if let Err(fault) = self.verifier.check(&entry) {
                    self.report.fault(fault);
                }
            }
            Err(unreadable) => {
                self.report.fault(Fault {
                    bot_id: Some(bot_id),
                    market_id: None,
                    sequence: Some(sequence),
                    field: unreadable.field.to_owned(),
                    expected: unreadable.expected.to_owned(),
                    found: unreadable.found,
                });
                self.verifier.skip_to(unreadable.head);
            }
        }
        Ok(())
    }

    /// Compares the chain that just ended with the caches and the positions of its bot.
    fn end_chain(&mut self) {
        let Some(bot_id) = self.current.take() else {
            return;
        };
        let facts = std::mem::take(&mut self.facts);
        let head = *self.verifier.head();
        HeadsDigest::write_line(&head, &mut self.report.heads);
        match self.expected.remove(&bot_id) {
            Some(expected) => self.compare(&head, &facts, &expected),
            None => self
                .report
                .fault(beside(bot_id, "bot", "a bot with this chain", "none")),
        }
    }

    fn compare(&mut self, head: &Head, facts: &Tally, expected: &Expected) {
        let chain_status = self.verifier.status();
        let bot_id = head.bot_id;
        self.report.bots += 1;
        let Some(wallet) = &expected.wallet else {
            return self
                .report
                .fault(beside(bot_id, "wallet", "a wallet", "none"));
        };
        let report = &mut self.report;
        let mut differs = |field: &str, expected: String, found: String| {
            if expected != found {
                report.fault(beside(bot_id, field, expected, found));
            }
        };
        let status = expected.bot_status.clone().unwrap_or("no bot".to_owned());
        if let Some(told) = chain_status {
            differs("bot.status", told.to_string(), status.clone());
        }
        differs("wallet.status", status.clone(), wallet.status.clone());
        differs(
            "wallet.balance",
            head.balance.to_string(),
            text(wallet.balance),
        );
        differs(
            "wallet.head_at",
            head.recorded_at
                .map(|at| at.to_string())
                .unwrap_or_default(),
            wallet.head_at.map(|at| at.to_string()).unwrap_or_default(),
        );
        if status != BotStatus::Alive.as_str() {
            differs(
                "balance of the dead",
                Money::ZERO.to_string(),
                head.balance.to_string(),
            );
        }
        let positions = &expected.positions;
        compare_positions(positions, wallet, &mut differs);
        let worth = Worth {
            fees: facts.worth.fees,
            granted: facts.worth.granted,
            lookup_fees: facts.worth.lookup_fees,
            profit: positions.worth.profit - facts.worth.lookup_fees,
            ..positions.worth.clone()
        };
        differs(
            "running totals",
            format!("{worth:?}"),
            format!("{:?}", wallet.worth),
        );
        let (minted, burned) = (
            facts.minted + positions.minted,
            facts.burned + positions.burned,
        );
        differs("wallet.minted", text(Some(minted)), text(wallet.minted));
        differs("wallet.burned", text(Some(burned)), text(wallet.burned));
        if let Some(fault) = wallet_fault(head, wallet.sequence, head.balance, &wallet.hash) {
            report.fault(Fault {
                field: format!("wallet.{}", fault.field),
                ..fault.into()
            });
        }
        if !facts.agrees_with(positions) {
            let expected = counts(positions);
            let found = format!("{} in the chain", counts(facts));
            let field = "positions against WAGER, MARKET_STAKE and closing entries";
            report.fault(beside(bot_id, field, expected, found));
        }
        let supply = &mut report.supply;
        supply.minted += minted;
        supply.burned += burned;
        supply.escrow += positions.escrow + positions.bet_escrow;
        supply.circulating += i128::from(head.balance.units());
    }

    /// Who is left has no chain: each bot must have one that starts with a GRANT.
    fn finish(mut self) -> RangeReport {
        self.end_chain();
        for bot_id in std::mem::take(&mut self.expected).into_keys() {
            self.report.bots += 1;
            self.report.fault(beside(
                bot_id,
                "chain",
                "a chain that starts with GRANT",
                "none",
            ));
        }
        self.report
    }
}

fn counts(side: &Tally) -> String {
    format!(
        "{} predictions opened, {} closed, {} bets opened, {} closed",
        side.opened, side.closed, side.bets_opened, side.bets_closed
    )
}

/// An amount as the wallet has it.
fn text(units: Option<i128>) -> String {
    units.map_or("no number".to_owned(), ledger_core::supply::units_text)
}

/// Holds what a wallet says of open positions against the positions.
fn compare_positions(
    positions: &Tally,
    wallet: &WalletRow,
    differs: &mut impl FnMut(&str, String, String),
) {
    differs(
        "wallet.open_stake",
        text(Some(positions.escrow)),
        text(wallet.open_stake),
    );
    differs(
        "wallet.open_predictions",
        (positions.opened - positions.closed).to_string(),
        wallet.open_predictions.to_string(),
    );
    differs(
        "wallet.bet_stake",
        text(Some(positions.bet_escrow)),
        text(wallet.bet_stake),
    );
    differs(
        "wallet.open_bets",
        (positions.bets_opened - positions.bets_closed).to_string(),
        wallet.open_bets.to_string(),
    );
}

fn beside(
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

/// A row that cannot be an entry, and where its chain goes on.
struct Unreadable {
    field: &'static str,
    expected: &'static str,
    found: String,
    head: Head,
}

type Columns<'a> = [Option<&'a [u8]>; 9];

/// The columns of an entry, in the order in which rows are decoded.
pub(crate) const ENTRY_COLUMNS: &str = "bot_id, sequence, entry_type, amount, balance_after, \
    reference, recorded_at, previous_hash, hash";

/// A row of [`ENTRY_COLUMNS`], for who can go no further behind one that cannot be read.
pub(crate) fn read_entry(row: &[u8]) -> DbResult<Entry> {
    let columns = fields::<9>(row).ok_or_else(malformed)?;
    let bot_id = BotId(int8(columns[0]).ok_or_else(malformed)?);
    let sequence = int8(columns[1]).ok_or_else(malformed)?;
    decode(bot_id, sequence, &columns).map_err(|unreadable| {
        DbError::corrupt(format!(
            "bot {bot_id}, entry {sequence}: {} is not {}; `arenactl inspect-ledger` names all \
             that is broken",
            unreadable.field, unreadable.expected
        ))
    })
}

fn decode(bot_id: BotId, sequence: i64, columns: &Columns<'_>) -> Result<Entry, Box<Unreadable>> {
    let [
        _,
        _,
        kind,
        amount,
        balance_after,
        reference,
        recorded_at,
        previous_hash,
        hash,
    ] = *columns;
    let head = Head {
        bot_id,
        sequence,
        balance: money(balance_after).unwrap_or_default(),
        hash: hash.and_then(Hash::from_slice).unwrap_or(Hash::ZERO),
        recorded_at: recorded_at.and_then(timestamp_of),
    };
    let broken = |field, expected, raw: Option<&[u8]>| {
        let found = String::from_utf8_lossy(raw.unwrap_or_default())
            .escape_debug()
            .to_string();
        Box::new(Unreadable {
            field,
            expected,
            found,
            head,
        })
    };
    let label = |raw: &[u8]| {
        std::str::from_utf8(raw)
            .ok()
            .and_then(|label| EntryType::from_str(label).ok())
    };
    let printable = |raw: &[u8]| {
        std::str::from_utf8(raw)
            .ok()
            .and_then(|text| Reference::new(text).ok())
    };
    let digest = |raw: Option<&[u8]>| raw.and_then(Hash::from_slice);
    Ok(Entry {
        bot_id,
        sequence,
        entry_type: kind
            .and_then(label)
            .ok_or_else(|| broken("entry_type", "a known entry type", kind))?,
        amount: money(amount).ok_or_else(|| broken("amount", "a number", amount))?,
        balance_after: money(balance_after)
            .ok_or_else(|| broken("balance_after", "a number", balance_after))?,
        reference: reference
            .and_then(printable)
            .ok_or_else(|| broken("reference", "1 to 200 printable characters", reference))?,
        recorded_at: recorded_at
            .and_then(timestamp_of)
            .ok_or_else(|| broken("recorded_at", "an instant", None))?,
        previous_hash: digest(previous_hash)
            .ok_or_else(|| broken("previous_hash", "32 bytes", None))?,
        hash: digest(hash).ok_or_else(|| broken("hash", "32 bytes", None))?,
    })
}
