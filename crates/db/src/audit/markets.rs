//! The audit of markets: each settled pool shared out again from its bets, each decision held
//! against its evidence, each research answer against its commitment, each bet against the time at which
//! bets closed, and each market that was called off against who called it off and when.

use ledger_core::criteria::{Criteria, Times};
use ledger_core::market::{BetState, MarketSource, MarketStatus, Resolution, Side, settle};
use ledger_core::money::{Confidence, Outcome, Stake};
use ledger_core::parimutuel::StakedBet;
use ledger_core::research::{Answer, Nonce, commitment};
use ledger_core::{BetId, BotId, Hash, MarketId, Money, Timestamp};
use tokio_postgres::Client;
use uuid::Uuid;

use super::columns::{copy_out, int8, malformed, money};
use super::verdicts::Verdicts;
use super::{Derive, FAULTS_MAX, Fault};
use crate::copy::{fields, timestamp_of};
use crate::error::DbResult;

/// Who calls markets off whose source was silent for longer than patience; anybody else is an operator.
const ORACLE: &str = "oracle";

/// What the markets came to.
pub(super) struct MarketsReport {
    pub(super) markets: u64,
    pub(super) faults_total: u64,
    /// The first [`FAULTS_MAX`].
    pub(super) faults: Vec<Fault>,
}

/// Every market with its bets, one market after the other, so that memory holds one market's bets
/// however many there are.
const MARKETS_WITH_BETS: &str = "COPY ( \
    SELECT m.id, m.source::text, m.status::text, m.bounty, m.bets, m.staked, m.outcome, m.paid, \
           m.commitment, m.nonce, m.answer, e.side::text, \
           m.bets_close_at, m.deadline, m.resolved_at, e.fetched_at, v.actor, m.rules, m.opens_at, \
           b.id, b.bot_id, b.side::text, b.answer, b.stake, b.confidence, b.state::text, b.payout, \
           b.minted, b.burned, b.brier, b.created_at, b.rules IS NULL \
      FROM markets m \
      LEFT JOIN evidence e ON e.market_id = m.id AND e.side IS NOT NULL \
      LEFT JOIN (SELECT detail->>'market_id' AS market, min(actor) AS actor \
                   FROM audit_log WHERE action = 'MARKET_VOID' GROUP BY 1) v ON v.market = m.id::text \
      LEFT JOIN bets b ON b.market_id = m.id \
     ORDER BY m.id, b.id) TO STDOUT (FORMAT binary)";

/// What decided each market, once, with its bytes where they are to be read again.
fn outcomes(derive: Option<Derive>) -> String {
    // What was decided before rules were kept may have been read by another function, and from more of an
    // answer than was kept of it. Since then the kept bytes alone decide, cut off or not.
    let body = match derive {
        Some(_) => "CASE WHEN m.rules IS NOT NULL THEN e.body END",
        None => "NULL::bytea",
    };
    format!(
        "COPY (SELECT m.id, m.source::text, m.criteria::text, m.opens_at, \
                      m.bets_close_at, m.deadline, m.outcome, \
                      e.fetched_at, \
                      CASE WHEN e.truncated AND m.rules IS NULL THEN NULL \
                           ELSE sha256(e.body) = e.sha256 END, {body} \
                 FROM markets m JOIN evidence e ON e.market_id = m.id AND e.side IS NOT NULL \
                WHERE m.status = 'RESOLVED' ORDER BY m.id) TO STDOUT (FORMAT binary)"
    )
}

