//! The audit of markets. It distributes each settled pool again from its bets, and checks each
//! decision against its evidence, each research answer against its commitment, each bet against the
//! closing time of bets, and each void market against its actor and time.

mod rows;

use ledger_core::criteria::{Criteria, Times};
use ledger_core::market::{BetState, MarketSource, MarketStatus, Resolution, settle};
use ledger_core::money::{Outcome, Stake};
use ledger_core::parimutuel::StakedBet;
use ledger_core::research::commitment;
use ledger_core::{BotId, Decimal8, Hash, MarketId, Money, Timestamp};
use tokio_postgres::Client;

use self::rows::{BetRow, COLUMNS, MarketFacts, market_id, markets_with_bets, outcomes};
use super::columns::{Columns, copy_out};
use super::verdicts::Verdicts;
use super::{Derive, Fault, Faults};
use crate::error::DbResult;

/// The actor who voids markets whose source failed for too long; any other actor is an operator.
const ORACLE: &str = "oracle";

/// The totals of the markets.
#[derive(Default)]
pub(super) struct MarketsReport {
    pub(super) markets: u64,
    pub(super) faults: Faults,
}

/// Audits all markets from the snapshot that `client` holds.
pub(super) async fn audit(
    client: &Client,
    verdicts: &Verdicts,
    derive: Option<Derive>,
) -> DbResult<MarketsReport> {
    let mut auditor = Auditor { verdicts, report: MarketsReport::default() };
    let mut current: Option<(MarketId, MarketFacts, Vec<BetRow>)> = None;
    copy_out(client, &markets_with_bets(), |row| {
        let mut row = Columns::<COLUMNS>::of(row)?;
        let id = market_id(&mut row)?;
        if current.as_ref().is_none_or(|(market, ..)| *market != id) {
            if let Some((market, facts, bets)) = current.take() {
                auditor.market(market, &facts, &bets);
            }
            current = Some((id, MarketFacts::read(&mut row)?, Vec::new()));
        } else {
            row.skip(MarketFacts::COUNT);
        }
        if let Some((.., bets)) = current.as_mut().filter(|_| !row.begins_with_null()) {
            bets.push(BetRow::read(&mut row)?);
        }
        DbResult::Ok(())
    })
    .await?;
    if let Some((market, facts, bets)) = current {
        auditor.market(market, &facts, &bets);
    }
    copy_out(client, &outcomes(derive), |row| {
        let mut row = Columns::of(row)?;
        auditor.outcome(market_id(&mut row)?, row, derive);
        DbResult::Ok(())
    })
    .await?;
    Ok(auditor.report)
}

struct Auditor<'a> {
    verdicts: &'a Verdicts,
    report: MarketsReport,
}

