//! How a market opens: one for each subject, and within the house's budget.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, RunQueryDsl};
use ledger_core::criteria::{Criteria, bets_close_at};
use ledger_core::economy::{EconomyRules, MarketRules, Operator};
use ledger_core::market::{MarketSource, check_deadline};
use ledger_core::research::{Answer, Nonce, commitment};
use ledger_core::{Hash, MarketId, Money, Refusal, Timestamp};
use serde_json::json;

use super::{Market, NewEvidence, find, keep_evidence};
use crate::audit::{self, AuditRow};
use crate::error::{DbError, DbResult, of_commit};
use crate::events;
use crate::idempotency::{self, Remember};
use crate::pauses::Brake;
use crate::pool::Connection;
use crate::rules::keep;
use crate::schema::markets;
use crate::sql::{SqlMarketSource, SqlMoney, SqlTotal};

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

/// Who opens a market.
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
    /// What these markets, and those that are yet to be settled, are about.
    pub subjects: Vec<(MarketSource, String)>,
    /// All bounties of the last hour.
    pub bounties: Money,
}

/// Looks at the board.
pub async fn board(conn: &mut Connection) -> DbResult<Board> {
    let subjects: Vec<(SqlMarketSource, String)> = markets::table
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "(deadline > (SELECT clock_timestamp()) OR status IN ('OPEN', 'LOCKED'))",
        ))
        .select((markets::source, markets::subject))
        .load(conn)
        .await?;
    Ok(Board {
        taken: places_taken(conn).await?,
        subjects: subjects
            .into_iter()
            .map(|(source, subject)| (source.0, subject))
            .collect(),
        bounties: bounties_of_the_hour(conn).await?,
    })
}

async fn places_taken(conn: &mut Connection) -> DbResult<i64> {
    Ok(markets::table
        .filter(markets::deadline.gt(crate::sql::clock()))
        .count()
        .get_result(conn)
        .await?)
}

#[derive(QueryableByName)]
struct SpentRow {
    #[diesel(sql_type = diesel::sql_types::Numeric)]
    spent: SqlTotal,
}

async fn bounties_of_the_hour(conn: &mut Connection) -> DbResult<Money> {
    let row: SpentRow = diesel::sql_query(
        "SELECT coalesce(sum(bounty), 0) AS spent FROM markets \
          WHERE opens_at > (SELECT clock_timestamp()) - interval '1 hour'",
    )
    .get_result(conn)
    .await?;
    let units = i64::try_from(row.spent.0).ok().and_then(Money::from_units);
    units.ok_or_else(|| DbError::corrupt("the bounties of an hour exceed the range of money"))
}

/// Opens a market with its evidence and an audit row, in one transaction.
pub async fn open(
    conn: &mut Connection,
    new: &NewMarket<'_>,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Market>>,
) -> DbResult<Market> {
    let mut done = false;
    let opened = conn
        .transaction::<_, DbError, _>(async |conn| {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(OPENING_LOCK)
                .execute(conn)
                .await?;
            let brake = match new.opener {
                Opener::Maker => Brake::Heeded,
                Opener::Operator(_) => Brake::Overridden,
            };
            brake.check(conn).await?;
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
            let row = AuditRow {
                actor: &operator,
                action: "MARKET_OPEN",
                bot_id: None,
                observation_id: None,
                detail: json!({ "market_id": new.id, "bounty": new.bounty }),
            };
            audit::write(conn, row).await?;
            events::write(conn, &[market.event()]).await?;
            idempotency::remember(conn, hook, &market).await?;
            done = true;
            Ok(market)
        })
        .await;
    of_commit(opened, done)
}

/// Refuses what has no place, asks what another market asks, or costs more than the house gives.
async fn has_room(conn: &mut Connection, new: &NewMarket<'_>, rules: &MarketRules) -> DbResult<()> {
    if matches!(new.opener, Opener::Maker) && places_taken(conn).await? >= rules.places {
        let places = rules.places;
        return Err(Refusal::BoardFull { places }.into());
    }
    let subject = new.criteria.subject();
    let until: Option<chrono::DateTime<chrono::Utc>> = markets::table
        .filter(markets::source.eq(SqlMarketSource(new.criteria.source())))
        .filter(markets::subject.eq(&subject))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "(deadline > (SELECT clock_timestamp()) OR status IN ('OPEN', 'LOCKED'))",
        ))
        .order(markets::deadline.desc())
        .select(markets::deadline)
        .first(conn)
        .await
        .optional()?;
    if let Some(until) = until.map(Timestamp::from) {
        return Err(Refusal::SubjectTaken { subject, until }.into());
    }
    let spent = bounties_of_the_hour(conn).await?;
    let limit = rules.bounty_budget_per_hour;
    if spent.checked_add(new.bounty).is_none_or(|sum| sum > limit) {
        return Err(Refusal::BountyBudget { spent, limit }.into());
    }
    Ok(())
}

async fn insert(
    conn: &mut Connection,
    new: &NewMarket<'_>,
    opens_at: Timestamp,
    deadline: Timestamp,
    rules: Hash,
) -> DbResult<()> {
    let source = new.criteria.source();
    let question = new.criteria.question(deadline);
    let description = match new.words {
        // The text says what the criteria say, whatever the operator's words say.
        Some(words) if !words.is_empty() && words != question => format!("{words} — {question}"),
        Some(_) | None => question,
    };
    let committed = new.secret.as_ref().map(|(nonce, answer)| {
        let commitment = commitment(new.id, nonce, answer);
        (commitment.0.to_vec(), nonce.0.to_vec(), answer.as_str())
    });
    let criteria = serde_json::to_value(&new.criteria)
        .map_err(|error| DbError::Query(format!("criteria: {error}")))?;
    diesel::insert_into(markets::table)
        .values((
            markets::id.eq(new.id.0),
            markets::source.eq(SqlMarketSource(source)),
            markets::subject.eq(new.criteria.subject()),
            markets::description.eq(description),
            markets::criteria.eq(criteria),
            markets::bounty.eq(SqlMoney(new.bounty)),
            markets::opens_at.eq(opens_at.datetime()),
            markets::bets_close_at.eq(bets_close_at(source, opens_at, deadline).datetime()),
            markets::deadline.eq(deadline.datetime()),
            markets::commitment.eq(committed.as_ref().map(|(commitment, ..)| commitment)),
            markets::nonce.eq(committed.as_ref().map(|(_, nonce, _)| nonce)),
            markets::answer.eq(committed.as_ref().map(|(.., answer)| answer)),
            markets::next_try_at.eq(deadline.datetime()),
            markets::rules.eq(&rules.0[..]),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
