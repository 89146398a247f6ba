//! Price predictions: read by everybody, settled by the oracle. [`crate::actions`] places them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::economy::{EconomyRules, Wallet};
use ledger_core::ids::PriceId;
use ledger_core::money::{Confidence, Price};
use ledger_core::post::Draft;
use ledger_core::prediction::{
    self, Direction, OpenPrediction, PredictionSettlement, PredictionStatus, PriceSample,
    PriceSource, Verdict,
};
use ledger_core::{BotId, BotStatus, Hash, Money, PredictionId, Timestamp};
use serde_json::json;

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::events::{self, EventDraft, EventKind};
use crate::ledger::{self, Cause};
use crate::pauses::Brake;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::prices;
use crate::rules::{self, digest_of};
use crate::schema::predictions;
use crate::sql::{SqlDirection, SqlMoney, SqlPredictionStatus, SqlPriceSource};
use crate::totals::{self, End, Ended};

/// A prediction as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub direction: Direction,
    pub wager_amount: Money,
    pub confidence: Money,
    pub reasoning: String,
    pub status: PredictionStatus,
    pub created_at: Timestamp,
    pub settles_at: Timestamp,
    pub start_price: Option<Money>,
    pub price_source: Option<PriceSource>,
    pub end_price: Option<Money>,
    pub payout: Option<Money>,
    pub brier: Option<Money>,
    pub resolved_at: Option<Timestamp>,
    /// The rules that settle it, by their digest; `None` for one from before these were kept.
    pub rules: Option<Hash>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = predictions, check_for_backend(diesel::pg::Pg))]
struct PredictionRow {
    id: i64,
    bot_id: i64,
    direction: SqlDirection,
    wager_amount: SqlMoney,
    confidence: SqlMoney,
    reasoning: String,
    status: SqlPredictionStatus,
    created_at: DateTime<Utc>,
    settles_at: DateTime<Utc>,
    start_price_id: Option<i64>,
    start_price: Option<SqlMoney>,
    price_source: Option<SqlPriceSource>,
    end_price: Option<SqlMoney>,
    payout: Option<SqlMoney>,
    brier: Option<SqlMoney>,
    resolved_at: Option<DateTime<Utc>>,
    rules: Option<Vec<u8>>,
}

impl TryFrom<PredictionRow> for Prediction {
    type Error = DbError;

    fn try_from(row: PredictionRow) -> DbResult<Prediction> {
        Ok(Prediction {
            id: PredictionId(row.id),
            bot_id: BotId(row.bot_id),
            direction: row.direction.0,
            wager_amount: row.wager_amount.0,
            confidence: row.confidence.0,
            reasoning: row.reasoning,
            status: row.status.0,
            created_at: row.created_at.into(),
            settles_at: row.settles_at.into(),
            start_price: row.start_price.map(Money::from),
            price_source: row.price_source.map(|source| source.0),
            end_price: row.end_price.map(Money::from),
            payout: row.payout.map(Money::from),
            brier: row.brier.map(Money::from),
            resolved_at: row.resolved_at.map(Timestamp::from),
            rules: digest_of(row.rules)?,
        })
    }
}

/// As a literal: a prepared statement with a parameter here cannot use the indexes on what is open.
fn is_open() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    diesel::dsl::sql("status = 'OPEN'")
}

/// Which predictions a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct PredictionFilter {
    pub bot_id: Option<BotId>,
    pub status: Option<PredictionStatus>,
}

/// Predictions, newest first, below `before` where given.
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
        .select(PredictionRow::as_select())
        .into_boxed();
    if let Some(bot_id) = filter.bot_id {
        query = query.filter(predictions::bot_id.eq(bot_id.0));
    }
    match filter.status {
        Some(PredictionStatus::Open) => query = query.filter(is_open()),
        Some(status) => query = query.filter(predictions::status.eq(SqlPredictionStatus(status))),
        None => {}
    }
    let rows: Vec<PredictionRow> = query.load(conn).await?;
    rows.into_iter().map(Prediction::try_from).collect()
}

/// The most predictions that one call of [`assign_start_prices`] serves.
pub const START_MAX: i64 = 5_000;

