//! A small HTTP server on loopback whose answers are a function of the request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arena_client::{Client, ClientConfig, Credential};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const API_KEY: &str = "ldk_hunter2-0123456789";

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&header.1)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

pub(crate) enum Reply {
    Json(u16, Value),
    /// The whole answer, head included.
    Raw(Vec<u8>),
    /// This, and then nothing more on a connection that stays open.
    Hold(Vec<u8>),
    /// Takes the request and never answers.
    Silence,
    /// Closes the connection as soon as the request is there.
    Hangup,
}

/// A problem as the arena would answer it.
pub(crate) fn problem(status: u16, name: &str) -> Reply {
    Reply::Json(status, problem_body(status, name))
}

pub(crate) fn problem_body(status: u16, name: &str) -> Value {
    json!({
        "type": format!("/problems/{name}"), "title": "A title", "status": status,
        "detail": "a detail", "instance": "/x", "request_id": "req-1",
    })
}

/// What `POST /auth/token` answers.
pub(crate) fn token(text: &str, expires_in: i64) -> Reply {
    let body = json!({"access_token": text, "token_type": "bearer", "expires_in": expires_in});
    Reply::Json(200, body)
}

pub(crate) struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Stub {
    /// `answer` is given each request and how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Stub {
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
        Stub {
            address,
            requests,
            task,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.is(method, path))
            .count()
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(format!("http://{}", self.address).parse().unwrap());
        config.timeout = Duration::from_secs(10);
        config
    }

    /// A client that has no credential.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    /// A client that acts for a bot.
    pub(crate) fn bot(&self) -> Client {
        let handle = "momentum-mia".parse().unwrap();
        let credential = Credential::ApiKey {
            handle,
            api_key: API_KEY.into(),
        };
        self.client().with_credential(credential).unwrap()
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
    let bytes = match reply {
        Reply::Json(status, body) => http(status, "", &body.to_string()),
        Reply::Raw(bytes) => bytes,
        Reply::Hold(bytes) => {
            drop(stream.write_all(&bytes).await);
            return std::future::pending().await;
        }
        Reply::Hangup => return,
        Reply::Silence => return std::future::pending().await,
    };
    // The client may stop reading before the end.
    drop(stream.write_all(&bytes).await);
}

/// An answer with more headers, each ended by `\r\n`.
pub(crate) fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let request = parse(head, body);
            let length = request
                .header("content-length")
                .map_or(0, |it| it.parse().unwrap());
            if body.len() >= length {
                return Some(request);
            }
        }
        let mut chunk = [0_u8; 4096];
        let count = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn parse(head: &str, body: &str) -> Request {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Request {
        method: first.next().unwrap().to_owned(),
        path: first.next().unwrap().to_owned(),
        headers,
        body: body.to_owned(),
    }
}
