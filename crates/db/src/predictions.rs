//! Price predictions: placed by agents, settled by the oracle.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Jsonb, Numeric, Text, Timestamptz, Untyped};
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::economy::{self, EconomyRules};
use ledger_core::ids::PriceId;
use ledger_core::money::{Confidence, Price, Stake};
use ledger_core::post::{Draft, PostKind};
use ledger_core::prediction::{
    self, Direction, OpenPrediction, PredictionSettlement, PredictionStatus, PriceSample,
    PriceSource, Verdict,
};
use ledger_core::{BotId, BotStatus, Entry, Money, ObservationId, PredictionId, Timestamp};
use serde_json::{Value, json};

use crate::PAGE_MAX;
use crate::audit::{self, AuditRow};
use crate::error::{DbError, DbResult};
use crate::events::{self, EventDraft, EventKind};
use crate::idempotency::{self, Remember};
use crate::ledger::{self, Appended, Cause};
use crate::metrics::{self, Usage};
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::prices;
use crate::schema::{predictions, wallets};
use crate::sql::{SqlDirection, SqlMoney, SqlPredictionStatus, SqlPriceSource, statement};

/// A wager as an agent asks for it. Its observation has been redeemed.
#[derive(Debug, Clone)]
pub struct Wager {
    pub bot_id: BotId,
    pub observation_id: ObservationId,
    pub direction: Direction,
    pub stake: Stake,
    pub confidence: Confidence,
    /// One clean line, at most 280 characters.
    pub reasoning: String,
    pub usage: Option<Usage>,
}

/// An accepted action.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub action_id: i64,
    /// `None` for WAIT.
    pub prediction_id: Option<PredictionId>,
    /// `None` for WAIT.
    pub entry: Option<Entry>,
    pub new_balance: Money,
}

statement! {
    struct NextIds { one: i32 as diesel::sql_types::Integer } returns (BigInt, BigInt) =
    "SELECT nextval('predictions_id_seq'), nextval('audit_log_id_seq') WHERE {} = 1"
}

/// Places a wager: entry, prediction, post, audit row and events, in one transaction.
///
/// Two round trips do the work: lock and draw the ids, then everything else as one pipeline.
pub async fn place(
    conn: &mut Connection,
    wager: &Wager,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Accepted>>,
) -> DbResult<Accepted> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let locked = ledger::lock(conn, wager.bot_id).await?;
        let movement = economy::wager(&locked.wallet, wager.stake, rules, wager.observation_id)?;
        let now = locked.now;
        let (prediction_id, action_id): (i64, i64) = NextIds { one: 1 }.get_result(conn).await?;
        let appended = ledger::append(conn, locked, movement, Cause::Action).await?;
        // The time of its entry is the time of the wager: it may lie after the clock's.
        let at = appended
            .entries
            .as_slice()
            .first()
            .map_or(now, |entry| entry.recorded_at);
        Placement {
            wager,
            rules,
            prediction_id,
            action_id,
            appended: &appended,
            at,
        }
        .write(conn)
        .await?;
        if let (Some(usage), Some(wallet)) = (&wager.usage, appended.wallets.as_slice().first()) {
            metrics::record_action(conn, action_id, usage, wallet, rules.enforcement, at).await?;
        }
        let accepted = Accepted {
            action_id,
            prediction_id: Some(PredictionId(prediction_id)),
            new_balance: appended.balance(),
            entry: appended.entries.into_iter().next(),
        };
        idempotency::remember(conn, hook, &accepted).await?;
        Ok(accepted)
    })
    .await
}

/// All that a wager writes beside its entry.
struct Placement<'a> {
    wager: &'a Wager,
    rules: &'a EconomyRules,
    prediction_id: i64,
    action_id: i64,
    appended: &'a Appended,
    at: Timestamp,
}

