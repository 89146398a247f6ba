//! One listener: what it missed from Postgres, and then what everybody is told.

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

/// Events that a listener reads at a time of what it missed.
const PAGE_MAX: i64 = 64;
/// How long a listener waits for its turn to read.
const PATIENCE: Duration = Duration::from_secs(5);

/// What comes next for a listener.
#[derive(Debug)]
pub(super) enum Heard {
    /// One or more events.
    Events(Bytes),
    /// Nothing for a while.
    Beat,
    /// It does not know everything up to what is told now. It reads that next.
    Behind,
    Over(End),
}

/// Why a listener is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Stopping,
    /// It was told more than it took.
    FellBehind,
    /// What it missed cannot be read now.
    Failed,
}

/// Somebody who listens.
pub(super) struct Listener {
    streams: Arc<Streams>,
    wire: Wire,
    kinds: Kinds,
    /// It was told everything up to here, or did not want it.
    position: Position,
    live: broadcast::Receiver<Broadcast>,
    reading: Option<Reading>,
    is_behind: bool,
    /// Its client's, for as long as it listens.
    _seat: Option<Seat>,
    _counted: OneMore,
}

impl Listener {
    /// Begins to listen. The first page of what was missed is read before this returns, so that a
    /// position from which nobody can go on is refused before anything was answered.
    pub(super) async fn open(
        streams: Arc<Streams>,
        ask: Ask,
        wire: Wire,
        seat: Option<Seat>,
    ) -> ApiResult<Listener> {
        let stopping = || ApiError::Unavailable("the service is stopping".to_owned());
        // First of all: whatever is told from here on waits.
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

    /// What to resume from.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Whether [`Listener::next`] only waits for what is told, so that whoever stops waiting loses
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
                    // Told while nobody followed the log, or before this listener came.
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
            // A week passed since the page before. It will be told so when it comes back.
            Ok(Err(_)) => Some(End::Failed),
            Err(error) => {
                warn!(%error, "a listener cannot read what it missed");
                Some(End::Failed)
            }
        }
    }

    /// Reads a page of what was missed. With the last one it is live: what is told since before
    /// that page was read waits for it, and what it knows already is skipped.
    async fn read_page(&mut self) -> ApiResult<Result<(), Unresumable>> {
        let Some(live) = self.streams.listen() else {
            return Ok(Ok(()));
        };
        let page = {
            // For the page alone: whoever takes its bytes slowly keeps nobody else from reading.
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
