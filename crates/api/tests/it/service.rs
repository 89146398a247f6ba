//! The API in this process, with its own database and prefix in Redis.

use std::time::Duration;

use ::service::{PostgresSettings, RedisSettings};
use api::{
    ApiConfig, ClientLimits, ConnectionLimits, MetricsAccess, Networks, Origins, Proxies,
    RequestLog, Running, SecretRing, SecretSettings, StreamPatience,
};
use api_types::{Observation, Problem, ProblemKind, TokenAnswer};
use cache::prices::FreshPrice;
use cache::{Cache, CacheConfig};
use daemon::config::Environment;
use daemon::shutdown::Shutdown;
use ledger_core::prediction::PriceSource;
use ledger_core::price_book::PriceBook;
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_kit::{Arena, TestBot};

pub const ADMIN_TOKEN: &str = "the-operators-token-of-this-test";
pub const SECRET_KEY: &str = "a-secret-key-of-well-over-thirty-two-characters";

/// An unguessable idempotency key, for requests whose answers contain secrets.
pub const RANDOM_KEY: &str = "9f1c6a52-0a3f-4c57-8a41-54f7f6a0c001";
pub const OTHER_RANDOM_KEY: &str = "1b7f0d4e-93c6-4e0a-b5d2-7c1a80f3e962";

pub struct Service {
    pub arena: Arena,
    pub base: String,
    pub http: Client,
    pub cache: Cache,
    pub shutdown: Shutdown,
    running: Running,
}

/// A configuration for the arena: development, any port, observations that outlive a slow test.
pub fn config(arena: &Arena) -> ApiConfig {
    let mut rules = arena.rules().clone();
    rules.ticket_ttl_seconds = 60;
    ApiConfig {
        host: [127, 0, 0, 1].into(),
        port: 0,
        environment: Environment::Development,
        postgres: PostgresSettings { url: SecretString::from(arena.database_url()), pool_size: 8 },
        redis: RedisSettings {
            url: SecretString::from(arena.redis_url()),
            namespace: arena.redis_prefix(),
        },
        secrets: SecretSettings {
            secret_key: SecretRing { current: SecretString::from(SECRET_KEY), others: Vec::new() },
            admin_token: SecretRing {
                current: SecretString::from(ADMIN_TOKEN),
                others: Vec::new(),
            },
        },
        // The user's .env does not apply to tests.
        follows_settings: false,
        registration_token: None,
        grants_per_address_per_day: None,
        client_limits: ClientLimits::default(),
        connections: ConnectionLimits::default(),
        proxies: Proxies::default(),
        hosts: daemon::hosts::Hosts::default(),
        metrics_access: MetricsAccess { operators: Networks::loopback(), token: None },
        drain: Duration::ZERO,
        request_log: RequestLog::default(),
        origins: Origins::default(),
        // Writes are visible at once.
        answer_age_max: Duration::ZERO,
        rules,
        price_book: price_book(),
        streams: StreamPatience::default(),
    }
}

/// One model, at prices that no provider changes.
fn price_book() -> PriceBook {
    let prices = json!({
        "from": "2020-01-01", "input": "0.25", "cached_input": "0.025", "output": "2.00",
    });
    let model = json!({ "provider": "openai", "model": "known", "prices": [prices] });
    serde_json::from_value(json!({ "models": [model] })).unwrap()
}

impl Service {
    /// The API of a fresh arena with a fresh price.
    pub async fn new() -> Service {
        Service::with(|_| ()).await
    }

    /// The same with a configuration that was changed.
    pub async fn with(change: impl FnOnce(&mut ApiConfig)) -> Service {
        let arena = Arena::new().await;
        let service = Service::halted(arena, change).await;
        service.put_price("50000").await;
        service
    }

    /// The API of this arena, without a price.
    pub async fn halted(arena: Arena, change: impl FnOnce(&mut ApiConfig)) -> Service {
        let mut config = config(&arena);
        change(&mut config);
        let shutdown = Shutdown::manual();
        let running = match api::start(config, shutdown.clone()).await {
            Ok(running) => running,
            Err(failure) => panic!("{failure}"),
        };
        let cache = CacheConfig { url: arena.redis_url(), namespace: arena.redis_prefix() };
        Service {
            base: format!("http://{}", running.local_addr()),
            cache: Cache::connect(cache).await.unwrap(),
            http: Client::new(),
            arena,
            shutdown,
            running,
        }
    }

