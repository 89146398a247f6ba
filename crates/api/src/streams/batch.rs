//! Events as bytes: rendered once, sent to all.

use std::ops::Range;

use actix_http::ws::{Codec, Message};
use actix_web::web::{Bytes, BytesMut};
use bytestring::ByteString;
use daemon::BoxError;
use db::events::{Event, Page, Position};
use ledger_core::event::LookedUp;
use ledger_core::{EventKind, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio_util::codec::Encoder;

/// About how much is sent at a time. The server's send buffer of a connection has 8 KiB; if it
/// grows, an idle listener may keep the memory.
const CHUNK_BYTES: usize = 4 * 1024;

/// How events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// As Server-Sent Events.
    EventSource,
    /// As a text message each.
    WebSocket,
}

impl Wire {
    pub(super) const fn transport(self) -> &'static str {
        match self {
            Wire::EventSource => "sse",
            Wire::WebSocket => "websocket",
        }
    }
}

/// Which kinds a listener wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const ALL: Kinds = Kinds(u8::MAX);
    pub(super) const NONE: Kinds = Kinds(0);

    pub(super) fn and(self, kind: EventKind) -> Kinds {
        Kinds(self.0 | Kinds::bit(kind))
    }

    fn include(self, kind: EventKind) -> bool {
        self.0 & Kinds::bit(kind) != 0
    }

    const fn bit(kind: EventKind) -> u8 {
        const { assert!(EventKind::ALL.len() <= 8, "a bit for each kind") };
        1 << kind as u8
    }
}

/// Events one after the other, for both wires.
#[derive(Debug)]
pub(super) struct Batch {
    /// The place behind which it was read.
    pub(super) after: Position,
    /// A listener that got it has everything up to here.
    pub(super) until: Position,
    events: Vec<Rendered>,
    server_sent: Bytes,
    messages: Bytes,
}

#[derive(Debug)]
struct Rendered {
    position: Position,
    kind: EventKind,
    /// Where it ends in each text.
    server_sent_end: usize,
    message_end: usize,
}

impl Batch {
    /// Says only where the next one begins.
    pub(super) const fn empty(at: Position) -> Batch {
        Batch {
            after: at,
            until: at,
            events: Vec::new(),
            server_sent: Bytes::new(),
            messages: Bytes::new(),
        }
    }

    pub(super) fn render(after: Position, page: &Page) -> Result<Batch, BoxError> {
        let (mut server_sent, mut messages) = (BytesMut::new(), BytesMut::new());
        let mut codec = Codec::new();
        let mut events = Vec::with_capacity(page.events.len());
        for event in &page.events {
            let Event { kind, at, data: kept, looked_up, .. } = event;
            let id = &*event.position.to_string();
            // One line: JSON escapes line feeds.
            let told = Told { id, kind: *kind, at: *at, data: Data { kept, looked_up } };
            let json = serde_json::to_string(&told)?;
            for part in ["id: ", id, "\nevent: "] {
                server_sent.extend_from_slice(part.as_bytes());
            }
            for part in [kind.as_str(), "\ndata: ", &json, "\n\n"] {
                server_sent.extend_from_slice(part.as_bytes());
            }
            codec.encode(Message::Text(ByteString::from(json)), &mut messages)?;
            events.push(Rendered {
                position: event.position,
                kind: event.kind,
                server_sent_end: server_sent.len(),
                message_end: messages.len(),
            });
        }
        Ok(Batch {
            after,
            until: page.until,
            events,
            server_sent: server_sent.freeze(),
            messages: messages.freeze(),
        })
    }

    fn text(&self, wire: Wire) -> &Bytes {
        match wire {
            Wire::EventSource => &self.server_sent,
            Wire::WebSocket => &self.messages,
        }
    }

    fn bounds(&self, index: usize, wire: Wire) -> Range<usize> {
        let end = |event: &Rendered| match wire {
            Wire::EventSource => event.server_sent_end,
            Wire::WebSocket => event.message_end,
        };
        let before = index.checked_sub(1).and_then(|last| self.events.get(last));
        let text = self.text(wire).len();
        before.map_or(0, end)..self.events.get(index).map_or(text, end)
    }
}

/// The part of a batch that one listener still needs.
#[derive(Debug)]
pub(super) struct Reading {
    batch: std::sync::Arc<Batch>,
    next: usize,
}

impl Reading {
    /// From the first event behind `position` on.
    pub(super) fn behind(batch: std::sync::Arc<Batch>, position: Position) -> Reading {
        let next = batch.events.partition_point(|event| event.position <= position);
        Reading { batch, next }
    }

    /// Where the listener is when nothing is left.
    pub(super) fn until(&self) -> Position {
        self.batch.until
    }

    /// Some more events in one piece, with the place of the last.
    pub(super) fn chunk(&mut self, wire: Wire, kinds: Kinds) -> Option<(Bytes, Position)> {
        let events = &self.batch.events;
        while events.get(self.next).is_some_and(|event| !kinds.include(event.kind)) {
            self.next += 1;
        }
        let begin = self.next;
        let start = self.batch.bounds(begin, wire).start;
        let mut last = None;
        while let Some(event) = events.get(self.next).filter(|event| kinds.include(event.kind)) {
            let end = self.batch.bounds(self.next, wire).end;
            if last.is_some() && end - start > CHUNK_BYTES {
                break;
            }
            last = Some((end, event.position));
            self.next += 1;
        }
        last.map(|(end, position)| (self.batch.text(wire).slice(start..end), position))
    }
}

/// An event as it is sent, in the form of [`api_types::Event`].
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    kind: EventKind,
    at: Timestamp,
    data: Data<'a>,
}

/// The stored fields and those that were looked up.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    kept: &'a Value,
    #[serde(flatten)]
    looked_up: &'a LookedUp,
}
