//! Bodies that cannot be read, or not in one way only, or not in reasonable time.

use api_types::ProblemKind;
use reqwest::Body;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{refused, targets};
use crate::service::Service;
use crate::state::State;

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_everywhere() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        let what = format!("{} {}", target.method, target.path);
        let sound = target.body.to_string();
        for end in (1..sound.len()).step_by(5) {
            let answer = target.send(&service, sound[..end].to_owned()).await;
            let kind = refused(&answer, &bot, &format!("{what} cut at {end}"));
            assert_eq!(kind, ProblemKind::MalformedRequest, "{what} cut at {end}");
        }
        let nested = |open: &str, times: usize| open.repeat(times);
        for (name, body) in [
            ("deep", nested("[", 60_000)),
            ("deep closed", nested("[", 30_000) + &"]".repeat(30_000)),
            ("two", format!("{sound}{sound}")),
            ("comma", format!("{},}}", &sound[..sound.len() - 1])),
            ("mark", format!("\u{feff}{sound}")),
            ("NaN", "NaN".to_owned()),
            ("quotes", sound.replace('"', "'")),
            ("NUL", format!("{sound}\0")),
        ] {
            let kind = refused(&target.send(&service, body).await, &bot, &format!("{what} {name}"));
            assert_eq!(kind, ProblemKind::MalformedRequest, "{what} {name}");
        }
        // Refused at its first member already.
        let deep = target.send(&service, nested("{\"a\":", 12_000)).await;
        refused(&deep, &bot, &what);
        for at in [1, sound.len() / 2, sound.len() - 2] {
            for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"] {
                let body = [&sound.as_bytes()[..at], bad, &sound.as_bytes()[at..]].concat();
                let answer = target.send(&service, body).await;
                let kind = refused(&answer, &bot, &format!("{what} {bad:?} at {at}"));
                let named = [ProblemKind::MalformedRequest, ProblemKind::InvalidField];
                assert!(named.contains(&kind), "{what} {bad:?} at {at}: {kind:?}");
            }
        }
        for body in ["[]", "7", "null", "\"text\"", "true", "[{}]", "{\"\": 1}"] {
            let kind = refused(&target.send(&service, body).await, &bot, &format!("{what} {body}"));
            assert_eq!(kind, ProblemKind::InvalidField, "{what} {body}");
        }
        // The values of a request in a list are no request.
        let list = Value::Array(target.body.as_object().unwrap().values().cloned().collect());
        let answer = target.send(&service, list.to_string()).await;
        answer.refuses_field("body");
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "bodies that are no JSON");
}

#[tokio::test]
async fn a_member_that_is_named_twice_is_refused_at_any_depth() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        for place in target.places() {
            let name = place.rsplit('/').next().unwrap();
            let value = target.body.pointer(&place).unwrap().to_string();
            let twice = target.with(&place, &format!("{value},\"{name}\":{value}"));
            let what = format!("{} {place} twice", target.path);
            let kind = refused(&target.send(&service, twice).await, &bot, &what);
            assert_eq!(kind, ProblemKind::InvalidField, "{what}");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "members named twice");
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        // Announced: the answer comes although nothing of the body was sent.
        let host = service.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n{}: {}\r\nContent-Type: application/json\r\n\
             Content-Length: 10485760\r\n\r\n",
            target.method, target.path, target.credential.0, target.credential.1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await.unwrap();
        let line = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(line.starts_with("HTTP/1.1 413 "), "{}: {line}", target.path);
        // Not announced: chunks, of which the first ones are too many.
        let chunks =
            futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 30_000])));
        let answer = target.send(&service, Body::wrap_stream(chunks)).await;
        let kind = refused(&answer, &bot, &target.path);
        assert_eq!(kind, ProblemKind::PayloadTooLarge);
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "ten megabytes");
}
