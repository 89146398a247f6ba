//! What every request shares.

use std::time::Duration;

use cache::limits::Limit;
use cache::prices::FreshPrice;
use cache::{Cache, CacheConfig, CacheResult};
use daemon::config::{ConfigError, Environment, endpoint};
use daemon::hosts::Hosts;
use daemon::process::{Failure, Unavailable};
use db::migrations::SchemaState;
use db::roles::role_of;
use db::supply::Census;
use db::{Database, DatabaseConfig, DbError};
use ledger_core::price_book::PriceBook;
use ledger_core::{BotId, EconomyRules, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::address::Proxies;
use crate::answers::Answers;
use crate::auth::{self, Passwords, Refusals, Rotations};
use crate::clock;
use crate::config::ApiConfig;
use crate::keys::sha256;
use crate::limits::Limiter;
use crate::locks::KeyedLocks;
use crate::metrics::MetricsAccess;
use crate::readiness::Seen;
use crate::request_log::RequestLog;
use crate::secrets::SecretStore;
use crate::standings::Standings;
use crate::streams::Streams;
use crate::wagers::WagerQueue;

/// Chains that this process verifies at once.
const VERIFICATIONS_MAX: usize = 2;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The running service: connections, derived keys and what is remembered between requests.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) rules: EconomyRules,
    pub(crate) wagers: WagerQueue,
    pub(crate) tick_rate_seconds: u64,
    pub(crate) secrets: SecretStore,
    pub(crate) passwords: Passwords,
    pub(crate) rotations: Rotations,
    pub(crate) refusals: Refusals,
    pub(crate) registration: RegistrationPolicy,
    pub(crate) limiter: Limiter,
    /// Requests with an Idempotency-Key that are being served by this process.
    pub(crate) retries: KeyedLocks<[u8; 32]>,
    /// Chains that are being verified by this process.
    pub(crate) verifying: KeyedLocks<BotId>,
    /// Verifications that may run at once.
    pub(crate) verifications: tokio::sync::Semaphore,
    pub(crate) census: tokio::sync::Mutex<Option<CountedAt>>,
    pub(crate) standings: Standings,
    pub(crate) answers: Answers,
    pub(crate) price_book: PriceBook,
    pub(crate) streams: Streams,
    pub(crate) proxies: Proxies,
    pub(crate) hosts: Hosts,
    pub(crate) metrics_access: MetricsAccess,
    pub(crate) readiness: Seen,
    pub(crate) request_log: RequestLog,
}

/// Who may register, and how often.
pub(crate) struct RegistrationPolicy {
    pub(crate) admission: Admission,
    /// Grants a day and address; `None` is no limit.
    pub(crate) limit: Option<Limit>,
}

pub(crate) enum Admission {
    /// Anybody: development only.
    Open,
    /// Whoever knows the token of this SHA-256.
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
    /// The price that tickets show: none that is too old by its provider's time, whatever Redis keeps.
    pub(crate) async fn fresh_price(&self) -> CacheResult<Option<FreshPrice>> {
        let ttl = self.rules.price_ttl_seconds;
        let price = self.cache.price().await?;
        Ok(price.filter(|price| price.freshness(clock::now(), ttl).is_some()))
    }

