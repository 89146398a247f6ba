//! One listener: missed events from Postgres, and then the live batches.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use api_types::ProblemKind::PositionGone;
use db::events::{Position, Unresumable};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use super::ask::Ask;
use super::batch::{Batch, Kinds, Reading, Wire};
use super::{Broadcast, Streams};
use crate::connections::Seat;
use crate::error::{ApiError, ApiResult};
use crate::metrics::{OneMore, listening};

/// Missed events that a listener reads at a time.
const PAGE_MAX: i64 = 64;
/// How long a listener waits for its turn to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// The next step of a listener.
#[derive(Debug)]
pub(super) enum Heard {
    /// One or more events.
    Events(Bytes),
    /// Nothing for a while.
    Beat,
    /// It has not read everything before the live batches. It reads that next.
    Behind,
    Over(End),
}

/// Why a listener is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stopping,
    /// It fell behind the live batches.
    FellBehind,
    /// Missed events cannot be read now.
    Failed,
}

/// Somebody who listens.
pub(super) struct Listener {
    streams: Arc<Streams>,
    wire: Wire,
    kinds: Kinds,
    /// It got everything up to here, or did not want it.
    position: Position,
    live: broadcast::Receiver<Broadcast>,
    reading: Option<Reading>,
    is_behind: bool,
    /// Its client's, for as long as it listens.
    _seat: Option<Seat>,
    _counted: OneMore,
}

impl Listener {
    /// Begins to listen. Reads the first page of missed events before it returns, so that an
    /// unusable position is refused before the answer begins.
    pub(super) async fn open(
        streams: Arc<Streams>,
        ask: Ask,
        wire: Wire,
        seat: Option<Seat>,
    ) -> ApiResult<Listener> {
        let stopping = || ApiError::Unavailable("the service is stopping".to_owned());
        // First: later live batches are queued from here on.
        let live = streams.listen().ok_or_else(stopping)?;
        let bounds = db::events::bounds(&mut *streams.database.get().await?).await?;
        let mut listener = Listener {
            streams,
            wire,
            kinds: ask.kinds,
            position: bounds.now,
            live,
            reading: None,
            is_behind: false,
            _seat: seat,
            _counted: listening(wire.transport()),
        };
        if let Some((since, field)) = ask.since {
            bounds.admit(since).map_err(|why| refusal(why, field))?;
            listener.position = since;
            if since < bounds.now {
                listener.is_behind = true;
                listener.read_page().await?.map_err(|why| refusal(why, field))?;
            }
        }
        Ok(listener)
    }

    /// The position to resume from.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Whether [`Listener::next`] only waits for live batches, so that a cancelled wait loses
    /// nothing.
    pub(super) const fn is_live(&self) -> bool {
        !self.is_behind
    }

    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(reading) = &mut self.reading {
                if let Some((bytes, position)) = reading.chunk(self.wire, self.kinds) {
                    self.position = position;
                    return Heard::Events(bytes);
                }
                self.position = self.position.max(reading.until());
                self.reading = None;
            }
            if self.streams.is_closed() {
                return Heard::Over(End::Stopping);
            }
            if self.is_live() {
                match self.live.recv().await {
                    Ok(Broadcast::Beat) => return Heard::Beat,
                    // Sent while no tailer ran, or before this listener came.
                    Ok(Broadcast::News(batch)) if batch.after > self.position => {
                        self.is_behind = true;
                        return Heard::Behind;
                    }
                    Ok(Broadcast::News(batch)) => {
                        self.reading = Some(Reading::behind(batch, self.position));
                    }
                    Err(RecvError::Lagged(_)) => return Heard::Over(End::FellBehind),
                    Err(RecvError::Closed) => return Heard::Over(End::Stopping),
                }
            } else if let Some(end) = self.read_more().await {
                return Heard::Over(end);
            }
        }
    }

    async fn read_more(&mut self) -> Option<End> {
        match self.read_page().await {
            Ok(Ok(())) => None,
            // A week passed since the page before. It gets the error when it reconnects.
            Ok(Err(_)) => Some(End::Failed),
            Err(error) => {
                warn!(%error, "a listener cannot read missed events");
                Some(End::Failed)
            }
        }
    }

    /// Reads a page of missed events. After the last page it is live: batches since before that
    /// page are queued, and events that it already has are skipped.
    async fn read_page(&mut self) -> ApiResult<Result<(), Unresumable>> {
        let Some(live) = self.streams.listen() else {
            return Ok(Ok(()));
        };
        let page = {
            // Only for reading the page: a slow client does not stop others from reading.
            let turn = self.streams.reading.acquire();
            let _turn = tokio::time::timeout(PATIENCE, turn)
                .await
                .map_err(|_| ApiError::Unavailable("too many listeners catch up".to_owned()))?;
            let mut conn = self.streams.database.get().await?;
            db::events::after(&mut conn, self.position, PAGE_MAX).await?
        };
        if let Err(why) = page.bounds.admit(self.position) {
            return Ok(Err(why));
        }
        let last = page.events.last().map(|event| event.position);
        if last != Some(page.until) {
            self.live = live;
            self.is_behind = false;
        }
        let batch = Batch::render(self.position, &page)
            .map_err(|error| ApiError::Internal(format!("events cannot be rendered: {error}")))?;
        self.reading = Some(Reading::behind(Arc::new(batch), self.position));
        Ok(Ok(()))
    }
}

fn refusal(why: Unresumable, field: &'static str) -> ApiError {
    match why {
        Unresumable::Forgotten => ApiError::Is(PositionGone),
        Unresumable::Foreign => ApiError::invalid(
            field,
            "is no position of this arena, or of a state that it was set back behind; begin \
             without it",
        ),
    }
}
