//! `GET /events`: Server-Sent Events, as the HTML standard describes them.

use std::convert::Infallible;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};

use super::ask::Ask;
use super::batch::Wire;
use super::listener::{End, Heard, Listener};
use super::{Audience, access};
use crate::app::App;
use crate::error::ApiResult;

/// When a browser comes back after the stream broke off, in milliseconds.
const RETRY_MILLIS: u32 = 2_000;

pub(crate) async fn events(req: HttpRequest, app: Data<App>) -> ApiResult {
    if app.streams.audience == Audience::Known {
        access::prove(&req).await?;
    }
    let ask = Ask::of(&req)?;
    let seat = app.streams.seat(&req)?;
    let listener = Listener::open(app, ask, Wire::EventSource, seat).await?;
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
                // Whoever is cut before the first event resumes from here.
                let text = format!("retry: {RETRY_MILLIS}\nid: {}\n\n", listener.position());
                Some((text.into(), Stage::Listening(listener)))
            }
            Stage::Listening(mut listener) => {
                // Lets the server send what it has, before it has more than it keeps room for.
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
        End::Stopping => b": the service stops; come back with Last-Event-ID\n\n",
        End::FellBehind => b": you fell behind; come back with Last-Event-ID\n\n",
        End::Failed => b": what you missed cannot be read now; come back with Last-Event-ID\n\n",
    })
}
