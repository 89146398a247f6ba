//! What the API needs to be told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use daemon::config::{ConfigError, Environment, Reader, Sources};
use daemon::hosts::Hosts;
use ledger_core::EconomyRules;
use ledger_core::price_book::PriceBook;
use secrecy::SecretString;
use service::{PostgresSettings, RedisSettings};

use crate::address::{ForwardingHeader, Networks, Proxies};
use crate::connections::ConnectionLimits;
use crate::headers::Origins;
use crate::limits::ClientLimits;
use crate::metrics::MetricsAccess;
use crate::pricing;
use crate::request_log::RequestLog;
use crate::secrets::SecretSettings;
use crate::streams::StreamPatience;

pub const REGISTRATION_TOKEN_MIN_CHARS: usize = 16;
const DATABASE_POOL_SIZE: usize = 16;
const GRANTS_PER_ADDRESS_PER_DAY: u32 = 20;
const ANSWER_AGE_MAX_MS: u64 = 500;

/// The configuration of the service, read once at start.
#[derive(Clone)]
pub struct ApiConfig {
    pub host: IpAddr,
    /// 0 takes any free port.
    pub port: u16,
    pub environment: Environment,
    pub database_url: SecretString,
    pub database_pool_size: usize,
    pub redis_url: SecretString,
    /// What every key in Redis starts with: empty but for tests.
    pub redis_namespace: String,
    pub secrets: SecretSettings,
    /// Whether credentials that change in `.env` are taken up.
    pub follows_settings: bool,
    /// Without one, registration is closed outside development.
    pub registration_token: Option<SecretString>,
    /// `None` is no limit.
    pub grants_per_address_per_day: Option<u32>,
    pub client_limits: ClientLimits,
    pub connections: ConnectionLimits,
    pub proxies: Proxies,
    /// The names that it is asked under.
    pub hosts: Hosts,
    pub metrics_access: MetricsAccess,
    /// How long requests are still answered after the stop was asked for, while `/ready` says no.
    pub drain: Duration,
    /// Which requests get a line in the log.
    pub request_log: RequestLog,
    /// Whose pages may use the API from a browser.
    pub origins: Origins,
    /// How old the answers that everybody gets may be; zero reads each of them anew.
    pub answer_age_max: Duration,
    /// Only shown; the ticker goes by its own.
    pub tick_rate_seconds: u64,
    pub rules: EconomyRules,
    /// What models cost.
    pub price_book: PriceBook,
    pub streams: StreamPatience,
}

impl ApiConfig {
    /// Where Postgres and Redis are.
    pub(crate) fn stores(&self) -> (PostgresSettings, RedisSettings) {
        let postgres = PostgresSettings {
            url: self.database_url.clone(),
            pool_size: self.database_pool_size,
        };
        let redis = RedisSettings {
            url: self.redis_url.clone(),
            namespace: self.redis_namespace.clone(),
        };
        (postgres, redis)
    }

    /// # Errors
    /// When a setting is missing or malformed: every one of them, by name.
    pub fn read(sources: &Sources) -> Result<ApiConfig, ConfigError> {
        let mut reader = Reader::new(sources);
        let host = reader.or("API_HOST", IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = reader.or("API_PORT", 8000);
        let environment = reader.or("ENV", Environment::default());
        let database_url = reader.connection_url("DATABASE_URL", &["postgres", "postgresql"]);
        let database_pool_size =
            reader.or_within("DATABASE_POOL_SIZE", DATABASE_POOL_SIZE, 1..=1000);
        let redis_url = reader.connection_url("REDIS_URL", &["redis", "rediss"]);
        let secrets = SecretSettings::read(&mut reader);
        let registration_token =
            reader.optional_secret("REGISTRATION_TOKEN", REGISTRATION_TOKEN_MIN_CHARS);
        let grants: Option<u32> = reader.optional("GRANTS_PER_ADDRESS_PER_DAY");
        let grants_per_address_per_day = match environment {
            Environment::Development => grants,
            Environment::Production => Some(grants.unwrap_or(GRANTS_PER_ADDRESS_PER_DAY)),
        };
        let client_limits = ClientLimits::read(&mut reader);
        let connections = ConnectionLimits::read(&mut reader);
        let proxies = Proxies {
            trusted: reader.or("TRUSTED_PROXIES", Networks::default()),
            header: reader.or("FORWARDING_HEADER", ForwardingHeader::default()),
        };
        let hosts = Hosts::read(&mut reader);
        let metrics_access = MetricsAccess::read(&mut reader);
        let drain = Duration::from_secs(reader.or_within("API_DRAIN_SECONDS", 0, 0..=5));
        let request_log = RequestLog::read(&mut reader);
        let origins = reader.or("CORS_ORIGINS", Origins::default());
        let answer_age_max = Duration::from_millis(reader.or_within(
            "ANSWER_AGE_MAX_MS",
            ANSWER_AGE_MAX_MS,
            0..=1000,
        ));
        let tick_rate_seconds = reader.or_within("TICK_RATE", 10, 1..=86_400);
        let rules = match EconomyRules::from_settings(|name| reader.raw(name)) {
            Ok(rules) => Some(rules),
            Err(problems) => {
                for problem in problems {
                    reader.problem(problem.name, problem.problem);
                }
                None
            }
        };
        let price_book = pricing::read(&mut reader);
        let complete = database_url
            .zip(redis_url)
            .zip(secrets)
            .zip(rules)
            .zip(price_book);
        let config = complete.map(
            |((((database_url, redis_url), secrets), rules), price_book)| ApiConfig {
                host,
                port,
                environment,
                database_url,
                database_pool_size,
                redis_url,
                redis_namespace: String::new(),
                secrets,
                follows_settings: true,
                registration_token,
                grants_per_address_per_day,
                client_limits,
                connections,
                proxies,
                hosts,
                metrics_access,
                drain,
                request_log,
                origins,
                answer_age_max,
                tick_rate_seconds,
                rules,
                price_book,
                streams: StreamPatience::default(),
            },
        );
        reader.finish_with(config)
    }
}
