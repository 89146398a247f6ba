//! Token usage outside of an action.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use api_types::{NOTE_MAX_CHARS, UsageReceipt};
use db::usage::{Reported, UsageReport};
use ledger_core::post::one_line;

use crate::app::App;
use crate::auth::AuthenticatedBot;
use crate::body::Body;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Retry, finish, hook, keeper};
use crate::usage;

/// Takes a report. It moves no money, so the dead may report what they still cost.
pub(super) async fn report(
    bot: AuthenticatedBot,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let body = Body::read(&req, payload).await?;
    let request: api_types::UsageReport = body.parse()?;
    let note = request.note.as_deref().unwrap_or_default();
    if note.chars().count() > NOTE_MAX_CHARS {
        let rule = format!("must have at most {NOTE_MAX_CHARS} characters");
        return Err(ApiError::invalid("note", rule));
    }
    let report = UsageReport {
        bot_id: bot.id,
        usage: usage::read(request.usage, &app.price_book)?,
        note: one_line(note),
    };
    let route = "POST /metrics/usage";
    let retry = Retry::of(&app, req.headers(), &bot.scope(), route, &body)?;
    finish(app, retry, move |app, retry| async move {
        record(&app, report, retry).await
    })
    .await
}

async fn record(app: &App, report: UsageReport, retry: Option<Arc<Retry>>) -> ApiResult {
    let answer = |reported: &Reported| UsageReceipt {
        action_id: reported.action_id,
        cost_usd: reported.priced_usd,
        reported_usd: reported.reported_usd,
    };
    let render = keeper(retry.as_deref(), StatusCode::CREATED, answer);
    let hook = hook(retry.as_deref(), render.as_ref());
    let mut conn = app.database.get().await?;
    let mode = app.rules.enforcement;
    let reported = db::usage::report(&mut conn, &report, mode, hook.as_ref()).await;
    let reported = AuthenticatedBot::or_unknown(reported)?;
    Ok(HttpResponse::Created().json(answer(&reported)))
}
