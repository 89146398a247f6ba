//! Authentication: a bot by its token or its secret, or an operator.

mod credentials;
mod holder;
mod passwords;
mod proven;
mod queue;
mod refusals;
mod rotations;
pub(crate) mod tokens;
mod upkeep;

use std::future::{Ready, ready};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use api_types::{AGENT_SECRET, OPERATOR};
pub(crate) use credentials::Issued;
use db::Database;
use db::credentials::{Refused, Standing};
pub(crate) use holder::KeyHolder;
use ledger_core::economy::Operator;
use ledger_core::{BotId, BotStatus, Refusal};
use passwords::PasswordError;
pub(crate) use passwords::{Hashes, Passwords, Proven};
pub(crate) use queue::Asker;
pub(crate) use refusals::Refusals;
pub(crate) use rotations::Rotations;
use subtle::{Choice, ConstantTimeEq as _};
use tokens::Tokens;
pub(crate) use upkeep::alongside;

use crate::error::{ApiError, ApiResult};
use crate::keys::{hex, sha256};
use crate::secrets::SecretStore;

/// The default name of an operator.
const OPERATOR_DEFAULT: &str = "admin";

/// A bot that proved itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticatedBot {
    pub(crate) id: BotId,
}

impl AuthenticatedBot {
    /// The scope of its idempotency keys. Not the token: that changes every half hour.
    pub(crate) fn scope(self) -> String {
        format!("bot:{}", self.id)
    }

    /// Refuses dead and retired bots, which may otherwise still read.
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

const MISSING: ApiError = ApiError::unauthorized(
    "Send `Authorization: Bearer <token>` or `X-Agent-Secret: <api_secret>`.",
);
const WRONG: ApiError = ApiError::unauthorized(
    "The secret is wrong, or the token is wrong or has expired: POST /auth/token gives a new one.",
);

/// Whom an endpoint lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    Bot,
    Operator,
    BotOrOperator,
    /// Only some arenas require a credential, and a WebSocket may send it in its first message.
    AnyoneOrBot,
    /// Only some arenas require the token for metrics.
    AnyoneOrScraper,
}

/// The keys for authentication, and its state between requests.
pub(crate) struct Auth {
    database: Database,
    secrets: Arc<SecretStore>,
    pub(crate) passwords: Passwords,
    pub(crate) rotations: Rotations,
    pub(crate) refusals: Refusals,
}

#[derive(Clone, Copy)]
enum Proof {
    /// From a verified token.
    Token(BotId),
    /// The SHA-256 of a secret that is yet to be looked up.
    Secret([u8; 32]),
}

impl Auth {
    pub(crate) async fn new(
        database: &Database,
        secrets: &Arc<SecretStore>,
    ) -> Result<Auth, PasswordError> {
        Ok(Auth {
            database: database.clone(),
            secrets: Arc::clone(secrets),
            passwords: Passwords::new().await?,
            rotations: Rotations::default(),
            refusals: Refusals::default(),
        })
    }

    /// Checks the permission that an endpoint declares, before its handler runs, and passes the
    /// caller to the handler. Streams and metrics check the settings' own lists themselves.
    pub(crate) async fn admit(&self, req: &HttpRequest, who: Who) -> ApiResult<()> {
        match who {
            Who::Bot => tell(req, self.bot(req).await?),
            Who::Operator => tell(req, self.operator(req.headers())?),
            Who::BotOrOperator => tell(req, self.key_holder(req.headers()).await?),
            Who::Anyone | Who::AnyoneOrBot | Who::AnyoneOrScraper => {}
        }
        Ok(())
    }

    /// The bot that a request proves.
    pub(crate) async fn bot(&self, req: &HttpRequest) -> ApiResult<AuthenticatedBot> {
        let known = req.extensions().get::<Proof>().copied();
        let proof = match known {
            Some(proof) => proof,
            None => self.offered(req.headers())?,
        };
        let id = match proof {
            Proof::Token(id) => id,
            Proof::Secret(sha256) => {
                let mut conn = self.database.get().await?;
                let found = db::credentials::by_secret(&mut conn, &sha256).await?;
                let owner = found.filter(|owner| owner.standing != Standing::Ended);
                owner.ok_or(WRONG)?.bot
            }
        };
        Ok(AuthenticatedBot { id })
    }