    /// Where a second server on the same arena listens, as another process would.
    pub async fn twin(&self) -> String {
        self.twin_with(|_| ()).await
    }

    /// The same with a configuration that was changed.
    pub async fn twin_with(&self, change: impl FnOnce(&mut ApiConfig)) -> String {
        let mut config = config(&self.arena);
        change(&mut config);
        match api::start(config, Shutdown::manual()).await {
            Ok(running) => format!("http://{}", running.local_addr()),
            Err(failure) => panic!("{failure}"),
        }
    }

    pub async fn put_price(&self, price: &str) {
        let at = self.arena.now().await;
        let fresh = FreshPrice {
            price: price.parse().unwrap(),
            source: PriceSource::Simulated,
            provider_at: at,
            sampled_at: at,
        };
        self.cache.put_price(&fresh, Duration::from_secs(600)).await.unwrap();
    }

    pub async fn take_price_away(&self) {
        let fresh = self.cache.price().await.unwrap().unwrap();
        self.cache.put_price(&fresh, Duration::ZERO).await.unwrap();
    }

    /// Asks the service to stop, and waits until it has.
    pub async fn stop(self) -> Arena {
        self.shutdown.request();
        self.running.stopped().await.unwrap();
        self.arena
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn get_as(&self, bot: &TestBot, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).header("X-Agent-Secret", &bot.api_secret)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub fn operator(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(ADMIN_TOKEN)
    }

    pub fn action(&self, bot: &TestBot, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/arena/action")
            .header("X-Agent-Secret", &bot.api_secret)
            .json(body)
    }

    pub async fn act(&self, bot: &TestBot, body: &Value) -> Answer {
        Answer::of(self.action(bot, body)).await
    }

    /// An observation for the bot.
    pub async fn observe(&self, bot: &TestBot) -> Observation {
        self.get_as(bot, "/arena/observation").await.ok()
    }

    /// Looks, and wagers on what it saw.
    pub async fn wager(&self, bot: &TestBot, amount: &str) -> Answer {
        let body = wager(&self.observe(bot).await, amount);
        self.act(bot, &body).await
    }

    /// How many rows an action could have left anywhere.
    pub async fn footprint(&self) -> Vec<i64> {
        let client = self.arena.owner_client().await;
        let mut counts = Vec::new();
        for table in [
            "ledger",
            "predictions",
            "audit_log",
            "posts",
            "events",
            "agent_metrics",
            "bots",
            "idempotency_keys",
        ] {
            let row = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
            counts.push(row.unwrap().get(0));
        }
        counts
    }
}

/// A valid wager on an observation.
pub fn wager(observation: &Observation, amount: &str) -> Value {
    json!({
        "observation_id": observation.observation_id,
        "action_type": "PREDICT",
        "direction": "UP",
        "wager_amount": amount,
        "confidence": "0.6",
    })
}

/// That the second login is the first one repeated: the same token, which by now is good for less time.
#[track_caller]
pub fn same_login(first: &Answer, again: &Answer) {
    let (first, again): (TokenAnswer, TokenAnswer) = (first.ok(), again.ok());
    assert_eq!(first.access_token.expose(), again.access_token.expose());
    let passed = first.expires_in - again.expires_in;
    assert!((0..=120).contains(&passed), "{passed}");
}

/// The API's answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The answer to a request that succeeded.
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        self.ok()
    }

    /// The problem that was answered, which must be complete and of this kind.
    pub fn problem(&self, kind: ProblemKind) -> Problem {
        let problem: Problem = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()));
        assert_eq!(problem.kind(), Some(kind), "{}", self.text());
        assert_eq!(self.status.as_u16(), problem.status);
        assert_eq!(problem.status, kind.facts().status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-request-id"), Some(problem.request_id.as_str()));
        assert!(problem.instance.starts_with('/') && problem.detail.len() > 10, "{problem:?}");
        problem
    }

    /// A 422 that names this field.
    pub fn refuses_field(&self, field: &str) -> Problem {
        let problem = self.problem(ProblemKind::InvalidField);
        assert_eq!(problem.field(), Some(field), "{problem:?}");
        problem
    }
}
