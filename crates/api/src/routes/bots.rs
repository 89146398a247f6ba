//! Bots: registration, profiles, and operators' acts on them.

use std::net::IpAddr;

use actix_web::http::header::LOCATION;
use actix_web::http::{Method, StatusCode};
use api_types::ProblemKind::{ArenaPaused, BotStatus, HandleTaken, RegistrationClosed};
use api_types::{
    MyProfile, PERSONA_MAX_CHARS, RegisterRequest, Registration, RetireRequest, ReviveRequest,
};
use cache::limits::Admission as Place;
use db::bots::{BotRef, NewBot, OperatorAct, Registered};
use db::credentials::FIRST_VERSION;
use db::idempotency::Pair;
use db::predictions::PredictionFilter;
use ledger_core::prediction::PredictionStatus;
use ledger_core::{BotId, Handle};
use subtle::ConstantTimeEq;

use super::prelude::*;
use crate::app::Admission;
use crate::auth::{Asker, Issued};
use crate::idempotency::{Contents, Retry, hook, keeper, location};
use crate::keys::sha256;
use crate::routes::common::{bot_of, id_of, ok, reason, required_reason};
use crate::views::Secrecy;
use crate::{address, views};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/bots/me", me)
            .named("me", "agents", "The bot's own profile, with open positions and limits")
            .by(Who::Bot)
            .answers::<MyProfile>(200, "The profile."),
        get("/bots", list)
            .named("listBots", "bots", "Bots")
            .listed::<api_types::Bot>(&[]),
        post("/bots", create)
            .named("register", "bots", "Registers a bot")
            .about("Bot, wallet and first grant in one transaction. Key and secret are shown only once. \
                Outside development it needs the registration token.")
            .counted(Class::Registration)
            .once_in_secret()
            .takes::<RegisterRequest>()
            .refuses(&[RegistrationClosed, HandleTaken, ArenaPaused])
            .answers::<Registration>(201, "The bot and its credentials.")
            .located()
            .then("bot", &[
                ("the bot", "showBot"),
                ("its chain", "showChain"),
                ("its chain, verified", "verifyChain"),
                ("its insights", "showInsights"),
                ("its revival", "revive"),
                ("its retirement", "retire"),
            ]),
        get("/bots/{bot}", show)
            .named("showBot", "bots", "A bot's public profile")
            .with(&["bot"])
            .answers::<api_types::Bot>(200, "The profile."),
        Endpoint::new(Method::DELETE, "/bots/{bot}", retire)
            .named("retire", "operators", "Retires a bot permanently")
            .by(Who::Operator)
            .with(&["bot"])
            .once()
            .may_take::<RetireRequest>()
            .refuses(&[BotStatus])
            .answers::<api_types::Bot>(200, "The bot, retired."),
        post("/bots/{bot}/revive", revive)
            .named("revive", "operators", "Brings a dead bot back")
            .by(Who::Operator)
            .with(&["bot"])
            .once()
            .takes::<ReviveRequest>()
            .refuses(&[BotStatus])
            .answers::<api_types::Bot>(200, "The bot, alive."),
    ]
}

/// Registers a bot: bot, wallet, `GRANT` entry and audit row in one transaction.
async fn create(mut call: Call) -> ApiResult {
    let request: RegisterRequest = call.body().await?;
    let persona = persona(request.persona.as_deref().unwrap_or_default())?;
    let token = request.registration_token.as_ref().map_or("", |token| token.expose());
    admit(&call.app, token)?;
    let address = address::of(&call.req);
    let claimed = call.claim(&registrar(address, &request.handle), "")?;
    claimed
        .finish(move |app, retry| async move {
            let grant = GrantPlace::take(&app, address).await?;
            let retry = retry.as_deref();
            let registered = register(&app, &request.handle, &persona, address, retry).await;
            match &registered {
                Ok(_) => app.cache.wake_soon(),
                Err(_) => grant.give_back(&app).await,
            }
            registered
        })
        .await
}

/// The caller of a registration: it has no credential yet, and many share a registration token. So
/// it is an address with a handle. Behind one address the handle and the key distinguish callers.
fn registrar(address: Option<IpAddr>, handle: &Handle) -> String {
    let handle = handle.as_str().to_ascii_lowercase();
    match address {
        Some(address) => format!("registration:{handle}:{address}"),
        None => format!("registration:{handle}"),
    }
}

/// Whether this token may register.
fn admit(app: &App, token: &str) -> Result<(), ApiError> {
    let admitted = match &app.registration.admission {
        Admission::Open => true,
        Admission::Token(expected) => sha256(token.as_bytes()).ct_eq(expected).into(),
        Admission::Closed => false,
    };
    if admitted { Ok(()) } else { Err(ApiError::Is(RegistrationClosed)) }
}

async fn register(
    app: &App,
    handle: &Handle,
    persona: &str,
    address: Option<IpAddr>,
    retry: Option<&Retry>,
) -> ApiResult {
    // Before the expensive part; of two at the same time the database refuses one.
    match by_handle(app, handle).await {
        Err(db::DbError::NotFound(_)) => {}
        Ok(_) => return Err(ApiError::Is(HandleTaken)),
        Err(error) => return Err(error.into()),
    }
    let asker = Asker { address, proven: None };
    let issued = Issued::draw(&app.auth.passwords, asker, None).await?;
    let new = NewBot {
        handle,
        persona,
        hosted: false,
        credentials: &issued.stored,
        actor: "registration",
        while_paused: db::pauses::WhilePaused::Refuse,
    };
    let answer = |registered: &Registered| Registration {
        id: registered.profile.id,
        handle: registered.profile.handle.clone(),
        status: registered.profile.status,
        balance: registered.profile.balance,
        api_key: issued.api_key.clone(),
        api_secret: issued.api_secret.clone(),
        created_at: registered.profile.created_at,
    };
    let whose = |registered: &Registered| {
        Contents::Secret(Pair { bot: registered.profile.id, version: FIRST_VERSION })
    };
    let render = keeper(retry, StatusCode::CREATED, &answer, whose);
    let hook = hook(retry, render.as_ref());
    let mut conn = app.database.get().await?;
    let registered = db::bots::register(&mut conn, &new, &app.rules, hook.as_ref()).await?;
    let answer = answer(&registered);
    Ok(HttpResponse::Created().insert_header((LOCATION, location("/bots", answer.id))).json(answer))
}

