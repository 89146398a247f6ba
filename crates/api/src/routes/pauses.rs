//! Pauses by an operator: of the arena, one bot or one market.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use api_types::ProblemKind::MarketClosed;
use api_types::{ArenaState, PauseRequest, ResumeRequest};
use db::bots::{BotProfile, BotRef};
use db::markets::Market;
use db::pauses::{self, PauseChange, Wanted};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{AuthenticatedOperator, Who};
use crate::body::Body;
use crate::endpoint::{Endpoint, post};
use crate::error::ApiResult;
use crate::idempotency::{finish, hook, keeper};
use crate::openapi::examples;
use crate::routes::common::{id_of, market_of, ok, reason, required_reason};
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let pausing = |row: Endpoint| {
        let reason = json!({ "reason": "we look into a wrong price" });
        row.by(Who::Operator)
            .once()
            .takes("PauseRequest", vec![("a reason", reason)])
    };
    let resuming = |row: Endpoint| {
        let reason = json!({ "reason": "all is well" });
        row.by(Who::Operator)
            .once()
            .may_take("ResumeRequest", vec![("a reason", reason)])
    };
    let state = |paused: Value| json!({ "paused": paused });
    vec![
        pausing(post("/arena/pause", arena))
            .named(
                "pauseArena",
                "operators",
                "Holds the arena: no money moves and no time passes",
            )
            .about(
                "Once this has answered, nothing moves. Reads and operators' acts go on. Told \
                again, the first reason stands.",
            )
            .answers(200, "ArenaState", "Paused.", state(examples::pause())),
        resuming(post("/arena/resume", arena))
            .named("resumeArena", "operators", "Lets the arena go on")
            .about("Ticks that did not begin meanwhile are not made up for.")
            .answers(200, "ArenaState", "Running.", state(Value::Null)),
        pausing(post("/bots/{bot}/pause", bot))
            .named(
                "pauseBot",
                "operators",
                "Holds one bot: it neither acts nor pays for time",
            )
            .with(&["bot"])
            .answers(200, "Bot", "The bot, paused.", examples::bot()),
        resuming(post("/bots/{bot}/resume", bot))
            .named("resumeBot", "operators", "Lets a bot go on")
            .with(&["bot"])
            .answers(200, "Bot", "The bot.", examples::bot()),
        pausing(post("/markets/{market}/pause", market))
            .named(
                "pauseMarket",
                "operators",
                "Holds one market: it takes nothing and pays nothing",
            )
            .with(&["market"])
            .refuses(&[MarketClosed])
            .answers(200, "Market", "The market, paused.", examples::market()),
        resuming(post("/markets/{market}/resume", market))
            .named("resumeMarket", "operators", "Lets a market go on")
            .with(&["market"])
            .answers(200, "Market", "The market.", examples::market()),
    ]
}

/// What was asked for, with the body as it came.
struct PauseBody {
    wanted: Wanted,
    reason: String,
    body: Body,
}

/// A pause needs a reason, which is told to whoever is refused; a resumption may have one.
async fn read(req: &HttpRequest, payload: Payload) -> ApiResult<PauseBody> {
    let wanted = match Endpoint::of(req)?.path.ends_with("/pause") {
        true => Wanted::Paused,
        false => Wanted::Running,
    };
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
            None => (Body::default(), String::new()),
        },
    };
    let reason = match wanted {
        Wanted::Paused => required_reason(&text)?,
        Wanted::Running => reason(&text)?,
    };
    Ok(PauseBody {
        wanted,
        reason,
        body,
    })
}

/// Pauses all money and time until the arena is resumed, or resumes it.
async fn arena(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let asked = read(&req, payload).await?;
    let retry = app
        .retries
        .claim(&req, &operator.scope(), "", &asked.body)?;
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
        ok(&shown(&change?))
    })
    .await
}

async fn bot(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    bot: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let asked = read(&req, payload).await?;
    let id = id_of(&app, &bot).await?;
    let retry = app
        .retries
        .claim(&req, &operator.scope(), id, &asked.body)?;
    finish(app, retry, move |app, retry| async move {
        let shown = |change: &PauseChange<BotProfile>| views::bot(change.subject.clone());
        let render = keeper(retry.as_deref(), StatusCode::OK, shown);
        let hook = hook(retry.as_deref(), render.as_ref());
        let (bot, who, reason) = (BotRef::Id(id), &operator.0, &asked.reason);
        let mut conn = app.database.get().await?;
        let set = pauses::set_bot(&mut conn, &bot, asked.wanted, who, reason, hook.as_ref());
        let change = set.await?;
        app.cache.wake_soon();
        ok(&shown(&change))
    })
    .await
}

async fn market(
    operator: AuthenticatedOperator,
    req: HttpRequest,
    market: Path<String>,
    payload: Payload,
    app: Data<App>,
) -> ApiResult {
    let id = market_of(&market)?;
    let asked = read(&req, payload).await?;
    let retry = app
        .retries
        .claim(&req, &operator.scope(), id, &asked.body)?;
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
        ok(&shown(&change))
    })
    .await
}