impl Auditor<'_> {
    fn fault(
        &mut self,
        market: MarketId,
        field: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) {
        self.fault_of(None, market, field, expected, found);
    }

    fn fault_of(
        &mut self,
        bot_id: Option<BotId>,
        market: MarketId,
        field: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) {
        self.report.faults.push(Fault {
            market_id: Some(market),
            ..Fault::beside(bot_id, field, expected.to_string(), found.to_string())
        });
    }

    fn differs(
        &mut self,
        market: MarketId,
        field: &str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            self.fault(market, field, expected, found);
        }
    }

    /// How a bet or an answer ended, against how it must have: state, payout, minted, burned, Brier score.
    fn ended(&mut self, market: MarketId, what: &str, bet: &BetRow, expected: Ending) {
        let found = (bet.state, bet.payout, bet.minted, bet.burned, bet.brier);
        if expected != found {
            let field = format!("{what} {}: state, payout, minted, burned, brier", bet.id);
            let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
            self.fault_of(Some(bet.bot_id), market, field, expected, found);
        }
    }

    fn market(&mut self, id: MarketId, facts: &MarketFacts, bets: &[BetRow]) {
        self.report.markets += 1;
        let (Some(source), Some(status)) = (facts.source, facts.status) else {
            return self.fault(id, "market", "a known source and status", "another one");
        };
        self.differs(id, "market.bets", bets.len(), facts.bets);
        self.times(id, status, facts, bets);
        self.rules(id, facts, bets);
        let open = bets.iter().filter(|bet| bet.state == Some(BetState::Open));
        let open = open.count();
        if status.is_settled() {
            self.differs(id, "open bets of a settled market", 0, open);
        } else if source != MarketSource::Research {
            // Before its market is settled, no bet is paid.
            self.differs(id, "open bets of an unsettled market", bets.len(), open);
        }
        if source == MarketSource::Research {
            self.research(id, status, facts, bets);
        } else {
            self.pool(id, status, facts, bets);
        }
    }

    /// The deciding bytes match their stored digest, and lead to the outcome.
    fn outcome(&mut self, id: MarketId, mut row: Columns<'_, 10>, derive: Option<Derive>) {
        let source: Option<MarketSource> = row.parsed();
        let criteria: Option<serde_json::Value> = row.parsed();
        let times = (row.instant(), row.instant(), row.instant());
        let outcome = row.text().unwrap_or_default();
        let fetched_at = row.instant();
        if row.flag() == Some(false) {
            self.fault(id, "evidence", "bytes of the kept SHA-256", "others");
        }
        let (Some(derive), Some(body)) = (derive, row.raw()) else {
            return;
        };
        let criteria = source
            .zip(criteria)
            .and_then(|(source, json)| Criteria::deserialize(source, json).ok());
        let (
            Some(criteria),
            (Some(opens_at), Some(bets_close_at), Some(deadline)),
            Some(fetched_at),
        ) = (criteria, times, fetched_at)
        else {
            let expected = "criteria and times";
            return self.fault(id, "market.criteria", expected, "none that can be read");
        };
        let times = Times { opens_at, bets_close_at, deadline };
        let said = match derive(&criteria, &times, fetched_at, body) {
            Ok(reading) => criteria.decide(&reading).map(|side| side.to_string()),
            Err(problem) => Some(format!("nothing: {problem}")),
        };
        let said = said.unwrap_or_else(|| "nothing".to_owned());
        self.differs(id, "market.outcome by its evidence", said, outcome);
    }

    /// Bets were placed while the market took them, it was decided after its deadline and after its
    /// evidence, and the actor of a void had the right to it.
    fn times(&mut self, id: MarketId, status: MarketStatus, facts: &MarketFacts, bets: &[BetRow]) {
        for bet in bets {
            let late = |until: Option<Timestamp>| bet.created_at.zip(until);
            let closed = late(facts.bets_close_at).filter(|(at, until)| at >= until);
            let ended = late(facts.resolved_at).filter(|(at, until)| at > until);
            if let Some((at, until)) = closed.or(ended) {
                let field = format!("bet {}: created_at", bet.id);
                let expected = format!("before {until}, while bets were taken");
                self.fault_of(Some(bet.bot_id), id, field, expected, at);
            }
        }
        let before = |at: Option<Timestamp>, from: Option<Timestamp>| {
            at.zip(from).filter(|(at, from)| at < from)
        };
        if status == MarketStatus::Resolved && facts.source != Some(MarketSource::Research) {
            if let Some((at, deadline)) = before(facts.fetched_at, facts.deadline) {
                let expected = format!("the deadline, {deadline}, or later");
                self.fault(id, "evidence.fetched_at", expected, at);
            }
            if let Some((at, fetched)) = before(facts.resolved_at, facts.fetched_at) {
                let expected = format!("{fetched}, when it was decided, or later");
                self.fault(id, "market.resolved_at", expected, at);
            }
        }
        if status == MarketStatus::Void {
            self.called_off(id, facts);
        }
    }

    /// Market and bets name the rules they began under, once there were any to name.
    fn rules(&mut self, id: MarketId, facts: &MarketFacts, bets: &[BetRow]) {
        let Some(since) = self.verdicts.named_since() else {
            return;
        };
        let nameless = |rules: Option<Hash>, at: Option<Timestamp>| {
            rules.is_none() && at.is_none_or(|at| at > since)
        };
        let expected = "the digest of the rules it began under";
        if nameless(facts.rules, facts.opens_at) {
            self.fault(id, "market.rules", expected, "none");
        }
        for bet in bets {
            if nameless(bet.rules, bet.created_at) {
                let field = format!("bet {}: rules", bet.id);
                self.fault_of(Some(bet.bot_id), id, field, expected, "none");
            }
        }
    }

    fn called_off(&mut self, id: MarketId, facts: &MarketFacts) {
        let field = "market.void";
        match facts.voided_by.as_deref() {
            // Where a payout does not fit into a wallet, the one who settles gives the stakes back.
            None if facts.decided.is_none() => {
                let expected = "an act in the audit log, or evidence that could not be paid";
                self.fault(id, field, expected, "neither");
            }
            Some(ORACLE) if facts.decided.is_some() => {
                let expected = "no evidence that decides it";
                self.fault(id, field, expected, "evidence, and no patience was due");
            }
            Some(ORACLE) => {
                let patience = facts.rules.and_then(|rules| self.verdicts.patience_of(rules));
                let due = facts.deadline.zip(patience);
                let due = due.map(|(deadline, patience)| deadline.plus_seconds(patience));
                if let Some((at, due)) = facts.resolved_at.zip(due).filter(|(at, due)| at < due) {
                    self.fault(id, field, format!("patience until {due}"), at);
                }
            }
            _ => {}
        }
    }

    /// A market with a pool: its stakes, its decision, and its distribution.
    fn pool(&mut self, id: MarketId, status: MarketStatus, facts: &MarketFacts, bets: &[BetRow]) {
        let staked: i128 = bets.iter().map(|bet| i128::from(bet.stake.units())).sum();
        let kept = i128::from(facts.staked.units());
        self.differs(id, "market.staked", staked, kept);
        let resolution = match status {
            MarketStatus::Open | MarketStatus::Locked => return,
            MarketStatus::Resolved => match facts.decided {
                Some(side) => {
                    let outcome = facts.outcome.as_deref().unwrap_or("none");
                    self.differs(id, "market.outcome", side, outcome);
                    Resolution::Decided(side)
                }
                None => {
                    return self.fault(id, "evidence", "a fetch that decides it", "none");
                }
            },
            MarketStatus::Void => Resolution::Void,
            MarketStatus::Expired => {
                let expected = "an end of a market with a pool";
                return self.fault(id, "market.status", expected, status);
            }
        };
        let Some(again) = bets.iter().map(staked_bet).collect::<Option<Vec<_>>>() else {
            return self.fault(id, "bets", "side, stake and confidence", "none");
        };
        let Some(division) = settle(id, &again, facts.bounty, resolution) else {
            let expected = "a pool that can be shared out";
            return self.fault(id, "market.paid", expected, "one that cannot");
        };
        self.differs(id, "market.paid", division.paid, facts.paid);
        for (bet, end) in bets.iter().zip(&division.bets) {
            let (minted, burned) = (end.movement.minted(), end.movement.burned());
            let expected = (Some(end.state), end.payout, minted, burned, end.brier);
            self.ended(id, "bet", bet, expected);
        }
    }

    /// Research: the commitment, and that it alone decided who was paid.
    fn research(
        &mut self,
        id: MarketId,
        status: MarketStatus,
        facts: &MarketFacts,
        bets: &[BetRow],
    ) {
        let (Some(nonce), Some(answer), Some(committed)) =
            (&facts.nonce, &facts.answer, facts.commitment)
        else {
            let expected = "a commitment with nonce and answer";
            return self.fault(id, "market.commitment", expected, "none");
        };
        let field = "market.commitment";
        self.differs(id, field, commitment(id, nonce, answer), committed);
        let mut solved = 0;
        for bet in bets {
            let said = bet.answer.as_ref();
            let right = said.is_some_and(|said| commitment(id, nonce, said) == committed);
            solved += usize::from(right);
            self.ended(id, "answer", bet, judged(bet, facts.bounty, right));
        }
        let resolved = status == MarketStatus::Resolved;
        self.differs(id, "right answers", usize::from(resolved), solved);
        self.differs(id, "market.paid", resolved, facts.paid);
    }
}

type Ending = (Option<BetState>, Money, Money, Money, Option<Decimal8>);

/// How an answer must have ended: state, payout, minted, burned, Brier score.
fn judged(bet: &BetRow, bounty: Money, right: bool) -> Ending {
    if right {
        let payout = bet.stake.checked_add(bounty).unwrap_or_default();
        let brier = bet.confidence.map(|p| p.brier(Outcome::Happened));
        (Some(BetState::Won), payout, bounty, Money::ZERO, brier)
    } else {
        let brier = bet.confidence.map(|p| p.brier(Outcome::DidNotHappen));
        (Some(BetState::Lost), Money::ZERO, Money::ZERO, bet.stake, brier)
    }
}

fn staked_bet(bet: &BetRow) -> Option<StakedBet> {
    Some(StakedBet {
        id: bet.id,
        side: bet.side?,
        stake: Stake::kept(bet.stake).ok()?,
        confidence: bet.confidence?,
        // The chains themselves show that dead bots forfeit, and only they.
        owner_dead: bet.state == Some(BetState::Forfeit),
    })
}
