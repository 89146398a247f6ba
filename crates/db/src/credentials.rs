//! Credentials: how they prove a bot, and how they are rotated.
//!
//! A bot has one pair in force, and at most one predecessor that is valid until its grace period ends. Each
//! pair has a number, counted from 1, which tokens carry.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::Operator;
use ledger_core::{BotId, BotStatus, Refusal, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::audit_log;
use crate::bots::{BotRef, Credentials, bot_named};
use crate::error::{Conflict, DbError, DbResult};
use crate::idempotency::Remember;
use crate::pool::Connection;
use crate::schema::bots;
use crate::schema::sql_types::{self, BigInt, Bool, Bytea, Double, Instant, Nullable, Text};
use crate::sql::statement;
use crate::tx;

/// The number of the credentials that a bot is registered with.
pub const FIRST_VERSION: i64 = 1;

/// Whether a bot's credentials are still its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In force.
    Current,
    /// Rotated, and valid until the grace period ends.
    Grace,
    /// Over.
    Ended,
}

/// The owner of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretOwner {
    pub bot: BotId,
    /// The number of the credentials it belongs to.
    pub version: i64,
    pub standing: Standing,
}

statement! {
    /// For a former secret, whether it is in its grace period.
    struct OwnerOf<'a> { current: &'a [u8] as Bytea, earlier: &'a [u8] as Bytea }
    returns (BigInt, BigInt, Nullable<Bool>) =
    "SELECT id, credential_version, NULL::boolean FROM bots WHERE api_secret_sha256 = {} \
      UNION ALL \
     SELECT bot_id, version, valid_until > clock_timestamp() FROM superseded_credentials \
      WHERE api_secret_sha256 = {} \
        AND valid_until > (SELECT clock_timestamp() - interval '30 minutes')"
}

/// The owner of an API secret, by its SHA-256. One that is over is known for another half hour, so
/// that a rotation whose answer was lost can be answered again.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn by_secret(conn: &mut Connection, sha256: &[u8; 32]) -> DbResult<Option<SecretOwner>> {
    let owner = OwnerOf { current: sha256, earlier: sha256 };
    let row: Option<(i64, i64, Option<bool>)> = owner.get_result(conn).await.optional()?;
    Ok(row.map(|(id, version, grace)| SecretOwner {
        bot: BotId(id),
        version,
        standing: match grace {
            None => Standing::Current,
            Some(true) => Standing::Grace,
            Some(false) => Standing::Ended,
        },
    }))
}

/// The stored hashes for a login. Its hashes are not for a log.
#[derive(Clone)]
pub struct LoginCandidate {
    pub bot: BotId,
    pub version: i64,
    pub api_key_hash: String,
    /// Of the former credentials, while they are valid.
    pub predecessor: Option<Predecessor>,
}

/// Rotated credentials that are still valid.
#[derive(Clone)]
pub struct Predecessor {
    pub version: i64,
    pub api_key_hash: String,
    /// How much longer.
    pub remaining: Duration,
}

statement! {
    struct KeysOf<'a> { id: Option<i64> as Nullable<BigInt>, handle: Option<&'a str> as Nullable<Text> }
    returns (BigInt, BigInt, Text, Nullable<(BigInt, Text, Double)>) = concat!(
        "SELECT b.id, b.credential_version, b.api_key_hash, s.version, s.api_key_hash, \
                extract(epoch FROM s.valid_until - clock_timestamp())::float8 \
           FROM bots b LEFT JOIN superseded_credentials s \
             ON s.bot_id = b.id AND s.valid_until > (SELECT clock_timestamp()) \
          WHERE b.id = ", bot_named!())
}

/// The bot that a login names, with the hashes of its keys.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn login(conn: &mut Connection, bot: &BotRef) -> DbResult<Option<LoginCandidate>> {
    // Seconds, Postgres' form of an interval; this is not money.
    type Earlier = (i64, String, f64);
    type Row = (i64, i64, String, Option<Earlier>);
    let (id, handle) = bot.named();
    let row: Option<Row> = KeysOf { id, handle }.get_result(conn).await.optional()?;
    Ok(row.map(|(id, version, api_key_hash, earlier)| LoginCandidate {
        bot: BotId(id),
        version,
        api_key_hash,
        predecessor: earlier.map(|(version, api_key_hash, seconds)| Predecessor {
            version,
            api_key_hash,
            remaining: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        }),
    }))
}

