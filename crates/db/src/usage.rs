//! Agents' costs: token usage reported with an action or separately, stored in the ticks' table and
//! added to the agent's totals in the same transaction.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use ledger_core::economy::{Enforcement, Wallet};
use ledger_core::{BotId, Money, Timestamp};
use serde_json::json;

use crate::audit_log;
use crate::error::{DbResult, first_cause};
use crate::idempotency::Remember;
use crate::ledger;
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::schema::{agent_metrics, sql_types};
use crate::sql::Sql;
use crate::totals;
use crate::tx;

/// Token usage of one turn, summed over its calls, as the agent reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub provider: String,
    pub model: String,
    pub llm_calls: i32,
    /// Those of them whose usage is unknown.
    pub unreported_calls: i32,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_input_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    /// As reported; stored, but not used.
    pub cost_usd: Option<Money>,
    /// By the recording process' price book; `None` for a model without a price.
    pub priced_usd: Option<Money>,
}

/// Usage outside of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    pub bot_id: BotId,
    pub usage: Usage,
    /// Its purpose: one clean line, at most 280 characters.
    pub note: String,
}

/// A report that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    pub action_id: i64,
    pub priced_usd: Option<Money>,
    /// The agent's own figure.
    pub reported_usd: Option<Money>,
}

/// Records usage outside of an action: audit row, metrics row and totals in one transaction. It
/// moves no money, so dead bots may report too.
///
/// # Errors
/// [`crate::DbError::NotFound`] for an unknown bot. Then nothing was written. Otherwise see [`crate::DbError`].
#[crate::boxed]
pub async fn report(
    conn: &mut Connection,
    report: &UsageReport,
    enforcement: Enforcement,
    hook: Option<&Remember<'_, Reported>>,
) -> DbResult<Reported> {
    tx::run(conn, hook, async |conn| {
        let UsageReport { bot_id, usage, note } = report;
        // Every transaction that changes a bot's totals holds the wallet's lock.
        let locked = ledger::lock(conn, WhilePaused::Proceed, *bot_id).await?;
        let detail = json!({ "note": note });
        let action_id = audit_log::write_by_bot(conn, *bot_id, "USAGE", detail).await?;
        let (wallet, at) = (&locked.wallet, locked.now);
        record_action(conn, action_id, Some(usage), wallet, enforcement, at).await?;
        Ok(Reported { action_id, priced_usd: usage.priced_usd, reported_usd: usage.cost_usd })
    })
    .await
}

/// The `ACTION` row of reported usage, if any, and its change of the bot's totals, in the
/// transaction of its action, which holds the bot's wallet.
pub(crate) async fn record_action(
    conn: &Connection,
    action_id: i64,
    usage: Option<&Usage>,
    wallet: &Wallet,
    enforcement: Enforcement,
    at: Timestamp,
) -> DbResult<()> {
    let Some(usage) = usage else { return Ok(()) };
    let kept = insert_action(conn, action_id, usage, wallet, enforcement, at);
    let added = totals::add_usage(conn, wallet.head.bot_id, usage);
    let (kept, added) = join(kept, added).await;
    first_cause([kept, added])
}

async fn insert_action(
    mut conn: &Connection,
    action_id: i64,
    usage: &Usage,
    wallet: &Wallet,
    enforcement: Enforcement,
    at: Timestamp,
) -> DbResult<()> {
    let kind = diesel::dsl::sql::<sql_types::MetricKind>("'ACTION'");
    diesel::insert_into(agent_metrics::table)
        .values((
            agent_metrics::recorded_at.eq(Sql(at)),
            agent_metrics::tick.eq(wallet.last_tick.0),
            agent_metrics::bot_id.eq(wallet.head.bot_id.0),
            agent_metrics::kind.eq(kind),
            agent_metrics::enforcement.eq(Sql(enforcement)),
            agent_metrics::balance.eq(Sql(wallet.balance())),
            agent_metrics::shadow_balance.eq(Sql(wallet.shadow_balance())),
            agent_metrics::idle_streak.eq(wallet.idle_streak),
            agent_metrics::action_id.eq(action_id),
            agent_metrics::provider.eq(&usage.provider),
            agent_metrics::model.eq(&usage.model),
            agent_metrics::llm_calls.eq(usage.llm_calls),
            agent_metrics::unreported_calls.eq(usage.unreported_calls),
            agent_metrics::input_tokens.eq(usage.input_tokens),
            agent_metrics::output_tokens.eq(usage.output_tokens),
            agent_metrics::cached_input_tokens.eq(usage.cached_input_tokens),
            agent_metrics::reasoning_tokens.eq(usage.reasoning_tokens),
            agent_metrics::cost_usd.eq(usage.cost_usd),
            agent_metrics::priced_usd.eq(usage.priced_usd),
        ))
        .execute(&mut conn)
        .await?;
    Ok(())
}
