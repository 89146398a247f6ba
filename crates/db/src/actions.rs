//! The actions of an agent with an observation: a wager on a price, or WAIT.
//!
//! A wager moves money and writes to six tables. Most of its cost is its statements and its commit,
//! not its rows. So [`place_all`] places all waiting wagers with the statements of one; only
//! reported usage and a stored answer add a statement for each wager.

mod wait;

use diesel_async::RunQueryDsl;
use futures_util::future::{join, join_all, join3};
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules, Wallet};
use ledger_core::event::PredictionOpened;
use ledger_core::money::{Confidence, Stake};
use ledger_core::post::{Draft, PostKind};
use ledger_core::prediction::{self, Direction, PredictionStatus};
use ledger_core::{BotId, Entry, Hash, Money, ObservationId, PredictionId, Refusal, Timestamp};

pub(crate) use wait::wait_in;
pub use wait::{Wait, wait};

use crate::error::{Conflict, DbError, DbResult, first_cause};
use crate::events;
use crate::house::{self, Exposure};
use crate::idempotency::{self, Remember};
use crate::ledger::{self, Cause, Locked};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::NewPost;
use crate::schema::sql_types::{Array, BigInt, Binary, Instant, Text, Units, Uuid};
use crate::sql::{Prepare, column, reached, statement};
use crate::tx;
use crate::usage::{self, Usage};

/// An agent's request for a wager. Its observation has been redeemed.
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

/// One of many wagers, with the answer to keep where its request may be repeated.
pub struct Placing<'a> {
    pub wager: &'a Wager,
    pub hook: Option<&'a Remember<'a, Accepted>>,
}

/// The result of one of many wagers.
#[derive(Debug)]
pub enum Placed {
    Accepted(Accepted),
    /// The rules refused this one.
    Refused(Refusal),
    /// Untouched: its wallet is locked, another wager of its bot came before it, or the bot does
    /// not exist. [`place`] waits for the lock, or returns the error.
    Passed,
}

/// Places a wager: entry, prediction, post, audit row and events, in one transaction.
///
/// # Errors
/// [`DbError::Refused`] by a rule, also for the house's budget; [`DbError::NotFound`] for an unknown bot;
/// [`Conflict::ObservationUsed`] for an observation that was used before. Then nothing was written. Otherwise
/// see [`DbError`].
#[crate::boxed]
pub async fn place(
    conn: &mut Connection,
    wager: &Wager,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Accepted>>,
) -> DbResult<Accepted> {
    let placing = Placing { wager, hook };
    // `write_extras` stores the answer in the round trip of the rows, so the runner gets none.
    let placed = tx::run(conn, None, async |conn| place_in(conn, &placing, rules).await).await;
    match placed {
        Err(error) => Err(refusal_of(conn, error, wager, rules).await),
        placed => placed,
    }
}

/// The error for a failure to place a wager. The house's budget is read after the transaction:
/// inside it, the house's row would stay locked and block all other wagers.
pub(crate) async fn refusal_of(
    conn: &mut Connection,
    error: DbError,
    wager: &Wager,
    rules: &EconomyRules,
) -> DbError {
    if !matches!(error, DbError::Conflict(Conflict::HouseBudget)) {
        return error;
    }
    let Some(loss) = rules.house_loss_of(wager.stake) else {
        return Refusal::Overflow.into();
    };
    match house::refusal(conn, loss, rules.house_loss_budget_per_hour).await {
        Ok(refusal) => refusal.into(),
        Err(error) => error,
    }
}

/// [`place`] in the caller's transaction.
pub(crate) async fn place_in(
    conn: &mut Connection,
    placing: &Placing<'_>,
    rules: &EconomyRules,
) -> DbResult<Accepted> {
    let locked = ledger::lock(conn, WhilePaused::Refuse, placing.wager.bot_id);
    let (locked, ids, house) = join3(locked, Ids::draw(conn, 1), House::of(conn, rules)).await;
    let mut outcomes = decide_and_write(conn, vec![(locked?, placing)], ids?, house?).await?;
    let outcome = outcomes.pop();
    Ok(outcome.ok_or_else(|| DbError::corrupt("a wager without an outcome"))??)
}

