//! API keys: made from 256 random bits, stored as argon2id hashes, compared with them.
//!
//! Hashing takes a core for tens of milliseconds, so it never runs on a worker of the runtime.

use anyhow::Context as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use db::bots::Credentials;
use futures_util::{StreamExt as _, TryStreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Hashes computed at once. Each holds 19 MiB.
const HASHERS_MAX: usize = 4;

/// A new API key.
pub(crate) fn generate() -> anyhow::Result<SecretString> {
    random_text("ldk_").map(SecretString::from)
}

/// A new password. It needs no escape in a URL.
pub(crate) fn password() -> anyhow::Result<SecretString> {
    random_text("").map(SecretString::from)
}

/// The stored form of the key, with that of an unknown API secret: hosted bots log in only by their key, and no
/// credential column may be empty.
pub(crate) async fn credentials(key: &SecretString) -> anyhow::Result<Credentials> {
    let secret = SecretString::from(random_text("lds_")?);
    Ok(Credentials {
        api_key_hash: hash(key).await?,
        api_secret_sha256: Sha256::digest(secret.expose_secret()).into(),
    })
}

/// argon2id in PHC form, with the crate's parameters: 19 MiB, two passes, one lane, as OWASP
/// advises.
pub(crate) async fn hash(key: &SecretString) -> anyhow::Result<String> {
    let key = key.clone();
    let hashing = tokio::task::spawn_blocking(move || {
        let hash: PasswordHash = Argon2::default()
            .hash_password(key.expose_secret().as_bytes())
            .context("cannot hash an API key")?;
        Ok(hash.to_string())
    });
    hashing.await.context("hashing an API key panicked")?
}

/// How a key stands to a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Matches,
    Differs,
    /// The hash is in no form that this build can compute.
    UnusableHash,
}

/// Compares each key with its hash, several at once, and returns the results in their order.
pub(crate) async fn compare(pairs: Vec<(SecretString, String)>) -> anyhow::Result<Vec<Verdict>> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from).min(HASHERS_MAX);
    futures_util::stream::iter(pairs)
        .map(|(key, hash)| tokio::task::spawn_blocking(move || verify(&key, &hash)))
        .buffered(at_once)
        .try_collect()
        .await
        .context("comparing an API key panicked")
}

fn verify(key: &SecretString, hash: &str) -> Verdict {
    match Argon2::default().verify_password(key.expose_secret().as_bytes(), hash) {
        Ok(()) => Verdict::Matches,
        Err(argon2::password_hash::Error::PasswordInvalid) => Verdict::Differs,
        Err(_) => Verdict::UnusableHash,
    }
}

/// 256 random bits in hex.
fn random_text(prefix: &str) -> anyhow::Result<String> {
    let random = supervisor::random_hex(32).context("the system gives no random numbers")?;
    Ok(format!("{prefix}{random}"))
}
