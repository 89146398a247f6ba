//! How predictions end: judged by their prices, and paid once.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::EconomyRules;
use ledger_core::event::PredictionEnded;
use ledger_core::ids::PriceId;
use ledger_core::money::{Confidence, Stake};
use ledger_core::post::Draft;
use ledger_core::prediction::{
    self, Direction, OpenPrediction, PredictionSettlement, PredictionStatus, PriceSample,
    PriceSource,
};
use ledger_core::{BotId, BotStatus, Money, NewEvent, PredictionId, Timestamp};

use super::Prediction;
use super::judge::{Judged, Judgement, SharedReads, judge};
use crate::error::{DbError, DbResult};
use crate::events;
use crate::house;
use crate::ledger::{self, Cause};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::prices;
use crate::rules;
use crate::schema::predictions;
use crate::schema::sql_types::{Array, BigInt, Instant, Nullable, Text, Units};
use crate::sql::{Prepare, Sql, column};
use crate::totals::{self, Ended};
use crate::tx;

/// A prediction that was settled.
#[derive(Debug, Clone)]
pub struct Settled {
    pub id: PredictionId,
    pub bot_id: BotId,
    pub status: PredictionStatus,
    pub payout: Money,
    /// For one that is void because no source had its prices: its likely result.
    pub unpriced: Option<Unpriced>,
}

/// A prediction that is void because no source had its prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpriced {
    pub direction: Direction,
    /// How it would have ended by the nearest prices there are, of any sources; `None` if there are
    /// none, or they are equal.
    pub would_have: Option<PredictionStatus>,
}

/// A price that a prediction waits for and that only its source's history can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// `None` while the prediction has no source: the first real one with a price becomes its own.
    pub source: Option<PriceSource>,
    /// Whether another real source may replace its own.
    pub elsewhere: bool,
    pub due: Timestamp,
    /// A later price is not the one that was due.
    pub last: Timestamp,
}

/// The result of an attempt to settle predictions.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub settled: Vec<Settled>,
    /// The histories that deferred predictions wait for.
    pub wants: Vec<Want>,
}

/// The result of a prediction without prices at the waiting limit of its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPrices {
    /// It waits on.
    Await,
    /// It becomes void when sources have been queried, without interruption, for the waiting limit
    /// of its rules.
    Asked { seconds: i64 },
    /// It is void.
    Void,
}

/// The delay until a prediction that waits for a history is checked again.
const PUT_OFF_SECONDS: i64 = 30;

/// Settles those of `ids` that are open and whose prices are known, in one transaction. Predictions
/// that are settled or must wait are skipped: a repeated call pays nothing twice.
///
/// Each is judged and paid by the rules that it names; `in_force` are for rows that name none.
///
/// # Errors
/// [`DbError::Refused`] while the arena is paused; [`DbError::Corrupt`] where a row contradicts its wallet.
/// Then nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn settle(
    conn: &mut Connection,
    ids: &[PredictionId],
    in_force: &EconomyRules,
    missing: MissingPrices,
) -> DbResult<Outcome> {
    tx::run(conn, None, async |conn| {
        let open = lock_open(conn, ids, in_force).await?;
        let mut reads = SharedReads::open(conn).await?;
        let mut judged = Vec::with_capacity(open.len());
        let (mut put_off, mut wants) = (Vec::new(), Vec::new());
        for open in open {
            let id = open.prediction.id.0;
            match judge(conn, &mut reads, open, missing).await? {
                Judgement::Decided(case) => judged.push(case),
                Judgement::Waits => {}
                Judgement::Wants(want) => {
                    put_off.push(id);
                    wants.push(want);
                }
            }
        }
        if !put_off.is_empty() {
            let again = reads.now.plus_seconds(PUT_OFF_SECONDS);
            diesel::update(predictions::table.filter(predictions::id.eq_any(put_off)))
                .set(predictions::settles_at.eq(Sql(again)))
                .execute(conn)
                .await?;
        }
        let settled = if judged.is_empty() { Vec::new() } else { pay(conn, judged).await? };
        Ok(Outcome { settled, wants })
    })
    .await
}

