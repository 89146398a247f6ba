//! The price history, which decides settlements.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::event::PriceEvent;
use ledger_core::ids::PriceId;
use ledger_core::money::Price;
use ledger_core::prediction::{Found, Known, PriceSample, PriceSource, SAMPLE_AGE_MAX_SECONDS};
use ledger_core::{EconomyRules, Timestamp};

use crate::PAGE_MAX;
use crate::error::DbResult;
use crate::events;
use crate::pool::Connection;
use crate::schema::{price_history_reads, prices};
use crate::sql::Sql;
use crate::tx;

/// A stored price with the time of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = prices, check_for_backend(diesel::pg::Pg))]
pub struct PriceRow {
    #[diesel(deserialize_as = i64)]
    pub id: PriceId,
    pub source: PriceSource,
    pub price: Price,
    pub provider_at: Timestamp,
    pub sampled_at: Timestamp,
    /// Whether it is from its source's history, not a sample.
    #[diesel(column_name = history)]
    pub from_history: bool,
}

impl PriceRow {
    fn sample(self) -> PriceSample {
        let PriceRow { id, source, price, provider_at, .. } = self;
        PriceSample { id, price, source, provider_at }
    }
}

/// Keeps a sample. Returns `None` without storing for a repeated time at the provider, for a sample
/// older than [`SAMPLE_AGE_MAX_SECONDS`], and for a time whose history was read.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
#[crate::boxed]
pub async fn record(
    conn: &mut Connection,
    source: PriceSource,
    price: Price,
    provider_at: Timestamp,
) -> DbResult<Option<PriceRow>> {
    tx::run(conn, None, async |conn| {
        crate::sql::lock(conn, PRICES_LOCK).await?;
        let oldest = crate::now(conn).await?.plus_seconds(-SAMPLE_AGE_MAX_SECONDS);
        if provider_at < oldest || read_at(conn, source, provider_at).await?.is_some() {
            return Ok(None);
        }
        let row: Option<PriceRow> = diesel::insert_into(prices::table)
            .values((
                prices::source.eq(Sql(source)),
                prices::price.eq(Sql(price)),
                prices::provider_at.eq(Sql(provider_at)),
            ))
            .on_conflict((prices::provider_at, prices::source))
            .do_nothing()
            .returning(PriceRow::as_returning())
            .get_result(conn)
            .await
            .optional()?;
        let Some(row) = row else {
            return Ok(None);
        };
        let event = NewEvent::Price(PriceEvent {
            id: row.id,
            price,
            source,
            provider_at,
            sampled_at: row.sampled_at,
        });
        events::write(conn, &[event]).await?;
        Ok(Some(row))
    })
    .await
}

/// The newest sample that was taken.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn newest(conn: &mut Connection) -> DbResult<Option<PriceRow>> {
    Ok(prices::table
        .filter(prices::history.eq(false))
        .order(prices::id.desc())
        .select(PriceRow::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// The price history, newest sample first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn page(
    conn: &mut Connection,
    before: Option<PriceId>,
    limit: i64,
) -> DbResult<Vec<PriceRow>> {
    Ok(prices::table
        .filter(prices::id.lt(before.map_or(i64::MAX, |id| id.0)))
        .order(prices::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(PriceRow::as_select())
        .load(conn)
        .await?)
}

/// Prices that were sampled in time, or any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Taken,
    Any,
}

/// The first price of this kind whose time at the provider is at or after `due` and at most `until`. Ties go
/// to the one kept first.
async fn earliest(
    conn: &mut Connection,
    kind: Kind,
    source: Option<PriceSource>,
    due: Timestamp,
    until: Timestamp,
) -> DbResult<Option<PriceSample>> {
    let mut query = prices::table
        .filter(prices::provider_at.between(Sql(due), Sql(until)))
        .order((prices::provider_at.asc(), prices::id.asc()))
        .select(PriceRow::as_select())
        .into_boxed();
    if let Some(source) = source {
        query = query.filter(prices::source.eq(Sql(source)));
    }
    if kind == Kind::Taken {
        query = query.filter(prices::history.eq(false));
    }
    let row: Option<PriceRow> = query.first(conn).await.optional()?;
    Ok(row.map(PriceRow::sample))
}

/// The first sample that was taken, of any source.
pub(crate) async fn first_taken(
    conn: &mut Connection,
    due: Timestamp,
    until: Timestamp,
) -> DbResult<Option<PriceSample>> {
    earliest(conn, Kind::Taken, None, due, until).await
}

/// The first price of any kind, of this source, from `due` on and within so many seconds.
pub(crate) async fn first(
    conn: &mut Connection,
    source: PriceSource,
    due: Timestamp,
    seconds: i64,
) -> DbResult<Option<PriceSample>> {
    earliest(conn, Kind::Any, Some(source), due, due.plus_seconds(seconds)).await
}

/// The known prices of a source at and after `due`, as far as the rules need them.
pub(crate) async fn known(
    conn: &mut Connection,
    source: PriceSource,
    due: Timestamp,
    rules: &EconomyRules,
) -> DbResult<Known> {
    let last = due.plus_seconds(rules.sample_grace_seconds);
    let taken = earliest(conn, Kind::Taken, Some(source), due, last).await?;
    let mut known = Known { taken, ..Known::default() };
    if matches!(known.find(due, rules), Found::Price(_)) {
        return Ok(known);
    }
    // Spans that follow each other count as one.
    let mut at = due;
    while let Some(until) = read_at(conn, source, at).await? {
        at = until;
        known.read_until = Some(until);
        if until > last {
            break;
        }
    }
    if known.read_until.is_some() {
        known.told = earliest(conn, Kind::Any, Some(source), due, last).await?;
    }
    Ok(known)
}

/// The end of the span with this moment in it for which a source's history was read.
async fn read_at(
    conn: &mut Connection,
    source: PriceSource,
    at: Timestamp,
) -> DbResult<Option<Timestamp>> {
    let until: Option<Timestamp> = price_history_reads::table
        .filter(price_history_reads::source.eq(Sql(source)))
        .filter(price_history_reads::ends_at.gt(Sql(at)))
        .filter(price_history_reads::begins_at.le(Sql(at)))
        .order(price_history_reads::ends_at)
        .select(price_history_reads::ends_at)
        .first(conn)
        .await
        .optional()?;
    Ok(until)
}

/// A span of time, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub begins_at: Timestamp,
    pub ends_at: Timestamp,
}

