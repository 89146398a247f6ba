//! Answers that are given once and repeated for a day.
//!
//! The first committed answer to an `Idempotency-Key` is written in the transaction of its effects:
//! either both exist or neither. Refusals are not kept, so they run again. An answer with secrets
//! names the credentials that it speaks of, and is repeated only while these are in force.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, SmallInt, Untyped};
use diesel_async::RunQueryDsl;
use ledger_core::BotId;

use crate::error::{Conflict, DbError, DbResult};
use crate::pool::Connection;
use crate::sql::{Prepare, statement};

/// How long an answer is repeated, unless its credentials end sooner.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The claim of a request with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// SHA-256 over credential, route and key.
    pub key_sha256: [u8; 32],
    /// SHA-256 of the request's body.
    pub body_sha256: [u8; 32],
}

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status, 200–299.
    pub status: i16,
    /// JSON, or its ciphertext if it contains secrets.
    pub answer: Vec<u8>,
    /// The owner of its secrets, if any.
    pub secrets_of: Option<Pair>,
}

/// A bot's key and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub bot: BotId,
    /// The number of these credentials.
    pub version: i64,
}

/// The hook into a writing transaction: the claim, and how to turn what the transaction did into
/// the answer to keep.
pub struct Remember<'a, T> {
    pub claim: Claim,
    pub rivals: Rivals,
    /// At most [`KEPT`]. A token is stored at most as long as it is valid.
    pub keep: Duration,
    pub render: &'a (dyn Fn(&T) -> StoredAnswer + Send + Sync),
}

/// Other hashes of the same request: while a secret is being changed, another process uses another
/// hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rivals {
    pub keys_sha256: Vec<[u8; 32]>,
    /// Identifies the request for all processes, independent of their secret. It is locked and
    /// never stored.
    pub turn: i64,
}

/// The state of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recall {
    /// Nothing: run the request.
    Fresh,
    /// The answer given before.
    Replay(StoredAnswer),
    /// The key was used with another body.
    OtherBody,
}

/// Looks a claim up before its request runs.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn recall(conn: &mut Connection, claim: &Claim) -> DbResult<Recall> {
    use crate::schema::idempotency_keys::dsl;
    type Row = (Vec<u8>, i16, Vec<u8>, Option<i64>, Option<i64>);
    let row: Option<Row> = dsl::idempotency_keys
        .find(&claim.key_sha256[..])
        .filter(answer_is_kept(dsl::expires_at, dsl::bot_id, dsl::credential_version))
        .select((dsl::body_sha256, dsl::status, dsl::answer, dsl::bot_id, dsl::credential_version))
        .first(conn)
        .await
        .optional()?;
    Ok(match row {
        None => Recall::Fresh,
        Some((body, ..)) if body != claim.body_sha256 => Recall::OtherBody,
        Some((_, status, answer, bot, version)) => Recall::Replay(StoredAnswer {
            status,
            answer,
            secrets_of: bot.zip(version).map(|(bot, version)| Pair { bot: BotId(bot), version }),
        }),
    })
}

diesel::define_sql_function! {
    /// Whether an answer is still to be repeated. The migration that creates it has the time.
    fn answer_is_kept(
        until: crate::sql::Instant,
        owner_id: Nullable<BigInt>,
        owner_version: Nullable<BigInt>,
    ) -> Bool;
}

statement! {
    /// A claim whose answer is no longer repeated is replaced; the claim of an equal request that
    /// committed first is not.
    struct InsertAnswer<'a> {
        key_sha256: &'a [u8] as Bytea,
        body_sha256: &'a [u8] as Bytea,
        status: i16 as SmallInt,
        answer: &'a [u8] as Bytea,
        encrypted: bool as Bool,
        bot_id: Option<i64> as Nullable<BigInt>,
        credential_version: Option<i64> as Nullable<BigInt>,
        seconds: i64 as BigInt,
    } returns Untyped =
    "INSERT INTO idempotency_keys AS k \
            (key_sha256, body_sha256, status, answer, encrypted, bot_id, credential_version, expires_at) \
     VALUES ({}, {}, {}, {}, {}, {}, {}, clock_timestamp() + {} * interval '1 second') \
     ON CONFLICT (key_sha256) DO UPDATE \
        SET body_sha256 = EXCLUDED.body_sha256, status = EXCLUDED.status, \
            answer = EXCLUDED.answer, encrypted = EXCLUDED.encrypted, \
            bot_id = EXCLUDED.bot_id, credential_version = EXCLUDED.credential_version, \
            created_at = clock_timestamp(), expires_at = EXCLUDED.expires_at \
      WHERE NOT answer_is_kept(k.expires_at, k.bot_id, k.credential_version)"
}

/// Keeps the answer in the caller's transaction, which must not commit if this fails.
pub(crate) async fn remember<T>(
    mut conn: &Connection,
    hook: Option<&Remember<'_, T>>,
    outcome: &T,
) -> DbResult<()> {
    let Some(hook) = hook else { return Ok(()) };
    if !hook.rivals.keys_sha256.is_empty() {
        forestall(conn, &hook.rivals).await?;
    }
    let kept = (hook.render)(outcome);
    let insert = InsertAnswer {
        key_sha256: &hook.claim.key_sha256,
        body_sha256: &hook.claim.body_sha256,
        status: kept.status,
        answer: &kept.answer,
        encrypted: kept.secrets_of.is_some(),
        bot_id: kept.secrets_of.map(|pair| pair.bot.0),
        credential_version: kept.secrets_of.map(|pair| pair.version),
        seconds: i64::try_from(hook.keep.min(KEPT).as_secs()).unwrap_or(0),
    };
    match insert.execute(&mut conn).await? {
        1 => Ok(()),
        _ => Err(DbError::Conflict(Conflict::IdempotencyKey)),
    }
}

/// Lets one of twins go first that are known by different hashes, and stops the other.
async fn forestall(mut conn: &Connection, rivals: &Rivals) -> DbResult<()> {
    // Until this transaction ends. After waiting here, the transaction sees the other's commit.
    crate::sql::lock(conn, rivals.turn).await?;
    let keys = rivals.keys_sha256.iter().map(|key| &key[..]).collect();
    let is_kept: bool = IsKept { keys }.get_result(&mut conn).await?;
    match is_kept {
        true => Err(DbError::Conflict(Conflict::IdempotencyKey)),
        false => Ok(()),
    }
}

statement! {
    struct IsKept<'a> { keys: Vec<&'a [u8]> as Array<Bytea> } returns Bool =
    "SELECT EXISTS (SELECT FROM idempotency_keys \
                     WHERE key_sha256 = ANY ({}) \
                       AND answer_is_kept(expires_at, bot_id, credential_version))"
}

/// The most answers that one call of [`prune`] deletes.
pub const PRUNE_MAX: i64 = 10_000;

/// Forgets answers past their time, at most [`PRUNE_MAX`]; returns how many.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn prune(conn: &mut Connection, now: DateTime<Utc>) -> DbResult<usize> {
    Ok(diesel::sql_query(
        // As an array: joined to the table, the keys would be looked for in all of it.
        "DELETE FROM idempotency_keys WHERE key_sha256 = ANY (ARRAY( \
            SELECT key_sha256 FROM idempotency_keys WHERE expires_at <= $1 \
             ORDER BY expires_at LIMIT $2))",
    )
    .bind::<diesel::sql_types::Timestamptz, _>(now)
    .bind::<diesel::sql_types::BigInt, _>(PRUNE_MAX)
    .prepared()
    .execute(conn)
    .await?)
}
