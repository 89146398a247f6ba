//! The arena's short-lived data: the only crate that uses Redis.
//!
//! Everything here may be lost at any moment without losing money: observations, the fresh price, counters and
//! notifications. Durable data is in Postgres. This crate must never learn about SQL or HTTP, and never be the
//! only thing that stands between an agent and being paid twice.
//!
//! Every key starts with the namespace of its [`CacheConfig`] (empty but for tests):
//!
//! | key | holds | lives |
//! | --- | --- | --- |
//! | `market:price:btc` | the fresh price, as JSON | `PRICE_TTL_SECONDS` from its sampling |
//! | `ticket:<observation id>` | the bot the observation is bound to | `TICKET_TTL_SECONDS` |
//! | `limit:<name>` | how often something was done in its window | the window |
//! | `rate:<name>` | by when what was done is paid for, in microseconds | until then |
//! | `ready` | that Redis took a write when a service was asked whether it is ready | 5 seconds |
//! | `process:<any id>` | that a process runs, and under which credentials, as JSON | `BELIEVED` from when it last said so |
//!
//! and one channel, `arena:events`, on which a message means only "look into Postgres".
#![warn(clippy::missing_errors_doc)]

mod address;
mod error;
pub mod limits;
pub mod observations;
pub mod passwords;
pub mod presence;
pub mod prices;
mod wake;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use error::{CacheError, CacheResult};
use presence::{REDIS_URL, login_fingerprint};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, FromRedisValue, RedisResult, ScriptInvocation};
use tokio::sync::watch;
pub use wake::{EVENTS_CHANNEL, WakeUps};

/// How long [`Cache::connect`] tries before it gives up, in seconds.
pub const CONNECT_SECONDS: u64 = 5;
/// How long anything else waits for Redis, in seconds, a second try included.
pub const RESPONSE_SECONDS: u64 = 2;

/// The lifetime of the key that proves that Redis accepts writes, in seconds.
const READY_SECONDS: u64 = 5;

/// How to reach Redis.
#[derive(Clone)]
pub struct CacheConfig {
    /// A `redis://` URL, or `rediss://` for TLS, with `?sslrootcert=` for a CA that the machine does not
    /// know. It may hold a password: this type has no `Debug`.
    pub url: String,
    /// The prefix of every key and channel. Empty in production; each test uses its own.
    pub namespace: String,
}

/// A connection to Redis that reconnects automatically; clones share it.
#[derive(Clone)]
pub struct Cache {
    link: Arc<watch::Sender<Link>>,
    /// Fingerprints of the credentials this process uses, by the names of their settings.
    credentials: Arc<watch::Sender<BTreeMap<String, String>>>,
    namespace: Arc<str>,
    wake_pending: Arc<AtomicBool>,
}

/// The connection for commands, and the client for listeners.
#[derive(Clone)]
struct Link {
    manager: ConnectionManager,
    /// For connections of their own, as listening takes one.
    client: redis::Client,
}

impl Link {
    /// A connection that was made and has answered.
    async fn open(url: &str) -> CacheResult<Link> {
        let client = address::client(url)?;
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(200))
            .set_connection_timeout(Some(Duration::from_secs(RESPONSE_SECONDS)))
            .set_response_timeout(Some(Duration::from_secs(RESPONSE_SECONDS)));
        let connecting = ConnectionManager::new_with_config(client.clone(), settings);
        let limit = Duration::from_secs(CONNECT_SECONDS);
        let manager = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| CacheError::Timeout { seconds: CONNECT_SECONDS })??;
        let mut asked = manager.clone();
        let answer: String =
            within(async { Ok(redis::cmd("PING").query_async(&mut asked).await?) }).await?;
        match answer.as_str() {
            "PONG" => Ok(Link { manager, client }),
            _ => Err(CacheError::Corrupt("the answer to PING".to_owned())),
        }
    }
}

impl Cache {
    /// Connects and proves that Redis answers. Fails within [`CONNECT_SECONDS`].
    ///
    /// # Errors
    /// [`CacheError::Url`] if the URL cannot be read, else why Redis does not answer.
    pub async fn connect(config: CacheConfig) -> CacheResult<Cache> {
        let link = Link::open(&config.url).await?;
        let own = (REDIS_URL.to_owned(), login_fingerprint(&config.url)?);
        Ok(Cache {
            link: Arc::new(watch::Sender::new(link)),
            credentials: Arc::new(watch::Sender::new(BTreeMap::from([own]))),
            namespace: config.namespace.into(),
            wake_pending: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Goes on with another URL, of the same Redis under other credentials, once it is proven to work; on an
    /// error nothing has changed. Running commands end on the old connection; listeners reconnect.
    ///
    /// # Errors
    /// As for [`Cache::connect`].
    pub async fn take_up(&self, url: &str) -> CacheResult<()> {
        let fresh = Link::open(url).await?;
        self.link.send_replace(fresh);
        self.uses(REDIS_URL, login_fingerprint(url)?);
        Ok(())
    }

    fn manager(&self) -> ConnectionManager {
        self.link.borrow().manager.clone()
    }

    /// Checks that Redis accepts writes, by a key that expires. A replica, or a Redis without memory or
    /// disk, answers everything else.
    ///
    /// # Errors
    /// [`CacheError::WritesRefused`] with the reason, and what to do.
    pub async fn must_take_writes(&self) -> CacheResult<()> {
        let mut set = redis::cmd("SET");
        set.arg(self.key("ready")).arg(1).arg("EX").arg(READY_SECONDS);
        self.run(&set).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.namespace)
    }

    /// Runs a command, once more if the connection turns out to be gone, within
    /// [`RESPONSE_SECONDS`] altogether. Only for commands that may run twice.
    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> CacheResult<T> {
        self.ask(|mut redis| async move { command.query_async(&mut redis).await }).await
    }

    /// [`Cache::run`] for a script.
    async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> CacheResult<T> {
        self.ask(|mut redis| async move { script.invoke_async(&mut redis).await }).await
    }

    async fn ask<T, F>(&self, ask: impl Fn(ConnectionManager) -> F) -> CacheResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        within(async {
            match ask(self.manager()).await {
                Err(error) if error.is_connection_dropped() => Ok(ask(self.manager()).await?),
                answer => Ok(answer?),
            }
        })
        .await
    }
}

async fn within<T>(work: impl Future<Output = CacheResult<T>>) -> CacheResult<T> {
    let limit = Duration::from_secs(RESPONSE_SECONDS);
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(CacheError::Timeout { seconds: RESPONSE_SECONDS }))
}