/// The first part of `span` for which this source's history was not read, if there is one.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn unread(
    conn: &mut Connection,
    source: PriceSource,
    span: Span,
) -> DbResult<Option<Span>> {
    let mut begins_at = span.begins_at;
    while let Some(until) = read_at(conn, source, begins_at).await? {
        begins_at = until;
    }
    let next: Option<Timestamp> = price_history_reads::table
        .filter(price_history_reads::source.eq(Sql(source)))
        .filter(price_history_reads::begins_at.gt(Sql(begins_at)))
        .filter(price_history_reads::ends_at.gt(Sql(begins_at)))
        .order(price_history_reads::ends_at)
        .select(price_history_reads::begins_at)
        .first(conn)
        .await
        .optional()?;
    let ends_at = next.map_or(span.ends_at, |next| span.ends_at.min(next));
    Ok((begins_at < ends_at).then_some(Span { begins_at, ends_at }))
}

/// All parts of `span` for which this source's history was not read, in order.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn unread_parts(
    conn: &mut Connection,
    source: PriceSource,
    span: Span,
) -> DbResult<Vec<Span>> {
    let mut parts = Vec::new();
    let mut rest = span;
    while let Some(part) = unread(conn, source, rest).await? {
        rest.begins_at = part.ends_at;
        parts.push(part);
    }
    Ok(parts)
}

/// Held by a transaction that keeps prices: "HISTORY". So a history is never recorded concurrently
/// with a sample of its span, and prices become visible in the order of their ids, which the audit
/// relies on.
const PRICES_LOCK: i64 = 0x48_4953_544f_5259;

/// Stores a source's history of a span: its prices, and that there are no others. `false` if part
/// of the span was read already, or ends so late that a sample of it may still be taken.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
#[crate::boxed]
pub async fn record_history(
    conn: &mut Connection,
    source: PriceSource,
    span: Span,
    told: &[(Price, Timestamp)],
) -> DbResult<bool> {
    tx::run(conn, None, async |conn| {
        crate::sql::lock(conn, PRICES_LOCK).await?;
        let settled = crate::now(conn).await?.plus_seconds(-SAMPLE_AGE_MAX_SECONDS);
        if span.ends_at > settled || unread(conn, source, span).await? != Some(span) {
            return Ok(false);
        }
        let within: Vec<_> = told
            .iter()
            .filter(|(_, at)| span.begins_at <= *at && *at < span.ends_at)
            .map(|(price, at)| {
                (
                    prices::source.eq(Sql(source)),
                    prices::price.eq(Sql(*price)),
                    prices::provider_at.eq(Sql(*at)),
                    prices::history.eq(true),
                )
            })
            .collect();
        let points = i32::try_from(within.len()).unwrap_or(i32::MAX);
        diesel::insert_into(prices::table)
            .values(within)
            .on_conflict((prices::provider_at, prices::source))
            .do_nothing()
            .execute(conn)
            .await?;
        diesel::insert_into(price_history_reads::table)
            .values((
                price_history_reads::source.eq(Sql(source)),
                price_history_reads::begins_at.eq(Sql(span.begins_at)),
                price_history_reads::ends_at.eq(Sql(span.ends_at)),
                price_history_reads::points.eq(points),
            ))
            .execute(conn)
            .await?;
        Ok(true)
    })
    .await
}

/// These prices, each by its id.
pub(crate) async fn by_ids(
    conn: &mut Connection,
    ids: impl Iterator<Item = i64>,
) -> DbResult<HashMap<PriceId, PriceSample>> {
    let ids: Vec<i64> = ids.collect();
    let query = prices::table.filter(prices::id.eq_any(ids)).select(PriceRow::as_select());
    let rows: Vec<PriceRow> = query.load(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.sample())).collect())
}