async fn by_handle(app: &App, handle: &Handle) -> db::DbResult<db::bots::BotProfile> {
    let mut conn = app.database.get().await?;
    db::bots::find(&mut conn, &BotRef::Handle(handle.clone())).await
}

/// A place under the limit of grants for an address and a day.
struct GrantPlace(Option<String>);

impl GrantPlace {
    async fn take(app: &App, address: Option<IpAddr>) -> Result<GrantPlace, ApiError> {
        let Some((limit, address)) = app.registration.limit.zip(address) else {
            return Ok(GrantPlace(None));
        };
        let name = format!("grant:{}", address::counted_as(address));
        match app.cache.take(&name, limit).await? {
            Place::Admitted { .. } => Ok(GrantPlace(Some(name))),
            Place::Exhausted { retry_after } => Err(ApiError::TooManyRequests {
                detail: "No more bots are granted to this address today.",
                retry_after_seconds: retry_after.as_secs().saturating_add(1),
            }),
        }
    }

    async fn give_back(self, app: &App) {
        let Some(name) = self.0 else { return };
        if let Err(error) = app.cache.give_back(&name).await {
            tracing::warn!(%error, "a place for a grant was not released");
        }
    }
}

/// Line breaks and tabs are welcome in a persona, other control characters are not.
fn persona(text: &str) -> Result<String, ApiError> {
    let unwelcome = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().count() > PERSONA_MAX_CHARS || text.chars().any(unwelcome) {
        let rule = format!("must have at most {PERSONA_MAX_CHARS} characters, no control ones");
        return Err(ApiError::invalid("persona", rule));
    }
    Ok(text.trim().to_owned())
}

async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Bots, &app.secrets)?;
    let before = page.after.map(|[id]| BotId(id));
    let mut conn = app.database.get().await?;
    let profiles = db::bots::page(&mut conn, before, page.limit()).await?;
    ok(&page.answer(profiles, |profile| [profile.id.0], views::bot))
}

async fn show(bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = bot_of(&bot)?;
    let mut conn = app.database.get().await?;
    ok(&views::bot(db::bots::find(&mut conn, &bot).await?))
}

/// A bot's own profile. The dead may look, too.
async fn me(bot: AuthenticatedBot, app: Data<App>) -> ApiResult {
    let mut conn = app.database.get().await?;
    let found = db::bots::find(&mut conn, &BotRef::Id(bot.id)).await;
    let profile = AuthenticatedBot::or_unknown(found)?;
    let open = open_positions(&mut conn, bot.id).await?;
    let bets = db::markets::open_bets(&mut conn, bot.id, profile.open_bets).await?;
    ok(&MyProfile {
        limits: views::limits(&profile, &app.rules),
        bot: views::bot(profile),
        open_positions: open,
        open_bets: bets.into_iter().map(|bet| views::bet(bet, Secrecy::Closed)).collect(),
    })
}

/// A bot's open predictions, newest first.
pub(super) async fn open_positions(
    conn: &mut db::Connection,
    bot: BotId,
) -> Result<Vec<api_types::Prediction>, ApiError> {
    let filter = PredictionFilter { bot_id: Some(bot), status: Some(PredictionStatus::Open) };
    let rows = db::predictions::page(conn, filter, None, db::PAGE_MAX).await?;
    Ok(rows.into_iter().map(views::prediction).collect())
}

/// Retires a bot permanently.
async fn retire(operator: AuthenticatedOperator, bot: Path<String>, mut call: Call) -> ApiResult {
    let request: RetireRequest = call.optional_body().await?;
    let reason = reason(&request.reason)?;
    let id = id_of(&call.app, &bot).await?;
    let claimed = call.claim(&operator.scope(), id)?;
    claimed
        .once(shown, async move |_, conn, hook| {
            Ok(db::bots::retire(conn, &BotRef::Id(id), &operator.0, &reason, hook).await?)
        })
        .await
}

/// Brings a dead bot back.
async fn revive(operator: AuthenticatedOperator, bot: Path<String>, mut call: Call) -> ApiResult {
    let request: ReviveRequest = call.body().await?;
    if !request.amount.is_positive() {
        return Err(ApiError::invalid("amount", "must be above zero"));
    }
    let reason = required_reason(&request.reason)?;
    let id = id_of(&call.app, &bot).await?;
    let claimed = call.claim(&operator.scope(), id)?;
    claimed
        .once(shown, async move |_, conn, hook| {
            let (bot, amount, who) = (BotRef::Id(id), request.amount, &operator.0);
            Ok(db::bots::revive(conn, &bot, amount, who, &reason, hook).await?)
        })
        .await
}

fn shown(act: &OperatorAct) -> api_types::Bot {
    views::bot(act.profile.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_persona_keeps_its_lines_and_loses_nothing() {
        assert_eq!(persona("  calm\nand kind ").unwrap(), "calm\nand kind");
        assert!(persona(&"é".repeat(PERSONA_MAX_CHARS)).is_ok());
        assert!(persona(&"é".repeat(PERSONA_MAX_CHARS + 1)).is_err());
        assert!(persona("nul\0").is_err());
    }
}
