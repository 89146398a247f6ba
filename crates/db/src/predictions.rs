//! Price predictions: read by everybody, settled by the oracle. [`crate::actions`] places them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Numeric, Text, Timestamptz, Untyped};
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::NewEvent;
use ledger_core::economy::{EconomyRules, Wallet};
use ledger_core::event::PredictionEnded;
use ledger_core::ids::PriceId;
use ledger_core::money::{Confidence, Price, Stake};
use ledger_core::post::Draft;
use ledger_core::prediction::{
    self, Direction, Found, Known, OpenPrediction, PredictionSettlement, PredictionStatus,
    PriceSample, PriceSource, SAMPLE_AGE_MAX_SECONDS, Verdict, VoidReason,
};
use ledger_core::{BotId, BotStatus, Hash, Money, PredictionId, Timestamp};

use crate::PAGE_MAX;
use crate::error::{DbError, DbResult};
use crate::events;
use crate::house;
use crate::ledger::{self, Cause};
use crate::pauses::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::prices;
use crate::rules::{self, digest_of};
use crate::schema::predictions;
use crate::sql::{Prepare, SqlDirection, SqlMoney, SqlPredictionStatus, SqlPriceSource, statement};
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
    reserved: SqlMoney,
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

fn is_open() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    has_status(PredictionStatus::Open)
}

/// As a literal: a prepared statement with a parameter here cannot use the partial indexes.
fn has_status(status: PredictionStatus) -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    sql(match status {
        PredictionStatus::Open => "status = 'OPEN'",
        PredictionStatus::Won => "status = 'WON'",
        PredictionStatus::Lost => "status = 'LOST'",
        PredictionStatus::Void => "status = 'VOID'",
        PredictionStatus::Forfeit => "status = 'FORFEIT'",
    })
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
    if let Some(status) = filter.status {
        query = query.filter(has_status(status));
    }
    let rows: Vec<PredictionRow> = query.load(conn).await?;
    rows.into_iter().map(Prediction::try_from).collect()
}

/// The most predictions that one call of [`assign_start_prices`] serves.
pub const START_MAX: i64 = 5_000;

/// Gives open predictions without a start price the first sample that was taken in time after it was
/// due, where one was; oldest first, at most [`START_MAX`] of each set of rules. Returns how many got
/// theirs. Moves no money. `in_force` are for rows that name no rules.
pub async fn assign_start_prices(
    conn: &mut Connection,
    in_force: &EconomyRules,
) -> DbResult<usize> {
    let waiting: Vec<Option<Vec<u8>>> = predictions::table
        .filter(is_open())
        .filter(predictions::start_price_id.is_null())
        .select(predictions::rules)
        .distinct()
        .prepared()
        .load(conn)
        .await?;
    let mut assigned = 0;
    for digest in waiting {
        let rules = rules::of(conn, digest_of(digest.clone())?, in_force).await?;
        let in_time = rules.in_time_seconds();
        // Where no sample was taken in time, none will be: history decides, one by one.
        let hopeless = rules.sample_lag_seconds + in_time + SAMPLE_AGE_MAX_SECONDS;
        // Not prepared: a plan for whatever values may come reads far more than one for these.
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
        .bind::<Nullable<Binary>, _>(digest)
        .bind::<BigInt, _>(hopeless)
        .bind::<BigInt, _>(START_MAX)
        .bind::<BigInt, _>(in_time)
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
        .prepared()
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
    /// Of one that is void because no source told its prices: how it leaned.
    pub unpriced: Option<Unpriced>,
}

/// A prediction that is void because no source told its prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpriced {
    pub direction: Direction,
    /// How it would have ended by the nearest prices there are, of any sources; `None` if there are
    /// none, or they are equal.
    pub would_have: Option<PredictionStatus>,
}

/// A price that a prediction waits for and that only its source's history can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// `None` while no source is the prediction's own: the first real one that tells it will be.
    pub source: Option<PriceSource>,
    /// Whether another real source may tell it in its own source's place.
    pub elsewhere: bool,
    pub due: Timestamp,
    /// A later price is not the one that was due.
    pub last: Timestamp,
}

/// What came of an attempt to settle predictions.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub settled: Vec<Settled>,
    /// What those wait for that were put off until some history is read.
    pub wants: Vec<Want>,
}

/// What becomes of a prediction whose prices nobody told until its rules give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPrices {
    /// It waits on.
    Await,
    /// It is void once sources have been asked for so long, without interruption, as its rules wait.
    Asked { seconds: i64 },
    /// It is void.
    Void,
}

