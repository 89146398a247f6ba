//! New credentials: shown once, kept as hashes.

use api_types::Secret;
use db::bots::Credentials;

use super::{Asker, Passwords};
use crate::error::ApiError;
use crate::keys::{hex, sha256};

/// A bot's key and secret in clear text, with their stored hashes.
pub(crate) struct Issued {
    pub(crate) api_key: Secret,
    pub(crate) api_secret: Secret,
    pub(crate) stored: Credentials,
}

impl Issued {
    /// Draws 256 random bits for each, and hashes them; the key under the salt of the one `before` it.
    pub(crate) async fn draw(
        passwords: &Passwords,
        asker: Asker,
        before: Option<&str>,
    ) -> Result<Issued, ApiError> {
        let (api_key, api_secret) = (random("ldk_")?, random("lds_")?);
        let stored = Credentials {
            api_key_hash: passwords.hash(asker, &api_key, before).await?,
            api_secret_sha256: sha256(api_secret.as_bytes()),
        };
        Ok(Issued { api_key: Secret::new(api_key), api_secret: Secret::new(api_secret), stored })
    }
}

fn random(prefix: &str) -> Result<String, ApiError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| ApiError::Internal(format!("no random bytes: {error}")))?;
    Ok(format!("{prefix}{}", hex(&bytes)))
}
