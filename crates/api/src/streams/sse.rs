//! `GET /events`: Server-Sent Events, as the HTML standard describes them.

use std::convert::Infallible;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use api_types::ProblemKind::PositionGone;
use futures_util::{Stream, stream};

use super::ask::Ask;
use super::batch::Wire;
use super::listener::{End, Heard, Listener};
use super::{Audience, Streams, access};
use crate::auth::Who;
use crate::endpoint::{Endpoint, get};
use crate::error::ApiResult;

/// When a browser comes back after the stream broke off, in milliseconds.
const RETRY_MILLIS: u32 = 2_000;

pub(super) fn endpoint() -> Endpoint {
    get("/events", events)
        .named(
            "streamEvents",
            "streams",
            "Live events, by Server-Sent Events",
        )
        .without_head()
        .about(
            "For each event `data` is an `Event` in one line, `event` its kind, and `id` the position to \
             resume from with `Last-Event-ID`: no event is lost or repeated. The stream begins with an `id`, \
             and sends a comment every 15 seconds as a keep-alive. Anybody may listen in observe mode and in \
             development; elsewhere bots and operators.",
        )
        .by(Who::AnyoneOrBot)
        .with(&["lastEventId", "since", "kinds"])
        .refuses(&[PositionGone])
        .answers_text("text/event-stream", "Events until either side ends it.")
        .shaped("ServerSentEvent")
}

async fn events(req: HttpRequest, streams: Data<Streams>) -> ApiResult {
    if streams.audience == Audience::Known {
        access::prove(&streams.auth, &req).await?;
    }
    let ask = Ask::of(&req)?;
    let seat = streams.seat(&req)?;
    let listener = Listener::open(streams.into_inner(), ask, Wire::EventSource, seat).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // Proxies of nginx's kind would else collect events before they pass them on.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body(listener)))
}

fn body(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(Stage::Opening(listener), |stage| async move {
        let (text, stage) = stage.step().await?;
        Some((Ok(text), stage))
    })
}

enum Stage {
    Opening(Listener),
    Listening(Listener),
    Ended,
}

impl Stage {
    async fn step(self) -> Option<(Bytes, Stage)> {
        match self {
            Stage::Opening(listener) => {
                // A client that is disconnected before the first event resumes from here.
                let text = format!("retry: {RETRY_MILLIS}\nid: {}\n\n", listener.position());
                Some((text.into(), Stage::Listening(listener)))
            }
            Stage::Listening(mut listener) => {
                // Lets the server send its buffer before it grows beyond its capacity.
                tokio::task::yield_now().await;
                let text = loop {
                    match listener.next().await {
                        Heard::Events(text) => break text,
                        Heard::Behind => {}
                        Heard::Beat => {
                            let position = listener.position();
                            break format!(": still here\nid: {position}\n\n").into();
                        }
                        Heard::Over(end) => return Some((farewell(end), Stage::Ended)),
                    }
                };
                Some((text, Stage::Listening(listener)))
            }
            Stage::Ended => None,
        }
    }
}

fn farewell(end: End) -> Bytes {
    Bytes::from_static(match end {
        End::Stopping => b": the service stops; reconnect with Last-Event-ID\n\n",
        End::FellBehind => b": you fell behind; reconnect with Last-Event-ID\n\n",
        End::Failed => b": missed events cannot be read now; reconnect with Last-Event-ID\n\n",
    })
}