    /// Connects to everything, and refuses a database that this build does not fit.
    pub(crate) async fn open(config: &ApiConfig) -> Result<App, Failure> {
        let (database, cache) = tokio::join!(open_database(config), open_cache(config));
        let (database, cache) = (database?, cache?);
        let identity = database.identity().await.map_err(|error| {
            Unavailable::new("the arena's identity in Postgres", "was it migrated?").because(error)
        })?;
        config.secrets.announce(&cache);
        cache.uses_role(role_of(config.database_url.expose_secret()).as_deref());
        let app = App {
            secrets: SecretStore::new(&config.secrets, identity),
            passwords: Passwords::new().await?,
            rotations: Rotations::default(),
            refusals: Refusals::default(),
            registration: RegistrationPolicy::of(config),
            limiter: Limiter::new(&config.client_limits, &config.proxies, &cache),
            rules: config.rules.clone(),
            wagers: WagerQueue::new(&cache, &database, &config.rules),
            tick_rate_seconds: config.tick_rate_seconds,
            retries: KeyedLocks::new(),
            verifying: KeyedLocks::new(),
            verifications: tokio::sync::Semaphore::new(VERIFICATIONS_MAX),
            census: tokio::sync::Mutex::new(None),
            standings: Standings::default(),
            answers: Answers::new(config.answer_age_max),
            proxies: config.proxies.clone(),
            hosts: config.hosts.clone(),
            metrics_access: config.metrics_access.clone(),
            readiness: Seen::default(),
            request_log: config.request_log,
            price_book: config.price_book.clone(),
            streams: Streams::new(config),
            database,
            cache,
        };
        // Before the first request: a token may have been ended while nobody served.
        auth::learn(&app).await.map_err(|error| {
            Unavailable::new("the latest rotations in Postgres", "was it migrated?").because(error)
        })?;
        Ok(app)
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
        let limit = config
            .grants_per_address_per_day
            .map(|uses| Limit { uses, window: DAY });
        RegistrationPolicy { admission, limit }
    }
}

fn hashed(secret: &SecretString) -> [u8; 32] {
    sha256(secret.expose_secret().as_bytes())
}

fn unfit_database(error: &DbError) -> Failure {
    let problem = format!("names a database that cannot be used: {error}");
    ConfigError::single("DATABASE_URL", problem).into()
}

async fn open_database(config: &ApiConfig) -> Result<Database, Failure> {
    let url = config.database_url.expose_secret();
    let place = endpoint(url, 5432).unwrap_or_else(|| "its address".to_owned());
    let what = format!("Postgres at {place}");
    let settings = DatabaseConfig {
        url: url.to_owned(),
        pool_size: config.database_pool_size,
    };
    let database = Database::connect(settings)
        .await
        .map_err(|error| match error {
            DbError::Encoding(_) => unfit_database(&error),
            error => Unavailable::new(&what, "is it running, and is DATABASE_URL right?")
                .because(error)
                .into(),
        })?;
    database.warn_if_crowded().await;
    match database.schema_state().await {
        Ok(SchemaState::Current) => {
            db::rules::adopt(&mut *database.get().await?, &config.rules).await?;
            Ok(database)
        }
        Ok(SchemaState::Behind { missing }) => {
            let hint = format!("its schema lacks {missing} migration(s): run `arenactl migrate`");
            Err(Failure::unavailable(
                format!("a usable schema in {what}"),
                hint,
            ))
        }
        Ok(SchemaState::Ahead { unknown }) => Err(ConfigError::single(
            "DATABASE_URL",
            format!(
                "names a database with {unknown} migration(s) that this build does not know: run \
                 a newer build, or name another database"
            ),
        )
        .into()),
        Err(error @ DbError::Unfinished) => Err(unfit_database(&error)),
        Err(error @ DbError::Unavailable(_)) => Err(Unavailable::new(&what, "is it running?")
            .because(error)
            .into()),
        Err(error) => {
            let hint = "was it migrated? Run `arenactl migrate`";
            Err(Unavailable::new(format!("the schema in {what}"), hint)
                .because(error)
                .into())
        }
    }
}

async fn open_cache(config: &ApiConfig) -> Result<Cache, Failure> {
    let url = config.redis_url.expose_secret();
    let place = endpoint(url, 6379).unwrap_or_else(|| "its address".to_owned());
    let settings = CacheConfig {
        url: url.to_owned(),
        namespace: config.redis_namespace.clone(),
    };
    Cache::connect(settings).await.map_err(|error| {
        let hint = "is it running, and is REDIS_URL right?";
        Unavailable::new(format!("Redis at {place}"), hint)
            .because(error)
            .into()
    })
}
