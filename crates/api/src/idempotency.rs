//! `Idempotency-Key`: a retried POST has its effects once and its answer every time.
//!
//! The answer is kept by `db` in the transaction of its effects. This module has the rest: the
//! scope of a key, the encryption of an answer with secrets, and waiting for the answer of an equal
//! concurrent request.
//!
//! A stored answer is only for its caller. If it contains secrets, the scope is the caller's own,
//! the key must be unguessable, and the answer is valid as long as its credentials. For other
//! callers a used key equals an unused one: it is looked up under another hash and not found.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use api_types::ProblemKind::IdempotencyMismatch;
use api_types::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, TokenAnswer, guessable, is_idempotency_key,
};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use db::Database;
use db::idempotency::{Claim, KEPT, Pair, Recall, Remember, Rivals, StoredAnswer, recall};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::auth::tokens::Tokens;
use crate::body::Body;
use crate::endpoint::{Endpoint, Keeps};
use crate::error::{ApiError, ApiResult};
use crate::keys::{Key, derive};
use crate::locks::KeyedLocks;
use crate::secrets::SecretStore;

const NONCE_BYTES: usize = 12;

/// State for repeated requests: the store of answers, and the running requests of this process.
pub(crate) struct Retries {
    database: Database,
    secrets: Arc<SecretStore>,
    under_way: KeyedLocks<[u8; 32]>,
}

/// A request that may be repeated.
pub(crate) struct Retry {
    pub(crate) claim: Claim,
    /// Derived from `SECRET_KEY` and the idempotency key itself, which is stored nowhere.
    cipher_key: Key,
    /// The same request as it was known under the SECRET_KEYs before.
    earlier: Vec<Retry>,
    /// Identifies the request, independent of the secret: equal requests wait for each other by it.
    /// Never stored.
    turn: [u8; 32],
    tells: Tells,
}

/// The parts of an answer besides its stored body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Body,
    /// The address of the new resource: a path, and the `id` of the body.
    Place(&'static str),
    /// The remaining lifetime of its token.
    TimeLeft,
}

/// The `Location` of a 201.
pub(crate) fn location(collection: &str, id: impl fmt::Display) -> String {
    format!("{collection}/{id}")
}

/// The `Idempotency-Key`, if there is one. Two are a mistake: it is unclear which one is meant.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = given.next() else {
        return Ok(None);
    };
    match value.to_str().ok().filter(|key| is_idempotency_key(key)) {
        Some(key) if given.next().is_none() => Ok(Some(key)),
        _ => Err(ApiError::invalid(
            IDEMPOTENCY_KEY,
            "must be given once, as 1 to 255 visible ASCII characters",
        )),
    }
}

/// The data stored with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing to hide.
    Plain,
    /// Secrets of these credentials, or bought with them: encrypted, and over when they are.
    Secret(Pair),
}

impl Retries {
    pub(crate) fn new(database: &Database, secrets: &Arc<SecretStore>) -> Retries {
        Retries {
            database: database.clone(),
            secrets: Arc::clone(secrets),
            under_way: KeyedLocks::new(),
        }
    }

    /// The claim of a request with an `Idempotency-Key`, scoped to credential, endpoint and the
    /// `subject` that its path names, however that is spelt. If the answer contains secrets, the
    /// key must be unguessable, and two callers must not share the `credential`.
    pub(crate) fn claim(
        &self,
        req: &HttpRequest,
        credential: &str,
        subject: impl fmt::Display,
        body: &Body,
    ) -> ApiResult<Option<Retry>> {
        let endpoint = Endpoint::of(req)?;
        let key = key_of(req.headers())?;
        match (endpoint.keeps, key.and_then(guessable)) {
            (Keeps::Nothing, _) => {
                return Err(ApiError::Internal("an endpoint that keeps no answers".to_owned()));
            }
            (Keeps::Secrets, Some(rule)) => return Err(ApiError::invalid(IDEMPOTENCY_KEY, rule)),
            _ => {}
        }
        let Some(key) = key else { return Ok(None) };
        let route = endpoint.on(&subject.to_string());
        let known = |ring_key| Retry::under(ring_key, [credential, &route, key], body);
        let ring = &self.secrets.now().keys.idempotency;
        let mut retry = known(&ring.current);
        retry.earlier = ring.previous.iter().map(known).collect();
        if let Some(collection) = endpoint.collection() {
            retry.tells = Tells::Place(collection);
        }
        Ok(Some(retry))
    }