/// Who waits for a history is looked at again after so long.
const PUT_OFF_SECONDS: i64 = 30;

/// Settles those of `ids` that are open and whose prices are known, in one transaction. What is
/// settled already, or must still wait, is passed over: a repeated call pays nothing twice.
///
/// Each is judged and paid by the rules that it names; `in_force` are for rows that name none.
pub async fn settle(
    conn: &mut Connection,
    ids: &[PredictionId],
    in_force: &EconomyRules,
    missing: MissingPrices,
) -> DbResult<Outcome> {
    conn.transaction::<_, DbError, _>(async |conn| {
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
                .set(predictions::settles_at.eq(again.datetime()))
                .execute(conn)
                .await?;
        }
        let settled = if judged.is_empty() {
            Vec::new()
        } else {
            pay(conn, judged).await?
        };
        Ok(Outcome { settled, wants })
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
    /// What the house set aside for it.
    reserved: Money,
}

/// The time and the prices that the judgements of one transaction share, as each was first read: most
/// predictions of a batch began and end with the same samples. What is recorded meanwhile counts the next
/// time.
struct SharedReads {
    now: Timestamp,
    starts: HashMap<PriceId, PriceSample>,
    /// By source, time and how far the rules look.
    known: HashMap<(PriceSource, Timestamp, i64, i64), Known>,
}

impl SharedReads {
    async fn open(conn: &mut Connection) -> DbResult<SharedReads> {
        Ok(SharedReads {
            now: crate::now(conn).await?,
            starts: HashMap::new(),
            known: HashMap::new(),
        })
    }

    async fn start(&mut self, conn: &mut Connection, id: PriceId) -> DbResult<PriceSample> {
        if let Some(sample) = self.starts.get(&id) {
            return Ok(*sample);
        }
        let sample = prices::by_id(conn, id).await?;
        self.starts.insert(id, sample);
        Ok(sample)
    }

    async fn known(
        &mut self,
        conn: &mut Connection,
        source: PriceSource,
        due: Timestamp,
        rules: &EconomyRules,
    ) -> DbResult<Known> {
        let looks = (rules.sample_grace_seconds, rules.in_time_seconds());
        let key = (source, due, looks.0, looks.1);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let known = prices::known(conn, source, due, rules).await?;
        self.known.insert(key, known);
        Ok(known)
    }
}

/// What is to be done with a prediction now.
enum Judgement {
    Decided(Judged),
    /// A sample may still be taken in time.
    Waits,
    Wants(Want),
}

/// A prediction with its verdict and the samples that gave it.
struct Judged {
    open: Open,
    verdict: Verdict,
    start: Option<PriceSample>,
    end: Option<PriceSample>,
    unpriced: Option<Unpriced>,
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
        let stake = Stake::kept(row.wager_amount.0);
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
            reserved: row.reserved.0,
        });
    }
    Ok(open)
}

/// Looks for a prediction's two prices: at its own source first, whose samples or history decide; and
/// where that is silent for longer than the grace period, at the other real sources, start and end of
/// the same one.
async fn judge(
    conn: &mut Connection,
    reads: &mut SharedReads,
    open: Open,
    missing: MissingPrices,
) -> DbResult<Judgement> {
    let now = reads.now;
    let Open {
        prediction, rules, ..
    } = &open;
    let first_due = prediction::start_due(prediction.created_at, rules);
    let in_time = rules.in_time_seconds();
    // Once given, a start price stays, whatever sample arrives late.
    let start = match open.start_price_id {
        Some(id) => Some(reads.start(conn, PriceId(id)).await?),
        None => prices::first_taken(conn, first_due, first_due.plus_seconds(in_time)).await?,
    };
    let own = start.map(|start| start.source);
    let due = start.map_or(first_due, |start| prediction::end_due(&start, rules));
    if let Some(start) = start {
        let end = reads.known(conn, start.source, due, rules).await?;
        if let Found::Price(end) = end.find(due, rules) {
            return Ok(decided(open, start, end));
        }
    }
    if now <= due.plus_seconds(in_time) {
        return Ok(Judgement::Waits);
    }
    let elsewhere = own.is_none_or(PriceSource::is_real)
        && (own.is_none() || now > due.plus_seconds(rules.sample_grace_seconds));
    if elsewhere {
        for source in PriceSource::ALL {
            let may_be = match own {
                Some(own) => source != own && source.is_real(),
                None => true,
            };
            if may_be
                && let Some((start, end)) = pair(conn, reads, source, first_due, rules).await?
            {
                return Ok(decided(open, start, end));
            }
        }
    }
    let all_asked = match missing {
        MissingPrices::Await => false,
        MissingPrices::Asked { seconds } => seconds >= rules.sample_patience_seconds,
        MissingPrices::Void => true,
    };
    if all_asked && now > prediction::waits_until(prediction.created_at, rules) {
        let (start, end) = last_resort(conn, start, first_due, rules).await?;
        if let Some((start, end)) = start.zip(end) {
            return Ok(decided(open, start, end));
        }
        // A void names its start where there was one.
        let unpriced = lean(conn, prediction, first_due, due).await?;
        return Ok(Judgement::Decided(Judged {
            open,
            verdict: Verdict::Void(VoidReason::SampleMissing),
            start,
            end: None,
            unpriced: Some(unpriced),
        }));
    }
    let latest = rules.prediction_horizon_seconds + 2 * rules.sample_grace_seconds;
    Ok(Judgement::Wants(Want {
        source: own,
        elsewhere,
        due: if elsewhere { first_due } else { due },
        last: first_due.plus_seconds(latest),
    }))
}

