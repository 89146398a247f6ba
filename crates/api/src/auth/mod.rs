//! Who asks: a bot by its token or its secret, or an operator.

mod credentials;
mod holder;
mod passwords;
mod proven;
mod queue;
mod refusals;
mod rotations;
mod tokens;
mod upkeep;

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use api_types::{AGENT_SECRET, OPERATOR};
pub(crate) use credentials::Issued;
use db::credentials::{Refused, Standing};
use futures_util::future::LocalBoxFuture;
pub(crate) use holder::KeyHolder;
use ledger_core::economy::Operator;
use ledger_core::{BotId, BotStatus, Refusal};
pub(crate) use passwords::{Hashes, Passwords, Proven};
pub(crate) use queue::Asker;
pub(crate) use refusals::Refusals;
pub(crate) use rotations::Rotations;
use subtle::{Choice, ConstantTimeEq as _};
pub(crate) use tokens::{Bearer, Tokens};
pub(crate) use upkeep::{alongside, learn};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::keys::{hex, sha256};

/// Who an operator is when they do not say.
const OPERATOR_DEFAULT: &str = "admin";

/// A bot that proved itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticatedBot {
    pub(crate) id: BotId,
}

impl AuthenticatedBot {
    /// What its idempotency keys are scoped to. Not the token: that changes every half hour.
    pub(crate) fn scope(self) -> String {
        format!("bot:{}", self.id)
    }

    /// Refuses the dead and the retired, who otherwise may still look around.
    pub(crate) fn must_live(status: BotStatus) -> Result<(), ApiError> {
        match status {
            BotStatus::Alive => Ok(()),
            status => Err(ApiError::Refused(Refusal::NotAlive { status })),
        }
    }

    /// A credential that outlived its bot, as after a fresh database, proves nothing.
    pub(crate) fn or_unknown<T>(found: db::DbResult<T>) -> ApiResult<T> {
        found.map_err(|error| match error {
            db::DbError::NotFound(_) => WRONG,
            other => other.into(),
        })
    }
}

const MISSING: ApiError = ApiError::Unauthorized {
    detail: "Send `Authorization: Bearer <token>` or `X-Agent-Secret: <api_secret>`.",
};
const WRONG: ApiError = ApiError::Unauthorized {
    detail: "The secret is wrong, or the token is wrong or has expired: POST /auth/token gives a new one.",
};

impl FromRequest for AuthenticatedBot {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<AuthenticatedBot, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = app(req);
        let known = req.extensions().get::<Proof>().copied();
        let proof = match (known, &app) {
            (Some(proof), _) => Ok(proof),
            (None, Some(app)) => offered(req.headers(), app),
            (None, None) => Err(ApiError::Internal("no application data".to_owned())),
        };
        Box::pin(async move {
            match (proof?, app) {
                (Proof::Token(id), _) => Ok(AuthenticatedBot { id }),
                (Proof::Secret(sha256), Some(app)) => {
                    let mut conn = app.database.get().await?;
                    let found = db::credentials::by_secret(&mut conn, &sha256).await?;
                    found
                        .filter(|owner| owner.standing != Standing::Ended)
                        .map(|owner| AuthenticatedBot { id: owner.bot })
                        .ok_or(WRONG)
                }
                (Proof::Secret(_), None) => Err(WRONG),
            }
        })
    }
}

#[derive(Clone, Copy)]
enum Proof {
    /// Of a token that was verified.
    Token(BotId),
    /// The SHA-256 of a secret that is yet to be looked up.
    Secret([u8; 32]),
}

fn offered(headers: &HeaderMap, app: &App) -> Result<Proof, ApiError> {
    if let Some(token) = bearer(headers)? {
        return owner(app, token).map(Proof::Token).ok_or(WRONG);
    }
    let secret = headers.get(AGENT_SECRET).ok_or(MISSING)?;
    Ok(Proof::Secret(sha256(secret.as_bytes())))
}

