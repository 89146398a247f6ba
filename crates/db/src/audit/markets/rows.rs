//! Markets and bets as the audit reads them.

use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::money::Confidence;
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BetId, BotId, Decimal8, Hash, MarketId, Money, Timestamp};
use uuid::Uuid;

use crate::audit::Derive;
use crate::audit::columns::{Columns, malformed};
use crate::audit::verdicts::Verdicts;
use crate::error::DbResult;

/// Every market with its bets, one market after the other, so that memory holds one market's bets
/// however many there are.
pub(super) const MARKETS_WITH_BETS: &str = "COPY ( \
    SELECT m.id, m.rules, m.source::text, m.status::text, m.bounty, m.bets, m.staked, m.outcome, m.paid, \
           m.commitment, m.nonce, m.answer, e.side::text, \
           m.bets_close_at, m.deadline, m.resolved_at, e.fetched_at, v.actor, m.opens_at, \
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

pub(super) fn market_id<const N: usize>(row: &mut Columns<'_, N>) -> DbResult<MarketId> {
    let id = row.raw().and_then(|raw| Uuid::from_slice(raw).ok());
    id.map(MarketId).ok_or_else(malformed)
}

/// The columns of [`MARKETS_WITH_BETS`], and those of them that are the market's, behind its id.
pub(super) const COLUMNS: usize = 32;
pub(super) const OF_THE_MARKET: usize = 18;

pub(super) fn market_of(row: &mut Columns<'_, COLUMNS>, verdicts: &Verdicts) -> MarketFacts {
    let rules = row.raw();
    MarketFacts {
        patience_seconds: rules.and_then(|rules| verdicts.patience_of(rules)),
        names_rules: rules.is_some(),
        source: row.parsed(),
        status: row.parsed(),
        bounty: row.money(),
        bets: row.int8().unwrap_or(-1),
        staked: row.money(),
        outcome: row.text(),
        paid: row.flag() == Some(true),
        commitment: row.hash(),
        nonce: row.raw().and_then(|raw| raw.try_into().ok()).map(Nonce),
        answer: row.parsed(),
        decided: row.parsed(),
        bets_close_at: row.instant(),
        deadline: row.instant(),
        resolved_at: row.instant(),
        fetched_at: row.instant(),
        voided_by: row.text(),
        opens_at: row.instant(),
    }
}

/// The bet of a row, if its market has any.
pub(super) fn bet_of(row: &mut Columns<'_, COLUMNS>) -> DbResult<Option<BetRow>> {
    let Some(id) = row.raw() else {
        return Ok(None);
    };
    let id = id.try_into().map_err(|_| malformed())?;
    Ok(Some(BetRow {
        id: BetId(i64::from_be_bytes(id)),
        bot_id: row.id()?,
        side: row.parsed(),
        answer: row.text(),
        stake: row.money(),
        confidence: row.decimal().and_then(|value| Confidence::new(value).ok()),
        state: row.parsed(),
        payout: row.money(),
        minted: row.money(),
        burned: row.money(),
        brier: row.decimal(),
        created_at: row.instant(),
        names_rules: row.flag() == Some(false),
    }))
}