fn decided(open: Open, start: PriceSample, end: PriceSample) -> Judgement {
    let verdict = prediction::judge(open.prediction.direction, &start, &end);
    Judgement::Decided(Judged {
        open,
        verdict,
        start: Some(start),
        end: Some(end),
        unpriced: None,
    })
}

/// Start and end of one source, if both are known.
async fn pair(
    conn: &mut Connection,
    reads: &mut SharedReads,
    source: PriceSource,
    first_due: Timestamp,
    rules: &EconomyRules,
) -> DbResult<Option<(PriceSample, PriceSample)>> {
    let start = reads.known(conn, source, first_due, rules).await?;
    let Found::Price(start) = start.find(first_due, rules) else {
        return Ok(None);
    };
    let due = prediction::end_due(&start, rules);
    let end = reads.known(conn, source, due, rules).await?;
    Ok(match end.find(due, rules) {
        Found::Price(end) => Some((start, end)),
        Found::Nothing | Found::NotYet => None,
    })
}

/// What there is within the grace period once nobody tells more: a price that came late is better than
/// none. The own source comes first; then that other one whose pair began first, real ones before
/// invented ones. Beside a real source of its own a prediction is judged by real ones alone.
async fn last_resort(
    conn: &mut Connection,
    own: Option<PriceSample>,
    first_due: Timestamp,
    rules: &EconomyRules,
) -> DbResult<(Option<PriceSample>, Option<PriceSample>)> {
    let grace = rules.sample_grace_seconds;
    let mut starts = Vec::new();
    if own.is_none_or(|own| own.source.is_real()) {
        for source in PriceSource::ALL {
            let may_be = own.is_none_or(|own| source != own.source && source.is_real());
            if may_be {
                starts.extend(prices::first(conn, source, first_due, grace).await?);
            }
        }
    }
    starts.sort_by_key(|start| (!start.source.is_real(), start.provider_at, start.id));
    starts.splice(0..0, own);
    for start in &starts {
        let due = prediction::end_due(start, rules);
        if let Some(end) = prices::first(conn, start.source, due, grace).await? {
            return Ok((Some(*start), Some(end)));
        }
    }
    Ok((<[_]>::first(&starts).copied(), None))
}

/// How a prediction without prices would have ended by the nearest later ones.
async fn lean(
    conn: &mut Connection,
    prediction: &OpenPrediction,
    first_due: Timestamp,
    due: Timestamp,
) -> DbResult<Unpriced> {
    let start = nearest(conn, first_due).await?;
    let end = nearest(conn, due).await?;
    let verdict = start
        .zip(end)
        .map(|(start, end)| prediction::judge(prediction.direction, &start, &end));
    Ok(Unpriced {
        direction: prediction.direction,
        would_have: match verdict {
            Some(Verdict::Right) => Some(PredictionStatus::Won),
            Some(Verdict::Wrong) => Some(PredictionStatus::Lost),
            Some(Verdict::Void(_)) | None => None,
        },
    })
}

async fn nearest(conn: &mut Connection, at: Timestamp) -> DbResult<Option<PriceSample>> {
    prices::first_taken(conn, at, at.plus_seconds(LEAN_SECONDS)).await
}

