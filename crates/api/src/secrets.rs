//! The secrets that may change while everything runs: `SECRET_KEY`, `ADMIN_TOKEN` and those beside them.

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
    /// What tokens are signed with and kept answers are encrypted under.
    pub secret_key: SecretString,
    /// What `secret_key` was before, and what it is about to be: accepted, never used for anything new.
    pub other_secret_keys: Vec<SecretString>,
    pub admin_token: SecretString,
    /// What `admin_token` was before, and what it is about to be: accepted too.
    pub other_admin_tokens: Vec<SecretString>,
}

impl SecretSettings {
    pub(crate) fn read(reader: &mut Reader<'_>) -> SecretSettings {
        let secret_key = reader.secret("SECRET_KEY", SECRET_KEY_MIN_CHARS);
        let mut other_secret_keys = reader.secrets("SECRET_KEY_NEXT", SECRET_KEY_MIN_CHARS);
        other_secret_keys.extend(reader.secrets("SECRET_KEY_PREVIOUS", SECRET_KEY_MIN_CHARS));
        let admin_token = reader.secret("ADMIN_TOKEN", ADMIN_TOKEN_MIN_CHARS);
        let mut other_admin_tokens = reader.secrets("ADMIN_TOKEN_NEXT", ADMIN_TOKEN_MIN_CHARS);
        other_admin_tokens.extend(reader.secrets("ADMIN_TOKEN_PREVIOUS", ADMIN_TOKEN_MIN_CHARS));
        SecretSettings { secret_key, other_secret_keys, admin_token, other_admin_tokens }
    }

    /// Tells who asks which of them this process uses, without showing any.
    pub(crate) fn announce(&self, cache: &Cache) {
        let [secret_key, other_secret_keys, admin_token, other_admin_tokens] = self.exposed();
        let keys = presence::fingerprint(&[&secret_key, &other_secret_keys]);
        cache.uses(presence::SECRET_KEY, keys);
        let tokens = presence::fingerprint(&[&admin_token, &other_admin_tokens]);
        cache.uses(presence::ADMIN_TOKEN, tokens);
    }

    fn is_same(&self, other: &SecretSettings) -> bool {
        self.exposed() == other.exposed()
    }

    /// The key in use and the others that are accepted; the same of the tokens.
    fn exposed(&self) -> [Vec<&str>; 4] {
        [
            vec![self.secret_key.expose_secret()],
            exposed(&self.other_secret_keys),
            vec![self.admin_token.expose_secret()],
            exposed(&self.other_admin_tokens),
        ]
    }
}

fn exposed(list: &[SecretString]) -> Vec<&str> {
    list.iter().map(ExposeSecret::expose_secret).collect()
}

/// What is derived from them.
pub(crate) struct Secrets {
    pub(crate) keys: Keys,
    pub(crate) tokens: Tokens,
    /// SHA-256 of each, so that comparing takes the same time whatever its length.
    pub(crate) admin_tokens_sha256: Vec<[u8; 32]>,
}

impl Secrets {
    fn derive(settings: &SecretSettings, arena: &Uuid) -> Secrets {
        let keys = Keys::derive(&settings.secret_key, &settings.other_secret_keys, arena);
        let admin_tokens =
            std::iter::once(&settings.admin_token).chain(&settings.other_admin_tokens);
        Secrets {
            tokens: Tokens::new(&keys.token),
            admin_tokens_sha256: admin_tokens
                .map(|token| sha256(token.expose_secret().as_bytes()))
                .collect(),
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

    /// Those that are in use now; whoever has them keeps them to the end of its work.
    pub(crate) fn now(&self) -> Arc<Secrets> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn take_up(&self, settings: &SecretSettings) {
        let fresh = Arc::new(Secrets::derive(settings, &self.arena));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

/// Takes up what is changed in `.env`, from now on until the stop.
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