statement! {
    struct InsertPlacement<'a> {
        prediction_id: i64 as BigInt,
        bot_id: i64 as BigInt,
        observation_id: uuid::Uuid as diesel::sql_types::Uuid,
        direction: &'static str as Text,
        wager_amount: SqlMoney as Numeric,
        confidence: SqlMoney as Numeric,
        reasoning: &'a str as Text,
        created_at: DateTime<Utc> as Timestamptz,
        settles_at: DateTime<Utc> as Timestamptz,
        action_id: i64 as BigInt,
        audit_at: DateTime<Utc> as Timestamptz,
        actor: &'a str as Text,
        audit_bot: i64 as BigInt,
        audit_observation: uuid::Uuid as diesel::sql_types::Uuid,
        detail: Value as Jsonb,
        post_bot: i64 as BigInt,
        post_kind: &'static str as Text,
        content: &'a str as Text,
        reference: &'a str as Text,
        post_at: DateTime<Utc> as Timestamptz,
    } returns Untyped =
    "WITH prediction AS ( \
        INSERT INTO predictions (id, bot_id, observation_id, direction, wager_amount, confidence, \
                                 reasoning, created_at, settles_at) \
        VALUES ({}, {}, {}, {}::direction, {}, {}, {}, {}, {})), \
     audit AS ( \
        INSERT INTO audit_log (id, at, actor, action, bot_id, observation_id, detail) \
        VALUES ({}, {}, {}, 'PREDICT', {}, {}, {})) \
     INSERT INTO posts (bot_id, kind, content, reference, created_at) \
     VALUES ({}, {}::post_kind, {}, {}, {})"
}

impl Placement<'_> {
    async fn write(&self, conn: &mut Connection) -> DbResult<()> {
        let Wager {
            bot_id,
            observation_id,
            direction,
            stake,
            confidence,
            ..
        } = *self.wager;
        let reasoning = self.wager.reasoning.as_str();
        let at = self.at;
        let draft = Draft::wager(stake, direction, confidence, reasoning);
        let reference = economy::observation_reference(observation_id);
        let post = NewPost {
            bot_id,
            draft,
            reference: reference.to_string(),
            created_at: at,
        };
        let settles_at = at.plus_seconds(self.rules.prediction_horizon_seconds);
        let insert = InsertPlacement {
            prediction_id: self.prediction_id,
            bot_id: bot_id.0,
            observation_id: observation_id.0,
            direction: direction.as_str(),
            wager_amount: SqlMoney(stake.money()),
            confidence: SqlMoney(confidence.decimal()),
            reasoning,
            created_at: at.datetime(),
            settles_at: settles_at.datetime(),
            action_id: self.action_id,
            audit_at: at.datetime(),
            actor: &actor_of(bot_id),
            audit_bot: bot_id.0,
            audit_observation: observation_id.0,
            detail: json!({ "prediction_id": self.prediction_id }),
            post_bot: bot_id.0,
            post_kind: PostKind::Wager.as_str(),
            content: &post.draft.content,
            reference: &post.reference,
            post_at: at.datetime(),
        };
        let mut drafts = self.appended.events();
        drafts.push(post.event());
        drafts.push(EventDraft {
            kind: EventKind::Prediction,
            data: json!({
                "id": self.prediction_id,
                "bot_id": bot_id,
                "direction": direction,
                "wager_amount": stake.money(),
                "confidence": confidence,
                "status": PredictionStatus::Open,
                "settles_at": settles_at,
            }),
        });
        let mut shared: &Connection = conn;
        let inserted = insert.execute(&mut shared);
        let told = events::write(shared, &drafts);
        let (inserted, told) = futures_util::future::join(inserted, told).await;
        if inserted? != 1 {
            return Err(DbError::corrupt("a wager did not reach all of its rows"));
        }
        told
    }
}

fn actor_of(bot_id: BotId) -> String {
    format!("bot:{bot_id}")
}

