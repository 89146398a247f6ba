use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use daemon::config::{
    ConfigError, Environment, Problem, Reader, Sources, endpoint, workspace_root,
};
use secrecy::ExposeSecret as _;

fn sources(file: &str) -> Sources {
    Sources::from_parts(file, [])
}

fn problems(error: &ConfigError) -> Vec<&str> {
    error.problems().iter().map(|problem| problem.name.as_str()).collect()
}

#[test]
fn the_environment_overrides_the_file() {
    let sources = Sources::from_parts("A=file\nB=file", [("A", "environment"), ("C", "only")]);
    assert_eq!(sources.get("A").as_deref(), Some("environment"));
    assert_eq!(sources.get("B").as_deref(), Some("file"));
    assert_eq!(sources.get("C").as_deref(), Some("only"));
    assert_eq!(sources.get("D"), None);
}

#[test]
fn an_empty_override_unsets_what_the_file_says() {
    let sources =
        Sources::from_parts("REGISTRATION_TOKEN=from-the-file", [("REGISTRATION_TOKEN", "")]);
    let mut reader = Reader::new(&sources);
    assert!(reader.optional_secret("REGISTRATION_TOKEN", 8).is_none());
    assert_eq!(reader.raw("REGISTRATION_TOKEN"), None);
    reader.finish().unwrap();
}

/// The program may already use the replacement for the unusable value.
#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "without checking their problems: [Problem { name: \"API_PORT\"")]
fn a_test_fails_that_reads_settings_and_does_not_ask_for_their_problems() {
    let sources = sources("API_PORT=many");
    Reader::new(&sources).or::<u16>("API_PORT", 8000);
}