/// Gives open predictions without a start price the first sample at or after their creation, where
/// one has come; oldest first, at most [`START_MAX`] of each set of rules. Returns how many got
/// theirs. Moves no money. `in_force` is for rows that name no rules.
pub async fn assign_start_prices(
    conn: &mut Connection,
    in_force: &EconomyRules,
) -> DbResult<usize> {
    let waiting: Vec<Option<Vec<u8>>> = predictions::table
        .filter(is_open())
        .filter(predictions::start_price_id.is_null())
        .select(predictions::rules)
        .distinct()
        .load(conn)
        .await?;
    let mut assigned = 0;
    for digest in waiting {
        let rules = rules::of(conn, digest_of(digest.clone())?, in_force).await?;
        assigned += diesel::sql_query(
            "UPDATE predictions p \
                SET start_price_id = s.id, start_price = s.price, price_source = s.source, \
                    settles_at = s.provider_at + make_interval(secs => $1::float8) \
               FROM (SELECT id, created_at FROM predictions \
                      WHERE status = 'OPEN' AND start_price_id IS NULL \
                        AND rules IS NOT DISTINCT FROM $3 \
                        AND created_at <= (SELECT max(provider_at) FROM prices) \
                      ORDER BY settles_at, id LIMIT $2 FOR UPDATE SKIP LOCKED) o \
              CROSS JOIN LATERAL (SELECT id, price, source, provider_at FROM prices \
                                   WHERE provider_at >= o.created_at \
                                   ORDER BY provider_at, id LIMIT 1) s \
              WHERE p.id = o.id",
        )
        .bind::<BigInt, _>(rules.prediction_horizon_seconds)
        .bind::<BigInt, _>(START_MAX)
        .bind::<Nullable<Binary>, _>(digest)
        .execute(conn)
        .await?;
    }
    Ok(assigned)
}

/// Open predictions that may be ready to settle, oldest due first, at most `limit`.
pub async fn due(conn: &mut Connection, limit: i64) -> DbResult<Vec<PredictionId>> {
    let ids: Vec<i64> = predictions::table
        .filter(is_open())
        .filter(predictions::settles_at.le(crate::sql::clock()))
        .order((predictions::settles_at, predictions::id))
        .limit(limit)
        .select(predictions::id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(PredictionId).collect())
}

/// A prediction that was settled.
#[derive(Debug, Clone)]
pub struct Settled {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub status: PredictionStatus,
    pub payout: Money,
}

/// Settles those of `ids` that are open and whose samples have come, in one transaction. What is
/// settled already, or must still wait, is passed over: a repeated call pays nothing twice.
///
/// Each is judged and paid by the rules that it names; `in_force` is for rows that name none.
pub async fn settle(
    conn: &mut Connection,
    ids: &[PredictionId],
    in_force: &EconomyRules,
) -> DbResult<Vec<Settled>> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let open = lock_open(conn, ids, in_force).await?;
        let mut judged = Vec::with_capacity(open.len());
        for open in open {
            judged.extend(judge(conn, open).await?);
        }
        if judged.is_empty() {
            Ok(Vec::new())
        } else {
            pay(conn, judged).await
        }
    })
    .await
}

/// An open prediction, locked.
struct Open {
    bot_id: BotId,
    prediction: OpenPrediction,
    start_price_id: Option<i64>,
    /// Those in force when it was opened.
    rules: Arc<EconomyRules>,
}

/// A prediction with its verdict and the samples that gave it.
struct Judged {
    open: Open,
    verdict: Verdict,
    start: Option<PriceSample>,
    end: Option<PriceSample>,
}

/// Locks the open ones in ascending order of their ids: predictions before wallets, always.
async fn lock_open(
    conn: &mut Connection,
    ids: &[PredictionId],
    in_force: &EconomyRules,
) -> DbResult<Vec<Open>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<PredictionRow> = predictions::table
        .filter(predictions::id.eq_any(ids))
        .filter(predictions::status.eq(SqlPredictionStatus(PredictionStatus::Open)))
        .order(predictions::id)
        .select(PredictionRow::as_select())
        .for_update()
        .load(conn)
        .await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in rows {
        let rules = rules::of(conn, digest_of(row.rules)?, in_force).await?;
        // What was accepted is kept as it was: a row from before rules were kept may lie below the
        // smallest stake of today.
        let smallest = EconomyRules {
            stake_min: row.wager_amount.0,
            ..(*rules).clone()
        };
        let stake = smallest.stake(row.wager_amount.0);
        let prediction = OpenPrediction {
            id: PredictionId(row.id),
            direction: row.direction.0,
            wager: stake.map_err(DbError::corrupt)?,
            confidence: Confidence::new(row.confidence.0).map_err(DbError::corrupt)?,
            created_at: row.created_at.into(),
        };
        open.push(Open {
            bot_id: BotId(row.bot_id),
            prediction,
            start_price_id: row.start_price_id,
            rules,
        });
    }
    Ok(open)
}

async fn judge(conn: &mut Connection, open: Open) -> DbResult<Option<Judged>> {
    let (prediction, rules) = (&open.prediction, &open.rules);
    let now = crate::now(conn).await?;
    // Once given, a start price stays, whatever sample arrives late.
    let start = match open.start_price_id {
        Some(id) => Some(prices::by_id(conn, PriceId(id)).await?),
        None => prices::first_at_or_after(conn, prediction.created_at).await?,
    };
    let end = match &start {
        Some(start) => prices::first_at_or_after(conn, prediction::end_due(start, rules)).await?,
        None => None,
    };
    let verdict = prediction::judge(prediction, start.as_ref(), end.as_ref(), rules, now);
    Ok(verdict.map(|verdict| Judged {
        open,
        verdict,
        start,
        end,
    }))
}