    /// Runs a request unless it has been answered before, in which case that answer is repeated.
    ///
    /// `run` must pass the claim to its transaction. An equal request in this process waits; one in
    /// another process may find that the effects exist already, and then reads the stored answer.
    pub(crate) async fn once<F>(&self, retry: Option<&Retry>, run: F) -> ApiResult
    where
        F: Future<Output = ApiResult>,
    {
        let Some(retry) = retry else { return run.await };
        let _turn = self.under_way.lock(retry.turn).await;
        if let Some(answer) = self.recall(retry).await? {
            return Ok(answer);
        }
        match run.await {
            // If Postgres cannot be reached, it cannot be queried either.
            Err(error @ (ApiError::Unavailable(_) | ApiError::Internal(_))) => Err(error),
            // Perhaps it was a twin that left nothing to do: its observation, handle, place or grant.
            Err(error) => self.recall(retry).await?.ok_or(error),
            answer => answer,
        }
    }

    async fn recall(&self, retry: &Retry) -> ApiResult<Option<HttpResponse>> {
        let mut conn = self.database.get().await?;
        for known in std::iter::once(retry).chain(&retry.earlier) {
            match recall(&mut conn, &known.claim).await? {
                Recall::Fresh => {}
                Recall::OtherBody => return Err(ApiError::Is(IdempotencyMismatch)),
                Recall::Replay(kept) => return known.replay(&kept, retry.tells).map(Some),
            }
        }
        Ok(None)
    }
}

impl Retry {
    /// Its answer is a token.
    pub(crate) fn of_token(mut self) -> Retry {
        self.tells = Tells::TimeLeft;
        self
    }

    fn under(ring_key: &Key, parts: [&str; 3], body: &Body) -> Retry {
        let key_sha256 = digest(Sha256::new().chain_update(ring_key.bytes()), parts);
        let [_, _, key] = parts;
        Retry {
            claim: Claim { key_sha256, body_sha256: body.sha256() },
            cipher_key: derive(key.as_bytes(), ring_key.bytes(), &key_sha256),
            earlier: Vec::new(),
            turn: digest(Sha256::new(), parts),
            tells: Tells::Body,
        }
    }

    /// The same in every process, independent of its secret.
    pub(crate) fn name(&self) -> [u8; 32] {
        self.turn
    }

    /// Other keys under which this request may be stored.
    pub(crate) fn rivals(&self) -> Rivals {
        let [a, b, c, d, e, f, g, h, ..] = self.turn;
        Rivals {
            keys_sha256: self.earlier.iter().map(|other| other.claim.key_sha256).collect(),
            turn: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        }
    }

    /// An answer in the form in which it is kept.
    pub(crate) fn keep<T: Serialize>(
        &self,
        status: StatusCode,
        answer: &T,
        contents: Contents,
    ) -> StoredAnswer {
        let json = serde_json::to_vec(answer).unwrap_or_default();
        let (answer, secrets_of) = match contents {
            Contents::Plain => (json, None),
            // An empty text decrypts to nothing: a replay then fails, and shows no secret.
            Contents::Secret(pair) => (self.encrypt(&json).unwrap_or_default(), Some(pair)),
        };
        let status = i16::try_from(status.as_u16()).unwrap_or(200);
        StoredAnswer { status, answer, secrets_of }
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload { msg: plain, aad: &self.claim.key_sha256 };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn decrypt(&self, kept: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = kept.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: &self.claim.key_sha256 };
        self.cipher().decrypt(&Nonce::from(*nonce), payload).ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&(*self.cipher_key.bytes()).into())
    }

    fn replay(&self, kept: &StoredAnswer, tells: Tells) -> ApiResult {
        let body = if kept.secrets_of.is_some() {
            self.decrypt(&kept.answer)
                .ok_or_else(|| ApiError::Internal("a kept answer does not decrypt".to_owned()))?
        } else {
            kept.answer.clone()
        };
        let status = u16::try_from(kept.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
        let mut answer = HttpResponse::build(status.unwrap_or(StatusCode::OK));
        answer.insert_header((IDEMPOTENCY_REPLAYED, "true")).content_type("application/json");
        let body = match tells {
            Tells::Body => body,
            Tells::Place(collection) => {
                answer.insert_header((LOCATION, location(collection, id_in(&body)?)));
                body
            }
            Tells::TimeLeft => with_time_left(&body)?,
        };
        Ok(answer.body(body))
    }
}

fn misread(error: impl fmt::Display) -> ApiError {
    ApiError::Internal(format!("a kept answer cannot be read: {error}"))
}

/// The id in an answer.
pub(crate) fn id_in(body: &[u8]) -> ApiResult<String> {
    let kept: Value = serde_json::from_slice(body).map_err(misread)?;
    match &kept["id"] {
        Value::String(id) => Ok(id.clone()),
        Value::Number(id) => Ok(id.to_string()),
        _ => Err(misread("it has no id")),
    }
}

/// The kept answer to a login as it is now.
fn with_time_left(body: &[u8]) -> ApiResult<Vec<u8>> {
    let mut kept: TokenAnswer = serde_json::from_slice(body).map_err(misread)?;
    let left = Tokens::seconds_left(kept.access_token.expose());
    kept.expires_in = left.ok_or_else(|| misread("its token has no end"))?;
    serde_json::to_vec(&kept).map_err(misread)
}

