//! Markets: how they open, take bets and answers, and are settled.
//!
//! Lock order is markets (ascending id), then wallets (ascending bot). Whether a market still takes
//! a bet is judged under its row's lock by Postgres' clock. Evidence decides it, committed before
//! any bet is read. Its status changes in the transaction that pays. So two oracles, a crash
//! between any two statements, or a repeated call never pay twice.

mod answers;
mod bets;
mod deadline;
mod fetches;
mod open;
mod settle;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::criteria::{Criteria, Times};
use ledger_core::event::MarketEvent;
use ledger_core::market::{BetState, MarketSource, MarketStatus, MarketView, Side};
use ledger_core::research::{Answer, Nonce};
use ledger_core::{BetId, BotId, Decimal8, Hash, MarketId, Money, Pause, Timestamp};
use serde_json::Value;

pub(crate) use answers::{Comparison, answer_in};
pub use answers::{Judged, NewAnswer, answer};
pub(crate) use bets::place_in;
pub use bets::{BetsPlaced, NewBet, Slip, place};
pub use deadline::{
    ASKED_GAP_MAX_SECONDS, ASKED_MIN, Asked, Recorded, asked, due, expire_due, lock_due, record,
};
use fetches::keep_evidence;
pub use fetches::{
    EVIDENCE_HEAD_BYTES, Evidence, EvidenceHead, Finding, NewEvidence, evidence_body, evidence_of,
    evidence_page, evidence_shown,
};
pub use open::{Board, Deadline, NewMarket, Opener, board, open};
pub use settle::{SettledMarket, VoidBy, settle, void};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pauses::check::pause_in;
use crate::pool::Connection;
use crate::schema::sql_types::{Instant, Uuid};
use crate::schema::{bets as bets_table, markets};
use crate::sql::{Sql, statement};

/// A market as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Market {
    pub id: MarketId,
    /// Its place in order of opening.
    pub number: i64,
    pub source: MarketSource,
    pub description: String,
    pub criteria: Criteria,
    pub status: MarketStatus,
    /// YES, NO, or the answer to research.
    pub outcome: Option<String>,
    pub bounty: Money,
    /// Everything that bets staked.
    pub staked: Money,
    /// How many bets or answers there are.
    pub bets: i64,
    pub opens_at: Timestamp,
    pub bets_close_at: Timestamp,
    pub deadline: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub void_reason: Option<String>,
    pub research: Option<Research>,
    /// Fetches after the deadline that decided nothing.
    pub attempts: i32,
    /// Set while it is paused.
    pub pause: Option<Pause>,
    /// The rules in force when it opened; `None` for one from before these were kept.
    pub rules: Option<Hash>,
}

/// The commitment of a research question. Has no `Debug` beyond its commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Research {
    pub commitment: Hash,
    /// Secret until the market has closed.
    pub nonce: Nonce,
    /// Secret until the market has closed.
    pub answer: Answer,
}

impl std::fmt::Debug for Research {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Research").field("commitment", &self.commitment).finish_non_exhaustive()
    }
}

impl Market {
    /// Everything staked, and the bounty.
    pub fn pool(&self) -> Money {
        // Bets are refused that would lift it out of its range.
        self.staked.checked_add(self.bounty).unwrap_or(self.staked)
    }

    pub fn times(&self) -> Times {
        Times {
            opens_at: self.opens_at,
            bets_close_at: self.bets_close_at,
            deadline: self.deadline,
        }
    }

    fn view(&self) -> MarketView {
        MarketView {
            id: self.id,
            source: self.source,
            status: self.status,
            opens_at: self.opens_at,
            deadline: self.deadline,
            pause: self.pause.clone(),
        }
    }

