//! Live events, read as clients read them.

mod access;
mod contents;
mod ends;
mod resume;

use std::pin::Pin;
use std::time::Duration;

use api_types::{Event, EventData};
use futures_util::{SinkExt, Stream, StreamExt};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::service::Service;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A block of a Server-Sent Events stream: the lines up to an empty one.
#[derive(Debug, Default)]
struct Block {
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
    retry: Option<String>,
    comment: Option<String>,
}

type Bytes = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

/// A client of `GET /events`.
struct Sse {
    headers: HeaderMap,
    bytes: Bytes,
    buffer: String,
    last_id: Option<String>,
}

impl Sse {
    fn over(response: Response) -> Sse {
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        let bytes = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Sse { headers, bytes: Box::pin(bytes), buffer: String::new(), last_id: None }
    }

    /// The next block; `None` at the end of the stream.
    async fn block(&mut self) -> Option<Block> {
        let text = loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = block.to_owned();
                self.buffer = rest.to_owned();
                break block;
            }
            let chunk = in_time("more of the stream", self.bytes.next()).await?.unwrap();
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        };
        let mut block = Block::default();
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = Some(value.strip_prefix(' ').unwrap_or(value).to_owned());
            let field = match name {
                "id" => &mut block.id,
                "event" => &mut block.event,
                "data" => &mut block.data,
                "retry" => &mut block.retry,
                "" => &mut block.comment,
                other => panic!("no such field: {other}"),
            };
            assert!(field.is_none(), "twice in {text}");
            *field = value;
        }
        if block.id.is_some() {
            self.last_id.clone_from(&block.id);
        }
        Some(block)
    }

    /// The next event; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Event> {
        in_time("an event", self.next_event()).await
    }

    async fn next_event(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if let Some(data) = &block.data {
                let event: Event = serde_json::from_str(data).unwrap();
                assert_eq!(block.id.as_ref(), Some(&event.id));
                assert_eq!(block.event.as_deref(), Some(event.kind.as_str()));
                return Some(event);
            }
        }
    }
}

/// A client of `GET /ws/stream`.
struct Ws(WebSocketStream<TcpStream>);

impl Ws {
    /// The next event, or the code with which the server closed.
    async fn event(&mut self) -> Result<Event, u16> {
        in_time("an event", self.next_event()).await
    }

    async fn next_event(&mut self) -> Result<Event, u16> {
        loop {
            match self.message().await? {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    async fn message(&mut self) -> Result<Message, u16> {
        let message = in_time("a message", self.0.next()).await;
        match message.expect("a close frame before the end").unwrap() {
            Message::Close(frame) => Err(frame.map_or(1005, |frame| CloseCode::into(frame.code))),
            message => Ok(message),
        }
    }

    /// Returns once the server answers to a ping: it listens by then.
    async fn knock(&mut self) {
        self.0.send(Message::Ping("who".into())).await.unwrap();
        while !self.message().await.unwrap().is_pong() {}
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }
}

impl Service {
    fn events(&self, query: &str) -> RequestBuilder {
        self.request(Method::GET, &format!("/events{query}"))
    }

    async fn listen(&self, query: &str) -> Sse {
        Sse::over(self.events(query).send().await.unwrap())
    }

    /// Listens, and waits until it is connected: it gets all later events.
    async fn listening(&self) -> Sse {
        let mut sse = self.listen("").await;
        sse.block().await.unwrap();
        sse
    }

    async fn resume(&self, last_id: &str) -> Sse {
        let request = self.events("").header("Last-Event-ID", last_id);
        Sse::over(request.send().await.unwrap())
    }

    async fn websocket_with(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Ws, tungstenite::Error> {
        let address = self.base.trim_start_matches("http://");
        let mut request = format!("ws://{address}/ws/stream{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Ws(socket))
    }

    async fn websocket(&self, query: &str) -> Ws {
        self.websocket_with(query, &[]).await.unwrap()
    }
}

/// Writes test events: without a notification, numbered, without effects.
async fn write_events(client: &impl tokio_postgres::GenericClient, numbers: &[i64]) {
    let insert = "INSERT INTO events (kind, data) \
                  SELECT 'price', jsonb_build_object('n', n) FROM unnest($1::bigint[]) AS n";
    client.execute(insert, &[&numbers]).await.unwrap();
}

fn number(event: &Event) -> i64 {
    event.data["n"].as_i64().unwrap()
}

fn read(event: &Event) -> EventData {
    event.read().unwrap_or_else(|error| panic!("{error}: {event:?}"))
}