/// Records that a bot looked and chose to wait. Moves no money, uses up the observation.
pub async fn wait(
    conn: &mut Connection,
    bot_id: BotId,
    observation_id: ObservationId,
    reasoning: &str,
    usage: Option<&Usage>,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Accepted>>,
) -> DbResult<Accepted> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let locked = ledger::lock(conn, bot_id).await?;
        economy::alive(&locked.wallet)?;
        let row = AuditRow {
            actor: &actor_of(bot_id),
            action: "WAIT",
            bot_id: Some(bot_id),
            observation_id: Some(observation_id),
            detail: json!({ "reasoning": reasoning }),
        };
        let action_id = audit::write(conn, row).await?;
        diesel::update(wallets::table.find(bot_id.0))
            .set(wallets::last_action_at.eq(locked.now.datetime()))
            .execute(conn)
            .await?;
        if let Some(usage) = usage {
            let mode = rules.enforcement;
            metrics::record_action(conn, action_id, usage, &locked.wallet, mode, locked.now)
                .await?;
        }
        let accepted = Accepted {
            action_id,
            prediction_id: None,
            entry: None,
            new_balance: locked.wallet.balance(),
        };
        idempotency::remember(conn, hook, &accepted).await?;
        Ok(accepted)
    })
    .await
}

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
}

impl From<PredictionRow> for Prediction {
    fn from(row: PredictionRow) -> Prediction {
        Prediction {
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
        }
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
    Ok(rows.into_iter().map(Prediction::from).collect())
}

/// The most predictions that one call of [`assign_start_prices`] serves.
pub const START_MAX: i64 = 5_000;

/// Gives open predictions without a start price the first sample at or after their creation, where
/// one has come; oldest first, at most [`START_MAX`]. Returns how many got theirs. Moves no money.
pub async fn assign_start_prices(conn: &mut Connection, rules: &EconomyRules) -> DbResult<usize> {
    Ok(diesel::sql_query(
        "UPDATE predictions p \
            SET start_price_id = s.id, start_price = s.price, price_source = s.source, \
                settles_at = s.provider_at + make_interval(secs => $1::float8) \
           FROM (SELECT id, created_at FROM predictions \
                  WHERE status = 'OPEN' AND start_price_id IS NULL \
                    AND created_at <= (SELECT max(provider_at) FROM prices) \
                  ORDER BY settles_at, id LIMIT $2 FOR UPDATE SKIP LOCKED) o \
          CROSS JOIN LATERAL (SELECT id, price, source, provider_at FROM prices \
                               WHERE provider_at >= o.created_at \
                               ORDER BY provider_at, id LIMIT 1) s \
          WHERE p.id = o.id",
    )
    .bind::<BigInt, _>(rules.prediction_horizon_seconds)
    .bind::<BigInt, _>(START_MAX)
    .execute(conn)
    .await?)
}

/// Open predictions that may be ready to settle, oldest due first, at most `limit`.
pub async fn due(conn: &mut Connection, limit: i64) -> DbResult<Vec<PredictionId>> {
    let ids: Vec<i64> = predictions::table
        .filter(is_open())
        .filter(predictions::settles_at.le(diesel::dsl::now))
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
pub async fn settle(
    conn: &mut Connection,
    ids: &[PredictionId],
    rules: &EconomyRules,
) -> DbResult<Vec<Settled>> {
    conn.transaction::<_, DbError, _>(async |conn| {
        let open = lock_open(conn, ids).await?;
        let mut judged = Vec::with_capacity(open.len());
        for (bot_id, prediction, start) in open {
            if let Some(case) = judge(conn, bot_id, prediction, start, rules).await? {
                judged.push(case);
            }
        }
        if judged.is_empty() {
            Ok(Vec::new())
        } else {
            pay(conn, judged, rules).await
        }
    })
    .await
}

/// A prediction with its verdict and the samples that gave it.
struct Judged {
    bot_id: BotId,
    prediction: OpenPrediction,
    verdict: Verdict,
    start: Option<PriceSample>,
    end: Option<PriceSample>,
}

type OpenRow = (BotId, OpenPrediction, Option<i64>);

/// Locks the open ones in ascending order of their ids: predictions before wallets, always.
async fn lock_open(conn: &mut Connection, ids: &[PredictionId]) -> DbResult<Vec<OpenRow>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows: Vec<PredictionRow> = predictions::table
        .filter(predictions::id.eq_any(ids))
        .filter(predictions::status.eq(SqlPredictionStatus(PredictionStatus::Open)))
        .order(predictions::id)
        .select(PredictionRow::as_select())
        .for_update()
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            // What was accepted is kept as it was, whatever the smallest stake is by now.
            let smallest = EconomyRules {
                stake_min: row.wager_amount.0,
                ..EconomyRules::default()
            };
            let wager = smallest
                .stake(row.wager_amount.0)
                .map_err(DbError::corrupt)?;
            let prediction = OpenPrediction {
                id: PredictionId(row.id),
                direction: row.direction.0,
                wager,
                confidence: Confidence::new(row.confidence.0).map_err(DbError::corrupt)?,
                created_at: row.created_at.into(),
            };
            Ok((BotId(row.bot_id), prediction, row.start_price_id))
        })
        .collect()
}

