//! Events are read as they come, and after reconnections none is lost or repeated.

use std::time::Duration;

use api_types::{EventData, ProblemKind};
use arena_client::{Client, ClientError, EventQuery, Events};
use ledger_core::{EventKind, TickNumber};
use serde_json::json;

use crate::stub::{Reply, Request, Stub, problem, token};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// The beginning of a stream; a disconnected reader reconnects at once.
const BEGIN: &str = "retry: 1\nid: p0\n\n";

fn tick(number: i64) -> String {
    let data = json!({
        "tick": number, "mode": "observe", "bots": 3, "fees": "0.00000000", "liquidated": 0, "failed": 0,
    });
    let event = json!({
        "id": format!("p{number}"), "kind": "tick", "at": "2026-11-01T00:00:00.000000Z", "data": data,
    });
    format!("id: p{number}\nevent: tick\ndata: {event}\n\n")
}

fn head() -> String {
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n".to_owned()
}

/// A stream that is cut behind this.
fn cut(text: &str) -> Reply {
    Reply::Raw((head() + text).into_bytes())
}

/// A stream that stays open behind this.
fn open(text: &str) -> Reply {
    Reply::Hold((head() + text).into_bytes())
}

async fn listen(stub: &Stub) -> Events {
    listen_as(&stub.client()).await.unwrap()
}

async fn listen_as(client: &Client) -> Result<Events, ClientError> {
    let everything = EventQuery::default();
    let listening = client.events(&everything);
    tokio::time::timeout(DEADLINE, listening).await.unwrap()
}

async fn next(events: &mut Events) -> Result<i64, ClientError> {
    let next = tokio::time::timeout(DEADLINE, events.next()).await;
    next.unwrap().map(|event| match event.read().unwrap() {
        EventData::Tick(tick) => {
            let TickNumber(number) = tick.tick;
            assert_eq!(event.id, format!("p{number}"));
            number
        }
        other => panic!("{other:?}"),
    })
}

/// Where each request wanted to go on.
fn positions(requests: &[Request]) -> Vec<Option<&str>> {
    let position = |request| Request::header(request, "last-event-id");
    requests.iter().map(position).collect()
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let stub = Stub::start(|_, before| match before {
        0 => cut(&format!("{BEGIN}{}", tick(1))),
        // In the middle of an event.
        1 => cut(&format!("{}{}", tick(2), tick(3).trim_end())),
        // Before anything came.
        2 => cut(""),
        3 => Reply::Hangup,
        // A sign of life moves the position, too.
        4 => cut(&format!("{}: still here\nid: p7\n\n", tick(3))),
        _ => open(&tick(8)),
    })
    .await;
    let mut events = listen(&stub).await;
    assert_eq!(events.position(), Some("p0"));
    for number in [1, 2, 3, 8] {
        assert_eq!(next(&mut events).await.unwrap(), number);
        assert_eq!(events.position(), Some(format!("p{number}").as_str()));
    }
    let requests = stub.requests();
    let expected = [None, Some("p1"), Some("p2"), Some("p2"), Some("p2"), Some("p7")];
    assert_eq!(positions(&requests), expected);
    assert!(requests.iter().all(|request| request.is("GET", "/events")));
}

#[tokio::test]
async fn a_listener_says_what_it_wants_and_from_where() {
    let stub = Stub::start(|_, _| open(&format!("retry: 1\nid: p6\n\n{}", tick(7)))).await;
    let query =
        EventQuery { kinds: vec![EventKind::Tick, EventKind::Price], since: Some("p6".to_owned()) };
    let mut events = stub.client().events(&query).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), 7);
    let requests = stub.requests();
    assert_eq!(positions(&requests), [Some("p6")]);
    assert!(requests[0].is("GET", "/events?kinds=tick%2Cprice"));
}

#[tokio::test]
async fn a_stream_that_fell_silent_is_opened_again() {
    let stub = Stub::start(|request, _| match request.header("last-event-id") {
        Some("p1") => open(&tick(2)),
        // However slow this machine is today.
        Some(_) => open(&tick(1)),
        None => open(&format!("{BEGIN}{}", tick(1))),
    })
    .await;
    let mut config = stub.config();
    config.silence = Duration::from_millis(50);
    let client = Client::new(config).unwrap();
    let mut events = listen_as(&client).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), 1);
    assert_eq!(next(&mut events).await.unwrap(), 2);
    assert_eq!(positions(&stub.requests()).last(), Some(&Some("p1")));
}

