//! Who asks: a bot by its token or its secret, or an operator.

mod credentials;
mod passwords;
mod tokens;

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use api_types::{AGENT_SECRET, OPERATOR};
pub(crate) use credentials::Issued;
use futures_util::future::LocalBoxFuture;
use ledger_core::economy::Operator;
use ledger_core::{BotId, BotStatus, Refusal};
pub(crate) use passwords::Passwords;
use subtle::ConstantTimeEq;
pub(crate) use tokens::{TOKEN_SECONDS, Tokens};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::keys::sha256;

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
        let proof = match app {
            Some(ref app) => offered(req.headers(), app),
            None => Err(ApiError::Internal("no application data".to_owned())),
        };
        Box::pin(async move {
            match (proof?, app) {
                (Proof::Token(id), _) => Ok(AuthenticatedBot { id }),
                (Proof::Secret(sha256), Some(app)) => {
                    let mut conn = app.database.get().await?;
                    let found = db::bots::by_secret(&mut conn, &sha256).await?;
                    found.map(|(id, _)| AuthenticatedBot { id }).ok_or(WRONG)
                }
                (Proof::Secret(_), None) => Err(WRONG),
            }
        })
    }
}

enum Proof {
    /// Of a token that was verified.
    Token(BotId),
    /// The SHA-256 of a secret that is yet to be looked up.
    Secret([u8; 32]),
}

fn offered(headers: &HeaderMap, app: &App) -> Result<Proof, ApiError> {
    if let Some(token) = bearer(headers)? {
        return app.tokens.verify(token).map(Proof::Token).ok_or(WRONG);
    }
    let secret = headers.get(AGENT_SECRET).ok_or(MISSING)?;
    Ok(Proof::Secret(sha256(secret.as_bytes())))
}

/// The token of an `Authorization: Bearer` header, if there is such a header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
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
    let same: bool = sha256(token.as_bytes())
        .ct_eq(&app.admin_token_sha256)
        .into();
    if !same {
        return Err(denied);
    }
    let name = match req.headers().get(OPERATOR) {
        None => OPERATOR_DEFAULT,
        Some(name) => name.to_str().unwrap_or_default(),
    };
    let rule = "must be 1 to 64 of A-Z a-z 0-9 _ . @ -";
    let name = Operator::from_str(name).map_err(|_| ApiError::invalid(OPERATOR, rule))?;
    Ok(AuthenticatedOperator(name))
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
                    let tokens = Tokens::new(&[7; 32]);
                    prop_assert_eq!(tokens.verify(token.unwrap()), None);
                }
                Err(error) => prop_assert_eq!(error.problem("/", "").status, 401),
            }
        }
    }
}
