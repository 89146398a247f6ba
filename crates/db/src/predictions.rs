//! Price predictions: public, and settled by the oracle. [`crate::actions`] places them.

mod judge;
mod settle;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use ledger_core::economy::EconomyRules;
use ledger_core::prediction::{Direction, PredictionStatus, PriceSource, SAMPLE_AGE_MAX_SECONDS};
use ledger_core::{BotId, Decimal8, Hash, Money, PredictionId, Timestamp};

pub use settle::{MissingPrices, Outcome, Settled, Unpriced, Want, settle};

use crate::PAGE_MAX;
use crate::error::DbResult;
use crate::pool::Connection;
use crate::rules;
use crate::schema::predictions;
use crate::sql::{Prepare, RulesDigest};

/// A prediction as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = predictions, check_for_backend(diesel::pg::Pg))]
pub struct Prediction {
    #[diesel(deserialize_as = i64)]
    pub id: PredictionId,
    #[diesel(deserialize_as = i64)]
    pub bot_id: BotId,
    pub direction: Direction,
    pub wager_amount: Money,
    pub confidence: Decimal8,
    pub reasoning: String,
    pub status: PredictionStatus,
    pub created_at: Timestamp,
    pub settles_at: Timestamp,
    pub start_price: Option<Money>,
    pub price_source: Option<PriceSource>,
    pub end_price: Option<Money>,
    pub payout: Option<Money>,
    pub brier: Option<Decimal8>,
    pub resolved_at: Option<Timestamp>,
    /// The rules that settle it, by their digest; `None` for one from before these were kept.
    pub rules: Option<Hash>,
}

fn is_open() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    has_status(PredictionStatus::Open)
}

/// As a literal: a prepared statement with a parameter here cannot use the partial indexes.
fn has_status(status: PredictionStatus) -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    sql(&format!("status = '{status}'"))
}

/// Which predictions a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct PredictionFilter {
    pub bot_id: Option<BotId>,
    pub status: Option<PredictionStatus>,
}

/// Predictions, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn page(
    conn: &mut Connection,
    filter: PredictionFilter,
    before: Option<PredictionId>,
    limit: i64,
) -> DbResult<Vec<Prediction>> {
    let mut query = predictions::table
        .filter(predictions::id.lt(before.map_or(i64::MAX, |id| id.0)))
        .order(predictions::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select(Prediction::as_select())
        .into_boxed();
    if let Some(bot_id) = filter.bot_id {
        query = query.filter(predictions::bot_id.eq(bot_id.0));
    }
    if let Some(status) = filter.status {
        query = query.filter(has_status(status));
    }
    Ok(query.load(conn).await?)
}

/// The most predictions that one call of [`assign_start_prices`] serves.
pub const START_MAX: i64 = 5_000;

/// Gives open predictions without a start price the first sample after the due time, if one was
/// taken in time; oldest first, at most [`START_MAX`] of each set of rules. Returns how many got
/// theirs. Moves no money. `in_force` are for rows that name no rules.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn assign_start_prices(
    conn: &mut Connection,
    in_force: &EconomyRules,
) -> DbResult<usize> {
    let waiting: Vec<Option<Hash>> = predictions::table
        .filter(is_open())
        .filter(predictions::start_price_id.is_null())
        .select(predictions::rules)
        .distinct()
        .prepared()
        .load(conn)
        .await?;
    let mut assigned = 0;
    for digest in waiting {
        let rules = rules::of(conn, digest, in_force).await?;
        let in_time = rules.in_time_seconds();
        // Where no sample was taken in time, none will be: history decides, one by one.
        let hopeless = rules.sample_lag_seconds + in_time + SAMPLE_AGE_MAX_SECONDS;
        // Not prepared: a generic plan reads far more than one for these values.
        assigned += diesel::sql_query(
            // The ids once more as an array: for so many at once, a join alone would read all predictions.
            "WITH o AS MATERIALIZED ( \
                SELECT id, created_at + make_interval(secs => $2::float8) AS due \
                  FROM predictions \
                 WHERE status = 'OPEN' AND start_price_id IS NULL \
                   AND rules IS NOT DISTINCT FROM $3 \
                   AND created_at + make_interval(secs => $2::float8) \
                       <= (SELECT max(provider_at) FROM prices) \
                   AND created_at > clock_timestamp() - make_interval(secs => $4::float8) \
                 ORDER BY settles_at, id LIMIT $5 FOR UPDATE SKIP LOCKED) \
             UPDATE predictions p \
                SET start_price_id = s.id, start_price = s.price, price_source = s.source, \
                    settles_at = s.provider_at + make_interval(secs => $1::float8) \
               FROM o \
              CROSS JOIN LATERAL (SELECT id, price, source, provider_at FROM prices \
                                   WHERE NOT history AND provider_at >= o.due \
                                     AND provider_at <= o.due + make_interval(secs => $6::float8) \
                                   ORDER BY provider_at, id LIMIT 1) s \
              WHERE p.id = o.id AND p.id = ANY (ARRAY(SELECT id FROM o))",
        )
        .bind::<BigInt, _>(rules.prediction_horizon_seconds)
        .bind::<BigInt, _>(rules.sample_lag_seconds)
        .bind::<Nullable<RulesDigest>, _>(digest)
        .bind::<BigInt, _>(hopeless)
        .bind::<BigInt, _>(START_MAX)
        .bind::<BigInt, _>(in_time)
        .execute(conn)
        .await?;
    }
    Ok(assigned)
}

/// Open predictions that may be ready to settle, oldest due first, at most `limit`.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn due(conn: &mut Connection, limit: i64) -> DbResult<Vec<PredictionId>> {
    let ids: Vec<i64> = predictions::table
        .filter(is_open())
        .filter(predictions::settles_at.le(crate::sql::clock()))
        .order((predictions::settles_at, predictions::id))
        .limit(limit)
        .select(predictions::id)
        .prepared()
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(PredictionId).collect())
}
