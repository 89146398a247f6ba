//! Required settings, and their errors.

use std::fs;
use std::path::Path;

use bot_runner::config::{Config, DailyLimit};
use daemon::config::{ConfigError, Sources};
use daemon::process::{EXIT_CONFIG, exit_code_of};
use secrecy::ExposeSecret as _;

pub(crate) const PERSONA: &str = include_str!("../../../../bots/momentum-mia.yaml");

/// A directory with personas and keys.
pub(crate) fn home(personas: &[(&str, &str)], keys: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bots")).unwrap();
    for (name, text) in personas {
        fs::write(dir.path().join("bots").join(name), text).unwrap();
    }
    if let Some(keys) = keys {
        fs::write(dir.path().join(".env.bots"), keys).unwrap();
    }
    dir
}

pub(crate) fn read(home: &Path, more: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "DATABASE_URL=postgres://arena_app:hunter2@127.0.0.1:1/arena\nBOTS_DIR={home}/bots\n\
         BOTS_ENV_FILE={home}/.env.bots\n{more}",
        home = home.display()
    );
    Config::read(&Sources::from_parts(&text, []))
}

fn problems(result: Result<Config, ConfigError>) -> String {
    let error = result.map(drop).unwrap_err();
    assert_eq!(exit_code_of(&error), EXIT_CONFIG);
    let text = format!("{error}");
    assert!(!text.contains("hunter2"), "{text}");
    text
}

pub(crate) const DEVELOPMENT: &str = "ENV=development";
pub(crate) const KEYS: &str = "export MOMENTUM_MIA_API_KEY='ldk_#1 !$x'\n";

#[test]
fn a_persona_gets_its_key() {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let config = read(home.path(), DEVELOPMENT).unwrap();
    assert_eq!(config.staff.bots.len(), 1);
    assert_eq!(config.staff.bots[0].api_key.expose_secret(), "ldk_#1 !$x");
    assert_eq!(config.models.name(), "mock/mock");
    assert_eq!(config.health_address.to_string(), "127.0.0.1:8003");
}

#[test]
fn without_the_key_file_its_path_is_named() {
    let home = home(&[("mia.yaml", PERSONA)], None);
    let text = problems(read(home.path(), DEVELOPMENT));
    assert!(text.contains(&home.path().join(".env.bots").display().to_string()), "{text}");
    assert!(text.contains("genesis"), "{text}");
}

#[test]
fn a_persona_without_a_key_is_left_out_and_named() {
    let other = PERSONA.replace("handle: momentum-mia", "handle: other-bot");
    let home = home(&[("mia.yaml", PERSONA), ("other.yaml", &other)], Some(KEYS));
    let config = read(home.path(), DEVELOPMENT).unwrap();
    assert_eq!(config.staff.bots.len(), 1);
    let keyless = config.staff.keyless[0].to_string();
    assert!(keyless.contains("other-bot") && keyless.contains("OTHER_BOT_API_KEY"), "{keyless}");
}

#[test]
fn when_no_persona_has_a_key_nothing_runs() {
    let home = home(&[("mia.yaml", PERSONA)], Some("SOMEBODY_ELSE_API_KEY=ldk_hunter2\n"));
    let text = problems(read(home.path(), DEVELOPMENT));
    assert!(text.contains("MOMENTUM_MIA_API_KEY"), "{text}");
}

#[test]
fn when_no_persona_is_valid_every_fault_is_shown() {
    let bad = PERSONA.replace("interval_seconds: 45", "interval_seconds: 1");
    let home = home(&[("mia.yaml", &bad), ("empty.yaml", "")], Some(KEYS));
    let text = problems(read(home.path(), DEVELOPMENT));
    assert!(text.contains("mia.yaml line "), "{text}");
    assert!(text.contains("interval_seconds must be a whole number"), "{text}");
    assert!(text.contains("empty.yaml line"), "{text}");
}

#[test]
fn a_refused_persona_does_not_stop_the_others() {
    let home = home(&[("a.yaml", "handle: 1"), ("mia.yaml", PERSONA)], Some(KEYS));
    let config = read(home.path(), DEVELOPMENT).unwrap();
    assert_eq!((config.staff.bots.len(), config.staff.refused.len()), (1, 1));
}

#[test]
fn in_production_somebody_must_say_who_thinks() {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    assert!(problems(read(home.path(), "")).contains("LLM_PROVIDER is not set"));
    assert!(read(home.path(), "LLM_PROVIDER=mock").is_ok());
    let text = problems(read(home.path(), "LLM_PROVIDER=skynet"));
    assert!(text.contains("LLM_PROVIDER"), "{text}");
    assert!(problems(read(home.path(), "LLM_PROVIDER=openai")).contains("LLM_MODEL is not set"));
}

#[test]
fn a_persona_may_name_its_own_model() {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let settings = "LLM_PROVIDER=openai\nLLM_MODEL=small\nLLM_BASE_URL=http://127.0.0.1:11434/v1\n\
                    LLM_DAILY_USD=none";
    let mut config = read(home.path(), settings).unwrap();
    let mut choices = config.staff.bots[0].persona.llm.clone();
    assert_eq!(config.models.for_choices(&choices).unwrap().model_name(), "small");
    choices.model = Some("large".to_owned());
    assert_eq!(config.models.for_choices(&choices).unwrap().model_name(), "large");
}

