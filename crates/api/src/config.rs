//! The settings of the API.

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
    pub postgres: PostgresSettings,
    pub redis: RedisSettings,
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
    /// Its own host names.
    pub hosts: Hosts,
    pub metrics_access: MetricsAccess,
    /// How long requests are still answered after the stop was requested, while `/ready` is 503.
    pub drain: Duration,
    /// Which requests get a line in the log.
    pub request_log: RequestLog,
    /// The origins whose pages may use the API from a browser.
    pub origins: Origins,
    /// The greatest age of cached answers; zero reads each time.
    pub answer_age_max: Duration,
    pub rules: EconomyRules,
    /// The prices of models.
    pub price_book: PriceBook,
    pub streams: StreamPatience,
}

impl ApiConfig {
    /// # Errors
    /// When a setting is missing or malformed: every one of them, by name.
    pub fn read(sources: &Sources) -> Result<ApiConfig, ConfigError> {
        let mut reader = Reader::new(sources);
        let host = reader.or("API_HOST", IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = reader.or("API_PORT", 8000);
        let environment = reader.or("ENV", Environment::default());
        let config = ApiConfig {
            host,
            port,
            environment,
            postgres: PostgresSettings::read(&mut reader, DATABASE_POOL_SIZE, 1..=1000),
            redis: RedisSettings::read(&mut reader),
            secrets: SecretSettings::read(&mut reader),
            follows_settings: true,
            registration_token: reader
                .optional_secret("REGISTRATION_TOKEN", REGISTRATION_TOKEN_MIN_CHARS),
            grants_per_address_per_day: match environment {
                Environment::Development => reader.optional("GRANTS_PER_ADDRESS_PER_DAY"),
                Environment::Production => {
                    Some(reader.or("GRANTS_PER_ADDRESS_PER_DAY", GRANTS_PER_ADDRESS_PER_DAY))
                }
            },
            client_limits: ClientLimits::read(&mut reader),
            connections: ConnectionLimits::read(&mut reader),
            proxies: Proxies {
                trusted: reader.or("TRUSTED_PROXIES", Networks::default()),
                header: reader.or("FORWARDING_HEADER", ForwardingHeader::default()),
            },
            hosts: Hosts::read(&mut reader),
            metrics_access: MetricsAccess::read(&mut reader),
            drain: Duration::from_secs(reader.or_within("API_DRAIN_SECONDS", 0, 0..=5)),
            request_log: RequestLog::read(&mut reader),
            origins: reader.or("CORS_ORIGINS", Origins::default()),
            answer_age_max: Duration::from_millis(reader.or_within(
                "ANSWER_AGE_MAX_MS",
                ANSWER_AGE_MAX_MS,
                0..=1000,
            )),
            rules: service::rules(&mut reader),
            price_book: pricing::read(&mut reader),
            streams: StreamPatience::default(),
        };
        reader.finish().map(|()| config)
    }
}