/// Audits all markets from the snapshot that `client` holds.
pub(super) async fn audit(
    client: &Client,
    verdicts: &Verdicts,
    derive: Option<Derive>,
) -> DbResult<MarketsReport> {
    let mut auditor = Auditor::of(verdicts);
    let mut current: Option<(MarketId, MarketFacts, Vec<BetRow>)> = None;
    copy_out(client, MARKETS_WITH_BETS, |row| {
        let columns = fields::<COLUMNS>(row).ok_or_else(malformed)?;
        let id = market_id(columns[0])?;
        if current.as_ref().is_none_or(|(market, ..)| *market != id) {
            if let Some((market, facts, bets)) = current.take() {
                auditor.market(market, &facts, &bets);
            }
            current = Some((id, market_of(&columns, verdicts), Vec::new()));
        }
        if let (Some((.., bets)), Some(_)) = (&mut current, columns[BET]) {
            bets.push(bet_of(&columns)?);
        }
        Ok(())
    })
    .await?;
    if let Some((market, facts, bets)) = current {
        auditor.market(market, &facts, &bets);
    }
    copy_out(client, &outcomes(derive), |row| {
        let columns = fields::<10>(row).ok_or_else(malformed)?;
        let id = market_id(columns[0])?;
        auditor.outcome(id, &columns, derive);
        Ok(())
    })
    .await?;
    Ok(auditor.report)
}

/// A market's row, and what its evidence decided.
struct MarketFacts {
    source: Option<MarketSource>,
    status: Option<MarketStatus>,
    bounty: Money,
    bets: i64,
    staked: Money,
    outcome: Option<String>,
    paid: bool,
    commitment: Option<Hash>,
    nonce: Option<Nonce>,
    answer: Option<Answer>,
    decided: Option<Side>,
    bets_close_at: Option<Timestamp>,
    deadline: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    /// When the deciding bytes were fetched.
    fetched_at: Option<Timestamp>,
    /// Who called it off, by the audit log.
    voided_by: Option<String>,
    /// How long its source had, by the rules that it names.
    patience_seconds: Option<i64>,
    opens_at: Option<Timestamp>,
    names_rules: bool,
}

struct BetRow {
    id: BetId,
    bot_id: BotId,
    side: Option<Side>,
    answer: Option<String>,
    stake: Money,
    confidence: Option<Confidence>,
    state: Option<BetState>,
    payout: Money,
    minted: Money,
    burned: Money,
    brier: Option<Money>,
    created_at: Option<Timestamp>,
    names_rules: bool,
}

fn text(raw: Option<&[u8]>) -> Option<String> {
    raw.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn market_id(raw: Option<&[u8]>) -> DbResult<MarketId> {
    let bytes = raw.and_then(|raw| Uuid::from_slice(raw).ok());
    bytes.map(MarketId).ok_or_else(malformed)
}

/// In a row, and where the bet begins among them.
const COLUMNS: usize = 32;
const BET: usize = 19;

type Columns<'a> = [Option<&'a [u8]>; COLUMNS];

fn market_of(columns: &Columns<'_>, verdicts: &Verdicts) -> MarketFacts {
    let [
        _,
        source,
        status,
        bounty,
        bets,
        staked,
        outcome,
        paid,
        committed,
        nonce,
        answer,
        ..,
    ] = *columns;
    MarketFacts {
        source: text(source).and_then(|label| label.parse().ok()),
        status: text(status).and_then(|label| label.parse().ok()),
        bounty: money(bounty).unwrap_or_default(),
        bets: int8(bets).unwrap_or(-1),
        staked: money(staked).unwrap_or_default(),
        outcome: text(outcome),
        paid: paid == Some(&[1]),
        commitment: committed.and_then(Hash::from_slice),
        nonce: nonce.and_then(|raw| raw.try_into().ok()).map(Nonce),
        answer: text(answer).and_then(|answer| answer.parse().ok()),
        decided: text(columns[11]).and_then(|side| side.parse().ok()),
        bets_close_at: columns[12].and_then(timestamp_of),
        deadline: columns[13].and_then(timestamp_of),
        resolved_at: columns[14].and_then(timestamp_of),
        fetched_at: columns[15].and_then(timestamp_of),
        voided_by: text(columns[16]),
        patience_seconds: columns[17].and_then(|rules| verdicts.patience_of(rules)),
        opens_at: columns[18].and_then(timestamp_of),
        names_rules: columns[17].is_some(),
    }
}

