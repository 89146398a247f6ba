//! Resuming: no event is lost or repeated, in any order of commits.

use std::collections::HashSet;

use api_types::{Event, ProblemKind, close_code};
use reqwest::Method;
use secrecy::SecretString;
use test_kit::Arena;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::Client;

use super::{PATIENCE, in_time, number, write_events};
use crate::service::{Answer, Service};

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    /// Below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap()
    }
}

/// Writers whose transactions begin, draw their ids, and end in any order. Answers the numbers of
/// all events that were committed.
async fn write_out_of_order(service: &Service, dice: &mut Dice) -> HashSet<i64> {
    const STEPS: usize = 1_500;
    let mut idle: Vec<Client> = Vec::new();
    for _ in 0..8 {
        idle.push(service.arena.owner_client().await);
    }
    let mut open: Vec<(Client, Vec<i64>)> = Vec::new();
    let mut committed = HashSet::new();
    let mut next = 1;
    for step in 0..STEPS {
        let draining = step + 8 > STEPS;
        match dice.roll(4) {
            0 | 1 if !idle.is_empty() && !draining => {
                let client = idle.swap_remove(dice.index(idle.len()));
                // Draws the transaction's id, and the events'.
                client.batch_execute("BEGIN").await.unwrap();
                open.push((client, Vec::new()));
            }
            2 if !open.is_empty() && !draining => {}
            _ if !open.is_empty() => {
                let (client, numbers) = open.swap_remove(dice.index(open.len()));
                if dice.roll(10) == 0 {
                    client.batch_execute("ROLLBACK").await.unwrap();
                } else {
                    client.batch_execute("COMMIT").await.unwrap();
                    committed.extend(numbers);
                    if dice.roll(2) == 0 {
                        service.cache.wake_soon();
                    }
                }
                idle.push(client);
                continue;
            }
            _ => continue,
        }
        let at = dice.index(open.len());
        let (client, numbers) = &mut open[at];
        let more: Vec<i64> = (next..=next + i64::try_from(dice.roll(4)).unwrap()).collect();
        next += 4;
        write_events(client, &more).await;
        numbers.extend(more);
    }
    for (client, numbers) in open {
        client.batch_execute("COMMIT").await.unwrap();
        committed.extend(numbers);
    }
    committed
}

/// Reads by Server-Sent Events up to the event of number zero, and is cut again and again.
async fn read_sse(service: &Service, begin: &str, mut dice: Dice) -> Vec<Event> {
    let (mut seen, mut last_id) = (Vec::new(), begin.to_owned());
    loop {
        let mut sse = service.resume(&last_id).await;
        for _ in 0..dice.roll(40) {
            let event = sse.event().await.expect("the stream goes on");
            let is_last = number(&event) == 0;
            seen.push(event);
            if is_last {
                return seen;
            }
        }
        last_id = sse.last_id.unwrap_or(last_id);
    }
}

/// The same over WebSockets.
async fn read_ws(service: &Service, begin: &str, mut dice: Dice) -> Vec<Event> {
    let (mut seen, mut last_id) = (Vec::<Event>::new(), begin.to_owned());
    loop {
        let mut ws = service.websocket(&format!("?since={last_id}")).await;
        for _ in 0..dice.roll(40) {
            let event = ws.event().await.expect("the stream goes on");
            last_id.clone_from(&event.id);
            let is_last = number(&event) == 0;
            seen.push(event);
            if is_last {
                return seen;
            }
        }
    }
}

/// Reads without being cut.
async fn read_on(service: &Service, begin: &str) -> Vec<Event> {
    let mut sse = service.resume(begin).await;
    let mut seen = Vec::new();
    loop {
        let event = sse.event().await.expect("the stream goes on");
        let is_last = number(&event) == 0;
        seen.push(event);
        if is_last {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_cut_see_every_event_once_while_commits_come_out_of_order() {
    let service = Service::new().await;
    let begin = service.listening().await.last_id.unwrap();
    let (service, begin) = (&service, begin.as_str());
    let writing = async {
        let mut dice = Dice(0x5EED);
        let committed = write_out_of_order(service, &mut dice).await;
        // Held-back events follow in the order of the log.
        write_events(&service.arena.owner_client().await, &[0]).await;
        service.cache.wake_soon();
        committed
    };
    let mut dice = (1..).map(|seed| Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed)));
    let mut roll = || dice.next().unwrap();
    let reading = async {
        tokio::join!(
            read_on(service, begin),
            read_sse(service, begin, roll()),
            read_sse(service, begin, roll()),
            read_sse(service, begin, roll()),
            read_ws(service, begin, roll()),
            read_ws(service, begin, roll()),
            read_ws(service, begin, roll()),
        )
    };
    let all = tokio::time::timeout(PATIENCE * 3, async { tokio::join!(writing, reading) });
    let (mut committed, (first, a, b, c, d, e, f)) = all.await.expect("all is read in time");
    committed.insert(0);

    let numbers: Vec<i64> = first.iter().map(number).collect();
    let distinct: HashSet<i64> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "an event was told twice");
    assert_eq!(distinct, committed, "an event was lost, or was never committed");
    assert!(!numbers.is_sorted(), "the commits were in order: this test tests nothing");
    for (reader, seen) in [a, b, c, d, e, f].iter().enumerate() {
        assert_eq!(*seen, first, "reader {reader}");
    }
}

