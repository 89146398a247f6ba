//! Pauses by an operator: of the whole arena, one bot or one market.
//!
//! A bot's pause is in its wallet row, and a market's in its row: every transaction that moves
//! money locks these first, and sees the pause. For the arena, a common row lock would serialise
//! all transactions. So each transaction that moves money takes a shared advisory lock
//! ([`WhilePaused::Refuse`]), and a pause takes it exclusively: when [`pause_arena`] has returned,
//! all such transactions have ended, and all later ones see the pause.

pub(crate) mod check;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::economy::Operator;
use ledger_core::event::BotEvent;
use ledger_core::{BotId, MarketId, Pause, Refusal, Timestamp};
use serde_json::json;

use crate::audit_log;
use crate::bots::{self, BotProfile, BotRef};
use crate::error::DbResult;
use crate::events;
use crate::idempotency::Remember;
use crate::ledger;
use crate::markets::{self, Market};
use crate::pool::Connection;
use crate::schema::{arena_pause, markets as markets_table, wallets};
use crate::sql::Sql;
use crate::tx;
pub use check::WhilePaused;

/// Shared by all who move money, and taken alone by a pause: "PAUSE", as in `hold_arena_pause`.
const PAUSE_LOCK: i64 = 0x50_4155_5345;

/// Why the arena is paused, if it is. It may have changed since: transactions that move money check
/// under their lock.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn arena(conn: &mut Connection) -> DbResult<Option<Pause>> {
    let row: Option<(Timestamp, String)> = arena_pause::table
        .select((arena_pause::paused_at, arena_pause::reason))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(since, reason)| Pause { since, reason }))
}

/// The result of a request to pause or resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseChange<T> {
    /// The present pause, or the former one.
    pub subject: T,
    /// How it stands now.
    pub pause: Option<Pause>,
    /// `false` where it stood so already: then nothing was written.
    pub changed: bool,
}

/// Pauses the arena. When this returns, all transactions that move money have ended, and no new one
/// begins until [`resume_arena`]. Told again, it keeps the first reason.
///
/// # Errors
/// [`crate::DbError::Unavailable`] if a transaction did not end within the lock time-out
/// ([`crate::opening::LOCK_SECONDS`]): nothing is paused then, try again.
#[crate::boxed]
pub async fn pause_arena(
    conn: &mut Connection,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, PauseChange<()>>>,
) -> DbResult<PauseChange<()>> {
    tx::run(conn, hook, async |conn| {
        crate::sql::lock(conn, PAUSE_LOCK).await?;
        let standing = arena(conn).await?;
        let changed = standing.is_none();
        let pause = match standing {
            Some(pause) => pause,
            None => {
                let now = crate::now(conn).await?;
                diesel::insert_into(arena_pause::table)
                    .values((arena_pause::paused_at.eq(Sql(now)), arena_pause::reason.eq(reason)))
                    .execute(conn)
                    .await?;
                let detail = json!({ "reason": reason });
                audit_log::write(conn, &who.to_string(), "PAUSE_ARENA", None, detail).await?;
                Pause { since: now, reason: reason.to_owned() }
            }
        };
        Ok(PauseChange { subject: (), pause: Some(pause), changed })
    })
    .await
}

/// Resumes the arena. Ticks that were not begun meanwhile are not made up for. Postgres itself
/// moves the deadlines of research by the length of the pause as the pause's row goes.
///
/// # Errors
/// Nothing was written, except that it is unknown after [`crate::DbError::OutcomeUnknown`]. See [`crate::DbError`].
#[crate::boxed]
pub async fn resume_arena(
    conn: &mut Connection,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, PauseChange<()>>>,
) -> DbResult<PauseChange<()>> {
    tx::run(conn, hook, async |conn| {
        let changed = diesel::delete(arena_pause::table).execute(conn).await? > 0;
        if changed {
            let detail = json!({ "reason": reason });
            audit_log::write(conn, &who.to_string(), "RESUME_ARENA", None, detail).await?;
            // Their deadlines moved with the end of the pause.
            let research = markets::open_research(conn).await?;
            let drafts: Vec<NewEvent> = research.iter().map(Market::event).collect();
            events::write(conn, &drafts).await?;
        }
        Ok(PauseChange { subject: (), pause: None, changed })
    })
    .await
}

