//! The price history: what settlements are decided by.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::Timestamp;
use ledger_core::ids::PriceId;
use ledger_core::money::Price;
use ledger_core::prediction::{PriceSample, PriceSource};
use serde_json::json;

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::events::{self, EventDraft, EventKind};
use crate::pool::Connection;
use crate::schema::prices;
use crate::sql::{SqlMoney, SqlPriceSource};

/// A kept price with the time it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceRow {
    pub sample: PriceSample,
    pub sampled_at: Timestamp,
}

type Row = (i64, SqlPriceSource, SqlMoney, DateTime<Utc>, DateTime<Utc>);
type Columns = (
    prices::id,
    prices::source,
    prices::price,
    prices::provider_at,
    prices::sampled_at,
);
const COLUMNS: Columns = (
    prices::id,
    prices::source,
    prices::price,
    prices::provider_at,
    prices::sampled_at,
);

fn price_of((id, source, price, provider_at, sampled_at): Row) -> DbResult<PriceRow> {
    let price = Price::new(price.0).map_err(DbError::corrupt)?;
    let sample = PriceSample {
        id: PriceId(id),
        price,
        source: source.0,
        provider_at: provider_at.into(),
    };
    Ok(PriceRow {
        sample,
        sampled_at: sampled_at.into(),
    })
}

/// Keeps a price. A source that repeats itself (same time at the provider) adds nothing: then the
/// answer is `None`.
pub async fn record(
    conn: &mut Connection,
    source: PriceSource,
    price: Price,
    provider_at: Timestamp,
) -> DbResult<Option<PriceRow>> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let row: Option<Row> = diesel::insert_into(prices::table)
            .values((
                prices::source.eq(SqlPriceSource(source)),
                prices::price.eq(SqlMoney(price.money())),
                prices::provider_at.eq(provider_at.datetime()),
            ))
            .on_conflict((prices::provider_at, prices::source))
            .do_nothing()
            .returning(COLUMNS)
            .get_result(conn)
            .await
            .optional()?;
        let Some(row) = row.map(price_of).transpose()? else {
            return Ok(None);
        };
        let data = json!({
            "id": row.sample.id,
            "price": price,
            "source": source,
            "provider_at": provider_at,
            "sampled_at": row.sampled_at,
        });
        events::write(
            conn,
            &[EventDraft {
                kind: EventKind::Price,
                data,
            }],
        )
        .await?;
        Ok(Some(row))
    })
    .await
}

/// The price history, newest sample first, below `before` where given.
pub async fn page(
    conn: &mut Connection,
    before: Option<PriceId>,
    limit: i64,
) -> DbResult<Vec<PriceRow>> {
    let rows: Vec<Row> = prices::table
        .filter(prices::id.lt(before.map_or(i64::MAX, |id| id.0)))
        .order(prices::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(COLUMNS)
        .load(conn)
        .await?;
    rows.into_iter().map(price_of).collect()
}

/// The first sample whose time at the provider is at or after `due`. Ties go to the one kept first.
pub(crate) async fn first_at_or_after(
    conn: &mut Connection,
    due: Timestamp,
) -> DbResult<Option<PriceSample>> {
    let row: Option<Row> = prices::table
        .filter(prices::provider_at.ge(due.datetime()))
        .order((prices::provider_at.asc(), prices::id.asc()))
        .select(COLUMNS)
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(price_of).transpose()?.map(|row| row.sample))
}

/// A kept sample by its id.
pub(crate) async fn by_id(conn: &mut Connection, id: PriceId) -> DbResult<PriceSample> {
    let row: Option<Row> = prices::table
        .find(id.0)
        .select(COLUMNS)
        .first(conn)
        .await
        .optional()?;
    let row = row.ok_or_else(|| DbError::corrupt(format!("price {id} is gone")))?;
    Ok(price_of(row)?.sample)
}
