//! `GET /ws/stream`: the same events over a WebSocket, a text message each.

use std::convert::Infallible;
use std::sync::Arc;

use actix_http::ws::{self, CloseCode, CloseReason, Codec, Frame, Message};
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use api_types::ProblemKind::{ForeignOrigin, MalformedRequest, PositionGone, Unauthorized};
use api_types::close_code;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio_util::codec::{Decoder, Encoder};
use tracing::debug;

use super::ask::Ask;
use super::batch::Wire;
use super::listener::{End, Heard, Listener};
use super::{Audience, Streams, access};
use crate::auth::Who;
use crate::connections::Seat;
use crate::endpoint::{Endpoint, get};
use crate::error::{ApiError, ApiResult};

/// The largest message that a client may send, in bytes: a token fits.
const MESSAGE_MAX_BYTES: usize = 4 * 1024;
/// A peer that let so many pings go without a word is dead.
const UNANSWERED_MAX: u8 = 2;

pub(super) fn endpoint() -> Endpoint {
    get("/ws/stream", stream)
        .named(
            "streamMessages",
            "streams",
            "The same over a WebSocket, an `Event` a message",
        )
        .without_head()
        .about(
            "Resumes from `since`. If a credential is required and the handshake had none, the first message \
             must be `{\"token\": \"…\"}`, within five seconds. Close codes: 4001 no valid credential, 4002 \
             `since` or `kinds` cannot be read, 4003 the events after `since` are no longer kept, 1013 \
             reconnect with `since`, 1001 the server stops.",
        )
        .by(Who::AnyoneOrBot)
        .with(&["since", "kinds"])
        .refuses(&[ForeignOrigin])
        .switches("The WebSocket is open.")
}

async fn stream(req: HttpRequest, payload: Payload, streams: Data<Streams>) -> ApiResult {
    if !access::origin_allowed(req.headers(), &streams.origins) {
        return Err(ApiError::Is(ForeignOrigin));
    }
    let mut answer = ws::handshake(req.head()).map_err(|error| {
        ApiError::malformed(format!("Open this path as a WebSocket, of version 13: {error}."))
    })?;
    let seat = streams.seat(&req)?;
    // From here on a refusal is a close code: scripts in browsers see nothing else.
    let proved = match (streams.audience, access::offers_proof(req.headers())) {
        (Audience::Anybody, _) => Some(Ok(())),
        (Audience::Known, true) => Some(access::prove(&streams.auth, &req).await),
        (Audience::Known, false) => None,
    };
    let mut conversation = Conversation {
        stage: None,
        peer: Peer {
            payload,
            codec: Codec::new().max_size(MESSAGE_MAX_BYTES),
            inbox: BytesMut::new(),
        },
        ask: Ask::of(&req),
        unanswered: 0,
        seat,
        streams: streams.into_inner(),
    };
    let stage = match proved {
        None => Stage::Greeting,
        // Before the handshake's answer: a client with the answer misses nothing from then on.
        Some(Ok(())) => conversation.open().await.unwrap_or_else(Stage::Refused),
        Some(Err(error)) => Stage::Refused(reason_of(&error)),
    };
    conversation.stage = Some(stage);
    let answer = answer
        .message_body(actix_web::body::BodyStream::new(body(conversation)))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(HttpResponse::from(answer.map_into_boxed_body()))
}

fn body(conversation: Conversation) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(conversation, |mut conversation| async move {
        let bytes = conversation.step().await?;
        Some((Ok(bytes), conversation))
    })
}

struct Conversation {
    streams: Arc<Streams>,
    ask: Result<Ask, ApiError>,
    peer: Peer,
    /// `None` once it is over.
    stage: Option<Stage>,
    /// Pings since the peer was last heard.
    unanswered: u8,
    /// Until the listener has it.
    seat: Option<Seat>,
}

enum Stage {
    /// The first message must bring a token.
    Greeting,
    Refused(CloseReason),
    Listening(Listener),
}

/// The next event of the loop.
enum Turn {
    Heard(Heard),
    Said(Result<Frame, CloseReason>),
}

impl Conversation {
    /// The next bytes to send; `None` ends the connection.
    async fn step(&mut self) -> Option<Bytes> {
        loop {
            let next = match self.stage.take()? {
                Stage::Greeting => self.greet().await,
                Stage::Refused(reason) => Err(reason),
                Stage::Listening(listener) => match self.listen(listener).await {
                    Ok((listener, bytes)) => {
                        self.stage = Some(Stage::Listening(listener));
                        return Some(bytes);
                    }
                    Err(reason) => Err(reason),
                },
            };
            match next {
                Ok(stage) => self.stage = Some(stage),
                Err(reason) => return Some(frame(Message::Close(Some(reason)))),
            }
        }
    }