/// Writes down that a token was issued for these credentials, and keeps the answer, in one
/// transaction.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
#[crate::boxed]
pub async fn logged_in(
    conn: &mut Connection,
    bot: BotId,
    version: i64,
    hook: Option<&Remember<'_, ()>>,
) -> DbResult<()> {
    tx::run(conn, hook, async |conn| {
        let detail = json!({ "credential_version": version });
        audit_log::write_by_bot(conn, bot, "LOGIN", detail).await?;
        Ok(())
    })
    .await
}

/// The refused action, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A wrong API key of this bot.
    Login(BotId),
    /// A wrong operator's token.
    Operator,
}

/// Writes down that credentials were refused `count` times since the last such row.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn refused(conn: &mut Connection, what: Refused, count: u64) -> DbResult<()> {
    let (action, bot_id) = match what {
        Refused::Login(bot) => ("LOGIN_REFUSED", Some(bot)),
        Refused::Operator => ("OPERATOR_REFUSED", None),
    };
    audit_log::write(conn, "anonymous", action, bot_id, json!({ "count": count })).await.map(drop)
}

/// The actor of a rotation.
#[derive(Debug, Clone)]
pub enum Rotator<'a> {
    /// The bot, with the credentials of this number.
    Bot {
        version: i64,
    },
    Operator(&'a Operator),
}

pub struct Rotation<'a> {
    pub bot: &'a BotRef,
    pub rotator: Rotator<'a>,
    pub credentials: &'a Credentials,
    /// How long the present credentials stay valid.
    pub grace: Duration,
}

/// The result of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    pub bot: BotId,
    /// The number of the new credentials.
    pub version: i64,
    pub old_valid_until: Timestamp,
}

#[derive(Queryable)]
struct Present {
    id: i64,
    status: BotStatus,
    version: i64,
    api_key_hash: String,
    api_secret_sha256: Vec<u8>,
}

/// Gives a bot new credentials and makes the present ones the predecessor, with an audit row, in one
/// transaction. An earlier predecessor ends at once.
///
/// # Errors
/// [`Refusal::Retired`]; [`Conflict::CredentialsSuperseded`] when the bot's own credentials are not
/// the present ones any more.
#[crate::boxed]
pub async fn rotate(
    conn: &mut Connection,
    rotation: &Rotation<'_>,
    hook: Option<&Remember<'_, Rotated>>,
) -> DbResult<Rotated> {
    tx::run(conn, hook, async |conn| {
        let present = lock(conn, rotation.bot).await?;
        let bot = BotId(present.id);
        if present.status == BotStatus::Retired {
            return Err(DbError::Refused(Refusal::Retired));
        }
        let actor = match rotation.rotator {
            Rotator::Bot { version } if version != present.version => {
                return Err(DbError::Conflict(Conflict::CredentialsSuperseded));
            }
            Rotator::Bot { .. } => format!("bot:{bot}"),
            Rotator::Operator(name) => name.to_string(),
        };
        let version = present.version.saturating_add(1);
        diesel::update(bots::table.find(bot.0))
            .set((
                bots::api_key_hash.eq(&rotation.credentials.api_key_hash),
                bots::api_secret_sha256.eq(&rotation.credentials.api_secret_sha256[..]),
                bots::credential_version.eq(version),
            ))
            .execute(conn)
            .await?;
        let old_valid_until = supersede(conn, &present, rotation.grace).await?;
        let detail = json!({
            "credential_version": version,
            "grace_seconds": rotation.grace.as_secs(),
        });
        audit_log::write(conn, &actor, "ROTATE_KEYS", Some(bot), detail).await?;
        Ok(Rotated { bot, version, old_valid_until })
    })
    .await
}