/// Places many wagers in one transaction, each refused or accepted on its own, and answers in their
/// order. A locked wallet does not delay the others: its wager is skipped.
///
/// # Errors
/// If one of them is impossible, such as an observation used before, or if others used up the
/// house's budget meanwhile, none is placed.
#[crate::boxed]
pub async fn place_all(
    conn: &mut Connection,
    placings: &[Placing<'_>],
    rules: &EconomyRules,
) -> DbResult<Vec<Placed>> {
    let bots: Vec<BotId> = placings.iter().map(|p| p.wager.bot_id).collect();
    tx::run_once(conn, async |conn| {
        let (locked, ids, house) = join3(
            ledger::lock_free(conn, WhilePaused::Refuse, &bots),
            Ids::draw(conn, placings.len()),
            House::of(conn, rules),
        )
        .await;
        let mut outcomes: Vec<Placed> = placings.iter().map(|_| Placed::Passed).collect();
        let (mut places, mut cases) = (Vec::new(), Vec::new());
        for locked in locked? {
            let bot_id = locked.wallet.head.bot_id;
            let found =
                placings.iter().enumerate().find(|(_, placing)| placing.wager.bot_id == bot_id);
            if let Some((place, placing)) = found {
                places.push(place);
                cases.push((locked, placing));
            }
        }
        let decided = decide_and_write(conn, cases, ids?, house?).await?;
        for (place, outcome) in places.into_iter().zip(decided) {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome.map_or_else(Placed::Refused, Placed::Accepted);
            }
        }
        Ok(outcomes)
    })
    .await
}

/// Ids for a prediction and its line in the audit log. They are drawn along with the lock, so those
/// of a refused wager stay unused.
struct Ids(Vec<(i64, i64)>);

statement! {
    struct DrawIds { count: i64 as BigInt } returns (BigInt, BigInt) =
    "SELECT nextval('predictions_id_seq'), nextval('audit_log_id_seq') FROM generate_series(1, {})"
}

impl Ids {
    async fn draw(mut conn: &Connection, count: usize) -> DbResult<Ids> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Ids(DrawIds { count }.load(&mut conn).await?))
    }
}

/// The rules in force, which are stored, and the house's exposure by them.
#[derive(Clone, Copy)]
struct House<'a> {
    rules: &'a EconomyRules,
    digest: Hash,
    exposure: Exposure,
}

impl<'a> House<'a> {
    async fn of(conn: &Connection, rules: &'a EconomyRules) -> DbResult<House<'a>> {
        let (digest, exposure) = join(crate::rules::keep(conn, rules), house::look(conn)).await;
        Ok(House { rules, digest: digest?, exposure: exposure? })
    }

    /// Whether a wager fits into the budget with `taken` units of others; returns its highest cost.
    fn admit(&self, taken: i128, wager: &Wager) -> Result<i128, Money> {
        // Amounts beyond the range of money were refused before.
        let loss = self.rules.house_loss_of(wager.stake).unwrap_or_default();
        let units = i128::from(loss.units());
        let budget = self.rules.house_loss_budget_per_hour;
        if self.exposure.has_room_for(taken + units, budget) { Ok(units) } else { Err(loss) }
    }
}

/// An accepted wager, with the values of its rows.
struct Placement<'a> {
    placing: &'a Placing<'a>,
    prediction_id: i64,
    action_id: i64,
    post: NewPost,
    wallet: Wallet,
    /// When it was made: the time of its entry, which may lie after the clock's.
    at: Timestamp,
    settles_at: Timestamp,
    /// The house's part of the payout if it is right.
    reserved: Money,
    accepted: Accepted,
}