/// An open prediction, locked.
pub(super) struct Open {
    pub(super) bot_id: BotId,
    pub(super) prediction: OpenPrediction,
    pub(super) start: Option<PriceSample>,
    /// Those in force when it was opened.
    pub(super) rules: Arc<EconomyRules>,
    /// The amount that the house reserved for it.
    pub(super) reserved: Money,
}

/// Locks the open ones in ascending order of their ids: predictions before wallets, always.
async fn lock_open(
    conn: &mut Connection,
    ids: &[PredictionId],
    in_force: &EconomyRules,
) -> DbResult<Vec<Open>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<(Prediction, Option<i64>, Money)> = predictions::table
        .filter(predictions::id.eq_any(ids))
        .filter(predictions::status.eq(Sql(PredictionStatus::Open)))
        .order(predictions::id)
        .select((Prediction::as_select(), predictions::start_price_id, predictions::reserved))
        .for_update()
        .load(conn)
        .await?;
    let starts = prices::by_ids(conn, rows.iter().filter_map(|(_, start, _)| *start)).await?;
    let start_of = |id| {
        let start = starts.get(&PriceId(id)).copied();
        start.ok_or_else(|| DbError::corrupt(format!("price {id} is gone")))
    };
    let mut open = Vec::with_capacity(rows.len());
    for (row, start, reserved) in rows {
        let prediction = OpenPrediction {
            id: row.id,
            direction: row.direction,
            stake: Stake::kept(row.wager_amount).map_err(DbError::corrupt)?,
            confidence: Confidence::new(row.confidence).map_err(DbError::corrupt)?,
            created_at: row.created_at,
        };
        open.push(Open {
            bot_id: row.bot_id,
            prediction,
            start: start.map(start_of).transpose()?,
            rules: rules::of(conn, row.rules, in_force).await?,
            reserved,
        });
    }
    Ok(open)
}

async fn pay(conn: &mut Connection, judged: Vec<Judged>) -> DbResult<Vec<Settled>> {
    let mut by_bot: BTreeMap<BotId, Vec<Judged>> = BTreeMap::new();
    for case in judged {
        by_bot.entry(case.open.bot_id).or_default().push(case);
    }
    let bots: Vec<BotId> = by_bot.keys().copied().collect();
    let locked = ledger::lock_all(conn, WhilePaused::Refuse, &bots).await?;
    if locked.len() != bots.len() {
        return Err(DbError::corrupt("a prediction without a wallet"));
    }
    let mut work = Vec::with_capacity(locked.len());
    let (mut reserved, mut minted) = (0_i128, 0_i128);
    let (mut closed, mut ended) = (Vec::new(), Vec::new());
    for wallet in locked {
        let cases = by_bot.remove(&wallet.wallet.head.bot_id).unwrap_or_default();
        let mut movements = Vec::with_capacity(cases.len());
        for case in cases {
            let owner: BotStatus = wallet.wallet.status;
            let Open { prediction, rules, .. } = &case.open;
            let end = prediction::settle(prediction, case.verdict, owner, rules)
                .ok_or(DbError::Refused(ledger_core::Refusal::Overflow))?;
            reserved += i128::from(case.open.reserved.units());
            minted += i128::from(end.movement.minted().units());
            movements.push(end.movement.clone());
            let stake = prediction.stake.money();
            ended.extend(Ended::of(&wallet.wallet, stake, &end.movement, end.brier));
            closed.push((case, end, wallet.now));
        }
        work.push((wallet, movements));
    }
    let appended = ledger::append_all(conn, work, Cause::House).await?;
    close(conn, &closed, appended.events()).await?;
    totals::add_ended(conn, &ended).await?;
    // The last lock of all: every wager wants it.
    house::settle(conn, reserved, minted).await?;
    Ok(closed
        .iter()
        .map(|(case, end, _)| Settled {
            id: case.open.prediction.id,
            bot_id: case.open.bot_id,
            status: end.status,
            payout: end.payout,
            unpriced: case.unpriced,
        })
        .collect())
}

