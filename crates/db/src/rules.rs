//! All sets of the economy's rules, each stored forever under its digest.
//!
//! A position or tick names the rules in force when it began, and these settle it however often the
//! settings change meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text, Untyped};
use diesel_async::RunQueryDsl;
use ledger_core::{EconomyRules, Hash, Timestamp};

use crate::error::{DbError, DbResult};
use crate::house;
use crate::pool::Connection;
use crate::schema::economy_rules;
use crate::sql::statement;
use crate::tx;

/// The most sets of rules in a process' cache. An arena has a handful in its life.
const REMEMBERED_MAX: usize = 256;

/// By digest, so that databases cannot mix: a digest means the same rules everywhere.
static REMEMBERED: LazyLock<Mutex<HashMap<Hash, Arc<EconomyRules>>>> =
    LazyLock::new(Mutex::default);

statement! {
    struct Keep<'a> {
        digest: &'a [u8] as Binary,
        rules: &'a str as Text,
        same_digest: &'a [u8] as Binary,
    } returns Untyped =
    "INSERT INTO economy_rules (digest, rules) SELECT {}, {} \
      WHERE NOT EXISTS (SELECT FROM economy_rules WHERE digest = {}) \
     ON CONFLICT DO NOTHING"
}

/// Stores the rules, in the transaction that refers to them, and returns their digest. Where they
/// are kept already, as they are once a service has started with them, nothing is written.
pub(crate) async fn keep(mut conn: &Connection, rules: &EconomyRules) -> DbResult<Hash> {
    let canonical = rules.canonical();
    let digest = EconomyRules::digest_of(&canonical);
    let keep = Keep { digest: &digest.0, rules: &canonical, same_digest: &digest.0 };
    keep.execute(&mut conn).await?;
    Ok(digest)
}

statement! {
    struct Adopt<'a> { digest: &'a [u8] as Binary } returns BigInt = "SELECT adopt_rules({})"
}

/// A service calls this when it starts: it stores its rules, sets them in every open position without rules from
/// before an upgrade, and returns the number of these. For open predictions without a reserve it reserves the
/// house's possible loss, even beyond the budget.
///
/// Those positions were opened before lags existed, so they get these rules without one.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
#[crate::boxed]
pub async fn adopt(conn: &mut Connection, rules: &EconomyRules) -> DbResult<i64> {
    tx::run(conn, None, async |conn| {
        keep(conn, rules).await?;
        let digest = keep(conn, &legacy(rules)).await?;
        let adopt = Adopt { digest: &digest.0 };
        let adopted: i64 = adopt.get_result(conn).await?;
        // The last lock of all.
        house::recount(conn).await?;
        Ok(adopted)
    })
    .await
}

/// The rules of a position that names none, where `rules` are those in force.
fn legacy(rules: &EconomyRules) -> EconomyRules {
    EconomyRules { sample_lag_seconds: 0, ..rules.clone() }
}

/// The rules that a position or tick names. A row without rules, which an older build may have
/// written during an upgrade, uses `in_force`.
///
/// # Errors
/// [`DbError::Corrupt`] where no rules of this digest are kept, or their text cannot be read. Otherwise see
/// [`DbError`].
#[crate::boxed]
pub async fn of(
    conn: &mut Connection,
    digest: Option<Hash>,
    in_force: &EconomyRules,
) -> DbResult<Arc<EconomyRules>> {
    let Some(digest) = digest else {
        return Ok(Arc::new(legacy(in_force)));
    };
    let known = || REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let remembered = known().get(&digest).cloned();
    if let Some(rules) = remembered {
        return Ok(rules);
    }
    let kept = find(conn, digest).await?;
    let kept =
        kept.ok_or_else(|| DbError::corrupt(format!("no rules have the digest {digest}")))?;
    let rules = EconomyRules::from_canonical(&kept.text)
        .map_err(|error| DbError::corrupt(format!("rules {digest}: {error}")))?;
    let rules = Arc::new(rules.within_calendar());
    let mut known = known();
    if known.len() >= REMEMBERED_MAX {
        known.clear();
    }
    known.insert(digest, Arc::clone(&rules));
    Ok(rules)
}

/// A set of rules as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Kept {
    /// The canonical text.
    pub text: String,
    pub first_used_at: Timestamp,
}

/// The rules of this digest, if any position or service ever named them.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn find(conn: &mut Connection, digest: Hash) -> DbResult<Option<Kept>> {
    Ok(economy_rules::table
        .find(digest.0.to_vec())
        .select((economy_rules::rules, economy_rules::first_used_at))
        .first(conn)
        .await
        .optional()?)
}
