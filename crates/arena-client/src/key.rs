//! The key that makes a retried post harmless.

use std::fmt;

use api_types::{guessable, is_idempotency_key};
use uuid::Uuid;

use crate::ClientError;

/// Names one request, so that the arena performs it once however often it arrives. An answer with
/// secrets in it is kept encrypted under this key, so it is not shown either.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// 122 random bits.
    pub fn random() -> IdempotencyKey {
        IdempotencyKey(Uuid::new_v4().to_string())
    }

    /// A key with a meaning for the caller, e.g. a turn's number: a repetition of the turn, also by another
    /// process, uses the same. `None` unless it is 1 to 255 printable ASCII characters without spaces. The
    /// answers of [`crate::Client::register`] and [`crate::Client::rotate_keys`] contain secrets: for those use
    /// [`IdempotencyKey::random`], and keep it as long as you may have to request the answer again.
    pub fn named(name: &str) -> Option<IdempotencyKey> {
        is_idempotency_key(name).then(|| IdempotencyKey(name.to_owned()))
    }

    /// Refuses a key that others could guess, before the arena does.
    pub(crate) fn must_be_random(&self) -> Result<(), ClientError> {
        guessable(&self.0).map_or(Ok(()), |_| {
            Err(ClientError::Request(
                "the answer contains secrets: take IdempotencyKey::random() for this call",
            ))
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey([hidden])")
    }
}
