//! Live events, to as many listeners as there are connections.
//!
//! Postgres is the memory: an event is a row, and its place in the log is what a listener resumes
//! from ([`db::events`]). One [`tailer`] a process reads what is new, once for everybody, as soon
//! as Redis says that there is something and now and then by itself; each event is rendered once
//! ([`batch`]) and handed to all [`listener`]s. A listener that comes with a position first reads
//! what it missed. [`sse`] and [`websocket`] are two ways to hand over the same bytes.
//!
//! A listener holds its place and nothing else. One that falls behind is sent away and comes back
//! with its position; the kernel ends a connection that takes no bytes ([`patience`]).

mod access;
mod ask;
mod batch;
mod listener;
mod sse;
mod tailer;
mod websocket;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use daemon::config::Environment;
use ledger_core::Enforcement;
use socket2::SockRef;
pub(crate) use sse::events;
pub(crate) use tailer::start;
use tokio::sync::{Notify, Semaphore, broadcast};
use tracing::debug;
pub(crate) use websocket::stream;

use crate::config::ApiConfig;
use batch::Batch;

/// What the tailer may be ahead of the slowest listener, in batches. With full batches some 20 MB.
const BACKLOG_MAX: usize = 128;
/// Listeners that read what they missed at once, each holding a page of it; more wait their turn.
const CATCHING_UP_MAX: usize = 256;
/// Of these, how many ask Postgres at once.
const READING_MAX: usize = 4;

/// How patient streams are. Not a setting: tests are less patient.
#[derive(Debug, Clone, Copy)]
pub struct StreamPatience {
    /// How often every listener is sent something, so that nobody between takes it for dead.
    pub keep_alive: Duration,
    /// How long a connection may take no bytes before the kernel ends it.
    pub stalled: Duration,
    /// How long a WebSocket's first message may take where it must bring the credential.
    pub greeting: Duration,
}

impl Default for StreamPatience {
    fn default() -> StreamPatience {
        StreamPatience {
            keep_alive: Duration::from_secs(15),
            stalled: Duration::from_secs(20),
            greeting: Duration::from_secs(5),
        }
    }
}

/// Who may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Anybody,
    /// Bots and operators.
    Known,
}

impl Audience {
    fn of(config: &ApiConfig) -> Audience {
        match (config.rules.enforcement, config.environment) {
            (Enforcement::Enforce, Environment::Production) => Audience::Known,
            (Enforcement::Observe, _) | (_, Environment::Development) => Audience::Anybody,
        }
    }
}

/// What listeners are told.
#[derive(Debug, Clone)]
enum Told {
    News(Arc<Batch>),
    /// Time to show that the connection is alive.
    Beat,
}

/// What listeners and the tailer share.
pub(crate) struct Streams {
    pub(crate) audience: Audience,
    /// Whose pages may open a WebSocket, beside the API's own.
    origins: Vec<String>,
    patience: StreamPatience,
    /// `None` once the service stops.
    stage: Mutex<Option<broadcast::Sender<Told>>>,
    /// Somebody came to listen.
    arrived: Notify,
    catching_up: Arc<Semaphore>,
    reading: Semaphore,
}

impl Streams {
    pub(crate) fn new(config: &ApiConfig) -> Streams {
        Streams {
            audience: Audience::of(config),
            origins: Vec::new(),
            patience: config.streams,
            stage: Mutex::new(Some(broadcast::Sender::new(BACKLOG_MAX))),
            arrived: Notify::new(),
            catching_up: Arc::new(Semaphore::new(CATCHING_UP_MAX)),
            reading: Semaphore::new(READING_MAX),
        }
    }

    /// What is told from now on; `None` once the service stops.
    fn listen(&self) -> Option<broadcast::Receiver<Told>> {
        let listening = self.stage().as_ref().map(broadcast::Sender::subscribe);
        self.arrived.notify_one();
        listening
    }

    fn tell(&self, told: Told) {
        if let Some(stage) = self.stage().as_ref() {
            // Nobody may listen any more, which is no matter.
            let _ = stage.send(told);
        }
    }

    fn listeners(&self) -> usize {
        self.stage()
            .as_ref()
            .map_or(0, broadcast::Sender::receiver_count)
    }

    /// How far the slowest listener is behind, in batches.
    fn backlog(&self) -> usize {
        self.stage().as_ref().map_or(0, broadcast::Sender::len)
    }

    fn is_closed(&self) -> bool {
        self.stage().is_none()
    }

    /// Every listener hears that it is over, and nobody new may listen.
    fn close(&self) {
        self.stage().take();
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Option<broadcast::Sender<Told>>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each new connection: bytes that nobody takes end it after a while. Without it a peer that
/// stays and reads nothing would keep its connection, and what is buffered for it, for good.
pub(crate) fn patience(
    config: &ApiConfig,
) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + Clone + 'static {
    let stalled = config.streams.stalled;
    move |connection, _| {
        let Some(connection) = connection.downcast_ref::<TcpStream>() else {
            return;
        };
        if let Err(error) = SockRef::from(connection).set_tcp_user_timeout(Some(stalled)) {
            debug!(%error, "a connection has the system's patience");
        }
    }
}
