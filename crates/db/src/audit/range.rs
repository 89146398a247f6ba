//! The audit of one range of bots: wallets, then positions, then every entry in chain order.

use std::collections::BTreeMap;

use ledger_core::chain::{ChainVerifier, Head, HeadsDigest};
use ledger_core::supply::units_text;
use ledger_core::{BotId, BotStatus, Money, Timestamp};
use tokio_postgres::Client;

use super::columns::{copy_out, malformed};
use super::entries::{ENTRY_COLUMNS, Unreadable, decode};
use super::expected::{Bounds, Expected, WalletRow, load_bets, load_predictions, load_wallets};
use super::tally::{Tally, Worth};
use super::verdicts::Verdicts;
use super::{Fault, RangeReport, wallet_fault};
use crate::copy::{fields, int8};
use crate::error::DbResult;

pub(super) async fn audit(
    client: &Client,
    bounds: Bounds,
    verdicts: &Verdicts,
) -> DbResult<RangeReport> {
    let mut expected = load_wallets(client, bounds).await?;
    let mut report = RangeReport::default();
    let mut misjudged = load_predictions(client, bounds, verdicts, &mut expected).await?;
    misjudged.extend(load_bets(client, bounds, &mut expected).await?);
    misjudged.into_iter().for_each(|fault| report.faults.push(fault));
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

/// Reads the ledger in chain order and compares each chain's end with the expected values.
struct Auditor {
    /// Bots that the walk has not come to yet.
    expected: BTreeMap<BotId, Expected>,
    report: RangeReport,
    verifier: ChainVerifier,
    current: Option<BotId>,
    /// The current chain's totals of positions and house.
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
                    self.report.faults.push(fault);
                }
            }
            Err(unreadable) => {
                let Unreadable { field, expected, found, head } = *unreadable;
                self.report.faults.push(Fault {
                    sequence: Some(sequence),
                    ..Fault::beside(bot_id, field, expected, found)
                });
                self.verifier.skip_to(head);
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
            None => self.report.faults.push(Fault::beside(
                bot_id,
                "bot",
                "a bot with this chain",
                "none",
            )),
        }
    }

    fn compare(&mut self, head: &Head, facts: &Tally, expected: &Expected) {
        let chain_status = self.verifier.status();
        let bot_id = head.bot_id;
        self.report.bots += 1;
        let Some((wallet, totals)) = &expected.wallet else {
            return self.report.faults.push(Fault::beside(bot_id, "wallet", "a wallet", "none"));
        };
        let report = &mut self.report;
        let status = expected.bot_status.clone().unwrap_or("no bot".to_owned());
        if let Some(told) = chain_status {
            report.differs(bot_id, "bot.status", told, &status);
        }
        report.differs(bot_id, "wallet.status", &status, &wallet.status);
        let balance = text(wallet.balance);
        report.differs(bot_id, "wallet.balance", head.balance, balance);
        let told = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let (head_at, kept) = (told(head.recorded_at), told(wallet.head_at));
        report.differs(bot_id, "wallet.head_at", head_at, kept);
        if status != BotStatus::Alive.as_str() {
            report.differs(bot_id, "balance of a dead bot", Money::ZERO, head.balance);
        }
        let positions = &expected.positions;
        report.compare_positions(bot_id, positions, wallet);
        let worth = Worth {
            fees: facts.worth.fees,
            granted: facts.worth.granted,
            lookup_fees: facts.worth.lookup_fees,
            profit: positions.worth.profit - facts.worth.lookup_fees,
            ..positions.worth.clone()
        };
        let (worth, kept) = (format!("{worth:?}"), format!("{totals:?}"));
        report.differs(bot_id, "running totals", worth, kept);
        let minted = facts.minted + positions.minted;
        let burned = facts.burned + positions.burned;
        report.differs(bot_id, "wallet.minted", units_text(minted), text(wallet.minted));
        report.differs(bot_id, "wallet.burned", units_text(burned), text(wallet.burned));
        if let Some(fault) = wallet_fault(head, wallet.sequence, head.balance, &wallet.hash) {
            report.faults.push(Fault { field: format!("wallet.{}", fault.field), ..fault.into() });
        }
        if !facts.agrees_with(positions) {
            let expected = counts(positions);
            let found = format!("{} in the chain", counts(facts));
            let field = "positions against WAGER, MARKET_STAKE and closing entries";
            report.faults.push(Fault::beside(bot_id, field, expected, found));
        }
        let supply = &mut report.supply;
        supply.minted += minted;
        supply.burned += burned;
        supply.escrow += positions.predictions.escrow + positions.bets.escrow;
        supply.circulating += i128::from(head.balance.units());
    }

    /// The remaining bots have no chain: each bot must have one that starts with a GRANT.
    fn finish(mut self) -> RangeReport {
        self.end_chain();
        for bot_id in std::mem::take(&mut self.expected).into_keys() {
            self.report.bots += 1;
            self.report.faults.push(Fault::beside(
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
        side.predictions.opened, side.predictions.closed, side.bets.opened, side.bets.closed
    )
}

/// An amount as the wallet has it.
fn text(units: Option<i128>) -> String {
    units.map_or("no number".to_owned(), units_text)
}

impl RangeReport {
    fn differs(
        &mut self,
        bot_id: BotId,
        field: &str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            self.faults.push(Fault::beside(bot_id, field, expected, found));
        }
    }

    /// Compares a wallet's totals of open positions with the positions.
    fn compare_positions(&mut self, bot_id: BotId, positions: &Tally, wallet: &WalletRow) {
        let Tally { predictions, bets, .. } = positions;
        let (escrow, stake) = (units_text(predictions.escrow), text(wallet.open_stake));
        self.differs(bot_id, "wallet.open_stake", escrow, stake);
        let open = predictions.opened - predictions.closed;
        self.differs(bot_id, "wallet.open_predictions", open, wallet.open_predictions);
        let (escrow, stake) = (units_text(bets.escrow), text(wallet.bet_stake));
        self.differs(bot_id, "wallet.bet_stake", escrow, stake);
        let open = bets.opened - bets.closed;
        self.differs(bot_id, "wallet.open_bets", open, wallet.open_bets);
    }
}