/// An operator's request for a bot's or a market's pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Paused,
    Running,
}

/// Pauses or resumes one bot. A paused bot does not act, is neither ticked nor reaped, but receives payouts. It
/// is charged again from the tick after the one in which it is resumed.
///
/// # Errors
/// [`crate::DbError::NotFound`] for an unknown bot. Then nothing was written. Otherwise
/// see [`crate::DbError`].
#[crate::boxed]
pub async fn set_bot(
    conn: &mut Connection,
    bot: &BotRef,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, PauseChange<BotProfile>>>,
) -> DbResult<PauseChange<BotProfile>> {
    tx::run(conn, hook, async |conn| {
        bots::hold_tick_boundary(conn).await?;
        let id = bots::find(conn, bot).await?.id;
        let locked = ledger::lock(conn, WhilePaused::Proceed, id).await?;
        let changed = locked.wallet.pause.is_some() != (wanted == Wanted::Paused);
        if changed {
            pause_bot(conn, id, wanted, locked.now, reason).await?;
            let action = match wanted {
                Wanted::Paused => "PAUSE_BOT",
                Wanted::Running => "RESUME_BOT",
            };
            let detail = json!({ "reason": reason });
            audit_log::write(conn, &who.to_string(), action, Some(id), detail).await?;
        }
        let profile = bots::find(conn, &BotRef::Id(id)).await?;
        if changed {
            let event = NewEvent::Bot(BotEvent {
                bot_id: id,
                status: profile.status,
                paused: Some(profile.pause.clone()),
            });
            events::write(conn, &[event]).await?;
        }
        Ok(PauseChange { pause: profile.pause.clone(), subject: profile, changed })
    })
    .await
}

async fn pause_bot(
    conn: &mut Connection,
    id: BotId,
    wanted: Wanted,
    now: Timestamp,
    reason: &str,
) -> DbResult<()> {
    let wallet = || diesel::update(wallets::table.find(id.0));
    let since = (wanted == Wanted::Paused).then_some(now);
    let why = since.map(|_| reason);
    let paused = (wallets::paused_at.eq(since), wallets::pause_reason.eq(why));
    wallet().set(paused).execute(conn).await?;
    if wanted == Wanted::Running {
        // Nobody is charged for the time in which they could not act.
        wallet().set(wallets::last_tick.eq(bots::latest_tick())).execute(conn).await?;
    }
    Ok(())
}

/// Pauses or resumes one market that is not settled. A paused market takes no bet and no answer and
/// pays nothing; it is still locked at its deadline and its source is still read, so that no
/// evidence is lost.
///
/// # Errors
/// [`Refusal::MarketSettled`] for a pause of one that is settled.
#[crate::boxed]
pub async fn set_market(
    conn: &mut Connection,
    id: MarketId,
    wanted: Wanted,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, PauseChange<Market>>>,
) -> DbResult<PauseChange<Market>> {
    tx::run(conn, hook, async |conn| {
        let mut market = markets::locked_market(conn, id).await?;
        let changed = market.pause.is_some() != (wanted == Wanted::Paused);
        if changed {
            if wanted == Wanted::Paused && market.status.is_settled() {
                let status = market.status;
                return Err(Refusal::MarketSettled { market: id, status }.into());
            }
            let since = crate::now(conn).await?;
            market.pause =
                (wanted == Wanted::Paused).then(|| Pause { since, reason: reason.to_owned() });
            let pause = market.pause.as_ref();
            diesel::update(markets_table::table.find(id.0))
                .set((
                    markets_table::paused_at.eq(pause.map(|pause| pause.since)),
                    markets_table::pause_reason.eq(pause.map(|pause| &pause.reason)),
                ))
                .execute(conn)
                .await?;
            let action = match wanted {
                Wanted::Paused => "PAUSE_MARKET",
                Wanted::Running => "RESUME_MARKET",
            };
            let detail = json!({ "market_id": id, "reason": reason });
            audit_log::write(conn, &who.to_string(), action, None, detail).await?;
            // The deadline of research moves with the end of a pause.
            market = markets::find(conn, id).await?;
            events::write(conn, &[market.event()]).await?;
        }
        Ok(PauseChange { pause: market.pause.clone(), subject: market, changed })
    })
    .await
}