/// How far the nearest prices may lie that tell how a void prediction leaned.
const LEAN_SECONDS: i64 = 86_400;

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
            reserved += i128::from(case.open.reserved.units());
            minted += i128::from(end.movement.minted().units());
            movements.push(end.movement.clone());
            ended.extend(ended_as(&wallet.wallet, prediction, &end));
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

statement! {
    /// No earlier than its samples were kept, even where a clock was set back since.
    struct Close {
        id: Vec<i64> as Array<BigInt>,
        status: Vec<&'static str> as Array<Text>,
        start_id: Vec<Option<i64>> as Array<Nullable<BigInt>>,
        start_price: Vec<Option<SqlMoney>> as Array<Nullable<Numeric>>,
        source: Vec<Option<&'static str>> as Array<Nullable<Text>>,
        end_id: Vec<Option<i64>> as Array<Nullable<BigInt>>,
        end_price: Vec<Option<SqlMoney>> as Array<Nullable<Numeric>>,
        payout: Vec<SqlMoney> as Array<Numeric>,
        brier: Vec<Option<SqlMoney>> as Array<Nullable<Numeric>>,
        at: Vec<DateTime<Utc>> as Array<Timestamptz>,
        ids: Vec<i64> as Array<BigInt>,
    } returns Untyped =
    // The ids once more as an array: for many at once, a join alone would read all predictions.
    "UPDATE predictions p \
        SET status = c.status::prediction_status, start_price_id = c.start_id, start_price = c.start_price, \
            price_source = c.source::price_source, end_price_id = c.end_id, end_price = c.end_price, \
            payout = c.payout, brier = c.brier, \
            resolved_at = greatest(c.at, \
                (SELECT max(sampled_at) FROM prices WHERE prices.id IN (c.start_id, c.end_id))) \
       FROM UNNEST({}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
         AS c (id, status, start_id, start_price, source, end_id, end_price, payout, brier, at) \
      WHERE p.id = c.id AND p.id = ANY ({}) AND p.status = 'OPEN'"
}

impl Close {
    fn of(closed: &[(Judged, PredictionSettlement, Timestamp)]) -> Close {
        let ids: Vec<i64> = closed
            .iter()
            .map(|(case, ..)| case.open.prediction.id.0)
            .collect();
        let each = || closed.iter();
        let starts = || closed.iter().map(|(case, ..)| case.start);
        let ends = || closed.iter().map(|(case, ..)| case.end);
        Close {
            status: each().map(|(_, end, _)| end.status.as_str()).collect(),
            start_id: starts().map(|it| it.map(|it| it.id.0)).collect(),
            start_price: starts().map(|it| it.map(price_of)).collect(),
            source: starts().map(|it| it.map(|it| it.source.as_str())).collect(),
            end_id: ends().map(|it| it.map(|it| it.id.0)).collect(),
            end_price: ends().map(|it| it.map(price_of)).collect(),
            payout: each().map(|(_, end, _)| SqlMoney(end.payout)).collect(),
            brier: each().map(|(_, end, _)| end.brier.map(SqlMoney)).collect(),
            at: each().map(|(.., at)| at.datetime()).collect(),
            id: ids.clone(),
            ids,
        }
    }
}

/// Writes down how each prediction ended, with its post and events.
async fn close(
    conn: &mut Connection,
    closed: &[(Judged, PredictionSettlement, Timestamp)],
    mut drafts: Vec<NewEvent>,
) -> DbResult<()> {
    if Close::of(closed).execute(conn).await? != closed.len() {
        let ids: Vec<_> = closed
            .iter()
            .map(|(case, ..)| case.open.prediction.id.to_string())
            .collect();
        let ids = ids.join(", ");
        return Err(DbError::corrupt(format!(
            "one of the predictions {ids} was not open"
        )));
    }
    let mut new_posts = Vec::with_capacity(closed.len());
    for (case, end, at) in closed {
        let Judged {
            open: Open {
                bot_id, prediction, ..
            },
            verdict,
            start,
            end: end_sample,
            ..
        } = case;
        let post = NewPost {
            bot_id: *bot_id,
            draft: Draft::settlement(prediction.id, prediction.wager, *verdict, end),
            reference: end.movement.posting.reference.to_string(),
            created_at: *at,
        };
        drafts.push(post.event());
        drafts.push(NewEvent::PredictionEnded(PredictionEnded {
            id: prediction.id,
            bot_id: *bot_id,
            direction: prediction.direction,
            wager_amount: prediction.wager.money(),
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

fn price_of(sample: PriceSample) -> SqlMoney {
    SqlMoney(Price::money(sample.price))
}