async fn judge(
    conn: &mut Connection,
    bot_id: BotId,
    prediction: OpenPrediction,
    start_price_id: Option<i64>,
    rules: &EconomyRules,
) -> DbResult<Option<Judged>> {
    let now = crate::now(conn).await?;
    // Once given, a start price stays, whatever sample arrives late.
    let start = match start_price_id {
        Some(id) => Some(prices::by_id(conn, PriceId(id)).await?),
        None => prices::first_at_or_after(conn, prediction.created_at).await?,
    };
    let end = match &start {
        Some(start) => prices::first_at_or_after(conn, prediction::end_due(start, rules)).await?,
        None => None,
    };
    let verdict = prediction::judge(&prediction, start.as_ref(), end.as_ref(), rules, now);
    Ok(verdict.map(|verdict| Judged {
        bot_id,
        prediction,
        verdict,
        start,
        end,
    }))
}

async fn pay(
    conn: &mut Connection,
    judged: Vec<Judged>,
    rules: &EconomyRules,
) -> DbResult<Vec<Settled>> {
    let mut by_bot: BTreeMap<BotId, Vec<Judged>> = BTreeMap::new();
    for case in judged {
        by_bot.entry(case.bot_id).or_default().push(case);
    }
    let bots: Vec<BotId> = by_bot.keys().copied().collect();
    let locked = ledger::lock_all(conn, &bots).await?;
    if locked.len() != bots.len() {
        return Err(DbError::corrupt("a prediction without a wallet"));
    }
    let mut work = Vec::with_capacity(locked.len());
    let mut closed = Vec::new();
    for wallet in locked {
        let cases = by_bot
            .remove(&wallet.wallet.head.bot_id)
            .unwrap_or_default();
        let mut movements = Vec::with_capacity(cases.len());
        for case in cases {
            let owner: BotStatus = wallet.wallet.status;
            let end = prediction::settle(&case.prediction, case.verdict, owner, rules)
                .ok_or(DbError::Refused(ledger_core::Refusal::Overflow))?;
            movements.push(end.movement.clone());
            closed.push((case, end, wallet.now));
        }
        work.push((wallet, movements));
    }
    let appended = ledger::append_all(conn, work, Cause::House).await?;
    close(conn, &closed, appended.events()).await?;
    Ok(closed
        .iter()
        .map(|(case, end, _)| Settled {
            id: case.prediction.id,
            bot_id: case.bot_id,
            status: end.status,
            payout: end.payout,
        })
        .collect())
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
            prediction,
            verdict,
            start,
            end: end_sample,
            ..
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
            bot_id: case.bot_id,
            draft: Draft::settlement(prediction.id, prediction.wager, *verdict, end),
            reference: end.movement.posting.reference.to_string(),
            created_at: *at,
        };
        drafts.push(post.event());
        drafts.push(EventDraft {
            kind: EventKind::Prediction,
            data: json!({
                "id": prediction.id,
                "bot_id": case.bot_id,
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