const LOCAL: &str =
    "LLM_PROVIDER=openai\nLLM_MODEL=small\nLLM_BASE_URL=http://127.0.0.1:11434/v1\n";

fn limit(settings: &str) -> DailyLimit {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    read(home.path(), settings).unwrap().limit
}

#[test]
fn thinking_costs_a_dollar_a_day_unless_somebody_says_otherwise() {
    let usd = |settings: &str| match limit(settings).usd {
        Some(usd) => usd.to_string(),
        None => "unlimited".to_owned(),
    };
    assert_eq!(usd("LLM_PROVIDER=mock"), "1.00000000");
    assert_eq!(usd("LLM_PROVIDER=mock\nLLM_DAILY_USD=0.25"), "0.25000000");
    assert_eq!(usd("LLM_PROVIDER=mock\nLLM_DAILY_USD=none"), "unlimited");
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    for wrong in ["-1", "1,00", "unlimited", "1e3", "NaN"] {
        let settings = format!("LLM_PROVIDER=mock\nLLM_DAILY_USD={wrong}");
        let text = problems(read(home.path(), &settings));
        assert!(text.contains("LLM_DAILY_USD must be US dollars"), "{text}");
    }
}

#[test]
fn a_model_without_a_price_stops_the_start_and_the_ways_out_work() {
    let dir = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let text = problems(read(dir.path(), LOCAL));
    for wanted in ["LLM_DAILY_USD", "small", "ollama", "momentum-mia", "PRICE_BOOK", "none"] {
        assert!(text.contains(wanted), "{wanted} is not in: {text}");
    }
    assert!(read(dir.path(), &format!("{LOCAL}LLM_DAILY_USD=none")).is_ok());
    let book = dir.path().join("book.yaml");
    let free = "models:\n- provider: ollama\n  model: small\n  prices:\n  - {from: 2025-01-01, \
                input: \"0\", cached_input: \"0\", output: \"0\"}\n";
    fs::write(&book, free).unwrap();
    let settings = format!("{LOCAL}PRICE_BOOK={}", book.display());
    assert!(read(dir.path(), &settings).is_ok());
    // Only from the day on which the price holds.
    fs::write(&book, free.replace("2025-01-01", "9999-01-01")).unwrap();
    assert!(problems(read(dir.path(), &settings)).contains("LLM_DAILY_USD"));
    fs::write(&book, free.replace("\"0\"}", "\"-1\"}")).unwrap();
    let text = problems(read(dir.path(), &settings));
    let wanted = format!("PRICE_BOOK cannot be used: {}, line 2:", book.display());
    assert!(text.contains(&wanted), "{text}");
}

#[test]
fn the_model_of_a_persona_must_have_a_price_too() {
    let own = PERSONA.replace("handle: momentum-mia", "handle: other-bot");
    let own = format!("{own}llm:\n  model: gpt-none\n");
    let keys = format!("{KEYS}OTHER_BOT_API_KEY=ldk_2\n");
    let dir = home(&[("mia.yaml", PERSONA), ("other.yaml", &own)], Some(&keys));
    let settings = "LLM_PROVIDER=openai\nLLM_MODEL=gpt-5-mini\n";
    let text = problems(read(dir.path(), settings));
    assert!(text.contains("gpt-none") && text.contains("other-bot"), "{text}");
    assert!(!text.contains("gpt-5-mini"), "{text}");
}

#[test]
fn who_asks_wikipedia_can_be_told() {
    let home = home(&[("mia.yaml", PERSONA)], Some(KEYS));
    let settings = "LLM_PROVIDER=mock\nWIKIPEDIA_URL=http://127.0.0.1:9\nCONTACT=me@example.org";
    assert!(read(home.path(), settings).is_ok());
    let settings = "LLM_PROVIDER=mock\nWIKIPEDIA_URL=http://name@127.0.0.1:9";
    let text = problems(read(home.path(), settings));
    assert!(text.contains("WIKIPEDIA_URL must be an http"), "{text}");
}

#[test]
fn every_problem_is_named_at_once() {
    let home = home(&[], None);
    let settings = "ENV=nowhere\nAPI_URL=ftp://x\nBOT_RUNNER_HEALTH_PORT=x\nDATABASE_POOL_SIZE=0\n\
                    DATABASE_URL=mysql://hunter2@x/y\nLLM_PROVIDER=openai\nLLM_BASE_URL=file:///x\n\
                    LLM_MODEL=m\nLLM_TIMEOUT_SECONDS=0\nLLM_DAILY_USD=-1\n\
                    PRICE_BOOK=/nowhere/book.yaml\nWIKIPEDIA_URL=ftp://x";
    let text = problems(read(home.path(), settings));
    for name in [
        "ENV ",
        "API_URL",
        "BOT_RUNNER_HEALTH_PORT",
        "DATABASE_POOL_SIZE",
        "DATABASE_URL",
        "LLM_BASE_URL",
        "LLM_TIMEOUT_SECONDS",
        "LLM_DAILY_USD",
        "PRICE_BOOK",
        "WIKIPEDIA_URL",
        "BOTS_DIR",
        "BOTS_ENV_FILE",
    ] {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}
