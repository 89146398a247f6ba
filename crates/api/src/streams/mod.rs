//! Live events, to as many listeners as there are connections.
//!
//! Postgres is the memory: an event is a row, and its place in the log is what a listener resumes
//! from ([`db::events`]). One [`tailer`] a process reads what is new, once for everybody, as soon
//! as Redis says that there is something and now and then by itself; each event is rendered once
//! ([`batch`]) and handed to all [`listener`]s. A listener that comes with a position first reads
//! what it missed. [`sse`] and [`websocket`] are two ways to hand over the same bytes.
//!
//! A listener holds its place and nothing else. One that falls behind is sent away and comes back
//! with its position; the kernel ends a connection that takes no bytes ([`crate::connections`]).

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

/// What the tailer may be ahead of the slowest listener, in batches. With full batches some 20 MB.
const BACKLOG_MAX: usize = 128;
/// Listeners that read what they missed at once; more wait their turn.
const READING_MAX: usize = 4;

/// How patient streams are. Not a setting: tests are less patient.
#[derive(Debug, Clone, Copy)]
pub struct StreamPatience {
    /// How often every listener is sent something, so that nobody between takes it for dead.
    pub keep_alive: Duration,
    /// How long a WebSocket's first message may take where it must bring the credential.
    pub greeting: Duration,
}

impl Default for StreamPatience {
    fn default() -> StreamPatience {
        StreamPatience { keep_alive: Duration::from_secs(15), greeting: Duration::from_secs(5) }
    }
}

/// Who may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Anybody,
    /// Bots and operators.
    Known,
}

/// What listeners are told.
#[derive(Debug, Clone)]
enum Broadcast {
    News(Arc<Batch>),
    /// Time to show that the connection is alive.
    Beat,
}

/// What listeners and the tailer share.
pub(crate) struct Streams {
    database: Database,
    auth: Arc<Auth>,
    audience: Audience,
    /// Whose pages may open a WebSocket, beside the API's own.
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

    /// A place for one more stream of a client. Behind a proxy all connections are the proxy's, and
    /// one client could otherwise take all of them.
    fn seat(&self, req: &HttpRequest) -> ApiResult<Option<Seat>> {
        let Some(address) = address::of(req) else {
            return Ok(None);
        };
        self.doorman.seat(address).map_err(|Full| ApiError::TooManyRequests {
            detail: "Too many streams of one address are open. Close some of them.",
            retry_after_seconds: 60,
        })
    }

    /// What is told from now on; `None` once the service stops.
    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        let listening = self.stage().as_ref().map(broadcast::Sender::subscribe);
        self.arrived.notify_one();
        listening
    }

    fn tell(&self, told: Broadcast) {
        if let Some(stage) = self.stage().as_ref() {
            // Nobody may listen any more, which is no matter.
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

    /// Every listener hears that it is over, and nobody new may listen.
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
