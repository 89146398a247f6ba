//! Settings: accepted values, and refused ones with all reasons.

use std::io::Write as _;
use std::time::Duration;

use daemon::config::Sources;
use ledger_core::prediction::PriceSource;
use oracle::Config;

const REQUIRED: &str = "DATABASE_URL=postgres://arena_app:hunter2@127.0.0.1:5432/arena\n\
                        REDIS_URL=redis://default:hunter2@127.0.0.1:6379/0\n";

fn read(more: &str) -> Result<Config, Vec<String>> {
    let sources = Sources::from_parts(&format!("{REQUIRED}{more}"), []);
    Config::read(&sources).map_err(|error| {
        assert!(!error.to_string().contains("hunter2"), "{error}");
        error.problems().iter().map(ToString::to_string).collect()
    })
}

fn problems(more: &str) -> Vec<String> {
    read(more).err().expect("problems")
}

#[test]
fn the_defaults_are_those_of_the_books() {
    let config = read("").unwrap();
    assert_eq!(config.health_address.to_string(), "127.0.0.1:8002");
    assert_eq!(config.sample_interval_seconds, 60);
    assert_eq!(config.settle_interval, Duration::from_secs(5));
    assert_eq!(config.round_interval(), Duration::from_secs(5));
    let sources: Vec<PriceSource> = config.feeds.iter().map(|feed| feed.source()).collect();
    assert_eq!(sources, [PriceSource::Coingecko, PriceSource::Kraken]);
}

#[test]
fn every_problem_is_named_at_once() {
    let sources = Sources::from_parts(
        "ORACLE_HEALTH_PORT=99999\nORACLE_INTERVAL_SECONDS=0\nPRICE_SOURCES=bitstamp\n\
         PREDICTION_HORIZON=soon\nENV=staging\nDATABASE_POOL_SIZE=1\n",
        [],
    );
    let error = Config::read(&sources).err().unwrap();
    let names: Vec<&str> = error.problems().iter().map(|problem| problem.name.as_str()).collect();
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "DATABASE_POOL_SIZE",
        "ORACLE_HEALTH_PORT",
        "ORACLE_INTERVAL_SECONDS",
        "PREDICTION_HORIZON",
        "ENV",
        "PRICE_SOURCES",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

#[test]
fn production_is_the_default_and_refuses_invented_prices() {
    const SEED: &str = "000102030405060708090a0b0c0d0e0f";
    let found = problems(&format!("PRICE_SOURCES=coingecko,simulated:{SEED}"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("PRICE_SOURCES entry 2 is simulated"), "{found:?}");
    let development = format!("ENV=development\nPRICE_SOURCES=coingecko,simulated:{SEED}");
    assert_eq!(read(&development).unwrap().feeds.len(), 2);
    let found = problems("ENV=development\nPRICE_SOURCES=coingecko,simulated:hunter2");
    assert!(found[0].contains("openssl rand -hex 16"), "{found:?}");
}

#[test]
fn a_recording_is_checked_at_start() {
    let root = env!("CARGO_MANIFEST_DIR");
    let good = "ENV=development\nPRICE_SOURCES=replay:crates/oracle/tests/data/synthetic-hour.csv";
    let config = read(good).unwrap();
    assert_eq!(config.feeds[0].source(), PriceSource::Replay);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "at,price\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,-1").unwrap();
    let found =
        problems(&format!("ENV=development\nPRICE_SOURCES=replay:{}", file.path().display()));
    assert_eq!(found.len(), 1);
    let wanted = "PRICE_SOURCES entry 1 cannot be replayed: line 3: price must";
    assert!(found[0].starts_with(wanted), "{found:?}");

    let found = problems(&format!("ENV=development\nPRICE_SOURCES=replay:{root}/nothing.csv"));
    assert!(found[0].contains("the file cannot be read"), "{found:?}");
}

#[test]
fn samples_must_not_be_rarer_than_prices_are_fresh() {
    let found = problems("ORACLE_INTERVAL_SECONDS=121");
    assert!(found[0].starts_with("ORACLE_INTERVAL_SECONDS must not exceed"), "{found:?}");
    assert!(read("ORACLE_INTERVAL_SECONDS=121\nPRICE_TTL_SECONDS=121").is_ok());
}

#[test]
fn short_samples_make_short_rounds() {
    let config = read("ORACLE_INTERVAL_SECONDS=1").unwrap();
    assert_eq!(config.round_interval(), Duration::from_secs(1));
}

#[test]
fn what_does_not_fit_a_header_is_refused_by_name() {
    let found = problems("COINGECKO_API_KEY=hünter2\u{7f}\nCOINGECKO_URL=ftp://127.0.0.1/");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("COINGECKO_URL must be"), "{found:?}");
    let found = problems("COINGECKO_API_KEY=hunter2\u{7f}");
    assert!(found[0].starts_with("COINGECKO_API_KEY must be"), "{found:?}");
    let found = problems("CONTACT=ops\u{7f}");
    assert!(found[0].starts_with("CONTACT must be"), "{found:?}");
    assert!(problems("COINGECKO_URL=nonsense")[0].starts_with("COINGECKO_URL"));
}
