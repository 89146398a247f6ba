//! How a market opens: one for each subject, and within the house's budget.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::criteria::{Criteria, Times, bets_close_at};
use ledger_core::economy::{EconomyRules, MarketRules, Operator};
use ledger_core::market::{MarketSource, check_deadline};
use ledger_core::research::{Answer, Nonce, commitment};
use ledger_core::{Hash, MarketId, Money, Refusal, Timestamp};
use serde_json::json;

use super::{Market, NewEvidence, find, keep_evidence, source_of};
use crate::audit_log;
use crate::error::{DbError, DbResult};
use crate::events;
use crate::idempotency::Remember;
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::rules::keep;
use crate::schema::markets;
use crate::schema::sql_types::{BigInt, Instant, Nullable, Text, Units};
use crate::sql::{Sql, statement};
use crate::tx;

/// Held by a transaction that opens a market, so that budget and subjects are counted once:
/// "MARKET".
const OPENING_LOCK: i64 = 0x4d_4152_4b45_5421;

/// When a market ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// So many seconds after it opens.
    In(i64),
    At(Timestamp),
}

/// The actor who opens a market.
#[derive(Debug, Clone, Copy)]
pub enum Opener<'a> {
    /// The market maker, which only fills free places.
    Maker,
    Operator(&'a Operator),
}

/// A market that is to be opened.
pub struct NewMarket<'a> {
    pub id: MarketId,
    pub criteria: Criteria,
    /// An operator's own words, put before the question.
    pub words: Option<&'a str>,
    pub bounty: Money,
    pub deadline: Deadline,
    /// For research: the secret nonce and the answer it commits to.
    pub secret: Option<(Nonce, Answer)>,
    /// The fetches that led to it.
    pub evidence: &'a [NewEvidence],
    pub opener: Opener<'a>,
}

/// How full the board is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// Places taken: markets before their deadline, however early they were settled.
    pub taken: i64,
    /// The subjects of these markets, and of those that are not settled yet.
    pub subjects: Vec<(MarketSource, String)>,
    /// All bounties of the last hour, of the newest thousand markets that have one; no more are opened.
    pub bounties: Money,
}

/// Looks at the board.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn board(conn: &mut Connection) -> DbResult<Board> {
    let max = LATEST_MAX;
    let subjects: Vec<(String, String)> = Subjects { max }.load(conn).await?;
    Ok(Board {
        taken: places_taken(conn).await?,
        subjects: subjects
            .into_iter()
            .map(|(source, subject)| Ok((source_of(&source)?, subject)))
            .collect::<DbResult<_>>()?,
        bounties: bounties_of_the_hour(conn).await?.0,
    })
}

/// More markets than are before their deadline, or opened within an hour. With only a comparison
/// with the clock, Postgres expects a third of all markets and reads every one; in the order of an
/// index and with a limit, it reads only those.
const LATEST_MAX: i64 = 1_000;

statement! {
    struct Subjects { max: i64 as BigInt } returns (Text, Text) =
    "SELECT source, subject FROM markets WHERE status IN ('OPEN', 'LOCKED') \
      UNION \
     SELECT source, subject FROM \
        (SELECT source, subject FROM markets WHERE deadline > (SELECT clock_timestamp()) \
          ORDER BY deadline DESC LIMIT {}) newest"
}

statement! {
    struct PlacesTaken { max: i64 as BigInt } returns BigInt =
    "SELECT count(*) FROM \
        (SELECT FROM markets WHERE deadline > (SELECT clock_timestamp()) \
          ORDER BY deadline DESC LIMIT {}) newest"
}

async fn places_taken(conn: &mut Connection) -> DbResult<i64> {
    let max = LATEST_MAX;
    Ok(PlacesTaken { max }.get_result(conn).await?)
}

statement! {
    struct BountiesOfTheHour { max: i64 as BigInt } returns (Units, BigInt) =
    "SELECT coalesce(sum(bounty), 0), count(*) FROM \
        (SELECT bounty FROM markets \
          WHERE opens_at > (SELECT clock_timestamp()) - interval '1 hour' AND bounty > 0 \
          ORDER BY opens_at DESC LIMIT {}) newest"
}

/// The sum of the bounties that were put out within the last hour, and how many markets have one;
/// [`LATEST_MAX`] at most.
async fn bounties_of_the_hour(conn: &mut Connection) -> DbResult<(Money, i64)> {
    let max = LATEST_MAX;
    let (spent, markets): (i128, i64) = BountiesOfTheHour { max }.get_result(conn).await?;
    let units = i64::try_from(spent).ok().and_then(Money::from_units);
    let sum = units
        .ok_or_else(|| DbError::corrupt("the bounties of an hour exceed the range of money"))?;
    Ok((sum, markets))
}

