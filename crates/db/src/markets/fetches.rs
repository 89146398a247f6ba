//! The evidence of a market: each fetch of its source, and the one that decided it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::market::Side;
use ledger_core::{Hash, MarketId, Timestamp};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::pool::Connection;
use crate::schema::evidence;
use crate::sql::Sql;

/// The result of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Something was read, and perhaps it decides the market.
    Read { value: String, decides: Option<Side> },
    /// Nothing was, for this reason.
    Nothing { problem: String },
}

/// One fetch, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvidence {
    /// The URL of the request, without secrets.
    pub url: String,
    pub fetched_at: Timestamp,
    pub status: Option<u16>,
    /// The SHA-256 of the body.
    pub sha256: Option<Hash>,
    /// At most 64 KiB.
    pub body: Vec<u8>,
    pub truncated: bool,
    pub finding: Finding,
}

/// Evidence as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub id: i64,
    pub fetch: NewEvidence,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = evidence, check_for_backend(diesel::pg::Pg))]
struct EvidenceRow {
    id: i64,
    url: String,
    fetched_at: Timestamp,
    status: Option<i32>,
    sha256: Option<Vec<u8>>,
    body: Vec<u8>,
    truncated: bool,
    value: Option<String>,
    problem: Option<String>,
    side: Option<Side>,
}

impl From<EvidenceRow> for Evidence {
    fn from(row: EvidenceRow) -> Evidence {
        Evidence {
            id: row.id,
            fetch: NewEvidence {
                url: row.url,
                fetched_at: row.fetched_at,
                status: row.status.and_then(|status| u16::try_from(status).ok()),
                sha256: row.sha256.as_deref().and_then(Hash::from_slice),
                body: row.body,
                truncated: row.truncated,
                finding: match row.value {
                    Some(value) => Finding::Read { value, decides: row.side },
                    None => Finding::Nothing { problem: row.problem.unwrap_or_default() },
                },
            },
        }
    }
}

/// All evidence of a market, oldest first: retries are bounded, so this is short.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn evidence_of(conn: &mut Connection, market: MarketId) -> DbResult<Vec<Evidence>> {
    let rows: Vec<EvidenceRow> = evidence::table
        .filter(evidence::market_id.eq(market.0))
        .order(evidence::id)
        .select(EvidenceRow::as_select())
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(Evidence::from).collect())
}

/// How much of a body is shown with its data, in bytes.
pub const EVIDENCE_HEAD_BYTES: i32 = 1_024;

/// A fetch with the first [`EVIDENCE_HEAD_BYTES`] of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceHead {
    pub evidence: Evidence,
    /// The SHA-256 of the whole stored body.
    pub bytes: i32,
}

/// Which evidence of a market.
enum Which {
    /// Below this id.
    Below(i64),
    /// The deciding fetch: at most one.
    Deciding,
}

/// Evidence of a market, the newest first, at most `limit`. Each is read by its own index.
async fn evidence_heads(
    conn: &mut Connection,
    market: MarketId,
    which: Which,
    limit: i64,
) -> DbResult<Vec<EvidenceHead>> {
    use diesel::dsl::sql;
    use diesel::sql_types::{Binary, Integer};
    let of_market = evidence::table.filter(evidence::market_id.eq(market.0)).into_boxed();
    let asked = match which {
        Which::Below(id) => of_market.filter(evidence::id.lt(id)),
        Which::Deciding => of_market.filter(evidence::side.is_not_null()),
    };
    let rows: Vec<(EvidenceRow, i32)> = asked
        .order(evidence::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select((
            (
                evidence::id,
                evidence::url,
                evidence::fetched_at,
                evidence::status,
                evidence::sha256,
                sql::<Binary>(&format!("substring(body FROM 1 FOR {EVIDENCE_HEAD_BYTES})")),
                evidence::truncated,
                evidence::value,
                evidence::problem,
                evidence::side,
            ),
            sql::<Integer>("octet_length(body)"),
        ))
        .load(conn)
        .await?;
    let head = |(row, bytes): (EvidenceRow, i32)| EvidenceHead { evidence: row.into(), bytes };
    Ok(rows.into_iter().map(head).collect())
}

/// A market's evidence, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn evidence_page(
    conn: &mut Connection,
    market: MarketId,
    before: Option<i64>,
    limit: i64,
) -> DbResult<Vec<EvidenceHead>> {
    evidence_heads(conn, market, Which::Below(before.unwrap_or(i64::MAX)), limit).await
}

/// The newest evidence of a market and the deciding fetch, oldest first, at most `limit`.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn evidence_shown(
    conn: &mut Connection,
    market: MarketId,
    limit: i64,
) -> DbResult<Vec<EvidenceHead>> {
    let mut heads = evidence_heads(conn, market, Which::Below(i64::MAX), limit).await?;
    for deciding in evidence_heads(conn, market, Which::Deciding, 1).await? {
        if heads.iter().all(|head| head.evidence.id != deciding.evidence.id) {
            // If the list is full, it replaces the last of them.
            let kept = usize::try_from(limit - 1).unwrap_or(0);
            heads.truncate(kept);
            heads.push(deciding);
        }
    }
    heads.sort_by_key(|head| head.evidence.id);
    Ok(heads)
}

/// The body of one fetch for a market, as it is kept: at most 64 KiB.
///
/// # Errors
/// [`DbError::NotFound`] for a fetch of another market. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn evidence_body(conn: &mut Connection, market: MarketId, id: i64) -> DbResult<Vec<u8>> {
    let body: Option<Vec<u8>> = evidence::table
        .filter(evidence::market_id.eq(market.0))
        .filter(evidence::id.eq(id))
        .select(evidence::body)
        .first(conn)
        .await
        .optional()?;
    body.ok_or(DbError::NotFound("evidence"))
}

/// The longest texts of the columns, in characters.
const FINDING_MAX_CHARS: usize = 500;
const URL_MAX_CHARS: usize = 2_000;

/// Keeps a fetch in the caller's transaction. Answers whether it is there: the second that would
/// decide a market is not kept.
pub(super) async fn keep_evidence(
    conn: &mut Connection,
    market: MarketId,
    fetch: &NewEvidence,
) -> DbResult<bool> {
    // Strangers wrote it, and Postgres keeps no NUL.
    let clip = |text: &str, max: usize| {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        text.chars().take(max).map(plain).collect::<String>()
    };
    let (value, problem, side) = match &fetch.finding {
        Finding::Read { value, decides } => (Some(clip(value, FINDING_MAX_CHARS)), None, *decides),
        Finding::Nothing { problem } => (None, Some(clip(problem, FINDING_MAX_CHARS)), None),
    };
    let kept = diesel::insert_into(evidence::table)
        .values((
            evidence::market_id.eq(market.0),
            evidence::url.eq(clip(&fetch.url, URL_MAX_CHARS)),
            evidence::fetched_at.eq(Sql(fetch.fetched_at)),
            evidence::status.eq(fetch.status.map(i32::from)),
            evidence::sha256.eq(fetch.sha256.map(|hash| hash.0.to_vec())),
            evidence::body.eq(&fetch.body),
            evidence::truncated.eq(fetch.truncated),
            evidence::value.eq(value),
            evidence::problem.eq(problem),
            evidence::side.eq(side),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(kept == 1)
}