    fn offered(&self, headers: &HeaderMap) -> Result<Proof, ApiError> {
        if let Some(token) = bearer(headers)? {
            return self.owner(token).map(Proof::Token).ok_or(WRONG);
        }
        let secret = headers.get(AGENT_SECRET).ok_or(MISSING)?;
        Ok(Proof::Secret(sha256(secret.as_bytes())))
    }

    /// The bot of a valid token that was not rotated.
    fn owner(&self, token: &str) -> Option<BotId> {
        let bearer = self.secrets.now().tokens.verify(token)?;
        (self.rotations.standing(bearer) != Standing::Ended).then_some(bearer.bot)
    }

    /// The credential that the limits count. A secret is not yet looked up: eight bytes of its hash
    /// distinguish it from others without its owner.
    pub(crate) fn counted_as(&self, req: &ServiceRequest) -> Option<String> {
        let proof = self.offered(req.headers()).ok()?;
        // Verified once a request.
        req.extensions_mut().insert(proof);
        match proof {
            Proof::Token(id) => Some(format!("bot:{id}")),
            Proof::Secret(sha256) => Some(format!("secret:{}", hex(&sha256[..8]))),
        }
    }

    /// The operator that a request proves.
    pub(crate) fn operator(&self, headers: &HeaderMap) -> ApiResult<AuthenticatedOperator> {
        let denied =
            ApiError::unauthorized("Operators send `Authorization: Bearer <ADMIN_TOKEN>`.");
        let Some(token) = bearer(headers)? else {
            return Err(denied);
        };
        if !self.is_operators(token) {
            self.refusals.note(Refused::Operator);
            return Err(denied);
        }
        named(headers).map(AuthenticatedOperator)
    }

    fn is_operators(&self, token: &str) -> bool {
        let given = sha256(token.as_bytes());
        let secrets = self.secrets.now();
        let mut is_one = Choice::from(0);
        // All of them, so that the time reveals nothing.
        for known in &secrets.admin_tokens_sha256 {
            is_one |= given.ct_eq(known);
        }
        is_one.into()
    }

    /// Whether a token that came in a message is a bot's or the operator's.
    pub(crate) fn is_known(&self, token: &str) -> bool {
        let known = self.is_operators(token) || self.owner(token).is_some();
        if !known {
            self.note_attempt(token);
        }
        known
    }

    /// A bot's token that is over is no attempt on the operator's.
    fn note_attempt(&self, token: &str) {
        if !Tokens::is_of_their_form(token) {
            self.refusals.note(Refused::Operator);
        }
    }
}

fn tell<T: 'static>(req: &HttpRequest, who: T) {
    req.extensions_mut().insert(who);
}

/// The authenticated caller; the endpoint's row must require authentication.
macro_rules! told_by_admit {
    ($($who:ty),*) => {$(
        impl FromRequest for $who {
            type Error = ApiError;
            type Future = Ready<Result<$who, ApiError>>;

            fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
                let told = req.extensions_mut().remove::<$who>();
                ready(told.ok_or_else(|| {
                    ApiError::Internal("the endpoint's row requires no authentication".to_owned())
                }))
            }
        }
    )*};
}

told_by_admit!(AuthenticatedBot, AuthenticatedOperator, KeyHolder);

/// The token of an `Authorization: Bearer` header, if there is such a header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or(WRONG)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(WRONG) }
}

/// Somebody with the operator's token, under the name they gave.
pub(crate) struct AuthenticatedOperator(pub(crate) Operator);

impl AuthenticatedOperator {
    /// The scope of its idempotency keys.
    pub(crate) fn scope(&self) -> String {
        format!("operator:{}", self.0)
    }
}

/// The name that the operator claims.
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