    /// Waits for `{"token": "…"}`.
    async fn greet(&mut self) -> Result<Stage, CloseReason> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Greeting {
            token: String,
        }
        const WANTED: &str = "send Authorization or X-Agent-Secret with the handshake, or a first \
                              message {\"token\": \"…\"}";
        let denied = |why: &str| reason(close_code::UNAUTHORIZED, why);
        let waiting = tokio::time::timeout(self.streams.patience.greeting, self.peer.frame());
        let text = match waiting.await {
            Ok(Ok(Frame::Text(text))) => text,
            Ok(Err(gone)) => return Err(gone),
            Ok(Ok(_)) | Err(_) => return Err(denied(WANTED)),
        };
        let greeting: Greeting = serde_json::from_slice(&text).map_err(|_| denied(WANTED))?;
        if self.streams.auth.is_known(&greeting.token) {
            self.open().await
        } else {
            Err(denied("the token is wrong or has expired: POST /auth/token gives a new one"))
        }
    }

    async fn open(&mut self) -> Result<Stage, CloseReason> {
        let ask = self.ask.as_ref().map_err(reason_of)?;
        Listener::open(Arc::clone(&self.streams), *ask, Wire::WebSocket, self.seat.take())
            .await
            .map(Stage::Listening)
            .map_err(|error| reason_of(&error))
    }

    /// The next message: events, a ping, a pong.
    async fn listen(&mut self, mut listener: Listener) -> Result<(Listener, Bytes), CloseReason> {
        // Lets the server send its buffer before it grows beyond its capacity.
        tokio::task::yield_now().await;
        loop {
            let turn = if listener.is_live() {
                tokio::select! {
                    heard = listener.next() => Turn::Heard(heard),
                    said = self.peer.frame() => Turn::Said(said),
                }
            } else {
                Turn::Heard(listener.next().await)
            };
            let bytes = match turn {
                Turn::Heard(Heard::Events(bytes)) => bytes,
                Turn::Heard(Heard::Behind) => continue,
                Turn::Heard(Heard::Beat) => self.ping()?,
                Turn::Heard(Heard::Over(end)) => return Err(farewell(end)),
                Turn::Said(said) => match self.hear(said?) {
                    Some(bytes) => bytes,
                    None => continue,
                },
            };
            return Ok((listener, bytes));
        }
    }

    fn ping(&mut self) -> Result<Bytes, CloseReason> {
        if self.unanswered >= UNANSWERED_MAX {
            return Err(reason(close_code::TRY_AGAIN, "no ping was answered"));
        }
        self.unanswered += 1;
        Ok(frame(Message::Ping(Bytes::new())))
    }

    /// Messages are ignored; each shows that the peer is alive.
    fn hear(&mut self, said: Frame) -> Option<Bytes> {
        self.unanswered = 0;
        match said {
            Frame::Ping(payload) => Some(frame(Message::Pong(payload))),
            _ => None,
        }
    }
}

/// The client's messages.
struct Peer {
    payload: Payload,
    codec: Codec,
    inbox: BytesMut,
}

impl Peer {
    /// The next frame, or why nothing more is heard. A cancelled wait loses nothing.
    async fn frame(&mut self) -> Result<Frame, CloseReason> {
        loop {
            match self.codec.decode(&mut self.inbox).map_err(|error| broken(&error))? {
                Some(Frame::Close(_)) => return Err(CloseReason::from(CloseCode::Normal)),
                Some(frame) => return Ok(frame),
                None => {}
            }
            match self.payload.next().await {
                Some(Ok(bytes)) => self.inbox.extend_from_slice(&bytes),
                Some(Err(_)) | None => return Err(CloseReason::from(CloseCode::Normal)),
            }
        }
    }
}

fn frame(message: Message) -> Bytes {
    let mut bytes = BytesMut::new();
    if let Err(error) = Codec::new().encode(message, &mut bytes) {
        // Encoding of these messages cannot fail; without bytes the connection just ends.
        debug!(%error, "a frame cannot be made");
    }
    bytes.freeze()
}

fn reason(code: u16, description: &str) -> CloseReason {
    CloseReason { code: CloseCode::from(code), description: Some(description.to_owned()) }
}

fn broken(error: &ws::ProtocolError) -> CloseReason {
    debug!(%error, "a WebSocket client does not keep to the protocol");
    match error {
        ws::ProtocolError::Overflow => CloseReason::from(CloseCode::Size),
        _ => CloseReason::from(CloseCode::Protocol),
    }
}

fn farewell(end: End) -> CloseReason {
    match end {
        End::Stopping => reason(close_code::GOING_AWAY, "the service stops; reconnect with since"),
        End::FellBehind => reason(close_code::TRY_AGAIN, "you fell behind; reconnect with since"),
        End::Failed => reason(close_code::TRY_AGAIN, "missed events cannot be read now"),
    }
}

/// A refusal as a close code; the reason has at most 123 bytes and says no more than a problem.
fn reason_of(error: &ApiError) -> CloseReason {
    match error {
        ApiError::Told(Unauthorized, _) => reason(
            close_code::UNAUTHORIZED,
            "the secret is wrong, or the token is wrong or has expired",
        ),
        ApiError::Is(PositionGone) => reason(
            close_code::POSITION_GONE,
            "the events after since are no longer kept; begin without it",
        ),
        ApiError::InvalidField { field, .. } => {
            reason(close_code::INVALID, &format!("{field} is not what it must be"))
        }
        ApiError::Told(MalformedRequest, _) => {
            reason(close_code::INVALID, "the query cannot be read")
        }
        other => {
            debug!(error = %other, "a WebSocket cannot be served now");
            reason(close_code::TRY_AGAIN, "a part of the arena does not answer; try again shortly")
        }
    }
}
