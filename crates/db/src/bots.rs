//! Bots: how they come, how they are found, how an operator ends or revives them.

mod operator;

use diesel::deserialize::{self, FromSqlRow};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::Row;
use diesel::sql_types::{BigInt, Nullable, Text, Untyped};
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::economy::{self, EconomyRules};
use ledger_core::event::BotEvent;
use ledger_core::post::Draft;
use ledger_core::{BotId, BotStatus, Entry, Handle, Money, Pause, Timestamp};
use serde_json::json;

pub use operator::{OperatorAct, retire, revive};

use crate::PAGE_MAX;
use crate::audit_log;
use crate::copy::{self, timestamp_of};
use crate::error::{DbError, DbResult};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause, Columns, DieselRow, wallet_columns};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::schema::{bots, wallets};
use crate::sql::{Sql, statement};
use crate::ticks::TICK_BOUNDARY_LOCK;
use crate::tx;

/// How a caller names a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BotRef {
    Id(BotId),
    Handle(Handle),
}

impl BotRef {
    /// One of the two: a statement takes both, see `bot_named!`.
    pub(crate) fn named(&self) -> (Option<i64>, Option<&str>) {
        match self {
            BotRef::Id(id) => (Some(id.0), None),
            BotRef::Handle(handle) => (None, Some(handle.as_str())),
        }
    }
}

/// The public data of a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotProfile {
    pub id: BotId,
    pub handle: String,
    pub status: BotStatus,
    pub balance: Money,
    pub shadow_balance: Money,
    pub idle_streak: i32,
    pub hosted: bool,
    pub created_at: Timestamp,
    pub last_action_at: Option<Timestamp>,
    pub open_predictions: i32,
    pub open_stake: Money,
    pub open_bets: i32,
    /// The stakes of open bets on markets.
    pub bet_stake: Money,
    /// Set while it is paused.
    pub pause: Option<Pause>,
}

/// A bot's public key material, as it is stored.
#[derive(Clone)]
pub struct Credentials {
    /// argon2id in PHC form.
    pub api_key_hash: String,
    /// SHA-256 of the API secret.
    pub api_secret_sha256: [u8; 32],
}

pub struct NewBot<'a> {
    pub handle: &'a Handle,
    pub persona: &'a str,
    pub hosted: bool,
    pub credentials: &'a Credentials,
    /// The caller: `registration`, or an operator's name.
    pub actor: &'a str,
    /// Operators make bots while the arena is paused, too.
    pub while_paused: WhilePaused,
}

/// A bot that was just made, with its first entry.
#[derive(Debug, Clone)]
pub struct Registered {
    pub profile: BotProfile,
    pub grant: Entry,
}

/// Creates bot, wallet, `GRANT` entry and audit row in one transaction.
///
/// # Errors
/// [`DbError::Conflict`] for a taken handle; [`DbError::Refused`] while the arena is paused, except
/// for operators. Then nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn register(
    conn: &mut Connection,
    new: &NewBot<'_>,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Registered>>,
) -> DbResult<Registered> {
    tx::run(conn, hook, async |conn| {
        hold_tick_boundary(conn).await?;
        let movement = economy::genesis(rules);
        let id = insert(conn, new, movement.minted()).await?;
        let locked = ledger::lock(conn, new.while_paused, id).await?;
        let appended = ledger::append(conn, locked, movement, Cause::House).await?;
        let profile = find(conn, &BotRef::Id(id)).await?;
        let detail =
            json!({ "handle": new.handle, "hosted": new.hosted, "grant": profile.balance });
        audit_log::write(conn, new.actor, "REGISTER", Some(id), detail).await?;
        let mut drafts = appended.events();
        drafts.push(NewEvent::Bot(BotEvent { bot_id: id, status: profile.status, paused: None }));
        events::write(conn, &drafts).await?;
        let grant = appended.entries.into_iter().next();
        let grant = grant.ok_or_else(|| DbError::corrupt("a genesis without an entry"))?;
        Ok(Registered { profile, grant })
    })
    .await
}

async fn insert(conn: &mut Connection, new: &NewBot<'_>, grant: Money) -> DbResult<BotId> {
    let id: i64 = diesel::insert_into(bots::table)
        .values((
            bots::handle.eq(new.handle.as_str()),
            bots::persona.eq(new.persona),
            bots::hosted.eq(new.hosted),
            bots::api_key_hash.eq(&new.credentials.api_key_hash),
            bots::api_secret_sha256.eq(&new.credentials.api_secret_sha256[..]),
        ))
        .returning(bots::id)
        .get_result(conn)
        .await?;
    // Made during tick n, first charged in n + 1.
    diesel::insert_into(wallets::table)
        .values((
            wallets::bot_id.eq(id),
            wallets::last_tick.eq(latest_tick()),
            wallets::granted.eq(Sql(grant)),
        ))
        .execute(conn)
        .await?;
    Ok(BotId(id))
}

/// The number of the latest tick, open or closed.
pub(crate) fn latest_tick() -> diesel::expression::SqlLiteral<BigInt> {
    diesel::dsl::sql("(SELECT coalesce(max(number), 0) FROM ticks)")
}

statement! {
    struct SharedBoundary { key: i64 as BigInt } returns Untyped = "SELECT pg_advisory_xact_lock_shared({})"
}

/// Keeps a tick from beginning until this transaction ends, so that "made during n" has one
/// meaning.
pub(crate) async fn hold_tick_boundary(conn: &mut Connection) -> DbResult<()> {
    SharedBoundary { key: TICK_BOUNDARY_LOCK }.execute(conn).await?;
    Ok(())
}