#[tokio::test]
async fn who_waits_a_little_at_a_time_comes_over_cuts_and_silence_too() {
    let stub = Stub::start(|_, before| match before {
        0 => cut(&format!("{BEGIN}{}", tick(1))),
        1 => open(""),
        _ => open(&tick(2)),
    })
    .await;
    let mut config = stub.config();
    config.silence = Duration::from_millis(200);
    let client = Client::new(config).unwrap();
    let mut events = listen_as(&client).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), 1);
    // As beside something else in a `select!`: shorter than the pause and than the silence.
    let patiently = async {
        loop {
            let slice = Duration::from_millis(50);
            if let Ok(event) = tokio::time::timeout(slice, events.next()).await {
                return event.unwrap().id;
            }
        }
    };
    let id = tokio::time::timeout(DEADLINE, patiently).await.unwrap();
    assert_eq!(id, "p2");
}

#[tokio::test]
async fn a_refusal_is_told_and_the_next_call_goes_on_where_it_was() {
    let stub = Stub::start(|_, before| match before {
        0 => cut(&format!("{BEGIN}{}", tick(1))),
        1..=3 => problem(503, "unavailable"),
        4 => problem(410, "position-gone"),
        _ => open(&tick(2)),
    })
    .await;
    let mut events = listen(&stub).await;
    assert_eq!(next(&mut events).await.unwrap(), 1);
    assert!(next(&mut events).await.unwrap_err().is_unavailable());
    let gone = next(&mut events).await.unwrap_err();
    assert_eq!(gone.kind(), Some(ProblemKind::PositionGone));
    assert_eq!(next(&mut events).await.unwrap(), 2);
    let requests = stub.requests();
    assert_eq!(requests.len(), 6);
    let later = positions(&requests[1..]);
    assert!(later.iter().all(|position| *position == Some("p1")));
}

#[tokio::test]
async fn who_may_not_listen_is_told_at_once() {
    let stub = Stub::start(|_, _| problem(401, "unauthorized")).await;
    let refused = listen_as(&stub.client()).await.unwrap_err();
    assert_eq!(refused.kind(), Some(ProblemKind::Unauthorized));
    assert_eq!(stub.count("GET", "/events"), 1);
}

#[tokio::test]
async fn a_token_goes_along_and_is_replaced_once_it_is_refused() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("fresh", 1800),
        _ => open(&format!("{BEGIN}{}", tick(1))),
    })
    .await;
    let mut events = listen_as(&stub.bot()).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), 1);
    let requests = stub.requests();
    assert_eq!(requests[1].header("authorization"), Some("Bearer fresh"));

    let stub = Stub::start(|request, before| match request.target.as_str() {
        "/auth/token" => token(&format!("t{before}"), 1800),
        _ if request.header("authorization") == Some("Bearer t0") => problem(401, "unauthorized"),
        _ => open(&format!("{BEGIN}{}", tick(1))),
    })
    .await;
    let mut events = listen_as(&stub.bot()).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), 1);
    assert_eq!(stub.count("POST", "/auth/token"), 2);
    assert_eq!(stub.count("GET", "/events"), 2);
}

#[tokio::test]
async fn what_is_not_known_is_passed_over_and_what_cannot_be_read_is_told_once() {
    let odd = "id: p2\nevent: weather\ndata: {\"id\":\"p2\",\"kind\":\"weather\"}\n\n\
               id: p3\nevent: tick\ndata: {\"id\":\"p3\",\"secret\":\"hunter2\"}\n\n\
               id: p4\nevent: tick\ndata: no JSON hunter2\n\n";
    let text = format!("{BEGIN}{}{odd}{}", tick(1), tick(5));
    let stub = Stub::start(move |_, _| open(&text)).await;
    let mut events = listen(&stub).await;
    assert_eq!(next(&mut events).await.unwrap(), 1);
    for position in ["p3", "p4"] {
        let error = next(&mut events).await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(events.position(), Some(position));
    }
    assert_eq!(next(&mut events).await.unwrap(), 5);
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn what_is_no_stream_of_events_is_not_listened_to() {
    let stub = Stub::start(|_, _| Reply::Json(200, json!({}))).await;
    let error = listen_as(&stub.client()).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_never_begins_is_given_up() {
    let stub = Stub::start(|_, _| open("")).await;
    let mut config = stub.config();
    config.timeout = Duration::from_millis(100);
    config.patience = Duration::from_millis(100);
    let error = listen_as(&Client::new(config).unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn an_event_without_an_end_is_not_collected_for_ever() {
    let endless = "x".repeat(arena_client::RESPONSE_BYTES_MAX + 1);
    let text = format!("{BEGIN}{}data: {endless}", tick(1));
    let stub = Stub::start(move |_, _| open(&text)).await;
    let mut events = listen(&stub).await;
    assert_eq!(next(&mut events).await.unwrap(), 1);
    let error = next(&mut events).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
}
