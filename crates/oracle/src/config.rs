//! The oracle's settings, and the feeds that follow from them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::config::{ConfigError, Environment, Reader, Sources, workspace_root};
use daemon::health;
use daemon::hosts::Hosts;
use ledger_core::economy::EconomyRules;
use service::{PostgresSettings, RedisSettings};
use sources::Feed;
use url::Url;

use crate::market_config;
use crate::round::Retention;
use crate::sources::{
    CoinGecko, Kraken, PriceFeed, Replay, SetupError, Simulated, SourceConfig, SourceSpec, TIMEOUT,
    coingecko, kraken, parse_list,
};

/// Port of `/health` and `/ready` unless `ORACLE_HEALTH_PORT` is set.
pub const HEALTH_PORT: u16 = 8002;
/// From one price sample to the next.
pub const SAMPLE_INTERVAL_SECONDS: i64 = 60;
/// From one settlement to the next.
pub const SETTLE_INTERVAL_SECONDS: u64 = 5;
/// The lease's task, a price round and a market round each need connections, the readiness probe one.
const POOL_SIZE: usize = 8;
/// The contact of this software's maintainers, if the installation names none.
pub(crate) const CONTACT: &str = env!("CARGO_PKG_REPOSITORY");

/// The settings of the oracle.
pub struct Config {
    pub postgres: PostgresSettings,
    pub redis: RedisSettings,
    pub health_address: SocketAddr,
    /// Its host names.
    pub hosts: Hosts,
    pub sample_interval_seconds: i64,
    pub settle_interval: Duration,
    pub rules: EconomyRules,
    /// In order of preference.
    pub feeds: Vec<Arc<dyn PriceFeed>>,
    pub market_feeds: Vec<Arc<dyn Feed>>,
    pub retention: Retention,
}

impl Config {
    /// Reads and checks all settings, the replayed file included.
    ///
    /// # Errors
    /// Every problem at once, by the names of the settings.
    pub fn read(sources: &Sources) -> Result<Config, ConfigError> {
        let mut reader = Reader::new(sources);
        let postgres = PostgresSettings::read(&mut reader, POOL_SIZE, 2..=200);
        let redis = RedisSettings::read(&mut reader);
        let health_address = health::address(&mut reader, "ORACLE_HEALTH_PORT", HEALTH_PORT);
        let hosts = Hosts::read(&mut reader);
        let interval =
            reader.or_within("ORACLE_INTERVAL_SECONDS", SAMPLE_INTERVAL_SECONDS, 1..=86_400);
        let settle =
            reader.or_within("SETTLE_INTERVAL_SECONDS", SETTLE_INTERVAL_SECONDS, 1..=3_600);
        let rules = service::rules(&mut reader);
        if interval > rules.price_ttl_seconds {
            let text = "must not exceed PRICE_TTL_SECONDS: the arena would halt between samples";
            reader.problem("ORACLE_INTERVAL_SECONDS", text);
        }
        let config = Config {
            postgres,
            redis,
            health_address,
            hosts,
            sample_interval_seconds: interval,
            settle_interval: Duration::from_secs(settle),
            feeds: read_feeds(&mut reader),
            retention: Retention {
                metrics_days: reader.or_within("METRICS_RETENTION_DAYS", 90, 0..=36_500),
                evidence_days: reader.or_within("EVIDENCE_RETENTION_DAYS", 365, 0..=36_500),
            },
            market_feeds: market_config::read_feeds(&mut reader, &rules.markets),
            rules,
        };
        reader.finish().map(|()| config)
    }

    /// How often rounds begin: often enough for settlement and for samples.
    pub fn round_interval(&self) -> Duration {
        let sample = Duration::from_secs(self.sample_interval_seconds.unsigned_abs());
        self.settle_interval.min(sample)
    }
}

fn read_feeds(reader: &mut Reader<'_>) -> Vec<Arc<dyn PriceFeed>> {
    let environment = reader.or("ENV", Environment::default());
    let list = reader.or("PRICE_SOURCES", "coingecko,kraken".to_owned());
    let specs = match parse_list(&list, environment) {
        Ok(specs) => specs,
        Err(problem) => {
            reader.problem("PRICE_SOURCES", format!("{problem}"));
            return Vec::new();
        }
    };
    let mut feeds: Vec<Arc<dyn PriceFeed>> = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        match spec {
            SourceSpec::CoinGecko => {
                let names = ("COINGECKO_URL", Some("COINGECKO_API_KEY"));
                feeds.extend(on_the_web(reader, names, coingecko::DEFAULT_URL, CoinGecko::new));
            }
            SourceSpec::Kraken => {
                let names = ("KRAKEN_URL", None);
                feeds.extend(on_the_web(reader, names, kraken::DEFAULT_URL, Kraken::new));
            }
            SourceSpec::Replay(path) => match Replay::open(&workspace_root().join(path)) {
                Ok(replay) => feeds.push(Arc::new(replay)),
                Err(problem) => {
                    let text = format!("entry {} cannot be replayed: {problem}", index + 1);
                    reader.problem("PRICE_SOURCES", text);
                }
            },
            SourceSpec::Simulated(seed) => feeds.push(Arc::new(Simulated::new(seed))),
        }
    }
    feeds
}

/// A source on the web, by the settings of its address and, if it takes one, its key.
fn on_the_web<F: PriceFeed + 'static>(
    reader: &mut Reader<'_>,
    (url, api_key): (&'static str, Option<&'static str>),
    default_url: &str,
    new: fn(SourceConfig) -> Result<F, SetupError>,
) -> Option<Arc<dyn PriceFeed>> {
    let given: Option<Url> = reader.optional(url);
    let made = new(SourceConfig {
        base_url: given.or_else(|| Url::parse(default_url).ok())?,
        api_key: api_key.and_then(|name| reader.optional_secret(name, 1)),
        contact: reader.or("CONTACT", CONTACT.to_owned()),
        timeout: TIMEOUT,
    });
    let problem = match made {
        Ok(feed) => return Some(Arc::new(feed)),
        Err(problem) => problem,
    };
    let name = match problem {
        SetupError::Url(_) => url,
        SetupError::ApiKey => api_key.unwrap_or(url),
        SetupError::Contact => "CONTACT",
        SetupError::Client => "PRICE_SOURCES",
    };
    reader.problem(name, problem.to_string());
    None
}
