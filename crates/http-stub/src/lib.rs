//! A small HTTP server on loopback whose answers are a function of the request, down to the bytes: it can also
//! not answer, disconnect, and stop in the middle of an answer.
//!
//! For tests only: everything here panics rather than answer an error.
#![allow(clippy::unwrap_used)]

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// The head of an answer, and a body shorter than announced.
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":";

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// All of it, as it came.
    pub text: String,
    pub method: String,
    /// The path with its query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// `None` while it is not complete.
    fn parse(bytes: &[u8]) -> Option<Request> {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at(head);
        let body = &body[4..];
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let request = Request {
            method: first.next().unwrap().to_owned(),
            target: first.next().unwrap().to_owned(),
            headers,
            body: String::from_utf8_lossy(body).into_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        };
        let length = request.header("content-length");
        let length = length.map_or(0, |it| it.parse().unwrap());
        (body.len() >= length).then_some(request)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&header.1)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }
}

/// The reaction to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Json(u16, Value),
    /// The whole answer, head included, as [`http`] makes one.
    Raw(Vec<u8>),
    /// This, and then nothing more on a connection that stays open.
    Hold(Vec<u8>),
    /// Sends the head and half of a body, and then nothing more.
    HalfAnswer,
    /// Sends the head and half of a body, and closes.
    CutOff,
    /// Takes the request and never answers.
    Silence,
    /// Closes the connection as soon as the request is there.
    Hangup,
}

/// An answer with more headers, each ended by `\r\n`.
pub fn http(status: impl Display, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The server, until it is dropped.
pub struct Stub {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Stub {
    /// `answer` is given each request and how many came before it.
    pub async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Stub { address, requests, task }
    }

    /// The same reply to every request.
    pub async fn replying(reply: Reply) -> Stub {
        Stub::start(move |_, _| reply.clone()).await
    }

    /// The same answer to every request.
    pub async fn answering(status: impl Display, headers: &str, body: &str) -> Stub {
        Stub::replying(Reply::Raw(http(status, headers, body))).await
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<impl Fn(&Request, usize) -> Reply>,
) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let reply = {
        let mut seen = seen.lock().unwrap();
        let reply = answer(&request, seen.len());
        seen.push(request);
        reply
    };
    let (bytes, stays_open) = match reply {
        Reply::Json(status, body) => (http(status, "", body.to_string()), false),
        Reply::Raw(bytes) => (bytes, false),
        Reply::Hold(bytes) => (bytes, true),
        Reply::HalfAnswer => (HALF.to_vec(), true),
        Reply::CutOff => (HALF.to_vec(), false),
        Reply::Silence => (Vec::new(), true),
        Reply::Hangup => return,
    };
    // The client may stop reading before the end.
    drop(stream.write_all(&bytes).await);
    if stays_open {
        std::future::pending().await
    }
}

/// `None` if the client disconnects before its request is complete.
async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = Request::parse(&bytes) {
            return Some(request);
        }
        let mut chunk = [0_u8; 4096];
        let count = stream.read(&mut chunk).await.ok()?;
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}
