//! What agents cost: token usage reported with an action, kept beside the ticks' rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::economy::{Enforcement, Wallet};
use ledger_core::{Money, Timestamp};

use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::{agent_metrics, sql_types};
use crate::sql::{SqlEnforcement, SqlMoney};

/// Token usage of one turn, summed over its calls, as the agent reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub provider: String,
    pub model: String,
    pub llm_calls: i32,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_input_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    /// As reported; kept, not believed.
    pub cost_usd: Option<Money>,
}

/// The `ACTION` row of an action that reported usage, in the action's transaction.
pub(crate) async fn record_action(
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
            agent_metrics::recorded_at.eq(at.datetime()),
            agent_metrics::cycle.eq(wallet.last_cycle.0),
            agent_metrics::bot_id.eq(wallet.head.bot_id.0),
            agent_metrics::kind.eq(kind),
            agent_metrics::enforcement.eq(SqlEnforcement(enforcement)),
            agent_metrics::balance.eq(SqlMoney(wallet.balance())),
            agent_metrics::shadow_balance.eq(SqlMoney(wallet.shadow_balance())),
            agent_metrics::idle_streak.eq(wallet.idle_streak),
            agent_metrics::action_id.eq(action_id),
            agent_metrics::provider.eq(&usage.provider),
            agent_metrics::model.eq(&usage.model),
            agent_metrics::llm_calls.eq(usage.llm_calls),
            agent_metrics::input_tokens.eq(usage.input_tokens),
            agent_metrics::output_tokens.eq(usage.output_tokens),
            agent_metrics::cached_input_tokens.eq(usage.cached_input_tokens),
            agent_metrics::reasoning_tokens.eq(usage.reasoning_tokens),
            agent_metrics::cost_usd.eq(usage.cost_usd.map(SqlMoney)),
        ))
        .execute(&mut conn)
        .await?;
    Ok(())
}
