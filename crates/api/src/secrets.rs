//! The secrets that may change while everything runs: `SECRET_KEY`, `ADMIN_TOKEN` and their former
//! and next values.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use cache::{Cache, presence};
use daemon::config::{Reader, Sources};
use daemon::shutdown::Shutdown;
use secrecy::{ExposeSecret, SecretString};
use service::credentials;
use uuid::Uuid;

use crate::auth::tokens::Tokens;
use crate::keys::{Keys, sha256};

/// Below this, SECRET_KEY could be guessed.
const SECRET_KEY_MIN_CHARS: usize = 32;
const ADMIN_TOKEN_MIN_CHARS: usize = 24;

/// As they are configured.
#[derive(Clone)]
pub struct SecretSettings {
    /// Signs tokens and encrypts stored answers.
    pub secret_key: SecretRing,
    pub admin_token: SecretRing,
}

/// A secret that is replaced while everything runs.
#[derive(Clone)]
pub struct SecretRing {
    pub current: SecretString,
    /// Its former and its next values: accepted, never used for anything new.
    pub others: Vec<SecretString>,
}

impl SecretRing {
    fn read(
        reader: &mut Reader<'_>,
        [name, next, previous]: [&str; 3],
        min_chars: usize,
    ) -> SecretRing {
        let current = reader.secret(name, min_chars);
        let mut others = reader.secrets(next, min_chars);
        others.extend(reader.secrets(previous, min_chars));
        SecretRing { current, others }
    }

    /// The one in use, and the others.
    fn exposed(&self) -> [Vec<&str>; 2] {
        let others = self.others.iter().map(ExposeSecret::expose_secret);
        [vec![self.current.expose_secret()], others.collect()]
    }

    fn fingerprint(&self) -> String {
        let [current, others] = self.exposed();
        presence::fingerprint(&[&current, &others])
    }
}

impl SecretSettings {
    pub(crate) fn read(reader: &mut Reader<'_>) -> SecretSettings {
        let keys = ["SECRET_KEY", "SECRET_KEY_NEXT", "SECRET_KEY_PREVIOUS"];
        let tokens = ["ADMIN_TOKEN", "ADMIN_TOKEN_NEXT", "ADMIN_TOKEN_PREVIOUS"];
        SecretSettings {
            secret_key: SecretRing::read(reader, keys, SECRET_KEY_MIN_CHARS),
            admin_token: SecretRing::read(reader, tokens, ADMIN_TOKEN_MIN_CHARS),
        }
    }

    /// Returns fingerprints of those that this process uses, without revealing any.
    pub(crate) fn announce(&self, cache: &Cache) {
        cache.uses(presence::SECRET_KEY, self.secret_key.fingerprint());
        cache.uses(presence::ADMIN_TOKEN, self.admin_token.fingerprint());
    }

    fn is_same(&self, other: &SecretSettings) -> bool {
        self.secret_key.exposed() == other.secret_key.exposed()
            && self.admin_token.exposed() == other.admin_token.exposed()
    }
}

/// The keys derived from them.
pub(crate) struct Secrets {
    pub(crate) keys: Keys,
    pub(crate) tokens: Tokens,
    /// SHA-256 of each, so that a comparison takes the same time for any length.
    pub(crate) admin_tokens_sha256: Vec<[u8; 32]>,
}

impl Secrets {
    fn derive(settings: &SecretSettings, arena: &Uuid) -> Secrets {
        let SecretRing { current, others } = &settings.secret_key;
        let keys = Keys::derive(current, others, arena);
        let admin_tokens = settings.admin_token.exposed().concat();
        Secrets {
            tokens: Tokens::new(&keys.token),
            admin_tokens_sha256: admin_tokens.iter().map(|it| sha256(it.as_bytes())).collect(),
            keys,
        }
    }
}

/// The secrets in use.
pub(crate) struct SecretStore {
    arena: Uuid,
    current: RwLock<Arc<Secrets>>,
}

impl SecretStore {
    pub(crate) fn new(settings: &SecretSettings, arena: Uuid) -> SecretStore {
        SecretStore { current: RwLock::new(Arc::new(Secrets::derive(settings, &arena))), arena }
    }

    /// The present ones; a caller keeps its copy until the end of its work.
    pub(crate) fn now(&self) -> Arc<Secrets> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn take_up(&self, settings: &SecretSettings) {
        let fresh = Arc::new(Secrets::derive(settings, &self.arena));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

/// Uses changes of `.env`, from now on until the stop.
pub(crate) fn follow(
    store: &Arc<SecretStore>,
    cache: &Cache,
    in_use: SecretSettings,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let (store, cache) = (Arc::clone(store), cache.clone());
    let mut in_use = in_use;
    let mut complaint = String::new();
    credentials::watch(shutdown, move |sources: &Sources| {
        let mut reader = Reader::new(sources);
        let settings = SecretSettings::read(&mut reader);
        match reader.finish().map(|()| settings) {
            Ok(settings) if settings.is_same(&in_use) => complaint.clear(),
            Ok(settings) => {
                store.take_up(&settings);
                settings.announce(&cache);
                in_use = settings;
                complaint.clear();
                tracing::info!("new secrets are in use");
            }
            Err(error) if error.to_string() != complaint => {
                complaint = error.to_string();
                tracing::warn!(problem = %complaint, "the secrets in use are kept");
            }
            Err(_) => {}
        }
    })
}

impl fmt::Debug for SecretSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSettings").finish_non_exhaustive()
    }
}
