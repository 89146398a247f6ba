//! The settings that more than one service reads.

use std::ops::RangeInclusive;

use daemon::config::Reader;
use ledger_core::economy::EconomyRules;
use secrecy::SecretString;

/// How a URL of Postgres begins.
pub const POSTGRES_SCHEMES: &[&str] = &["postgres", "postgresql"];
/// How a service's URL of Redis begins.
pub const REDIS_SCHEMES: &[&str] = &["redis", "rediss"];

/// Where Postgres is, and how many connections this process opens there at most.
#[derive(Clone)]
pub struct PostgresSettings {
    pub url: SecretString,
    pub pool_size: usize,
}

impl PostgresSettings {
    /// `DATABASE_URL` and `DATABASE_POOL_SIZE`.
    pub fn read(
        reader: &mut Reader<'_>,
        pool_size: usize,
        bounds: RangeInclusive<usize>,
    ) -> PostgresSettings {
        PostgresSettings {
            url: reader.connection_url(cache::presence::DATABASE_URL, POSTGRES_SCHEMES),
            pool_size: reader.or_within("DATABASE_POOL_SIZE", pool_size, bounds),
        }
    }
}

/// Where Redis is.
#[derive(Clone)]
pub struct RedisSettings {
    pub url: SecretString,
    /// The prefix of every key: empty except in tests.
    pub namespace: String,
}

impl RedisSettings {
    /// `REDIS_URL`.
    pub fn read(reader: &mut Reader<'_>) -> RedisSettings {
        RedisSettings {
            url: reader.connection_url(cache::presence::REDIS_URL, REDIS_SCHEMES),
            namespace: String::new(),
        }
    }
}

/// The economy's figures. The default ones are the answer when a problem was noted.
pub fn rules(reader: &mut Reader<'_>) -> EconomyRules {
    EconomyRules::from_settings(|name| reader.raw(name)).unwrap_or_else(|problems| {
        for problem in problems {
            reader.problem(problem.name, problem.problem);
        }
        EconomyRules::default()
    })
}