#[test]
fn a_list_of_secrets_names_the_rule_and_never_a_value() {
    let exposed = |text: &str| {
        let sources = sources(text);
        let mut reader = Reader::new(&sources);
        let found = reader.secrets("SECRET_KEY_PREVIOUS", 8);
        reader.finish().unwrap();
        found.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(exposed(""), [""; 0]);
    assert_eq!(exposed("SECRET_KEY_PREVIOUS="), [""; 0]);
    assert_eq!(exposed("SECRET_KEY_PREVIOUS=hunter-one"), ["hunter-one"]);
    assert_eq!(exposed("SECRET_KEY_PREVIOUS=hunter-one, hunter-two"), ["hunter-one", "hunter-two"]);
    for text in ["hunter-one,hunter", "hunter-one,", ",hunter-one"] {
        let sources = sources(&format!("SECRET_KEY_PREVIOUS={text}"));
        let mut reader = Reader::new(&sources);
        assert!(reader.secrets("SECRET_KEY_PREVIOUS", 8).is_empty());
        let error = reader.finish().unwrap_err().to_string();
        assert!(error.contains("at least 8 characters"), "{error}");
        assert!(!error.contains("hunter"), "{error}");
    }
}

#[test]
fn values_that_look_like_something_else_stay_the_strings_they_are() {
    for written in [
        "0123456789012345678901234567890123456789",
        "[1, 2, 3]",
        "{a = 1}",
        "true",
        "1e9",
        "0x10",
        "'",
        "a.b.c",
        "null",
    ] {
        let from_file = sources(&format!("SECRET_KEY={written}"));
        let from_environment = Sources::from_parts("", [("SECRET_KEY", written)]);
        for sources in [from_file, from_environment] {
            let mut reader = Reader::new(&sources);
            let secret = reader.secret("SECRET_KEY", 1);
            assert_eq!(secret.expose_secret(), written);
            reader.finish().unwrap();
        }
    }
}

#[test]
fn values_from_the_environment_are_not_unquoted_or_trimmed() {
    let sources = Sources::from_parts("", [("A", " \"x\" ")]);
    assert_eq!(sources.get("A").as_deref(), Some(" \"x\" "));
}

#[test]
fn settings_are_parsed_into_their_types() {
    let sources = sources("API_HOST=0.0.0.0\nAPI_PORT=9000\nENV=development\nBAD=");
    let mut reader = Reader::new(&sources);
    assert_eq!(reader.required::<IpAddr>("API_HOST"), Some(Ipv4Addr::UNSPECIFIED.into()));
    assert_eq!(reader.or("API_PORT", 8000_u16), 9000);
    assert_eq!(reader.or("TICK_RATE", 10_u64), 10);
    assert_eq!(reader.or("ENV", Environment::Production), Environment::Development);
    assert_eq!(reader.optional::<u32>("NOT_SET"), None);
    assert_eq!(reader.or_within("TICK_RATE", 10_u64, 1..=3600), 10);
    reader.finish().unwrap();
    assert_eq!(Environment::default(), Environment::Production);
}

#[test]
fn every_problem_is_named_at_once_and_no_value_is_shown() {
    let sources = Sources::from_parts(
        "SECRET_KEY=hunter2\nADMIN_TOKEN=\nAPI_PORT=hunter3\nthis is hunter4",
        [("TICK_RATE", "0"), ("DATABASE_URL", "hunter5"), ("ENV", "hunter6")],
    );
    let mut reader = Reader::new(&sources);
    for unusable in [
        reader.connection_url("DATABASE_URL", &["postgres", "postgresql"]),
        reader.connection_url("REDIS_URL", &["redis"]),
        reader.secret("SECRET_KEY", 32),
        reader.secret("ADMIN_TOKEN", 24),
    ] {
        assert_eq!(unusable.expose_secret(), "");
    }
    assert_eq!(reader.or("API_PORT", 8000_u16), 8000);
    reader.or_within("TICK_RATE", 10_u64, 1..=3600);
    reader.or("ENV", Environment::Production);
    reader.problem("PRICE_SOURCES", "names a source that does not exist");

    let error = reader.finish().unwrap_err();
    assert_eq!(
        problems(&error),
        [
            ".env",
            "DATABASE_URL",
            "REDIS_URL",
            "SECRET_KEY",
            "ADMIN_TOKEN",
            "API_PORT",
            "TICK_RATE",
            "ENV",
            "PRICE_SOURCES",
        ]
    );
    for shown in [error.to_string(), format!("{error:?}"), format!("{sources:?}")] {
        assert!(!shown.contains("hunter"), "a value is shown: {shown}");
    }
    let message = error.to_string();
    for expected in [
        ".env line 4 is not an assignment",
        "REDIS_URL is not set",
        "ADMIN_TOKEN (from .env) is empty",
        "SECRET_KEY (from .env) must have at least 32 characters",
        "API_PORT (from .env) must be a whole number from 0 to 65535",
        "TICK_RATE (from the environment) must lie between 1 and 3600",
        "DATABASE_URL (from the environment) must be a URL of the form postgres://… or postgresql://…",
        "ENV (from the environment) must be production or development",
    ] {
        assert!(message.contains(expected), "{expected:?} is missing in:\n{message}");
    }
}

#[test]
fn a_reader_shows_no_values_either() {
    let sources = sources("SECRET_KEY=hunter2hunter2");
    let mut reader = Reader::new(&sources);
    let secret = reader.secret("SECRET_KEY", 8);
    assert!(!format!("{reader:?} {secret:?}").contains("hunter"));
}

#[test]
fn an_incomplete_configuration_is_an_error_even_if_nobody_said_why() {
    let sources = sources("A=1");
    assert!(Reader::new(&sources).finish_with(None::<u8>).is_err());
    assert_eq!(Reader::new(&sources).finish_with(Some(1)).unwrap(), 1);

    let mut reader = Reader::new(&sources);
    let missing = reader.required::<u8>("B");
    assert_eq!(problems(&reader.finish_with(missing).unwrap_err()), ["B"]);
}

#[test]
fn a_problem_found_elsewhere_is_a_config_error_of_its_own() {
    let error = ConfigError::single(".env.bots", "does not exist; run sync-keys");
    assert_eq!(
        error.problems(),
        [Problem { name: ".env.bots".into(), text: "does not exist; run sync-keys".into() }]
    );
    assert!(error.to_string().contains(".env.bots does not exist"));
}

#[test]
fn relative_paths_are_meant_from_the_workspace() {
    let root = workspace_root();
    assert!(root.join("crates/daemon/Cargo.toml").is_file(), "{}", root.display());

    let sources = sources("BOTS_ENV_FILE=/etc/bots\nOTHER=here/there");
    let mut reader = Reader::new(&sources);
    assert_eq!(reader.path_or("BOTS_DIR", "bots"), root.join("bots"));
    assert_eq!(reader.path_or("BOTS_ENV_FILE", ".env.bots"), Path::new("/etc/bots"));
    assert_eq!(reader.path_or("OTHER", "x"), root.join("here/there"));
}

#[test]
fn an_endpoint_is_the_part_of_a_url_that_may_be_shown() {
    let url = "postgres://arena_app:hunter2@db.example:6432/arena";
    assert_eq!(endpoint(url, 5432).as_deref(), Some("db.example:6432"));
    assert_eq!(endpoint("redis://:hunter2@127.0.0.1/0", 6379).as_deref(), Some("127.0.0.1:6379"));
    assert_eq!(endpoint("http://[::1]", 80).as_deref(), Some("[::1]:80"));
    assert_eq!(endpoint("hunter2", 5432), None);
    assert_eq!(endpoint("unix:/run/redis", 1), None);
}
