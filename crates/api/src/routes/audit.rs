//! The audit log, for operators.

use actix_web::HttpRequest;
use actix_web::web::Data;
use api_types::{AuditEntry, Page};
use db::DbError;
use db::audit_log::{AGENTS_ACTIONS, AuditFilter, Line};
use db::bots::BotRef;
use ledger_core::BotId;

use crate::app::App;
use crate::auth::AuthenticatedOperator;
use crate::cursor::{List, Parameters};
use crate::error::{ApiError, ApiResult};
use crate::routes;

/// What somebody did to the arena or its bots, newest first: all but what agents do themselves, which
/// is asked for by `?action=`. `?bot=` takes an id or a handle.
pub(super) async fn list(
    _operator: AuthenticatedOperator,
    req: HttpRequest,
    app: Data<App>,
) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Audit, &app.secrets.now().keys.cursor)?;
    let action = parameters.get("action").map(action).transpose()?;
    let bot_id = match parameters.get("bot") {
        None => None,
        Some(name) => match bot_named(&app, name).await? {
            Some(id) => Some(id),
            // Nobody by this name has done anything.
            None => {
                let empty: Page<AuditEntry> = Page {
                    items: Vec::new(),
                    next_cursor: None,
                };
                return routes::ok(&empty);
            }
        },
    };
    let is_agents = action
        .as_deref()
        .is_some_and(|a| AGENTS_ACTIONS.contains(&a));
    if is_agents && bot_id.is_some() {
        let rule = "cannot be one of an agent's own actions together with `bot`: its ledger, \
            predictions and bets tell these";
        return Err(ApiError::invalid("action", rule));
    }
    let filter = AuditFilter { action, bot_id };
    let before = page.after.map(|[id]| id);
    let mut conn = app.database.get().await?;
    let lines = db::audit_log::page(&mut conn, &filter, before, page.limit()).await?;
    routes::ok(&page.answer(
        lines,
        &app.secrets.now().keys.cursor,
        |line| [line.id],
        shown,
    ))
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

async fn bot_named(app: &App, name: &str) -> ApiResult<Option<BotId>> {
    let rule = || ApiError::invalid("bot", "must be an id or a handle");
    match routes::bot_ref(name).ok_or_else(rule)? {
        BotRef::Id(id) => Ok(Some(id)),
        by_handle @ BotRef::Handle(_) => {
            let mut conn = app.database.get().await?;
            match db::bots::find(&mut conn, &by_handle).await {
                Ok(found) => Ok(Some(found.id)),
                Err(DbError::NotFound(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }
}

fn shown(line: Line) -> AuditEntry {
    AuditEntry {
        id: line.id,
        at: line.at,
        actor: line.actor,
        action: line.action,
        bot_id: line.bot_id,
        detail: line.detail,
    }
}
