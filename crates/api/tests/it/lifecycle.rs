use std::time::{Duration, Instant};

use api::{ApiConfig, ClientLimits, ForwardingHeader, Networks, Origins, Proxies};
use cache::limits::rate::Rate;
use daemon::config::Sources;
use daemon::process::{EXIT_CONFIG, EXIT_UNAVAILABLE, Failure};
use daemon::shutdown::Shutdown;
use secrecy::SecretString;
use serde_json::json;
use test_kit::Arena;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::service::{Service, config};

const SOUND: &str = "DATABASE_URL=postgres://app:pw@127.0.0.1/arena\n\
     REDIS_URL=redis://127.0.0.1:6379/0\n\
     SECRET_KEY=0123456789abcdef0123456789abcdef\n\
     ADMIN_TOKEN=0123456789abcdef01234567\n";

#[test]
fn a_sound_configuration_has_the_published_defaults() {
    let config = ApiConfig::read(&Sources::from_parts(SOUND, [])).unwrap();
    assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 8000));
    assert!(!config.environment.is_development());
    assert_eq!((config.postgres.pool_size, config.rules.tick_rate_seconds), (16, 10));
    assert_eq!(config.grants_per_address_per_day, Some(20));
    assert!(config.registration_token.is_none() && config.redis.namespace.is_empty());
    assert_eq!(config.rules, ledger_core::EconomyRules::default());
}