    /// The `market` event of where it stands now.
    pub(crate) fn event(&self) -> NewEvent {
        NewEvent::Market(MarketEvent {
            id: self.id,
            source: self.source,
            description: self.description.clone(),
            status: self.status,
            outcome: self.outcome.clone(),
            bounty: self.bounty,
            pool: self.pool(),
            bets: self.bets,
            bets_close_at: self.bets_close_at,
            deadline: self.deadline,
            void_reason: self.void_reason.clone(),
            paused: self.pause.clone(),
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = markets, check_for_backend(diesel::pg::Pg))]
struct MarketRow {
    id: uuid::Uuid,
    number: i64,
    source: String,
    description: String,
    criteria: Value,
    status: MarketStatus,
    bounty: Money,
    bets: i64,
    staked: Money,
    opens_at: Timestamp,
    bets_close_at: Timestamp,
    deadline: Timestamp,
    resolved_at: Option<Timestamp>,
    outcome: Option<String>,
    void_reason: Option<String>,
    commitment: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    answer: Option<String>,
    attempts: i32,
    paused_at: Option<Timestamp>,
    pause_reason: Option<String>,
    rules: Option<Hash>,
}

impl TryFrom<MarketRow> for Market {
    type Error = DbError;

    fn try_from(row: MarketRow) -> DbResult<Market> {
        let id = MarketId(row.id);
        let broken = |what: &str| DbError::corrupt(format!("{what} of market {id}"));
        let source = source_of(&row.source)?;
        let research = match (row.commitment, row.nonce, row.answer) {
            (None, None, None) => None,
            (Some(commitment), Some(nonce), Some(answer)) => Some(Research {
                commitment: Hash::from_slice(&commitment).ok_or_else(|| broken("commitment"))?,
                nonce: Nonce(nonce.try_into().map_err(|_| broken("nonce"))?),
                answer: answer.parse().map_err(|_| broken("answer"))?,
            }),
            _ => return Err(broken("commitment")),
        };
        Ok(Market {
            id,
            number: row.number,
            source,
            description: row.description,
            criteria: Criteria::deserialize(source, row.criteria)
                .map_err(|_| broken("criteria"))?,
            status: row.status,
            outcome: row.outcome,
            bounty: row.bounty,
            staked: row.staked,
            bets: row.bets,
            opens_at: row.opens_at,
            bets_close_at: row.bets_close_at,
            deadline: row.deadline,
            resolved_at: row.resolved_at,
            void_reason: row.void_reason,
            research,
            attempts: row.attempts,
            pause: pause_in(row.paused_at, row.pause_reason),
            rules: row.rules,
        })
    }
}

/// The source of a row.
fn source_of(label: &str) -> DbResult<MarketSource> {
    label
        .parse()
        .map_err(|_| DbError::corrupt(format!("market source {label}, which this build lacks")))
}

fn markets_of(rows: Vec<MarketRow>) -> DbResult<Vec<Market>> {
    rows.into_iter().map(Market::try_from).collect()
}

/// Locks markets in ascending order of their ids, the global lock order. One that does not exist is
/// left out.
async fn lock_markets(conn: &mut Connection, ids: &[MarketId]) -> DbResult<Vec<Market>> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = markets::table
        .filter(markets::id.eq_any(ids))
        .order(markets::id)
        .select(MarketRow::as_select())
        .for_update()
        .load(conn)
        .await?;
    markets_of(rows)
}

/// One market, locked.
pub(crate) async fn locked_market(conn: &mut Connection, id: MarketId) -> DbResult<Market> {
    let market = lock_markets(conn, &[id]).await?.pop();
    market.ok_or(DbError::NotFound("market"))
}

/// One market.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown market. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn find(conn: &mut Connection, id: MarketId) -> DbResult<Market> {
    let row: Option<MarketRow> =
        markets::table.find(id.0).select(MarketRow::as_select()).first(conn).await.optional()?;
    row.ok_or(DbError::NotFound("market"))?.try_into()
}

/// The research that takes answers, at most the newest [`PAGE_MAX`]: the maker opens few, and the
/// budget bounds those of operators.
pub(crate) async fn open_research(conn: &mut Connection) -> DbResult<Vec<Market>> {
    let filter = MarketFilter {
        status: Some(MarketStatus::Open),
        source: Some(MarketSource::Research),
        bets: BetsFilter::All,
    };
    page(conn, filter, None, PAGE_MAX).await
}