/// Bots with their wallets.
macro_rules! profiles {
    ($($which:tt)+) => {
        concat!(
            "SELECT ",
            wallet_columns!(),
            ", handle, hosted, created_at, last_action_at FROM wallets \
               JOIN (SELECT id, handle, hosted, created_at FROM bots) b ON b.id = bot_id ",
            $($which)+
        )
    };
}

/// The id that [`BotRef::named`] leads to.
macro_rules! bot_named {
    () => {
        "coalesce({}, (SELECT id FROM bots WHERE lower(handle) = lower({})))"
    };
}
pub(crate) use bot_named;

statement! {
    struct One<'a> { id: Option<i64> as Nullable<BigInt>, handle: Option<&'a str> as Nullable<Text> }
    returns Untyped = profiles!("WHERE bot_id = ", bot_named!())
}

statement! {
    struct Below { before: i64 as BigInt, limit: i64 as BigInt } returns Untyped =
    profiles!("WHERE bot_id < {} ORDER BY bot_id DESC LIMIT {}")
}

impl FromSqlRow<Untyped, Pg> for BotProfile {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<BotProfile> {
        let row = DieselRow(row);
        let mut columns = Columns::of(&row);
        let wallet = columns.locked()?.wallet;
        Ok(BotProfile {
            id: wallet.head.bot_id,
            handle: columns.read(|raw| copy::text(raw?))?,
            status: wallet.status,
            balance: wallet.balance(),
            shadow_balance: wallet.shadow_balance(),
            idle_streak: wallet.idle_streak,
            hosted: columns.read(copy::bool)?,
            created_at: columns.read(|raw| timestamp_of(raw?))?,
            last_action_at: columns.maybe(timestamp_of)?,
            open_predictions: wallet.open_predictions,
            open_stake: wallet.open_stake,
            open_bets: wallet.open_bets,
            bet_stake: wallet.bet_stake,
            pause: wallet.pause,
        })
    }
}

/// One bot's profile.
///
/// # Errors
/// [`DbError::NotFound`] for an unknown bot. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn find(conn: &mut Connection, bot: &BotRef) -> DbResult<BotProfile> {
    let (id, handle) = bot.named();
    let profile = One { id, handle }.get_result(conn).await;
    profile.optional()?.ok_or(DbError::NotFound("bot"))
}

/// Bots, newest first, below `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn page(
    conn: &mut Connection,
    before: Option<BotId>,
    limit: i64,
) -> DbResult<Vec<BotProfile>> {
    let below =
        Below { before: before.map_or(i64::MAX, |id| id.0), limit: limit.clamp(1, PAGE_MAX) };
    Ok(below.load(conn).await?)
}

statement! {
    struct KeyOf<'a> { id: Option<i64> as Nullable<BigInt>, handle: Option<&'a str> as Nullable<Text> }
    returns (BigInt, Text) = concat!("SELECT id, api_key_hash FROM bots WHERE id = ", bot_named!())
}

/// A bot's id and the hash of its API key, to check one against.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn api_key_hash(
    conn: &mut Connection,
    bot: &BotRef,
) -> DbResult<Option<(BotId, String)>> {
    let (id, handle) = bot.named();
    let row: Option<(i64, String)> = KeyOf { id, handle }.get_result(conn).await.optional()?;
    Ok(row.map(|(id, hash)| (BotId(id), hash)))
}

/// Id, handle and API key hash of every hosted bot, for `sync-keys` and `debug-auth`.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn hosted(conn: &mut Connection) -> DbResult<Vec<(BotId, String, String)>> {
    let rows: Vec<(i64, String, String)> = bots::table
        .filter(bots::hosted.eq(true))
        .order(bots::id)
        .select((bots::id, bots::handle, bots::api_key_hash))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|(id, handle, hash)| (BotId(id), handle, hash)).collect())
}

/// Liquidates a living bot at zero without open positions, if it still is one under its lock.
/// `None` if it is not.
///
/// # Errors
/// [`DbError::Refused`] while the arena is paused; [`DbError::NotFound`] for an unknown bot. Then nothing
/// was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn reap(
    conn: &mut Connection,
    bot_id: BotId,
    oracle_round: i64,
    rules: &EconomyRules,
) -> DbResult<Option<Entry>> {
    tx::run(conn, None, async |conn| {
        let locked = ledger::lock(conn, WhilePaused::Refuse, bot_id).await?;
        if !economy::is_reapable(&locked.wallet, rules) {
            return Ok(None);
        }
        let movement = economy::reap(&locked.wallet, oracle_round);
        let appended = ledger::append(conn, locked, movement, Cause::House).await?;
        let mut drafts = appended.events();
        let Some(entry) = appended.entries.into_iter().next() else {
            return Ok(None);
        };
        let post = NewPost::about(&entry, Draft::reaped());
        drafts.push(post.event());
        posts::write(conn, &[post]).await?;
        events::write(conn, &drafts).await?;
        Ok(Some(entry))
    })
    .await
}

/// Living bots at zero without open positions, at most `limit`: candidates for [`reap`].
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn reapable(conn: &mut Connection, limit: i64) -> DbResult<Vec<BotId>> {
    let ids: Vec<i64> = wallets::table
        .filter(wallets::status.eq(Sql(BotStatus::Alive)))
        .filter(wallets::balance.eq(Sql(Money::ZERO)))
        .filter(wallets::open_predictions.eq(0))
        .filter(wallets::open_bets.eq(0))
        .filter(wallets::paused_at.is_null())
        // A wallet without a first entry is being made.
        .filter(wallets::sequence.gt(0))
        .order(wallets::bot_id)
        .limit(limit)
        .select(wallets::bot_id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(BotId).collect())
}