/// Replaces the hash of a bot's API key, with an audit row, and leaves its secret in force. The old
/// key's tokens and earlier keys end at once: keys are replaced in this way when they leaked.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot. Then nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn replace_api_key(
    conn: &mut Connection,
    bot: BotId,
    hash: &str,
    actor: &str,
) -> DbResult<()> {
    tx::run(conn, None, async |conn| {
        let mut present = lock(conn, &BotRef::Id(bot)).await?;
        let version = present.version.saturating_add(1);
        diesel::update(bots::table.find(bot.0))
            .set((bots::api_key_hash.eq(hash), bots::credential_version.eq(version)))
            .execute(conn)
            .await?;
        // The secret is not superseded: the value in its place belongs to no bot.
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        present.api_secret_sha256 = [*one.as_bytes(), *other.as_bytes()].concat();
        supersede(conn, &present, Duration::ZERO).await?;
        audit_log::write(
            conn,
            actor,
            "SYNC_KEY",
            Some(bot),
            json!({ "credential_version": version }),
        )
        .await?;
        Ok(())
    })
    .await
}

statement! {
    struct LockBot<'a> { id: Option<i64> as Nullable<BigInt>, handle: Option<&'a str> as Nullable<Text> }
    returns (BigInt, sql_types::BotStatus, BigInt, Text, Bytea) = concat!(
        "SELECT id, status, credential_version, api_key_hash, api_secret_sha256 FROM bots WHERE id = ",
        bot_named!(), " FOR NO KEY UPDATE")
}

/// The bot's row, held until the transaction ends. Its wallet is not needed, and ticks continue.
async fn lock(conn: &mut Connection, bot: &BotRef) -> DbResult<Present> {
    let (id, handle) = bot.named();
    let row: Option<Present> = LockBot { id, handle }.get_result(conn).await.optional()?;
    row.ok_or(DbError::NotFound("bot"))
}

statement! {
    struct Supersede<'a> {
        bot_id: i64 as BigInt,
        version: i64 as BigInt,
        api_key_hash: &'a str as Text,
        api_secret_sha256: &'a [u8] as Bytea,
        grace_seconds: f64 as Double,
    } returns Instant =
    "INSERT INTO superseded_credentials AS s \
            (bot_id, version, api_key_hash, api_secret_sha256, rotated_at, valid_until) \
     SELECT {}, {}, {}, {}, t.at, t.at + make_interval(secs => {}) \
       FROM (SELECT clock_timestamp() AS at OFFSET 0) t \
     ON CONFLICT (bot_id) DO UPDATE \
        SET version = EXCLUDED.version, api_key_hash = EXCLUDED.api_key_hash, \
            api_secret_sha256 = EXCLUDED.api_secret_sha256, rotated_at = EXCLUDED.rotated_at, \
            valid_until = EXCLUDED.valid_until \
     RETURNING s.valid_until"
}

async fn supersede(
    conn: &mut Connection,
    present: &Present,
    grace: Duration,
) -> DbResult<Timestamp> {
    let insert = Supersede {
        bot_id: present.id,
        version: present.version,
        api_key_hash: &present.api_key_hash,
        api_secret_sha256: &present.api_secret_sha256,
        grace_seconds: grace.as_secs_f64(),
    };
    Ok(insert.get_result(conn).await?)
}

/// A recent rotation: the data that identifies the tokens that it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentRotation {
    pub bot: BotId,
    /// The number of the credentials in force.
    pub version: i64,
    /// The remaining validity of the former ones; zero if it is over.
    pub old_remaining: Duration,
}

statement! {
    struct RotatedWithin { seconds: f64 as Double } returns (BigInt, BigInt, Double) =
    "SELECT bot_id, version + 1, \
            greatest(extract(epoch FROM valid_until - clock_timestamp()), 0)::float8 \
       FROM superseded_credentials \
      WHERE rotated_at > (SELECT clock_timestamp()) - make_interval(secs => {})"
}

/// The rotations of the last `window`.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn rotated_within(
    conn: &mut Connection,
    window: Duration,
) -> DbResult<Vec<RecentRotation>> {
    let within = RotatedWithin { seconds: window.as_secs_f64() };
    let rows: Vec<(i64, i64, f64)> = within.load(conn).await?;
    let rotation = |(bot, version, seconds)| RecentRotation {
        bot: BotId(bot),
        version,
        old_remaining: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(rotation).collect())
}
