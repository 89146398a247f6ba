//! Who may ask for new keys: an operator, or the bot whose keys they are.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use api_types::AGENT_SECRET;
use db::credentials::{Refused, SecretOwner, Standing};
use futures_util::future::LocalBoxFuture;
use ledger_core::economy::Operator;

use super::{MISSING, Tokens, WRONG, app, bearer, is_operators, named};
use crate::error::ApiError;
use crate::keys::sha256;

/// An operator, or a bot with the credentials it came with. Those may be over: a bot whose rotation
/// was never answered has no others, and may ask for that answer once more. They prove nothing by
/// themselves any more, and the answer is told only to who knows the request's key as well.
pub(crate) enum KeyHolder {
    Operator(Operator),
    Bot(SecretOwner),
}

impl KeyHolder {
    /// What its idempotency keys are scoped to. The number of the credentials is part of it, so that
    /// an answer is told only to who could have asked for it.
    pub(crate) fn scope(&self) -> String {
        match self {
            KeyHolder::Operator(name) => format!("operator:{name}"),
            KeyHolder::Bot(owner) => format!("bot:{}:credentials:{}", owner.bot, owner.version),
        }
    }

    /// Whether it may rotate, and not only ask for an answer that was given.
    pub(crate) fn must_be_current(&self) -> Result<(), ApiError> {
        match self {
            KeyHolder::Operator(_) => Ok(()),
            KeyHolder::Bot(owner) => match owner.standing {
                Standing::Current => Ok(()),
                Standing::Grace => Err(ApiError::CredentialsSuperseded),
                Standing::Ended => Err(WRONG),
            },
        }
    }
}

impl FromRequest for KeyHolder {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<KeyHolder, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        Box::pin(async move { holder(&req).await })
    }
}

async fn holder(req: &HttpRequest) -> Result<KeyHolder, ApiError> {
    let app = app(req).ok_or_else(|| ApiError::Internal("no application data".to_owned()))?;
    if let Some(token) = bearer(req.headers())? {
        if is_operators(&app, token) {
            return named(req.headers()).map(KeyHolder::Operator);
        }
        let Some(bearer) = app.secrets.now().tokens.verify(token) else {
            // A bot's token that is over is no attempt on the operator's.
            if !Tokens::is_of_their_form(token) {
                app.refusals.note(Refused::Operator);
            }
            return Err(WRONG);
        };
        return Ok(KeyHolder::Bot(SecretOwner {
            bot: bearer.bot,
            version: bearer.version,
            standing: app.rotations.standing(bearer),
        }));
    }
    let secret = req.headers().get(AGENT_SECRET).ok_or(MISSING)?;
    let mut conn = app.database.get().await?;
    let found = db::credentials::by_secret(&mut conn, &sha256(secret.as_bytes())).await?;
    found.map(KeyHolder::Bot).ok_or(WRONG)
}