async fn pay(conn: &mut Connection, judged: Vec<Judged>) -> DbResult<Vec<Settled>> {
    let mut by_bot: BTreeMap<BotId, Vec<Judged>> = BTreeMap::new();
    for case in judged {
        by_bot.entry(case.open.bot_id).or_default().push(case);
    }
    let bots: Vec<BotId> = by_bot.keys().copied().collect();
    let locked = ledger::lock_all(conn, Brake::Heeded, &bots).await?;
    if locked.len() != bots.len() {
        return Err(DbError::corrupt("a prediction without a wallet"));
    }
    let mut work = Vec::with_capacity(locked.len());
    let (mut closed, mut ended) = (Vec::new(), Vec::new());
    for wallet in locked {
        let cases = by_bot
            .remove(&wallet.wallet.head.bot_id)
            .unwrap_or_default();
        let mut movements = Vec::with_capacity(cases.len());
        for case in cases {
            let owner: BotStatus = wallet.wallet.status;
            let Open {
                prediction, rules, ..
            } = &case.open;
            let end = prediction::settle(prediction, case.verdict, owner, rules)
                .ok_or(DbError::Refused(ledger_core::Refusal::Overflow))?;
            movements.push(end.movement.clone());
            ended.extend(ended_as(&wallet.wallet, prediction, &end));
            closed.push((case, end, wallet.now));
        }
        work.push((wallet, movements));
    }
    let appended = ledger::append_all(conn, work, Cause::House).await?;
    close(conn, &closed, appended.events()).await?;
    totals::add_ended(conn, &ended).await?;
    Ok(closed
        .iter()
        .map(|(case, end, _)| Settled {
            id: case.open.prediction.id,
            bot_id: case.open.bot_id,
            status: end.status,
            payout: end.payout,
        })
        .collect())
}

/// What a settlement adds to its bot's totals.
fn ended_as(
    wallet: &Wallet,
    prediction: &OpenPrediction,
    settlement: &PredictionSettlement,
) -> Option<Ended> {
    let end = match settlement.status {
        PredictionStatus::Won => End::Won,
        PredictionStatus::Lost | PredictionStatus::Forfeit => End::Lost,
        PredictionStatus::Void | PredictionStatus::Open => return None,
    };
    let stake = prediction.wager.money();
    Some(Ended {
        brier: settlement.brier,
        ..Ended::of(wallet, stake, settlement.payout, end)
    })
}

/// Writes down how each prediction ended, with its post and events.
async fn close(
    conn: &mut Connection,
    closed: &[(Judged, PredictionSettlement, Timestamp)],
    mut drafts: Vec<EventDraft>,
) -> DbResult<()> {
    let mut new_posts = Vec::with_capacity(closed.len());
    for (case, end, at) in closed {
        let Judged {
            open: Open {
                bot_id, prediction, ..
            },
            verdict,
            start,
            end: end_sample,
        } = case;
        let changed = diesel::update(
            predictions::table
                .find(prediction.id.0)
                .filter(predictions::status.eq(SqlPredictionStatus(PredictionStatus::Open))),
        )
        .set((
            predictions::status.eq(SqlPredictionStatus(end.status)),
            predictions::start_price_id.eq(start.map(|sample| sample.id.0)),
            predictions::start_price.eq(start.map(price_of)),
            predictions::price_source.eq(start.map(|sample| SqlPriceSource(sample.source))),
            predictions::end_price_id.eq(end_sample.map(|sample| sample.id.0)),
            predictions::end_price.eq(end_sample.map(price_of)),
            predictions::payout.eq(SqlMoney(end.payout)),
            predictions::brier.eq(end.brier.map(SqlMoney)),
            predictions::resolved_at.eq(at.datetime()),
        ))
        .execute(conn)
        .await?;
        if changed != 1 {
            return Err(DbError::corrupt(format!(
                "prediction {} was not open",
                prediction.id
            )));
        }
        let post = NewPost {
            bot_id: *bot_id,
            draft: Draft::settlement(prediction.id, prediction.wager, *verdict, end),
            reference: end.movement.posting.reference.to_string(),
            created_at: *at,
        };
        drafts.push(post.event());
        drafts.push(EventDraft {
            kind: EventKind::Prediction,
            data: json!({
                "id": prediction.id,
                "bot_id": bot_id,
                "direction": prediction.direction,
                "wager_amount": prediction.wager.money(),
                "confidence": prediction.confidence,
                "start_price": start.map(|sample| sample.price),
                "end_price": end_sample.map(|sample| sample.price),
                "status": end.status,
                "payout": end.payout,
                "brier": end.brier,
            }),
        });
        new_posts.push(post);
    }
    posts::write(conn, &new_posts).await?;
    events::write(conn, &drafts).await
}

fn price_of(sample: PriceSample) -> SqlMoney {
    SqlMoney(Price::money(sample.price))
}