/// Decides each wager on its wallet and writes those that are accepted, as one pipeline. Answers in
/// the order of `cases`.
async fn decide_and_write<'a>(
    conn: &Connection,
    cases: Vec<(Locked, &'a Placing<'a>)>,
    ids: Ids,
    house: House<'_>,
) -> DbResult<Vec<Result<Accepted, Refusal>>> {
    let rules = house.rules;
    let budget = rules.house_loss_budget_per_hour;
    let (mut at_risk, mut full) = (0_i128, None);
    let mut outcomes = Vec::with_capacity(cases.len());
    let (mut work, mut accepted) = (Vec::new(), Vec::new());
    for (locked, placing) in cases {
        let Wager { stake, observation_id, .. } = *placing.wager;
        match economy::wager(&locked.wallet, stake, rules, observation_id) {
            Ok(movement) => match house.admit(at_risk, placing.wager) {
                Ok(units) => {
                    at_risk += units;
                    accepted.push((outcomes.len(), placing));
                    work.push((locked, vec![movement]));
                    outcomes.push(None);
                }
                Err(loss) => {
                    // One look serves all of a transaction: it is an estimate anyway.
                    let refusal = match &full {
                        Some(refusal) => Refusal::clone(refusal),
                        None => house::refusal(conn, loss, budget).await?,
                    };
                    full = Some(refusal.clone());
                    outcomes.push(Some(Err(refusal)));
                }
            },
            Err(refusal) => outcomes.push(Some(Err(refusal))),
        }
    }
    if !work.is_empty() {
        let sealed = ledger::seal(work)?;
        let placements = accepted
            .iter()
            .zip(ids.0)
            .zip(sealed.entries.iter().zip(sealed.wallets()))
            .map(|(((_, placing), ids), (entry, wallet))| {
                Placement::of(placing, ids, entry, wallet, rules)
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(Refusal::Overflow)?;
        // Sent in this order: the house's row is locked last, until the commit that follows.
        let (appended, placed, taken) = join3(
            sealed.write(conn, Cause::Action),
            write(conn, &placements, &sealed.events(), house),
            house::take(conn, at_risk, budget),
        )
        .await;
        first_cause([appended, placed, taken])?;
        for ((place, _), placement) in accepted.iter().zip(placements) {
            if let Some(slot) = outcomes.get_mut(*place) {
                *slot = Some(Ok(placement.accepted));
            }
        }
    }
    outcomes
        .into_iter()
        .map(|outcome| outcome.ok_or_else(|| DbError::corrupt("a wager without its rows")))
        .collect()
}

impl<'a> Placement<'a> {
    fn of(
        placing: &'a Placing<'a>,
        (prediction_id, action_id): (i64, i64),
        entry: &Entry,
        wallet: &Wallet,
        rules: &EconomyRules,
    ) -> Option<Placement<'a>> {
        let Wager { direction, stake, confidence, .. } = *placing.wager;
        let at = entry.recorded_at;
        Some(Placement {
            placing,
            prediction_id,
            action_id,
            post: NewPost::about(
                entry,
                Draft::wager(stake, direction, confidence, &placing.wager.reasoning),
            ),
            wallet: wallet.clone(),
            at,
            settles_at: prediction::start_due(at, rules)
                .plus_seconds(rules.prediction_horizon_seconds),
            reserved: rules.house_loss_of(stake)?,
            accepted: Accepted {
                action_id,
                prediction_id: Some(PredictionId(prediction_id)),
                new_balance: entry.balance_after,
                entry: Some(entry.clone()),
            },
        })
    }

    fn event(&self) -> NewEvent {
        let wager = self.placing.wager;
        NewEvent::PredictionOpened(PredictionOpened {
            id: PredictionId(self.prediction_id),
            bot_id: wager.bot_id,
            direction: wager.direction,
            wager_amount: wager.stake.money(),
            confidence: wager.confidence,
            status: PredictionStatus::Open,
            settles_at: self.settles_at,
        })
    }
}

async fn insert(
    mut conn: &Connection,
    placements: &[Placement<'_>],
    house: House<'_>,
) -> DbResult<()> {
    let wagers = || placements.iter().map(|p| p.placing.wager);
    let inserted = diesel::sql_query(
        "WITH placed AS MATERIALIZED ( \
            SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                AS p (prediction_id, action_id, bot_id, observation_id, direction, wager_amount, \
                      confidence, reasoning, at, settles_at, content, reference, reserved)), \
         prediction AS ( \
            INSERT INTO predictions (id, bot_id, observation_id, direction, wager_amount, confidence, \
                                     reasoning, created_at, settles_at, reserved, rules) \
            SELECT prediction_id, bot_id, observation_id, direction::direction, wager_amount, \
                   confidence, reasoning, at, settles_at, reserved, $14 FROM placed), \
         audit AS ( \
            INSERT INTO audit_log (id, at, actor, action, bot_id, observation_id, detail) \
            SELECT action_id, at, 'bot:' || bot_id, 'PREDICT', bot_id, observation_id, \
                   jsonb_build_object('prediction_id', prediction_id) FROM placed) \
         INSERT INTO posts (bot_id, kind, content, reference, created_at) \
         SELECT bot_id, $15::post_kind, content, reference, at FROM placed",
    )
    .bind::<Array<BigInt>, _>(column(placements, |p| p.prediction_id))
    .bind::<Array<BigInt>, _>(column(placements, |p| p.action_id))
    .bind::<Array<BigInt>, _>(column(wagers(), |w| w.bot_id.0))
    .bind::<Array<Uuid>, _>(column(wagers(), |w| w.observation_id.0))
    .bind::<Array<Text>, _>(column(wagers(), |w| w.direction.as_str()))
    .bind::<Array<Units>, _>(column(wagers(), |w| w.stake.money()))
    .bind::<Array<Units>, _>(column(wagers(), |w| w.confidence.decimal()))
    .bind::<Array<Text>, _>(column(wagers(), |w| w.reasoning.as_str()))
    .bind::<Array<Instant>, _>(column(placements, |p| p.at))
    .bind::<Array<Instant>, _>(column(placements, |p| p.settles_at))
    .bind::<Array<Text>, _>(column(placements, |p| p.post.draft.content.as_str()))
    .bind::<Array<Text>, _>(column(placements, |p| p.post.reference.as_str()))
    .bind::<Array<Units>, _>(column(placements, |p| p.reserved))
    .bind::<Binary, _>(&house.digest.0[..])
    .bind::<Text, _>(PostKind::Wager.as_str())
    .prepared()
    .execute(&mut conn)
    .await?;
    let otherwise = "a wager did not reach all of its rows";
    reached(inserted, placements.len(), otherwise)
}

/// Writes all rows of accepted wagers besides their entries.
async fn write(
    conn: &Connection,
    placements: &[Placement<'_>],
    entry_events: &[NewEvent],
    house: House<'_>,
) -> DbResult<()> {
    let rules = house.rules;
    let inserted = insert(conn, placements, house);
    let mut drafts = entry_events.to_vec();
    for placement in placements {
        drafts.extend([placement.post.event(), placement.event()]);
    }
    let told = events::write(conn, &drafts);
    let beside = join_all(placements.iter().map(|p| write_extras(conn, p, rules)));
    let (inserted, told, beside) = join3(inserted, told, beside).await;
    first_cause([inserted, told].into_iter().chain(beside))
}

/// Rows of only some wagers: reported usage, and an answer to repeat.
async fn write_extras(
    conn: &Connection,
    placement: &Placement<'_>,
    rules: &EconomyRules,
) -> DbResult<()> {
    let Placement { placing, action_id, .. } = *placement;
    let (usage, mode) = (placing.wager.usage.as_ref(), rules.enforcement);
    let (wallet, at) = (&placement.wallet, placement.at);
    let usage = usage::record_action(conn, action_id, usage, wallet, mode, at);
    let answer = idempotency::remember(conn, placing.hook, &placement.accepted);
    let (usage, answer) = join(usage, answer).await;
    first_cause([usage, answer])
}