/// The bot of a token that is good and was not rotated away.
fn owner(app: &App, token: &str) -> Option<BotId> {
    let bearer = app.secrets.now().tokens.verify(token)?;
    (app.rotations.standing(bearer) != Standing::Ended).then_some(bearer.bot)
}

/// Whether a token is good for some bot.
pub(crate) fn is_good(app: &App, token: &str) -> bool {
    owner(app, token).is_some()
}

/// Whose requests these are to be counted as. A secret is yet to be looked up: eight bytes of its
/// hash tell it from others, and nobody whose it is.
pub(crate) fn counted_as(req: &ServiceRequest, app: &App) -> Option<String> {
    let proof = offered(req.headers(), app).ok()?;
    // Verified once a request.
    req.extensions_mut().insert(proof);
    match proof {
        Proof::Token(id) => Some(format!("bot:{id}")),
        Proof::Secret(sha256) => Some(format!("secret:{}", hex(&sha256[..8]))),
    }
}

/// The token of an `Authorization: Bearer` header, if there is such a header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|v| v.split_once(' '))
        .ok_or(WRONG)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Some(token.trim()))
    } else {
        Err(WRONG)
    }
}

fn app(req: &HttpRequest) -> Option<Data<App>> {
    req.app_data::<Data<App>>().cloned()
}

/// Somebody with the operator's token, under the name they gave.
pub(crate) struct AuthenticatedOperator(pub(crate) Operator);

impl AuthenticatedOperator {
    /// What its idempotency keys are scoped to.
    pub(crate) fn scope(&self) -> String {
        format!("operator:{}", self.0)
    }
}

impl FromRequest for AuthenticatedOperator {
    type Error = ApiError;
    type Future = Ready<Result<AuthenticatedOperator, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(operator(req))
    }
}

fn operator(req: &HttpRequest) -> Result<AuthenticatedOperator, ApiError> {
    let app = app(req).ok_or_else(|| ApiError::Internal("no application data".to_owned()))?;
    let denied = ApiError::Unauthorized {
        detail: "Operators send `Authorization: Bearer <ADMIN_TOKEN>`.",
    };
    let Some(token) = bearer(req.headers())? else {
        return Err(denied);
    };
    if !is_operators(&app, token) {
        app.refusals.note(Refused::Operator);
        return Err(denied);
    }
    named(req.headers()).map(AuthenticatedOperator)
}

pub(crate) fn is_operators(app: &App, token: &str) -> bool {
    let given = sha256(token.as_bytes());
    let secrets = app.secrets.now();
    let mut is_one = Choice::from(0);
    // All of them, so that the time tells nothing.
    for known in &secrets.admin_tokens_sha256 {
        is_one |= given.ct_eq(known);
    }
    is_one.into()
}

/// Who the operator says they are.
fn named(headers: &HeaderMap) -> Result<Operator, ApiError> {
    let name = match headers.get(OPERATOR) {
        None => OPERATOR_DEFAULT,
        Some(name) => name.to_str().unwrap_or_default(),
    };
    let rule = "must be 1 to 64 of A-Z a-z 0-9 _ . @ -";
    Operator::from_str(name).map_err(|_| ApiError::invalid(OPERATOR, rule))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_authorization_is_a_token_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            scheme in "([Bb]earer|Basic)? ?",
        ) {
            let Ok(value) = HeaderValue::from_bytes(&[scheme.as_bytes(), &bytes].concat()) else {
                return Ok(());
            };
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value);
            match bearer(&headers) {
                Ok(token) => {
                    let tokens = Tokens::new(&crate::keys::KeyRing {
                        current: crate::keys::Key::new([7; 32]),
                        previous: Vec::new(),
                    });
                    prop_assert_eq!(tokens.verify(token.unwrap()), None);
                }
                Err(error) => prop_assert_eq!(error.problem("/", "").status, 401),
            }
        }
    }
}