fn bet_of(columns: &Columns<'_>) -> DbResult<BetRow> {
    let [
        ..,
        id,
        bot_id,
        side,
        answer,
        stake,
        confidence,
        state,
        payout,
        minted,
        burned,
        brier,
        created_at,
        nameless,
    ] = *columns;
    Ok(BetRow {
        id: BetId(int8(id).ok_or_else(malformed)?),
        bot_id: BotId(int8(bot_id).ok_or_else(malformed)?),
        side: text(side).and_then(|side| side.parse().ok()),
        answer: text(answer),
        stake: money(stake).unwrap_or_default(),
        confidence: money(confidence).and_then(|value| Confidence::new(value).ok()),
        state: text(state).and_then(|state| state.parse().ok()),
        payout: money(payout).unwrap_or_default(),
        minted: money(minted).unwrap_or_default(),
        burned: money(burned).unwrap_or_default(),
        brier: money(brier),
        created_at: created_at.and_then(timestamp_of),
        names_rules: nameless == Some(&[0]),
    })
}

struct Auditor {
    /// What began later names its rules.
    named_since: Option<Timestamp>,
    report: MarketsReport,
}

impl Auditor {
    fn of(verdicts: &Verdicts) -> Auditor {
        Auditor {
            named_since: verdicts.named_since(),
            report: MarketsReport {
                markets: 0,
                faults_total: 0,
                faults: Vec::new(),
            },
        }
    }

