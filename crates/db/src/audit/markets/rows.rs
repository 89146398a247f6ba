//! Markets and bets as the audit reads them.

use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::money::Confidence;
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BetId, BotId, Decimal8, Hash, MarketId, Money, Timestamp};
use uuid::Uuid;

use crate::audit::Derive;
use crate::audit::columns::{decimal, int8, malformed, money};
use crate::audit::verdicts::Verdicts;
use crate::copy::timestamp_of;
use crate::error::DbResult;

/// Every market with its bets, one market after the other, so that memory holds one market's bets
/// however many there are.
pub(super) const MARKETS_WITH_BETS: &str = "COPY ( \
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
pub(super) fn outcomes(derive: Option<Derive>) -> String {
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

/// A market's row, and what its evidence decided.
pub(super) struct MarketFacts {
    pub(super) source: Option<MarketSource>,
    pub(super) status: Option<MarketStatus>,
    pub(super) bounty: Money,
    pub(super) bets: i64,
    pub(super) staked: Money,
    pub(super) outcome: Option<String>,
    pub(super) paid: bool,
    pub(super) commitment: Option<Hash>,
    pub(super) nonce: Option<Nonce>,
    pub(super) answer: Option<Answer>,
    pub(super) decided: Option<Side>,
    pub(super) bets_close_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    /// When the deciding bytes were fetched.
    pub(super) fetched_at: Option<Timestamp>,
    /// Who called it off, by the audit log.
    pub(super) voided_by: Option<String>,
    /// How long its source had, by the rules that it names.
    pub(super) patience_seconds: Option<i64>,
    pub(super) opens_at: Option<Timestamp>,
    pub(super) names_rules: bool,
}

pub(super) struct BetRow {
    pub(super) id: BetId,
    pub(super) bot_id: BotId,
    pub(super) side: Option<Side>,
    pub(super) answer: Option<String>,
    pub(super) stake: Money,
    pub(super) confidence: Option<Confidence>,
    pub(super) state: Option<BetState>,
    pub(super) payout: Money,
    pub(super) minted: Money,
    pub(super) burned: Money,
    pub(super) brier: Option<Decimal8>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) names_rules: bool,
}

pub(super) fn text(raw: Option<&[u8]>) -> Option<String> {
    raw.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

pub(super) fn market_id(raw: Option<&[u8]>) -> DbResult<MarketId> {
    let bytes = raw.and_then(|raw| Uuid::from_slice(raw).ok());
    bytes.map(MarketId).ok_or_else(malformed)
}

/// In a row, and where the bet begins among them.
pub(super) const COLUMNS: usize = 32;
pub(super) const BET: usize = 19;

pub(super) type Columns<'a> = [Option<&'a [u8]>; COLUMNS];

pub(super) fn market_of(columns: &Columns<'_>, verdicts: &Verdicts) -> MarketFacts {
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

pub(super) fn bet_of(columns: &Columns<'_>) -> DbResult<BetRow> {
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
        confidence: decimal(confidence).and_then(|value| Confidence::new(value).ok()),
        state: text(state).and_then(|state| state.parse().ok()),
        payout: money(payout).unwrap_or_default(),
        minted: money(minted).unwrap_or_default(),
        burned: money(burned).unwrap_or_default(),
        brier: decimal(brier),
        created_at: created_at.and_then(timestamp_of),
        names_rules: nameless == Some(&[0]),
    })
}
