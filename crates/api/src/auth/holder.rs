//! Callers that may request new keys: an operator, or the bot itself.

use actix_web::http::header::HeaderMap;
use api_types::AGENT_SECRET;
use db::credentials::{SecretOwner, Standing};
use ledger_core::economy::Operator;

use super::{Auth, MISSING, WRONG, bearer, named};
use crate::error::{ApiError, ApiResult};
use crate::keys::sha256;

/// An operator, or a bot with the credentials it came with. Those may be invalid: a bot that never
/// got the answer of its rotation has no others, and may request that answer again. They no longer
/// authenticate alone: the answer also requires the request's key.
pub(crate) enum KeyHolder {
    Operator(Operator),
    Bot(SecretOwner),
}

impl KeyHolder {
    /// The scope of its idempotency keys. The number of the credentials is part of it, so that an
    /// answer goes only to callers who could have made the request.
    pub(crate) fn scope(&self) -> String {
        match self {
            KeyHolder::Operator(name) => format!("operator:{name}"),
            KeyHolder::Bot(owner) => format!("bot:{}:credentials:{}", owner.bot, owner.version),
        }
    }

    /// Whether it may rotate, or only request a stored answer.
    pub(crate) fn must_be_current(&self) -> Result<(), ApiError> {
        match self {
            KeyHolder::Operator(_) => Ok(()),
            KeyHolder::Bot(owner) => match owner.standing {
                Standing::Current => Ok(()),
                Standing::Grace => Err(ApiError::SUPERSEDED),
                Standing::Ended => Err(WRONG),
            },
        }
    }
}

impl Auth {
    /// The operator, or the bot, that a request proves with credentials which may be over.
    pub(super) async fn key_holder(&self, headers: &HeaderMap) -> ApiResult<KeyHolder> {
        if let Some(token) = bearer(headers)? {
            if self.is_operators(token) {
                return named(headers).map(KeyHolder::Operator);
            }
            let Some(bearer) = self.secrets.now().tokens.verify(token) else {
                self.note_attempt(token);
                return Err(WRONG);
            };
            return Ok(KeyHolder::Bot(SecretOwner {
                bot: bearer.bot,
                version: bearer.version,
                standing: self.rotations.standing(bearer),
            }));
        }
        let secret = headers.get(AGENT_SECRET).ok_or(MISSING)?;
        let mut conn = self.database.get().await?;
        let found = db::credentials::by_secret(&mut conn, &sha256(secret.as_bytes())).await?;
        found.map(KeyHolder::Bot).ok_or(WRONG)
    }
}