/// How an answer is kept for a retry.
pub(crate) fn keeper<'a, T, A: Serialize>(
    retry: Option<&'a Retry>,
    status: StatusCode,
    answer: impl Fn(&T) -> A + Send + Sync + 'a,
    contents: impl Fn(&T) -> Contents + Send + Sync + 'a,
) -> Option<impl Fn(&T) -> StoredAnswer + Send + Sync + 'a> {
    retry.map(|retry| move |outcome: &T| retry.keep(status, &answer(outcome), contents(outcome)))
}

/// The hook for a transaction whose answer is kept.
pub(crate) fn hook<'a, T>(
    retry: Option<&Retry>,
    render: Option<&'a (impl Fn(&T) -> StoredAnswer + Send + Sync)>,
) -> Option<Remember<'a, T>> {
    retry.zip(render).map(|(retry, render)| Remember {
        claim: retry.claim,
        rivals: retry.rivals(),
        keep: KEPT,
        render,
    })
}

fn digest(mut hash: Sha256, parts: [&str; 3]) -> [u8; 32] {
    for part in parts {
        // Each after its length, so that no two claims run together.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::http::header::{HeaderName, HeaderValue};
    use api_types::IDEMPOTENCY_KEY_CHARS_MAX;
    use ledger_core::BotId;
    use proptest::prelude::*;

    use super::*;

    const SECRET: Contents = Contents::Secret(Pair { bot: BotId(7), version: 1 });

    fn retry(key: u8) -> Retry {
        let claim = Claim { key_sha256: [key; 32], body_sha256: [0; 32] };
        Retry {
            claim,
            cipher_key: Key::new([key; 32]),
            earlier: Vec::new(),
            turn: [key; 32],
            tells: Tells::Body,
        }
    }

    #[actix_web::test]
    async fn a_login_that_is_repeated_says_how_long_its_token_is_still_good() {
        let tokens =
            Tokens::new(&crate::keys::KeyRing { current: Key::new([7; 32]), previous: Vec::new() });
        let bearer = crate::auth::tokens::Bearer { bot: BotId(7), version: 1 };
        let issued = tokens.issue(bearer, Some(std::time::Duration::from_secs(100))).unwrap();
        // As it was answered when the token was good for longer.
        let answer = TokenAnswer { expires_in: 1_800, ..issued };
        let retry = retry(1).of_token();
        let kept = retry.keep(StatusCode::OK, &answer, SECRET);
        let replayed = retry.replay(&kept, retry.tells).unwrap();
        let body = actix_web::body::to_bytes(replayed.into_body()).await.unwrap();
        let told: TokenAnswer = serde_json::from_slice(&body).unwrap();
        assert_eq!(told.access_token.expose(), answer.access_token.expose());
        assert!((70..=100).contains(&told.expires_in), "{}", told.expires_in);
    }

    #[test]
    fn a_secret_answer_is_kept_encrypted_and_comes_back() {
        let kept = retry(1).keep(StatusCode::CREATED, &"lds_secret", SECRET);
        assert_eq!(kept.status, 201);
        assert!(!kept.answer.windows(4).any(|window| window == b"lds_"));
        assert_eq!(retry(1).decrypt(&kept.answer).unwrap(), b"\"lds_secret\"");
        // The same answer twice looks different: the nonce is random.
        assert_ne!(kept, retry(1).keep(StatusCode::CREATED, &"lds_secret", SECRET));
    }

    #[test]
    fn another_key_or_a_flipped_bit_decrypts_nothing() {
        let kept = retry(1).keep(StatusCode::CREATED, &"lds_secret", SECRET);
        assert_eq!(retry(2).decrypt(&kept.answer), None);
        let moved = Retry { claim: retry(2).claim, ..retry(1) };
        assert_eq!(moved.decrypt(&kept.answer), None);
        for at in 0..kept.answer.len() {
            let mut flipped = kept.answer.clone();
            flipped[at] ^= 1;
            assert_eq!(retry(1).decrypt(&flipped), None);
        }
        assert_eq!(retry(1).decrypt(&[]), None);
    }

    proptest! {
        #[test]
        fn a_key_is_visible_ascii_and_given_once(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else {
                return Ok(());
            };
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("idempotency-key"), value.clone());
            let visible = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&bytes.len())
                && bytes.iter().all(u8::is_ascii_graphic);
            let read = key_of(&headers);
            prop_assert_eq!(read.is_ok(), visible);
            if let Ok(key) = read {
                prop_assert_eq!(key.map(str::as_bytes), Some(&bytes[..]));
            }
            headers.append(HeaderName::from_static("idempotency-key"), value);
            prop_assert!(key_of(&headers).is_err());
        }
    }
}
