//! Live events of the arena: `GET /events`.

use std::fmt;
use std::time::Duration;

use api_types::{Event, LAST_EVENT_ID};
use ledger_core::EventKind;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;

use super::Client;
use crate::ClientError;
use crate::event_source::{Block, EventSource, TooLarge};
use crate::query::{EventQuery, Pairs};
use crate::transport::{Call, RESPONSE_BYTES_MAX};

const OPERATION: &str = "GET /events";
/// The wait before the stream is opened again, until the arena has set it.
const PAUSE_DEFAULT: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The shortest wait: a stream that ends at once must not be opened in a hot loop.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Events of the arena in the order of their commits, none left out and none twice, over as many
/// connections as that takes.
pub struct Events {
    feed: Feed,
    body: Option<Body>,
    pause: Duration,
    /// Not before this time: stored, because a caller may cancel the wait and wait again.
    reopen_at: Instant,
    /// Received before it was requested.
    ahead: Option<Event>,
}

/// The query, and the position that was read.
struct Feed {
    client: Client,
    kinds: Pairs,
    position: Option<String>,
}

/// An open connection.
struct Body {
    response: Response,
    source: EventSource,
    heard_at: Instant,
}

impl Client {
    /// `GET /events`: what happens from the moment this returns, or from [`EventQuery::since`] on. The
    /// client's credential goes along if it has one: some arenas want to know who listens.
    ///
    /// ```no_run
    /// # async fn example(arena: arena_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use arena_client::EventQuery;
    /// use arena_client::api_types::EventData;
    ///
    /// let mut events = arena.events(&EventQuery::default()).await?;
    /// loop {
    ///     if let EventData::Post(post) = events.next().await?.read()? {
    ///         println!("{}: {}", post.handle, post.content);
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClientError`]; [`api_types::ProblemKind::PositionGone`] when the events after `since`
    /// are no longer kept: read the lists, and begin without it.
    pub async fn events(&self, query: &EventQuery) -> Result<Events, ClientError> {
        let feed =
            Feed { client: self.clone(), kinds: query.pairs(), position: query.since.clone() };
        // As long as an attempt may take, after all attempts to be let in.
        let time = self.transport.patience.saturating_add(self.transport.timeout);
        tokio::time::timeout(time, Events::begin(feed)).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout {
                endpoint: self
                    .transport
                    .ask(&Call::get(OPERATION, &[], Pairs::new()), None)
                    .endpoint(),
            })
        })
    }

    /// The answer to a call that is answered with a stream.
    async fn open(&self, call: &Call<'_>) -> Result<Response, ClientError> {
        self.proven(|proof| async move { self.transport.ask(call, proof.as_ref()).open().await })
            .await
    }
}

impl Events {
    async fn begin(feed: Feed) -> Result<Events, ClientError> {
        let mut events = Events {
            body: Some(feed.open().await?),
            feed,
            pause: PAUSE_DEFAULT,
            reopen_at: Instant::now(),
            ahead: None,
        };
        // The arena begins with it; without it a cut could not be mended.
        while events.feed.position.is_none() {
            events.ahead = events.step().await?;
        }
        Ok(events)
    }

    /// The next event, however long it takes. A connection that breaks, or falls silent for longer than
    /// [`ClientConfig::silence`](crate::ClientConfig::silence), is replaced by another one that goes on
    /// where it was cut. May be dropped and called again at any time.
    ///
    /// Kinds of events that this build does not know are passed over.
    ///
    /// # Errors
    /// See [`ClientError`]: the arena cannot be reached or refuses, or an event cannot be read. Nothing is lost
    /// by that; the next call tries again, or goes on behind that event. The caller decides whether to retry
    /// ([`ClientError::is_unavailable`]).
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        if let Some(event) = self.ahead.take() {
            return Ok(event);
        }
        loop {
            if let Some(event) = self.step().await? {
                return Ok(event);
            }
        }
    }

    /// The position after the last read event: [`EventQuery::since`] for continuing from here, in this process or
    /// in another one.
    pub fn position(&self) -> Option<&str> {
        self.feed.position.as_deref()
    }

    /// Opens the stream again if it was cut, or takes what comes next from it, which may be no event.
    async fn step(&mut self) -> Result<Option<Event>, ClientError> {
        if self.body.is_none() {
            tokio::time::sleep_until(self.reopen_at).await;
            // Before it is tried: also one who drops this waiting opens it no more often.
            self.reopen_at = Instant::now() + self.pause;
            self.body = Some(self.feed.open().await?);
        }
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let block = body.block(self.feed.client.transport.silence).await;
        if let Some(retry) = body.source.retry() {
            self.pause = retry.clamp(PAUSE_MIN, PAUSE_MAX);
        }
        if !matches!(block, Ok(Some(_))) {
            self.body = None;
            self.reopen_at = Instant::now() + self.pause;
        }
        match block {
            Ok(Some(block)) => self.feed.read(block),
            Ok(None) => Ok(None),
            Err(TooLarge) => Err(ClientError::TooLarge { endpoint: self.feed.endpoint() }),
        }
    }
}

impl Feed {
    fn call(&self) -> Call<'static> {
        Call::get(OPERATION, &[], self.kinds.clone())
    }

    fn endpoint(&self) -> String {
        self.client.transport.ask(&self.call(), None).endpoint()
    }

    async fn open(&self) -> Result<Body, ClientError> {
        let mut call = self.call();
        if let Some(position) = &self.position {
            let position = HeaderValue::from_str(position)
                .map_err(|_| ClientError::Request("the position does not fit a header"))?;
            call.headers.push((LAST_EVENT_ID, position));
        }
        let response = self.client.open(&call).await?;
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_stream =
            content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            return Err(ClientError::Malformed {
                endpoint: self.endpoint(),
                what: "the answer is no stream of events",
                line: 1,
                column: 1,
            });
        }
        Ok(Body {
            response,
            source: EventSource::new(RESPONSE_BYTES_MAX),
            heard_at: Instant::now(),
        })
    }

    fn read(&mut self, block: Block) -> Result<Option<Event>, ClientError> {
        // First of all, so that what cannot be read does not come again.
        if let Some(id) = block.id.filter(|id| !id.is_empty()) {
            self.position = Some(id);
        }
        let Some(data) = block.data else {
            return Ok(None);
        };
        if block.kind.parse::<EventKind>().is_err() {
            return Ok(None);
        }
        serde_json::from_str(&data)
            .map(Some)
            .map_err(|error| self.client.transport.ask(&self.call(), None).malformed(&error))
    }
}

impl Body {
    /// The next block; `None` when the connection is over, or might as well be.
    async fn block(&mut self, silence: Duration) -> Result<Option<Block>, TooLarge> {
        loop {
            if let Some(block) = self.source.pop() {
                return Ok(Some(block));
            }
            let until = self.heard_at + silence;
            match tokio::time::timeout_at(until, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.heard_at = Instant::now();
                    self.source.push(&bytes)?;
                }
                Ok(Ok(None) | Err(_)) | Err(_) => return Ok(None),
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("position", &self.feed.position).finish_non_exhaustive()
    }
}
