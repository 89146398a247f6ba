//! Operators' acts on bots.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::{self, Operator};
use ledger_core::post::Draft;
use ledger_core::{Entry, Money};
use serde_json::json;

use super::{BotProfile, BotRef, find, hold_tick_boundary, latest_tick};
use crate::audit_log;
use crate::error::{DbError, DbResult};
use crate::events;
use crate::idempotency::Remember;
use crate::ledger::{self, Cause, Sealed};
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::posts::{self, NewPost};
use crate::schema::wallets;
use crate::sql::{Sql, Units};
use crate::totals::{self, Attention};
use crate::tx;

/// The result of an operator's act.
#[derive(Debug, Clone)]
pub struct OperatorAct {
    pub profile: BotProfile,
    pub entry: Entry,
}

/// Brings a dead bot back: `REVIVE` entry, status ALIVE, post, audit row, in one transaction.
///
/// # Errors
/// [`DbError::Refused`] for a bot that is not dead, and for an amount that is none; [`DbError::NotFound`] for a
/// bot that is none. Then nothing was written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn revive(
    conn: &mut Connection,
    bot: &BotRef,
    amount: Money,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, OperatorAct>>,
) -> DbResult<OperatorAct> {
    tx::run(conn, hook, async |conn| {
        hold_tick_boundary(conn).await?;
        let id = find(conn, bot).await?.id;
        let locked = ledger::lock(conn, WhilePaused::Proceed, id).await?;
        let movement = economy::revive(&locked.wallet, amount, who)?;
        let appended = ledger::append(conn, locked, movement, Cause::House).await?;
        // A second life starts like the first: not idle, and charged from the next tick on.
        diesel::update(wallets::table.find(id.0))
            .set((
                wallets::idle_streak.eq(0),
                wallets::productive.eq(false),
                wallets::last_tick.eq(latest_tick()),
                wallets::granted.eq(diesel::dsl::sql("granted + ").bind::<Units, _>(Sql(amount))),
            ))
            .execute(conn)
            .await?;
        let draft = Draft::revival(amount, who, reason);
        let detail = json!({ "amount": amount, "reason": reason });
        conclude(conn, appended, draft, &who.to_string(), "REVIVE", detail).await
    })
    .await
}

/// Retires a bot permanently: `RETIRED` entry, status RETIRED, post, audit row, in one transaction.
///
/// # Errors
/// [`DbError::Refused`] for a bot that is retired; [`DbError::NotFound`] for an unknown one. Then nothing was
/// written. Otherwise see [`DbError`].
#[crate::boxed]
pub async fn retire(
    conn: &mut Connection,
    bot: &BotRef,
    who: &Operator,
    reason: &str,
    hook: Option<&Remember<'_, OperatorAct>>,
) -> DbResult<OperatorAct> {
    tx::run(conn, hook, async |conn| {
        let id = find(conn, bot).await?.id;
        let locked = ledger::lock(conn, WhilePaused::Proceed, id).await?;
        let movement = economy::retire(&locked.wallet, who)?;
        let draft = Draft::retirement(who, movement.burned());
        let detail = json!({ "burnt": movement.burned(), "reason": reason });
        let appended = ledger::append(conn, locked, movement, Cause::House).await?;
        conclude(conn, appended, draft, &who.to_string(), "RETIRE", detail).await
    })
    .await
}

/// The rest of an operator's act: post, events, audit row.
async fn conclude(
    conn: &mut Connection,
    appended: Sealed,
    draft: Draft,
    actor: &str,
    action: &str,
    detail: serde_json::Value,
) -> DbResult<OperatorAct> {
    let mut drafts = appended.events();
    let entry = appended.entries.into_iter().next();
    let entry = entry.ok_or_else(|| DbError::corrupt("an operator's act without an entry"))?;
    let post = NewPost::about(&entry, draft);
    drafts.push(post.event());
    posts::write(conn, &[post]).await?;
    events::write(conn, &drafts).await?;
    audit_log::write(conn, actor, action, Some(entry.bot_id), detail).await?;
    totals::add_attention(conn, entry.bot_id, Attention::Intervention).await?;
    let profile = find(conn, &BotRef::Id(entry.bot_id)).await?;
    Ok(OperatorAct { profile, entry })
}
