//! The shared state of all handlers. Only handlers and the server use it: each part gets only what
//! it needs.

use std::sync::Arc;
use std::time::Duration;

use cache::limits::Limit;
use cache::prices::FreshPrice;
use cache::{Cache, CacheResult};
use daemon::config::Environment;
use daemon::hosts::Hosts;
use daemon::process::{Failure, Unavailable};
use db::Database;
use db::supply::Census;
use ledger_core::price_book::PriceBook;
use ledger_core::{BotId, EconomyRules, Enforcement, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use service::Stores;
use tokio::time::Instant;

use crate::address::Proxies;
use crate::answers::Answers;
use crate::auth::Auth;
use crate::clock;
use crate::config::ApiConfig;
use crate::connections::Doorman;
use crate::idempotency::Retries;
use crate::keys::sha256;
use crate::limits::Limiter;
use crate::locks::KeyedLocks;
use crate::metrics::MetricsAccess;
use crate::readiness;
use crate::request_log::RequestLog;
use crate::secrets::SecretStore;
use crate::standings::Standings;
use crate::streams::{Audience, Streams};
use crate::wagers::WagerQueue;

/// Chains that this process verifies at once.
const VERIFICATIONS_MAX: usize = 2;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The running service: connections, derived keys and state between requests.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) rules: EconomyRules,
    pub(crate) wagers: WagerQueue,
    pub(crate) secrets: Arc<SecretStore>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) registration: RegistrationPolicy,
    pub(crate) limiter: Limiter,
    pub(crate) retries: Retries,
    /// Chains that are being verified by this process.
    pub(crate) verifying: KeyedLocks<BotId>,
    /// Verifications that may run at once.
    pub(crate) verifications: tokio::sync::Semaphore,
    pub(crate) census: tokio::sync::Mutex<Option<CountedAt>>,
    pub(crate) standings: Standings,
    pub(crate) answers: Answers,
    pub(crate) price_book: PriceBook,
    pub(crate) streams: Arc<Streams>,
    pub(crate) proxies: Proxies,
    pub(crate) hosts: Hosts,
    pub(crate) metrics_access: MetricsAccess,
    pub(crate) readiness: readiness::State,
    pub(crate) request_log: RequestLog,
}

/// The conditions of registration.
pub(crate) struct RegistrationPolicy {
    pub(crate) admission: Admission,
    /// Grants a day and address; `None` is no limit.
    pub(crate) limit: Option<Limit>,
}

pub(crate) enum Admission {
    /// Anybody: development only.
    Open,
    /// Callers with the token of this SHA-256.
    Token([u8; 32]),
    /// Nobody: no token is configured.
    Closed,
}

impl Admission {
    /// For the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Admission::Open => "open",
            Admission::Token(_) => "by token",
            Admission::Closed => "closed",
        }
    }
}

/// A census with its age.
pub(crate) struct CountedAt {
    pub(crate) census: Census,
    pub(crate) counted: Instant,
    pub(crate) as_of: Timestamp,
}

impl App {
    /// The price in observations: never one that is too old by its provider's time, even if Redis
    /// still has it.
    pub(crate) async fn fresh_price(&self) -> CacheResult<Option<FreshPrice>> {
        let ttl = self.rules.price_ttl_seconds;
        let price = self.cache.price().await?;
        Ok(price.filter(|price| price.freshness(clock::now(), ttl).is_some()))
    }

    pub(crate) fn stores(&self) -> Stores {
        Stores { database: self.database.clone(), cache: self.cache.clone() }
    }

    /// Connects to everything, and refuses a database that this build does not fit.
    pub(crate) async fn open(config: &ApiConfig) -> Result<App, Failure> {
        let Stores { database, cache } = Stores::connect(&config.postgres, &config.redis).await?;
        db::rules::adopt(&mut *database.get().await?, &config.rules).await?;
        let identity = database.identity().await.map_err(|error| {
            Unavailable::new("the arena's identity in Postgres", "was it migrated?").because(error)
        })?;
        config.secrets.announce(&cache);
        let secrets = Arc::new(SecretStore::new(&config.secrets, identity));
        let auth = Arc::new(Auth::new(&database, &secrets).await?);
        // Before the first request: a token may have been revoked while no process ran.
        auth.learn().await.map_err(|error| {
            Unavailable::new("the latest rotations in Postgres", "was it migrated?").because(error)
        })?;
        let streams = Streams::new(
            &database,
            &auth,
            audience(config),
            &config.origins,
            config.streams,
            Doorman::new(config.connections, &config.proxies),
        );
        Ok(App {
            registration: RegistrationPolicy::of(config),
            limiter: Limiter::new(&config.client_limits, &config.proxies, &cache),
            rules: config.rules.clone(),
            wagers: WagerQueue::new(&cache, &database, &config.rules),
            retries: Retries::new(&database, &secrets),
            verifying: KeyedLocks::new(),
            verifications: tokio::sync::Semaphore::new(VERIFICATIONS_MAX),
            census: tokio::sync::Mutex::new(None),
            standings: Standings::default(),
            answers: Answers::new(config.answer_age_max),
            proxies: config.proxies.clone(),
            hosts: config.hosts.clone(),
            metrics_access: config.metrics_access.clone(),
            readiness: readiness::State::default(),
            request_log: config.request_log,
            price_book: config.price_book.clone(),
            streams: Arc::new(streams),
            secrets,
            auth,
            database,
            cache,
        })
    }
}

/// The callers that may read streams.
fn audience(config: &ApiConfig) -> Audience {
    match (config.rules.enforcement, config.environment) {
        (Enforcement::Enforce, Environment::Production) => Audience::Known,
        (Enforcement::Observe, _) | (_, Environment::Development) => Audience::Anybody,
    }
}

impl RegistrationPolicy {
    fn of(config: &ApiConfig) -> RegistrationPolicy {
        let admission = match (config.environment, &config.registration_token) {
            // Where a token is set it is demanded, in development too.
            (_, Some(token)) => Admission::Token(hashed(token)),
            (Environment::Development, None) => Admission::Open,
            (Environment::Production, None) => Admission::Closed,
        };
        let limit = config.grants_per_address_per_day.map(|uses| Limit { uses, window: DAY });
        RegistrationPolicy { admission, limit }
    }
}

fn hashed(secret: &SecretString) -> [u8; 32] {
    sha256(secret.expose_secret().as_bytes())
}