/// A prediction with how it ended, and when.
type Closed = (Judged, PredictionSettlement, Timestamp);

/// No earlier than its samples were kept, even where a clock was set back since.
async fn close_rows(conn: &mut Connection, closed: &[Closed]) -> DbResult<()> {
    let ids = column(closed, |(case, ..)| case.open.prediction.id.0);
    let starts = || closed.iter().map(|(case, ..)| &case.start);
    let ends = || closed.iter().map(|(case, ..)| &case.end);
    let written = diesel::sql_query(
        // The ids once more as an array: for many at once, a join alone would read all predictions.
        "UPDATE predictions p \
            SET status = c.status::prediction_status, start_price_id = c.start_id, start_price = c.start_price, \
                price_source = c.source::price_source, end_price_id = c.end_id, end_price = c.end_price, \
                payout = c.payout, brier = c.brier, \
                resolved_at = greatest(c.at, \
                    (SELECT max(sampled_at) FROM prices WHERE prices.id IN (c.start_id, c.end_id))) \
           FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             AS c (id, status, start_id, start_price, source, end_id, end_price, payout, brier, at) \
          WHERE p.id = c.id AND p.id = ANY ($1) AND p.status = 'OPEN'",
    )
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Array<Text>, _>(column(closed, |(_, end, _)| end.status.as_str()))
    .bind::<Array<Nullable<BigInt>>, _>(column(starts(), |it| it.map(|it| it.id.0)))
    .bind::<Array<Nullable<Units>>, _>(column(starts(), |it| it.map(|it| it.price)))
    .bind::<Array<Nullable<Text>>, _>(column(starts(), |it| it.map(|it| it.source.as_str())))
    .bind::<Array<Nullable<BigInt>>, _>(column(ends(), |it| it.map(|it| it.id.0)))
    .bind::<Array<Nullable<Units>>, _>(column(ends(), |it| it.map(|it| it.price)))
    .bind::<Array<Units>, _>(column(closed, |(_, end, _)| end.payout))
    .bind::<Array<Nullable<Units>>, _>(column(closed, |(_, end, _)| end.brier))
    .bind::<Array<Instant>, _>(column(closed, |(.., at)| *at))
    .prepared()
    .execute(conn)
    .await?;
    if written == closed.len() {
        return Ok(());
    }
    let ids: Vec<String> = column(&ids, ToString::to_string);
    let ids = ids.join(", ");
    Err(DbError::corrupt(format!("one of the predictions {ids} was not open")))
}

/// Writes down how each prediction ended, with its post and events.
async fn close(
    conn: &mut Connection,
    closed: &[Closed],
    mut drafts: Vec<NewEvent>,
) -> DbResult<()> {
    close_rows(conn, closed).await?;
    let mut new_posts = Vec::with_capacity(closed.len());
    for (case, end, at) in closed {
        let Judged {
            open: Open { bot_id, prediction, .. }, verdict, start, end: end_sample, ..
        } = case;
        let post = NewPost {
            bot_id: *bot_id,
            draft: Draft::settlement(prediction.id, prediction.stake, *verdict, end),
            reference: end.movement.posting.reference.to_string(),
            created_at: *at,
        };
        drafts.push(post.event());
        drafts.push(NewEvent::PredictionEnded(PredictionEnded {
            id: prediction.id,
            bot_id: *bot_id,
            direction: prediction.direction,
            wager_amount: prediction.stake.money(),
            confidence: prediction.confidence,
            start_price: start.map(|sample| sample.price),
            end_price: end_sample.map(|sample| sample.price),
            status: end.status,
            payout: end.payout,
            brier: end.brier,
        }));
        new_posts.push(post);
    }
    posts::write(conn, &new_posts).await?;
    events::write(conn, &drafts).await
}