/// Opens a market with its evidence and an audit row, in one transaction.
///
/// # Errors
/// [`DbError::Refused`] without a place, budget or time for it, and if another market has the same
/// subject; [`Conflict::MarketExists`](crate::error::Conflict::MarketExists) for a taken id. Then
/// nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn open(
    conn: &mut Connection,
    new: &NewMarket<'_>,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Market>>,
) -> DbResult<Market> {
    tx::run(conn, hook, async |conn| {
        crate::sql::lock(conn, OPENING_LOCK).await?;
        let while_paused = match new.opener {
            Opener::Maker => WhilePaused::Refuse,
            Opener::Operator(_) => WhilePaused::Proceed,
        };
        while_paused.check(conn).await?;
        let opens_at = crate::now(conn).await?;
        let deadline = match new.deadline {
            Deadline::In(seconds) => opens_at.plus_seconds(seconds),
            Deadline::At(deadline) => deadline,
        };
        check_deadline(new.criteria.source(), opens_at, deadline)?;
        has_room(conn, new, &rules.markets).await?;
        let digest = keep(conn, rules).await?;
        insert(conn, new, opens_at, deadline, digest).await?;
        for fetch in new.evidence {
            keep_evidence(conn, new.id, fetch).await?;
        }
        let market = find(conn, new.id).await?;
        let operator = match new.opener {
            Opener::Maker => "oracle".to_owned(),
            Opener::Operator(who) => who.to_string(),
        };
        audit_log::write(
            conn,
            &operator,
            "MARKET_OPEN",
            None,
            json!({ "market_id": new.id, "bounty": new.bounty }),
        )
        .await?;
        events::write(conn, &[market.event()]).await?;
        Ok(market)
    })
    .await
}

/// Refuses a market without a place, with the subject of another, or above the house's budget.
async fn has_room(conn: &mut Connection, new: &NewMarket<'_>, rules: &MarketRules) -> DbResult<()> {
    if matches!(new.opener, Opener::Maker) && places_taken(conn).await? >= rules.places {
        let places = rules.places;
        return Err(Refusal::BoardFull { places }.into());
    }
    let subject = new.criteria.subject();
    if let Some(until) = taken_until(conn, new.criteria.source(), &subject).await? {
        return Err(Refusal::SubjectTaken { subject, until }.into());
    }
    let (spent, markets) = bounties_of_the_hour(conn).await?;
    // Beyond so many, some would not be in the sum.
    if markets >= LATEST_MAX && new.bounty.is_positive() {
        return Err(Refusal::BoardFull { places: LATEST_MAX }.into());
    }
    let limit = rules.bounty_budget_per_hour;
    if spent.checked_add(new.bounty).is_none_or(|sum| sum > limit) {
        return Err(Refusal::BountyBudget { spent, limit }.into());
    }
    Ok(())
}

statement! {
    struct TakenUntil<'a> {
        source: &'a str as Text,
        subject: &'a str as Text,
        same_source: &'a str as Text,
        same_subject: &'a str as Text,
    } returns Nullable<Instant> =
    "SELECT max(deadline) FROM ( \
        (SELECT deadline, false AS unsettled FROM markets WHERE source = {} AND subject = {} \
          ORDER BY deadline DESC LIMIT 1) \
         UNION ALL \
        (SELECT deadline, true FROM markets \
          WHERE status IN ('OPEN', 'LOCKED') AND source = {} AND subject = {})) found \
      WHERE unsettled OR deadline > clock_timestamp()"
}

/// The latest deadline of a market about this subject that is before it, or not settled. It reads
/// only the newest of the settled ones, however many there were.
async fn taken_until(
    conn: &mut Connection,
    source: MarketSource,
    subject: &str,
) -> DbResult<Option<Timestamp>> {
    let source = source.as_str();
    let taken = TakenUntil { source, subject, same_source: source, same_subject: subject };
    Ok(taken.get_result(conn).await?)
}

async fn insert(
    conn: &mut Connection,
    new: &NewMarket<'_>,
    opens_at: Timestamp,
    deadline: Timestamp,
    rules: Hash,
) -> DbResult<()> {
    let criteria = new.criteria.under_present_rules();
    let source = criteria.source();
    let times =
        Times { opens_at, bets_close_at: bets_close_at(source, opens_at, deadline), deadline };
    let question = criteria.question(&times);
    let description = match new.words {
        // The text contains the criteria's question, whatever the operator's words.
        Some(words) if !words.is_empty() && words != question => format!("{words} — {question}"),
        Some(_) | None => question,
    };
    let committed = new.secret.as_ref().map(|(nonce, answer)| {
        let commitment = commitment(new.id, nonce, answer);
        (commitment.0.to_vec(), nonce.0.to_vec(), answer.as_str())
    });
    let criteria = serde_json::to_value(&criteria)
        .map_err(|error| DbError::Query(format!("criteria: {error}")))?;
    diesel::insert_into(markets::table)
        .values((
            markets::id.eq(new.id.0),
            markets::source.eq(source.as_str()),
            markets::subject.eq(new.criteria.subject()),
            markets::description.eq(description),
            markets::criteria.eq(criteria),
            markets::bounty.eq(Sql(new.bounty)),
            markets::opens_at.eq(Sql(opens_at)),
            markets::bets_close_at.eq(Sql(times.bets_close_at)),
            markets::deadline.eq(Sql(deadline)),
            markets::commitment.eq(committed.as_ref().map(|(commitment, ..)| commitment)),
            markets::nonce.eq(committed.as_ref().map(|(_, nonce, _)| nonce)),
            markets::answer.eq(committed.as_ref().map(|(.., answer)| answer)),
            markets::next_try_at.eq(Sql(deadline)),
            markets::rules.eq(Some(rules)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
