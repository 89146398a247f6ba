//! An API key for a short-lived token.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::StatusCode;
use api_types::ProblemKind::Unauthorized;
use api_types::{Secret, TokenAnswer, TokenRequest};
use db::bots::BotRef;
use db::credentials::Refused;
use db::idempotency::{Pair, Remember};

use super::prelude::*;
use crate::address;
use crate::auth::tokens::Bearer;
use crate::auth::{Hashes, Proven};
use crate::call::Claimed;
use crate::idempotency::{Contents, Retry, hook, keeper};
use crate::keys::{hex, sha256};
use crate::routes::common::ok;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/auth/token", token)
            .named("getToken", "agents", "An API key for a short-lived token")
            .about("Good for 30 minutes. A wrong key and an unknown bot get the same answer in the same time.")
            .takes::<TokenRequest>()
            .counted(Class::Login)
            .once_in_secret()
            .refuses(&[Unauthorized])
            .answers::<TokenAnswer>(200, "A token."),
    ]
}

/// A wrong key and an unknown bot get the same answer, in the same time.
async fn token(mut call: Call) -> ApiResult {
    let request: TokenRequest = call.body().await?;
    let bot = match (request.bot_id, request.handle) {
        (Some(id), None) => BotRef::Id(id),
        (None, Some(handle)) => BotRef::Handle(handle),
        (None, None) => return Err(ApiError::invalid("handle", "or `bot_id` is required")),
        (Some(_), Some(_)) => {
            let rule = "and `handle` cannot both be given";
            return Err(ApiError::invalid("bot_id", rule));
        }
    };
    let address = address::of(&call.req);
    let counted = counted_as(&call.app, &bot).await?;
    if let Err(refused) = call.app.limiter.login(address, &counted).await {
        return Err(refused.told(&call.req));
    }
    // The key itself is the credential: an answer is repeated only to callers with it.
    let key_sha256 = sha256(request.api_key.expose().as_bytes());
    let Claimed { app, retry, .. } = call.claim(&format!("login:{}", hex(&key_sha256)), "")?;
    let retry = retry.map(Retry::of_token);
    let login = login(&app, address, &bot, &request.api_key, retry.as_ref());
    app.retries.once(retry.as_ref(), login).await
}

/// The name that counts a login: a bot has one count for its id and its handle.
async fn counted_as(app: &App, bot: &BotRef) -> ApiResult<String> {
    match bot {
        BotRef::Id(id) => Ok(id.to_string()),
        BotRef::Handle(handle) => {
            let mut conn = app.database.get().await?;
            let known = db::credentials::login(&mut conn, bot).await?;
            Ok(known.map_or_else(
                || handle.as_str().to_ascii_lowercase(),
                |known| known.bot.to_string(),
            ))
        }
    }
}

async fn login(
    app: &App,
    address: Option<IpAddr>,
    bot: &BotRef,
    api_key: &Secret,
    retry: Option<&Retry>,
) -> ApiResult {
    let known = {
        let mut conn = app.database.get().await?;
        db::credentials::login(&mut conn, bot).await?
    };
    let predecessor = known.as_ref().and_then(|known| known.predecessor.as_ref());
    let hashes = known.as_ref().map(|known| Hashes {
        bot: known.bot,
        current: &known.api_key_hash,
        predecessor: predecessor.map(|before| before.api_key_hash.as_str()),
    });
    let proven = app.auth.passwords.prove(address, api_key.expose(), hashes).await?;
    let bought = match (proven, &known, predecessor) {
        (Some(Proven::Current), Some(known), _) => Some((known.bot, known.version, None)),
        // Its token must not outlive the grace.
        (Some(Proven::Predecessor), Some(known), Some(before)) => {
            Some((known.bot, before.version, Some(before.remaining)))
        }
        _ => None,
    };
    let Some((bot, version, at_most)) = bought else {
        if let Some(known) = known {
            app.auth.refusals.note(Refused::Login(known.bot));
        }
        return Err(ApiError::unauthorized("There is no bot with this API key."));
    };
    let answer = app.secrets.now().tokens.issue(Bearer { bot, version }, at_most)?;
    let whose = |(): &()| Contents::Secret(Pair { bot, version });
    let render = keeper(retry, StatusCode::OK, |(): &()| &answer, whose);
    let hook = hook(retry, render.as_ref()).map(|hook| Remember {
        // At most as long as the token is valid.
        keep: Duration::from_secs(answer.expires_in.unsigned_abs()),
        ..hook
    });
    let mut conn = app.database.get().await?;
    db::credentials::logged_in(&mut conn, bot, version, hook.as_ref()).await?;
    ok(&answer)
}
