//! A bot that looked at the arena and chose to wait.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::{self, EconomyRules};
use ledger_core::{BotId, ObservationId};
use serde_json::json;

use super::Accepted;
use crate::audit_log;
use crate::error::DbResult;
use crate::idempotency::Remember;
use crate::ledger;
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::schema::wallets;
use crate::tx;
use crate::usage::{self, Usage};

/// An observation after which a bot chose to wait. Its observation has been redeemed.
#[derive(Debug, Clone)]
pub struct Wait {
    pub bot_id: BotId,
    pub observation_id: ObservationId,
    /// One clean line, at most 280 characters.
    pub reasoning: String,
    pub usage: Option<Usage>,
}

/// Records that a bot looked and chose to wait. Moves no money, uses up the observation.
///
/// # Errors
/// [`crate::DbError::Refused`] for a bot that may not act; [`crate::DbError::NotFound`] for an unknown one;
/// [`crate::DbError::Conflict`] for an observation that was used before. Then nothing was written. Otherwise see
/// [`crate::DbError`].
#[crate::boxed]
pub async fn wait(
    conn: &mut Connection,
    wait: &Wait,
    rules: &EconomyRules,
    hook: Option<&Remember<'_, Accepted>>,
) -> DbResult<Accepted> {
    tx::run(conn, hook, async |conn| wait_in(conn, wait, rules).await).await
}

/// [`wait`] in the caller's transaction.
pub(crate) async fn wait_in(
    conn: &mut Connection,
    wait: &Wait,
    rules: &EconomyRules,
) -> DbResult<Accepted> {
    let bot_id = wait.bot_id;
    let locked = ledger::lock(conn, WhilePaused::Refuse, bot_id).await?;
    economy::alive(&locked.wallet)?;
    let action_id = audit_log::write_with_observation(
        conn,
        &format!("bot:{bot_id}"),
        "WAIT",
        Some(bot_id),
        Some(wait.observation_id),
        json!({ "reasoning": wait.reasoning }),
    )
    .await?;
    diesel::update(wallets::table.find(bot_id.0))
        .set(wallets::last_action_at.eq(Some(locked.now)))
        .execute(conn)
        .await?;
    let (usage, mode) = (wait.usage.as_ref(), rules.enforcement);
    usage::record_action(conn, action_id, usage, &locked.wallet, mode, locked.now).await?;
    Ok(Accepted {
        action_id,
        prediction_id: None,
        entry: None,
        new_balance: locked.wallet.balance(),
    })
}
