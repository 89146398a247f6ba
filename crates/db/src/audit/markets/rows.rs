//! Markets and bets as the audit reads them.

use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::money::Confidence;
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BetId, BotId, Decimal8, Hash, MarketId, Money, Timestamp};
use uuid::Uuid;

use crate::audit::Derive;
use crate::audit::columns::{Columns, malformed, row};
use crate::error::DbResult;

/// Every market with its bets, one market after the other, so that memory has only one market's bets, for any
/// number of markets.
pub(super) fn markets_with_bets() -> String {
    format!(
        "COPY (SELECT m.id, {}, {} \
                 FROM markets m \
                 LEFT JOIN evidence e ON e.market_id = m.id AND e.side IS NOT NULL \
                 LEFT JOIN (SELECT detail->>'market_id' AS market, min(actor) AS actor \
                              FROM audit_log WHERE action = 'MARKET_VOID' GROUP BY 1) v \
                        ON v.market = m.id::text \
                 LEFT JOIN bets b ON b.market_id = m.id \
                ORDER BY m.id, b.id) TO STDOUT (FORMAT binary)",
        MarketFacts::columns(),
        BetRow::columns(),
    )
}

/// The columns of [`markets_with_bets`].
pub(super) const COLUMNS: usize = 1 + MarketFacts::COUNT + BetRow::COUNT;

/// The deciding fetch of each market, with its bytes if they are to be read again.
pub(super) fn outcomes(derive: Option<Derive>) -> String {
    // A market decided before rules were stored may have been read by another function, and from
    // more of an answer than was stored. Since then the kept bytes alone decide, cut off or not.
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

row! {
    /// A market's row, and the outcome of its evidence.
    struct MarketFacts(row) {
        /// The rules that it names, if it began after rules were stored.
        rules: Option<Hash> = "m.rules" => row.hash(),
        source: Option<MarketSource> = "m.source::text" => row.parsed(),
        status: Option<MarketStatus> = "m.status::text" => row.parsed(),
        bounty: Money = "m.bounty" => row.money(),
        bets: i64 = "m.bets" => row.count(),
        staked: Money = "m.staked" => row.money(),
        outcome: Option<String> = "m.outcome" => row.text(),
        paid: bool = "m.paid" => row.flag() == Some(true),
        commitment: Option<Hash> = "m.commitment" => row.hash(),
        nonce: Option<Nonce> = "m.nonce" => row.raw().and_then(|raw| raw.try_into().ok()).map(Nonce),
        answer: Option<Answer> = "m.answer" => row.parsed(),
        decided: Option<Side> = "e.side::text" => row.parsed(),
        opens_at: Option<Timestamp> = "m.opens_at" => row.instant(),
        bets_close_at: Option<Timestamp> = "m.bets_close_at" => row.instant(),
        deadline: Option<Timestamp> = "m.deadline" => row.instant(),
        resolved_at: Option<Timestamp> = "m.resolved_at" => row.instant(),
        /// When the deciding bytes were fetched.
        fetched_at: Option<Timestamp> = "e.fetched_at" => row.instant(),
        /// The actor who voided it, by the audit log.
        voided_by: Option<String> = "v.actor" => row.text(),
    }
}

row! {
    struct BetRow(row) {
        id: BetId = "b.id" => row.id()?,
        bot_id: BotId = "b.bot_id" => row.id()?,
        rules: Option<Hash> = "b.rules" => row.hash(),
        side: Option<Side> = "b.side::text" => row.parsed(),
        answer: Option<Answer> = "b.answer" => row.parsed(),
        stake: Money = "b.stake" => row.money(),
        confidence: Option<Confidence> = "b.confidence::text" => row.parsed(),
        state: Option<BetState> = "b.state::text" => row.parsed(),
        payout: Money = "b.payout" => row.money(),
        minted: Money = "b.minted" => row.money(),
        burned: Money = "b.burned" => row.money(),
        brier: Option<Decimal8> = "b.brier" => row.decimal(),
        created_at: Option<Timestamp> = "b.created_at" => row.instant(),
    }
}

pub(super) fn market_id<const N: usize>(row: &mut Columns<'_, N>) -> DbResult<MarketId> {
    let id = row.raw().and_then(|raw| Uuid::from_slice(raw).ok());
    id.map(MarketId).ok_or_else(malformed)
}
