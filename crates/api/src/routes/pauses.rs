//! Pauses by an operator: of the arena, one bot or one market.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use api_types::{ArenaState, PauseRequest, ResumeRequest};
use db::bots::{BotProfile, BotRef};
use db::markets::Market;
use db::pauses::{self, PauseChange, Wanted};

use crate::app::App;
use crate::auth::AuthenticatedOperator;
use crate::body::Body;
use crate::error::{ApiError, ApiResult};
use crate::idempotency::{Retry, finish, hook, keeper};
use crate::routes::bots::{id_of, reason};
use crate::routes::markets::market_of;
use crate::{routes, views};

/// What was asked for, with the body as it came.
struct Asked {
    wanted: Wanted,
    reason: String,
    body: Body,
}

/// A pause needs a reason, which is told to whoever is refused; a resumption may have one.
async fn read(req: &HttpRequest, payload: Payload, wanted: Wanted) -> ApiResult<Asked> {
    let (body, text) = match wanted {
        Wanted::Paused => {
            let body = Body::read(req, payload).await?;
            let request: PauseRequest = body.parse()?;
            (body, request.reason)
        }
        Wanted::Running => match Body::read_optional(req, payload).await? {
            Some(body) => {
                let request: ResumeRequest = body.parse()?;
                (body, request.reason)
            }
            None => (Body::empty(), String::new()),
        },
    };
    let reason = reason(&text)?;
    if reason.is_empty() && wanted == Wanted::Paused {
        return Err(ApiError::missing("reason"));
    }
    Ok(Asked {
        wanted,
        reason,
        body,
    })
}

const fn verb(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Paused => "pause",
        Wanted::Running => "resume",
    }
}

async fn arena(
    wanted: Wanted,
    operator: AuthenticatedOperator,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let asked = read(&req, payload, wanted).await?;
    let route = format!("POST /arena/{}", verb(wanted));
    let retry = Retry::of(&app, req.headers(), &operator.scope(), &route, &asked.body)?;
    finish(app, retry, move |app, retry| async move {
        let shown = |change: &PauseChange<()>| ArenaState {
            paused: change.pause.clone(),
        };
        let render = keeper(retry.as_deref(), StatusCode::OK, shown);
        let hook = hook(retry.as_deref(), render.as_ref());
        let (who, reason) = (&operator.0, &asked.reason);
        let mut conn = app.database.get().await?;
        let change = match asked.wanted {
            Wanted::Paused => pauses::pause_arena(&mut conn, who, reason, hook.as_ref()).await,
            Wanted::Running => pauses::resume_arena(&mut conn, who, reason, hook.as_ref()).await,
        };
        routes::ok(&shown(&change?))
    })
    .await
}

async fn bot(
    wanted: Wanted,
    operator: AuthenticatedOperator,
    req: HttpRequest,
    bot: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let asked = read(&req, payload, wanted).await?;
    let id = id_of(&app, &bot).await?;
    let route = format!("POST /bots/{id}/{}", verb(wanted));
    let retry = Retry::of(&app, req.headers(), &operator.scope(), &route, &asked.body)?;
    finish(app, retry, move |app, retry| async move {
        let shown = |change: &PauseChange<BotProfile>| views::bot(change.subject.clone());
        let render = keeper(retry.as_deref(), StatusCode::OK, shown);
        let hook = hook(retry.as_deref(), render.as_ref());
        let (bot, who, reason) = (BotRef::Id(id), &operator.0, &asked.reason);
        let mut conn = app.database.get().await?;
        let set = pauses::set_bot(&mut conn, &bot, asked.wanted, who, reason, hook.as_ref());
        let change = set.await?;
        app.cache.wake_soon();
        routes::ok(&shown(&change))
    })
    .await
}

async fn market(
    wanted: Wanted,
    operator: AuthenticatedOperator,
    req: HttpRequest,
    market: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let id = market_of(&market)?;
    let asked = read(&req, payload, wanted).await?;
    let route = format!("POST /markets/{id}/{}", verb(wanted));
    let retry = Retry::of(&app, req.headers(), &operator.scope(), &route, &asked.body)?;
    finish(app, retry, move |app, retry| async move {
        let shown =
            |change: &PauseChange<Market>| views::market(change.subject.clone(), Vec::new());
        let render = keeper(retry.as_deref(), StatusCode::OK, shown);
        let hook = hook(retry.as_deref(), render.as_ref());
        let (who, reason) = (&operator.0, &asked.reason);
        let mut conn = app.database.get().await?;
        let set = pauses::set_market(&mut conn, id, asked.wanted, who, reason, hook.as_ref());
        let change = set.await?;
        app.cache.wake_soon();
        routes::ok(&shown(&change))
    })
    .await
}

/// Stops all money and time until the arena is resumed.
pub(super) async fn pause_arena(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    arena(Wanted::Paused, operator, req, payload, app).await
}

pub(super) async fn resume_arena(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    arena(Wanted::Running, operator, req, payload, app).await
}

pub(super) async fn pause_bot(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    path: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    bot(Wanted::Paused, operator, req, path, payload, app).await
}

pub(super) async fn resume_bot(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    path: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    bot(Wanted::Running, operator, req, path, payload, app).await
}

pub(super) async fn pause_market(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    path: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    market(Wanted::Paused, operator, req, path, payload, app).await
}

pub(super) async fn resume_market(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    path: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    market(Wanted::Running, operator, req, path, payload, app).await
}