/// Which markets a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct MarketFilter {
    pub status: Option<MarketStatus>,
    pub source: Option<MarketSource>,
    pub bets: BetsFilter,
}

/// Whether a market takes bets or answers, as a filter of lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BetsFilter {
    #[default]
    All,
    /// Those that take one at this moment, by Postgres' clock. [`MarketView::admit`] has the rule.
    Taken,
}

/// Markets, newest first, below number `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn page(
    conn: &mut Connection,
    filter: MarketFilter,
    before: Option<i64>,
    limit: i64,
) -> DbResult<Vec<Market>> {
    let mut query = markets::table
        .filter(markets::number.lt(before.unwrap_or(i64::MAX)))
        .order(markets::number.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(MarketRow::as_select())
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(markets::status.eq(Sql(status)));
    }
    if let Some(source) = filter.source {
        query = query.filter(markets::source.eq(source.as_str()));
    }
    if filter.bets == BetsFilter::Taken {
        query = query
            .filter(markets::status.eq(Sql(MarketStatus::Open)))
            .filter(markets::bets_close_at.gt(crate::sql::clock()))
            .filter(markets::paused_at.is_null());
    }
    markets_of(query.load(conn).await?)
}

/// A bet, or an answer to a research question.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = bets_table, check_for_backend(diesel::pg::Pg))]
pub struct Bet {
    #[diesel(deserialize_as = i64)]
    pub id: BetId,
    #[diesel(deserialize_as = uuid::Uuid)]
    pub market_id: MarketId,
    #[diesel(deserialize_as = i64)]
    pub bot_id: BotId,
    /// Of a bet.
    pub side: Option<Side>,
    /// Of an answer.
    pub answer: Option<String>,
    /// Of an answer.
    pub used_lookup: Option<bool>,
    pub stake: Money,
    pub confidence: Decimal8,
    pub reasoning: String,
    pub state: BetState,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub payout: Option<Money>,
    pub brier: Option<Decimal8>,
}

/// A market's bets or answers, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn bets_page(
    conn: &mut Connection,
    market: MarketId,
    before: Option<BetId>,
    limit: i64,
) -> DbResult<Vec<Bet>> {
    Ok(bets_table::table
        .filter(bets_table::market_id.eq(market.0))
        .filter(bets_table::id.lt(before.map_or(i64::MAX, |id| id.0)))
        .order(bets_table::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(Bet::as_select())
        .load(conn)
        .await?)
}

/// A bot's open bets, newest first, at most [`PAGE_MAX`]. `count` is the number in its wallet: when
/// that many are found, the search back through its bets ends.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn open_bets(conn: &mut Connection, bot_id: BotId, count: i32) -> DbResult<Vec<Bet>> {
    if count <= 0 {
        return Ok(Vec::new());
    }
    Ok(bets_table::table
        .filter(bets_table::bot_id.eq(bot_id.0))
        .filter(sql::<Bool>("state = 'OPEN'"))
        .order(bets_table::id.desc())
        .limit(i64::from(count).min(PAGE_MAX))
        .select(Bet::as_select())
        .load(conn)
        .await?)
}

statement! {
    struct NoEarlier { at: Timestamp as Instant, bets: uuid::Uuid as Uuid, evidence: uuid::Uuid as Uuid }
    returns Instant =
    "SELECT greatest({}, (SELECT max(created_at) FROM bets WHERE market_id = {}), \
                     (SELECT max(fetched_at) FROM evidence WHERE market_id = {}))"
}

/// `at`, or the time of the market's last bet, answer or fetch, if that is later: if a clock was
/// set back, no market ends before its bets, answers or fetches.
async fn no_earlier_than_its_rows(
    conn: &mut Connection,
    market: MarketId,
    at: Timestamp,
) -> DbResult<Timestamp> {
    let no_earlier = NoEarlier { at, bets: market.0, evidence: market.0 };
    Ok(no_earlier.get_result(conn).await?)
}
