//! The audit log, for operators.

use api_types::{AuditEntry, told};
use db::audit_log::{AGENTS_ACTIONS, AuditFilter, Line};

use super::prelude::*;
use crate::routes::common::{filtered_by, nothing, ok};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/audit", list)
            .named("showAudit", "operators", "Who did what, and why")
            .about(
                "All except agents' own actions (PREDICT, WAIT, BET, ANSWER, USAGE). `action` selects these, \
                 only without `bot`.",
            )
            .by(Who::Operator)
            .listed::<AuditEntry>(&["auditAction", "ofBot"]),
    ]
}

/// Acts on the arena or its bots, newest first: all except agents' own actions, which `?action=`
/// selects. `?bot=` takes an id or a handle.
async fn list(_operator: AuthenticatedOperator, req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Audit, &app.secrets)?;
    let action = parameters.get("action").map(action).transpose()?;
    let bot_id = match parameters.get("bot") {
        None => None,
        Some(name) => {
            let mut conn = app.database.get().await?;
            match filtered_by(&mut conn, "bot", name, "must be an id or a handle").await? {
                Some(id) => Some(id),
                // Nobody by this name has done anything.
                None => return nothing(),
            }
        }
    };
    let is_agents = action.as_deref().is_some_and(|a| AGENTS_ACTIONS.contains(&a));
    if is_agents && bot_id.is_some() {
        let rule = "cannot be one of an agent's own actions together with `bot`: see its ledger, predictions \
            and bets";
        return Err(ApiError::invalid("action", rule));
    }
    let filter = AuditFilter { action, bot_id };
    let before = page.after.map(|[id]| id);
    let mut conn = app.database.get().await?;
    let lines = db::audit_log::page(&mut conn, &filter, before, page.limit()).await?;
    ok(&page.answer(lines, |line| [line.id], shown))
}

/// As actions are written: capital letters and underscores.
fn action(text: &str) -> Result<String, ApiError> {
    let is_one =
        (1..=50).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if is_one {
        Ok(text.to_owned())
    } else {
        let rule = "must be an action such as RETIRE or PAUSE_ARENA";
        Err(ApiError::invalid("action", rule))
    }
}

fn shown(line: Line) -> AuditEntry {
    told!(AuditEntry of line {
        id, at, actor, action, bot_id, detail
    })
}