#[tokio::test]
async fn an_open_transaction_holds_back_later_ones_and_then_all_are_told() {
    let service = Service::new().await;
    let mut sse = service.listening().await;
    let mut late = service.arena.owner_client().await;
    let other = service.arena.owner_client().await;
    let transaction = late.transaction().await.unwrap();
    write_events(&transaction, &[1]).await;
    write_events(&other, &[2]).await;
    service.cache.wake().await.unwrap();
    // A new reader does not get the later one either: it would resume after the earlier.
    let mut second = service.resume(sse.last_id.as_ref().unwrap()).await;
    second.block().await.unwrap();
    transaction.commit().await.unwrap();
    for reader in [&mut sse, &mut second] {
        assert_eq!(number(&reader.event().await.unwrap()), 1);
        assert_eq!(number(&reader.event().await.unwrap()), 2);
    }
}

#[tokio::test]
async fn a_reader_that_missed_much_catches_up_and_goes_on_live() {
    let service = Service::new().await;
    let begin = service.listening().await.last_id.unwrap();
    let owner = service.arena.owner_client().await;
    let numbers: Vec<i64> = (1..=1_000).collect();
    write_events(&owner, &numbers).await;
    let mut sse = service.resume(&begin).await;
    let mut ws = service.websocket(&format!("?since={begin}")).await;
    for expected in 1..=1_000 {
        let event = sse.event().await.unwrap();
        assert_eq!(number(&event), expected);
        assert_eq!(ws.event().await.unwrap(), event);
    }
    write_events(&owner, &[1_001]).await;
    assert_eq!(number(&sse.event().await.unwrap()), 1_001);
    assert_eq!(number(&ws.event().await.unwrap()), 1_001);
}

#[tokio::test]
async fn events_flow_while_redis_is_down() {
    let arena = Arena::new().await;
    let (url, cut) = way_to_redis(&arena).await;
    let service = Service::halted(arena, |config| config.redis.url = SecretString::from(url)).await;
    let mut sse = service.listening().await;
    cut.abort();
    let owner = service.arena.owner_client().await;
    for n in 1..=2 {
        write_events(&owner, &[n]).await;
        assert_eq!(number(&sse.event().await.unwrap()), n);
    }
    let answer = service.request(Method::GET, "/ready").send().await.unwrap();
    assert_eq!(answer.status(), 503, "Redis is still there");
}

/// A URL of Redis that leads through a task, and ends with it.
async fn way_to_redis(arena: &Arena) -> (String, JoinHandle<()>) {
    let url = arena.redis_url();
    let (credentials, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.to_owned();
    let task = tokio::spawn(async move {
        // Dropped with the task, and every connection with it.
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&server).await.unwrap();
            connections.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (format!("{credentials}@{address}/{database}"), task)
}

#[tokio::test]
async fn a_position_that_is_none_is_refused() {
    let service = Service::new().await;
    for wrong in [
        "",
        "1",
        "-",
        "1-",
        "-1",
        "1--1",
        "+1-1",
        "01-1",
        "1-01",
        "1-1-1",
        " 1-1",
        "1-1 ",
        "x-1",
        "18446744073709551616-1",
        "1-9223372036854775808",
        "4000000000000-1",
        "18446744073709551615-1",
    ] {
        // Spaces at the ends of a header's value are not part of it.
        if wrong.trim() == wrong {
            let by_header = service.events("").header("Last-Event-ID", wrong);
            let problem = Answer::of(by_header).await.problem(ProblemKind::InvalidField);
            assert_eq!(problem.field(), Some("Last-Event-ID"), "{wrong}");
        }
        let query = [("since", wrong)];
        let by_query = service.events("").query(&query);
        let problem = Answer::of(by_query).await.problem(ProblemKind::InvalidField);
        assert_eq!(problem.field(), Some("since"), "{wrong}");
    }
    let problem = Answer::of(service.events("?kinds=entry,entropy")).await;
    assert_eq!(problem.problem(ProblemKind::InvalidField).field(), Some("kinds"));
    for query in ["?since=1", "?since=4000000000000-1", "?kinds=", "?kinds=entropy"] {
        let mut ws = service.websocket(query).await;
        assert_eq!(ws.event().await, Err(close_code::INVALID), "{query}");
    }
}

#[tokio::test]
async fn a_position_whose_events_are_forgotten_is_gone() {
    let service = Service::new().await;
    let mut sse = service.listening().await;
    let begin = sse.last_id.clone().unwrap();
    let owner = service.arena.owner_client().await;
    write_events(&owner, &[1, 2]).await;
    let first = sse.event().await.unwrap().id;
    let second = sse.event().await.unwrap().id;
    let tomorrow = service.arena.now().await.plus_seconds(24 * 60 * 60);
    let mut conn = service.arena.conn().await;
    assert_eq!(db::events::prune(&mut conn, tomorrow).await.unwrap(), 2);
    for gone in [&begin, &first] {
        let request = service.events("").header("Last-Event-ID", gone);
        Answer::of(request).await.problem(ProblemKind::PositionGone);
        let mut ws = service.websocket(&format!("?since={gone}")).await;
        assert_eq!(ws.event().await, Err(close_code::POSITION_GONE));
    }
    // A reader with the last of them missed none.
    let mut again = service.resume(&second).await;
    write_events(&owner, &[3]).await;
    assert_eq!(number(&in_time("the third", again.event()).await.unwrap()), 3);
}