#[test]
fn limits_and_proxies_are_as_documented_and_as_set() {
    let read = |env: &[(&'static str, &'static str)]| {
        ApiConfig::read(&Sources::from_parts(SOUND, env.iter().copied())).unwrap()
    };
    let config = read(&[]);
    let rate = |per_minute, burst| Some(Rate::per_minute(per_minute, burst));
    let defaults = ClientLimits {
        address: rate(12_000, 2_000),
        credential: rate(1_200, 200),
        logins: rate(30, 30),
        logins_per_bot: rate(10, 10),
        registrations: rate(30, 30),
    };
    assert_eq!(config.client_limits, defaults);
    assert_eq!(config.connections.total, 10_000);
    assert_eq!(config.connections.per_address, Some(1_000));
    assert_eq!(config.proxies, Proxies::default());
    assert_eq!(config.metrics_access.operators, Networks::loopback());
    assert!(config.metrics_access.token.is_none());
    assert_eq!(config.origins, Origins::None);
    let config = read(&[
        ("REQUESTS_PER_ADDRESS_PER_MINUTE", "0"),
        ("REQUESTS_PER_CREDENTIAL_PER_MINUTE", "60"),
        ("REQUESTS_PER_CREDENTIAL_BURST", "5"),
        ("API_MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("FORWARDING_HEADER", "forwarded"),
        ("OPERATOR_NETWORKS", "10.9.0.0/16"),
        ("METRICS_TOKEN", "a-token-of-twenty-four-characters"),
        ("CORS_ORIGINS", "https://arena.example"),
    ]);
    assert_eq!(config.client_limits.address, None);
    assert_eq!(config.client_limits.credential, rate(60, 5));
    assert_eq!(config.connections.per_address, None);
    assert_eq!(config.proxies.trusted, "10.0.0.0/8,::1".parse().unwrap());
    assert_eq!(config.proxies.header, ForwardingHeader::Forwarded);
    assert_eq!(config.metrics_access.operators, "10.9.0.0/16".parse().unwrap());
    assert!(config.metrics_access.token.is_some());
    let origin = "https://arena.example".to_owned();
    assert_eq!(config.origins, Origins::Listed(vec![origin]));
}

/// The price of a million tokens of a model by the price book of these settings.
fn priced(env: &str, model: &str) -> Option<String> {
    let sources = Sources::from_parts(&format!("{SOUND}{env}"), []);
    let book = ApiConfig::read(&sources).unwrap().price_book;
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    book.cost("openai", model, now, 1_000_000, 0, 0).map(|cost| cost.to_string())
}

#[test]
fn the_price_book_is_the_one_that_is_named_or_the_one_that_was_built_in() {
    assert!(priced("", "gpt-5-mini").is_some());
    assert_eq!(priced("", "no-such-model"), None);
    let dir = std::env::temp_dir().join(format!("price-book-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        format!("PRICE_BOOK={}\n", path.display())
    };
    let own = "models:\n  - model: my-own\n    prices:\n      - {from: \"2026-01-01\", input: \"3\", cached_input: \"1\", output: \"4\"}\n";
    let own = file("own.yaml", own);
    assert_eq!(priced(&own, "my-own").as_deref(), Some("3.00000000"));
    assert_eq!(priced(&own, "gpt-5-mini"), None, "in place of, not on top of");
    for unusable in [
        file("broken.yaml", "models: [{model: x, prices: []}]"),
        file("senseless.yaml", "prices"),
        "PRICE_BOOK=no/such/file.yaml\n".to_owned(),
    ] {
        let sources = Sources::from_parts(&format!("{SOUND}{unusable}"), []);
        let Err(error) = ApiConfig::read(&sources) else {
            panic!("{unusable}");
        };
        let names: Vec<_> = error.problems().iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["PRICE_BOOK"], "{error}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn in_development_grants_are_unlimited_unless_said_otherwise() {
    let grants = |env: &[(&'static str, &'static str)]| {
        let sources = Sources::from_parts(SOUND, env.iter().copied());
        ApiConfig::read(&sources).unwrap().grants_per_address_per_day
    };
    assert_eq!(grants(&[("ENV", "development")]), None);
    assert_eq!(grants(&[("ENV", "development"), ("GRANTS_PER_ADDRESS_PER_DAY", "3")]), Some(3));
    assert_eq!(grants(&[("GRANTS_PER_ADDRESS_PER_DAY", "3")]), Some(3));
}

#[test]
fn one_message_names_every_problem_and_no_value() {
    let environment = [
        ("DATABASE_URL", "mysql://hunter2@127.0.0.1/x"),
        ("SECRET_KEY", "hunter2"),
        ("API_PORT", "eighty"),
        ("API_HOST", "somewhere"),
        ("ENV", "staging"),
        ("TICK_RATE", "0"),
        ("GENESIS_GRANT", "-5"),
        ("STAKE_MIN", "cheap"),
        ("REGISTRATION_TOKEN", "hunter2"),
        ("METRICS_TOKEN", "hunter2"),
        ("OPERATOR_NETWORKS", "hunter2"),
        ("DATABASE_POOL_SIZE", "0"),
        ("GRANTS_PER_ADDRESS_PER_DAY", "-1"),
        ("REQUESTS_PER_ADDRESS_PER_MINUTE", "6000001"),
        ("LOGINS_PER_BOT_PER_MINUTE", "hunter2"),
        ("API_MAX_CONNECTIONS", "0"),
        ("API_MAX_CONNECTIONS_PER_ADDRESS", "-1"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, hunter2"),
        ("FORWARDING_HEADER", "hunter2"),
        ("CORS_ORIGINS", "https://hunter2/page"),
    ];
    let error = ApiConfig::read(&Sources::from_parts("", environment)).err().unwrap();
    let text = Failure::from(error).to_string();
    for (name, _) in environment {
        assert!(text.contains(name), "{name} is missing in: {text}");
    }
    assert!(text.contains("REDIS_URL") && text.contains("ADMIN_TOKEN"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// Starts; the start must fail with this exit code and text, without a secret.
async fn refused(config: ApiConfig, exit_code: u8, words: &[&str]) {
    let began = Instant::now();
    let failure = match api::start(config, Shutdown::manual()).await {
        Ok(running) => panic!("listens on {}", running.local_addr()),
        Err(failure) => failure,
    };
    let text = failure.to_string();
    assert_eq!(failure.exit_code(), exit_code, "{text}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}: {text}", began.elapsed());
    for word in words {
        assert!(text.contains(word), "{word} is missing in: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn an_unreachable_postgres_or_redis_is_said_within_seconds() {
    let arena = Arena::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let at = nobody.to_string();
    let mut without = config(&arena);
    without.postgres.url = SecretString::from(format!("postgres://app:hunter2@{nobody}/arena"));
    refused(without, EXIT_UNAVAILABLE, &["Postgres", &at, "DATABASE_URL"]).await;
    let mut without = config(&arena);
    without.redis.url = SecretString::from(format!("redis://:hunter2@{nobody}/0"));
    refused(without, EXIT_UNAVAILABLE, &["Redis", &at, "REDIS_URL"]).await;

    // The same for one that accepts and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut without = config(&arena);
    without.postgres.url = SecretString::from(format!("postgres://app:hunter2@{address}/arena"));
    refused(without, EXIT_UNAVAILABLE, &["Postgres"]).await;
}

#[tokio::test]
async fn a_wrong_password_is_said() {
    let arena = Arena::new().await;
    let mut wrong = config(&arena);
    let url = arena.database_url();
    let (_, place) = url.split_once('@').unwrap();
    wrong.postgres.url = SecretString::from(format!("postgres://arena_app:hunter2@{place}"));
    refused(wrong, EXIT_UNAVAILABLE, &["Postgres", "password"]).await;
}

#[tokio::test]
async fn a_schema_that_does_not_fit_is_refused() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let change = async |statement: &str| owner.batch_execute(statement).await.unwrap();
    change("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')").await;
    refused(config(&arena), EXIT_CONFIG, &["DATABASE_URL", "newer build"]).await;
    change("DELETE FROM __diesel_schema_migrations WHERE version = '99999999'").await;
    change("DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)").await;
    refused(config(&arena), EXIT_UNAVAILABLE, &["arenactl migrate"]).await;
    change("DROP TABLE __diesel_schema_migrations").await;
    refused(config(&arena), EXIT_UNAVAILABLE, &["arenactl migrate"]).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let arena = Arena::new().await;
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = holder.local_addr().unwrap().port();
    let mut taken = config(&arena);
    taken.port = port;
    refused(taken, 1, &[&port.to_string(), "API_PORT"]).await;
}

#[tokio::test]
async fn an_idle_service_stops_within_two_seconds_although_clients_are_connected() {
    let service = Service::new().await;
    // Kept alive by the client, but unused.
    service.get("/health").await.json();
    let mut silent = TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap();
    let began = Instant::now();
    service.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_that_is_being_served_is_finished() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let body = crate::service::wager(&service.observe(&bot).await, "1");
    // The wallet is held, so that the wager waits in its transaction.
    let mut holder = service.arena.owner_client().await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT 1 FROM wallets WHERE bot_id = $1 FOR UPDATE", &[&bot.id.0]).await.unwrap();
    let acting = tokio::spawn(service.action(&bot, &body).send());
    let watch = service.arena.owner_client().await;
    let watch = &watch;
    test_kit::eventually("the wager waits for the wallet", || async move {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (watch.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let base = service.base.clone();
    let stopping = tokio::spawn(service.stop());
    let base = &base;
    test_kit::eventually("nobody new is let in", || async move {
        reqwest::get(format!("{base}/health")).await.is_err().then_some(())
    })
    .await;
    assert!(!stopping.is_finished());
    held.commit().await.unwrap();
    let answer = acting.await.unwrap().unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let acceptance: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(acceptance["new_balance"], json!("9.00000000"));
    stopping.await.unwrap().assert_sound().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let service = Service::new().await;
    let mut client = TcpStream::connect(service.base.trim_start_matches("http://")).await.unwrap();
    let head = "POST /bots HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    let reading = client.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer").unwrap();
    assert!(began.elapsed() < Duration::from_secs(13), "{:?}", began.elapsed());
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("x-request-id") && answer.contains("/problems/unavailable"),
        "{answer}"
    );
}
