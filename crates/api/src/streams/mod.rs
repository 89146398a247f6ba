//! Live events, to as many listeners as there are connections.
//!
//! Postgres is the memory: an event is a row, and a listener resumes from its position in the log
//! ([`db::events`]). One [`tailer`] in each process reads new events, once for all listeners, on a
//! notification by Redis and at regular intervals. Each event is rendered once ([`batch`]) and sent
//! to all [`listener`]s. A listener with a position first reads the events that it missed. [`sse`]
//! and [`websocket`] send the same bytes.
//!
//! A listener only has a position. If it falls behind, it is disconnected and reconnects with its
//! position; the kernel ends a connection whose client reads nothing ([`crate::connections`]).

mod access;
mod ask;
mod batch;
mod listener;
mod sse;
mod tailer;
mod websocket;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use db::Database;
pub(crate) use tailer::start;
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::address;
use crate::auth::Auth;
use crate::connections::{Doorman, Full, Seat};
use crate::endpoint::Endpoint;
use crate::error::{ApiError, ApiResult};
use crate::headers::Origins;
use batch::Batch;

/// How far the tailer may be ahead of the slowest listener, in batches. With full batches some 20
/// MB.
const BACKLOG_MAX: usize = 128;
/// Listeners that read missed events at once; others wait.
const READING_MAX: usize = 4;

/// How patient streams are. Not a setting: tests use shorter values.
#[derive(Debug, Clone, Copy)]
pub struct StreamPatience {
    /// How often every listener is sent something, so that no proxy closes the connection.
    pub keep_alive: Duration,
    /// How long a WebSocket's first message may take where it must bring the credential.
    pub greeting: Duration,
}

impl Default for StreamPatience {
    fn default() -> StreamPatience {
        StreamPatience { keep_alive: Duration::from_secs(15), greeting: Duration::from_secs(5) }
    }
}

/// Access to streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Anybody,
    /// Bots and operators.
    Known,
}

/// The live batches.
#[derive(Debug, Clone)]
enum Broadcast {
    News(Arc<Batch>),
    /// Time to show that the connection is alive.
    Beat,
}

/// The shared state of listeners and the tailer.
pub(crate) struct Streams {
    database: Database,
    auth: Arc<Auth>,
    audience: Audience,
    /// Origins whose pages may open a WebSocket, besides the API's own.
    origins: Origins,
    patience: StreamPatience,
    /// `None` once the service stops.
    stage: Mutex<Option<broadcast::Sender<Broadcast>>>,
    /// Somebody came to listen.
    arrived: Notify,
    reading: Semaphore,
    doorman: Doorman,
}

impl Streams {
    pub(crate) fn new(
        database: &Database,
        auth: &Arc<Auth>,
        audience: Audience,
        origins: &Origins,
        patience: StreamPatience,
        doorman: Doorman,
    ) -> Streams {
        Streams {
            database: database.clone(),
            auth: Arc::clone(auth),
            audience,
            origins: origins.clone(),
            patience,
            stage: Mutex::new(Some(broadcast::Sender::new(BACKLOG_MAX))),
            arrived: Notify::new(),
            reading: Semaphore::new(READING_MAX),
            doorman,
        }
    }

    /// A place for one more stream of a client. Behind a proxy all connections have its address,
    /// and one client could otherwise take all of them.
    fn seat(&self, req: &HttpRequest) -> ApiResult<Option<Seat>> {
        let Some(address) = address::of(req) else {
            return Ok(None);
        };
        self.doorman.seat(address).map_err(|Full| ApiError::TooManyRequests {
            detail: "Too many streams of one address are open. Close some of them.",
            retry_after_seconds: 60,
        })
    }

    /// The live batches from now on; `None` once the service stops.
    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        let listening = self.stage().as_ref().map(broadcast::Sender::subscribe);
        self.arrived.notify_one();
        listening
    }

    fn tell(&self, told: Broadcast) {
        if let Some(stage) = self.stage().as_ref() {
            // There may be no listener, which is not an error.
            let _ = stage.send(told);
        }
    }

    fn listeners(&self) -> usize {
        self.stage().as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// How far the slowest listener is behind, in batches.
    fn backlog(&self) -> usize {
        self.stage().as_ref().map_or(0, broadcast::Sender::len)
    }

    fn is_closed(&self) -> bool {
        self.stage().is_none()
    }

    /// Ends all listeners, and refuses new ones.
    fn close(&self) {
        self.stage().take();
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Option<broadcast::Sender<Broadcast>>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![sse::endpoint(), websocket::endpoint()]
}
