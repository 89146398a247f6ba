//! The setting `PRICE_SOURCES`: an ordered list such as `coingecko,kraken`.

use std::fmt;
use std::path::PathBuf;

use daemon::config::Environment;
use ledger_core::prediction::PriceSource;

use super::simulated::{Seed, WeakSeed};

/// One entry of the list.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceSpec {
    CoinGecko,
    Kraken,
    /// A CSV file; relative to the workspace.
    Replay(PathBuf),
    Simulated(Seed),
}

/// Shows only the kind: the seed or the file would reveal future prices in a log.
impl fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source().as_str())
    }
}

impl SourceSpec {
    pub const fn source(&self) -> PriceSource {
        match self {
            SourceSpec::CoinGecko => PriceSource::Coingecko,
            SourceSpec::Kraken => PriceSource::Kraken,
            SourceSpec::Replay(_) => PriceSource::Replay,
            SourceSpec::Simulated(_) => PriceSource::Simulated,
        }
    }
}

/// A fault of the list. Messages follow the setting's name and hold no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    #[error(
        "must name at least one source: coingecko, kraken, replay:<csv file> or simulated:<seed>"
    )]
    Empty,
    #[error("entry {entry} must be coingecko, kraken, replay:<csv file> or simulated:<seed>")]
    Unknown { entry: usize },
    #[error("entry {entry} lacks its file: write replay:<csv file>")]
    NoFile { entry: usize },
    #[error("entry {entry}: the seed of simulated:<seed> {}", WeakSeed)]
    NoSeed { entry: usize },
    /// Start and end of a prediction must come from one source, and only the kind is kept.
    #[error("entry {entry} names {source_kind} a second time")]
    Twice { entry: usize, source_kind: PriceSource },
    #[error(
        "entry {entry} is {source_kind}, which only ENV=development allows: invented prices are \
         never passed off as real ones"
    )]
    NotInProduction { entry: usize, source_kind: PriceSource },
}

/// Reads the list. White space around entries does not matter; entries count from 1.
pub fn parse_list(text: &str, environment: Environment) -> Result<Vec<SourceSpec>, SourcesError> {
    let mut specs: Vec<SourceSpec> = Vec::new();
    for (index, text) in text.split(',').map(str::trim).enumerate() {
        let entry = index + 1;
        let spec = parse_one(text, entry)?;
        let source = spec.source();
        if specs.iter().any(|other| other.source() == source) {
            return Err(SourcesError::Twice { entry, source_kind: source });
        }
        if !source.is_real() && !environment.is_development() {
            return Err(SourcesError::NotInProduction { entry, source_kind: source });
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn parse_one(text: &str, entry: usize) -> Result<SourceSpec, SourcesError> {
    let (kind, argument) = match text.split_once(':') {
        Some((kind, argument)) => (kind.trim_end(), Some(argument.trim_start())),
        None => (text, None),
    };
    match (kind, argument) {
        ("", None) if entry == 1 => Err(SourcesError::Empty),
        ("coingecko", None) => Ok(SourceSpec::CoinGecko),
        ("kraken", None) => Ok(SourceSpec::Kraken),
        ("replay", Some(path)) if !path.is_empty() => Ok(SourceSpec::Replay(path.into())),
        ("replay", _) => Err(SourcesError::NoFile { entry }),
        ("simulated", Some(seed)) => match seed.parse() {
            Ok(seed) => Ok(SourceSpec::Simulated(seed)),
            Err(WeakSeed) => Err(SourcesError::NoSeed { entry }),
        },
        ("simulated", None) => Err(SourcesError::NoSeed { entry }),
        _ => Err(SourcesError::Unknown { entry }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "000102030405060708090a0b0c0d0e0f";

    fn read(text: &str) -> Result<Vec<SourceSpec>, SourcesError> {
        parse_list(text, Environment::Development)
    }

    #[test]
    fn the_order_is_kept() {
        let specs =
            read(&format!("coingecko,kraken, replay: data/week.csv ,simulated:{SEED}")).unwrap();
        let wanted = [
            SourceSpec::CoinGecko,
            SourceSpec::Kraken,
            SourceSpec::Replay("data/week.csv".into()),
            SourceSpec::Simulated(SEED.parse().unwrap()),
        ];
        assert_eq!(specs, wanted);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_place() {
        use SourcesError::{Empty, NoFile, NoSeed, Twice, Unknown};
        let twice_over = format!("simulated:{SEED},simulated:{SEED}");
        let twice = Twice { entry: 2, source_kind: PriceSource::Simulated };
        for (text, error) in [
            ("", Empty),
            ("  ", Empty),
            ("coingecko,", Unknown { entry: 2 }),
            ("bitstamp", Unknown { entry: 1 }),
            ("coingecko,kraken:key", Unknown { entry: 2 }),
            ("CoinGecko", Unknown { entry: 1 }),
            ("coingecko:key", Unknown { entry: 1 }),
            ("coingecko,replay", NoFile { entry: 2 }),
            ("replay:", NoFile { entry: 1 }),
            ("simulated", NoSeed { entry: 1 }),
            ("simulated: ", NoSeed { entry: 1 }),
            ("simulated:42", NoSeed { entry: 1 }),
            ("coingecko,simulated:not a seed of 32 hex digits", NoSeed { entry: 2 }),
            (&twice_over, twice),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn production_refuses_invented_prices() {
        let production = |text| parse_list(text, Environment::Production);
        assert_eq!(production("coingecko").unwrap(), [SourceSpec::CoinGecko]);
        let simulated = format!("coingecko,simulated:{SEED}");
        for (text, source_kind) in [
            (simulated.as_str(), PriceSource::Simulated),
            ("coingecko,replay:week.csv", PriceSource::Replay),
        ] {
            let error = SourcesError::NotInProduction { entry: 2, source_kind };
            assert_eq!(production(text), Err(error));
        }
    }

    #[test]
    fn neither_seed_nor_file_reaches_a_log() {
        let list = format!("replay:secret.csv,simulated:{SEED}");
        let shown = format!("{:?}", read(&list).unwrap());
        assert_eq!(shown, "[replay, simulated]");
        for text in ["coingecko,secret", "simulated:secret"] {
            let message = read(text).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
        let message = read("simulated:42").unwrap_err().to_string();
        assert!(message.contains("openssl rand -hex 16"), "{message}");
    }
}