    fn fault(
        &mut self,
        market: MarketId,
        bot_id: Option<BotId>,
        field: String,
        expected: impl ToString,
        found: impl ToString,
    ) {
        self.report.faults_total += 1;
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(Fault {
                bot_id,
                market_id: Some(market),
                sequence: None,
                field,
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
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
            self.fault(market, None, field.to_owned(), expected, found);
        }
    }

    fn market(&mut self, id: MarketId, facts: &MarketFacts, bets: &[BetRow]) {
        self.report.markets += 1;
        let (Some(source), Some(status)) = (facts.source, facts.status) else {
            let field = "market".to_owned();
            return self.fault(id, None, field, "a known source and status", "another one");
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

    /// The bytes that decided have the digest that was kept with them, and say what the outcome says.
    fn outcome(&mut self, id: MarketId, columns: &[Option<&[u8]>; 10], derive: Option<Derive>) {
        let [
            _,
            source,
            criteria,
            opens_at,
            bets_close_at,
            deadline,
            outcome,
            fetched_at,
            whole,
            body,
        ] = *columns;
        if whole == Some(&[0]) {
            let field = "evidence".to_owned();
            self.fault(id, None, field, "bytes of the kept SHA-256", "others");
        }
        let (Some(derive), Some(body)) = (derive, body) else {
            return;
        };
        let at = |raw: Option<&[u8]>| raw.and_then(timestamp_of);
        let source: Option<MarketSource> = text(source).and_then(|label| label.parse().ok());
        let criteria = text(criteria)
            .and_then(|json| serde_json::from_str::<serde_json::Value>(&json).ok())
            .zip(source)
            .and_then(|(json, source)| Criteria::deserialize(source, json).ok());
        let times = at(opens_at).zip(at(bets_close_at)).zip(at(deadline));
        let times = times.map(|((opens_at, bets_close_at), deadline)| Times {
            opens_at,
            bets_close_at,
            deadline,
        });
        let (Some(criteria), Some(times), Some(fetched_at)) = (criteria, times, at(fetched_at))
        else {
            let field = "market.criteria".to_owned();
            return self.fault(
                id,
                None,
                field,
                "criteria and times",
                "none that can be read",
            );
        };
        let said = match derive(&criteria, &times, fetched_at, body) {
            Ok(reading) => criteria.decide(&reading).map(|side| side.to_string()),
            Err(problem) => Some(format!("nothing: {problem}")),
        };
        let said = said.unwrap_or_else(|| "nothing".to_owned());
        let outcome = text(outcome).unwrap_or_default();
        self.differs(id, "market.outcome by its evidence", said, outcome);
    }

    /// Bets were placed while the market took them, it was decided after its deadline and no earlier than
    /// by its evidence, and who called it off had the right to.
    fn times(&mut self, id: MarketId, status: MarketStatus, facts: &MarketFacts, bets: &[BetRow]) {
        for bet in bets {
            let late = |until: Option<Timestamp>| bet.created_at.zip(until);
            let closed = late(facts.bets_close_at).filter(|(at, until)| at >= until);
            let ended = late(facts.resolved_at).filter(|(at, until)| at > until);
            if let Some((at, until)) = closed.or(ended) {
                let field = format!("bet {}: created_at", bet.id);
                let expected = format!("before {until}, while bets were taken");
                self.fault(id, Some(bet.bot_id), field, expected, at);
            }
        }
        let before = |at: Option<Timestamp>, from: Option<Timestamp>| {
            at.zip(from).filter(|(at, from)| at < from)
        };
        if status == MarketStatus::Resolved && facts.source != Some(MarketSource::Research) {
            if let Some((at, deadline)) = before(facts.fetched_at, facts.deadline) {
                let field = "evidence.fetched_at".to_owned();
                self.fault(
                    id,
                    None,
                    field,
                    format!("the deadline, {deadline}, or later"),
                    at,
                );
            }
            if let Some((at, fetched)) = before(facts.resolved_at, facts.fetched_at) {
                let field = "market.resolved_at".to_owned();
                self.fault(
                    id,
                    None,
                    field,
                    format!("{fetched}, when it was decided, or later"),
                    at,
                );
            }
        }
        if status == MarketStatus::Void {
            self.called_off(id, facts);
        }
    }

    /// Market and bets name the rules they began under, once there were any to name.
    fn rules(&mut self, id: MarketId, facts: &MarketFacts, bets: &[BetRow]) {
        let Some(since) = self.named_since else {
            return;
        };
        let nameless =
            |named: bool, at: Option<Timestamp>| !named && at.is_none_or(|at| at > since);
        let expected = "the digest of the rules it began under";
        if nameless(facts.names_rules, facts.opens_at) {
            self.fault(id, None, "market.rules".to_owned(), expected, "none");
        }
        for bet in bets {
            if nameless(bet.names_rules, bet.created_at) {
                let field = format!("bet {}: rules", bet.id);
                self.fault(id, Some(bet.bot_id), field, expected, "none");
            }
        }
    }

    fn called_off(&mut self, id: MarketId, facts: &MarketFacts) {
        let field = "market.void";
        match facts.voided_by.as_deref() {
            // Where a payout does not fit into a wallet, the one who settles gives the stakes back.
            None if facts.decided.is_none() => {
                let expected = "an act in the audit log, or evidence that could not be paid";
                self.fault(id, None, field.to_owned(), expected, "neither");
            }
            Some(ORACLE) if facts.decided.is_some() => {
                let expected = "no evidence that decides it";
                self.fault(
                    id,
                    None,
                    field.to_owned(),
                    expected,
                    "evidence, and no patience was due",
                );
            }
            Some(ORACLE) => {
                let due = facts.deadline.zip(facts.patience_seconds);
                let due = due.map(|(deadline, patience)| deadline.plus_seconds(patience));
                if let Some((at, due)) = facts.resolved_at.zip(due).filter(|(at, due)| at < due) {
                    self.fault(
                        id,
                        None,
                        field.to_owned(),
                        format!("patience until {due}"),
                        at,
                    );
                }
            }
            _ => {}
        }
    }

    /// A market with a pool: what was staked, what decided it, and how it was shared out.
    fn pool(&mut self, id: MarketId, status: MarketStatus, facts: &MarketFacts, bets: &[BetRow]) {
        let staked: i128 = bets.iter().map(|bet| i128::from(bet.stake.units())).sum();
        self.differs(
            id,
            "market.staked",
            staked,
            i128::from(facts.staked.units()),
        );
        let resolution = match status {
            MarketStatus::Open | MarketStatus::Locked => return,
            MarketStatus::Resolved => match facts.decided {
                Some(side) => {
                    let outcome = facts.outcome.as_deref().unwrap_or("none");
                    self.differs(id, "market.outcome", side, outcome);
                    Resolution::Decided(side)
                }
                None => {
                    let field = "evidence".to_owned();
                    return self.fault(id, None, field, "a fetch that decides it", "none");
                }
            },
            MarketStatus::Void => Resolution::Void,
            MarketStatus::Expired => {
                let field = "market.status".to_owned();
                return self.fault(id, None, field, "an end of a market with a pool", status);
            }
        };
        let Some(again) = bets.iter().map(staked_bet).collect::<Option<Vec<_>>>() else {
            let field = "bets".to_owned();
            return self.fault(id, None, field, "side, stake and confidence", "none");
        };
        let Some(division) = settle(id, &again, facts.bounty, resolution) else {
            let field = "market.paid".to_owned();
            return self.fault(
                id,
                None,
                field,
                "a pool that can be shared out",
                "one that cannot",
            );
        };
        self.differs(id, "market.paid", division.paid, facts.paid);
        for (bet, end) in bets.iter().zip(&division.bets) {
            let expected = (
                Some(end.state),
                end.payout,
                end.movement.minted(),
                end.movement.burned(),
                end.brier,
            );
            let found = (bet.state, bet.payout, bet.minted, bet.burned, bet.brier);
            if expected != found {
                let field = format!("bet {}: state, payout, minted, burned, brier", bet.id);
                let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
                self.fault(id, Some(bet.bot_id), field, expected, found);
            }
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
            let field = "market.commitment".to_owned();
            return self.fault(
                id,
                None,
                field,
                "a commitment with nonce and answer",
                "none",
            );
        };
        let field = "market.commitment";
        self.differs(id, field, commitment(id, nonce, answer), committed);
        let mut solved = 0;
        for bet in bets {
            let said: Option<Answer> = bet.answer.as_ref().and_then(|text| text.parse().ok());
            let right = said.is_some_and(|said| commitment(id, nonce, &said) == committed);
            solved += usize::from(right);
            let expected = judged(bet, facts.bounty, right);
            let found = (bet.state, bet.payout, bet.minted, bet.burned, bet.brier);
            if expected != found {
                let field = format!("answer {}: state, payout, minted, burned, brier", bet.id);
                let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
                self.fault(id, Some(bet.bot_id), field, expected, found);
            }
        }
        let resolved = status == MarketStatus::Resolved;
        self.differs(id, "right answers", usize::from(resolved), solved);
        self.differs(id, "market.paid", resolved, facts.paid);
    }
}

type Ending = (Option<BetState>, Money, Money, Money, Option<Money>);

/// How an answer must have ended: state, payout, minted, burned, Brier score.
fn judged(bet: &BetRow, bounty: Money, right: bool) -> Ending {
    if right {
        let payout = bet.stake.checked_add(bounty).unwrap_or_default();
        let brier = bet.confidence.map(|p| p.brier(Outcome::Happened));
        (Some(BetState::Won), payout, bounty, Money::ZERO, brier)
    } else {
        let brier = bet.confidence.map(|p| p.brier(Outcome::DidNotHappen));
        (
            Some(BetState::Lost),
            Money::ZERO,
            Money::ZERO,
            bet.stake,
            brier,
        )
    }
}

fn staked_bet(bet: &BetRow) -> Option<StakedBet> {
    Some(StakedBet {
        id: bet.id,
        side: bet.side?,
        stake: Stake::kept(bet.stake).ok()?,
        confidence: bet.confidence?,
        // That only the dead forfeit, and they always do, is what the chains themselves say.
        owner_dead: bet.state == Some(BetState::Forfeit),
    })
}
