//! A small HTTP server on loopback whose answers are a function of the request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sources::{Http, HttpConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

pub(crate) const CONTACT: &str = "mailto:ops@example.org";

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(&header.1)
    }
}

pub(crate) enum Reply {
    /// A status, more headers (each ended by `\r\n`) and a body.
    Answer(u16, String, Vec<u8>),
    /// Sends the head and half of a body, and then nothing more.
    HalfAnswer,
    /// Sends the head and half of a body, and closes.
    CutOff,
    /// Takes the request and never answers.
    Silence,
    /// Closes the connection as soon as the request is there.
    Hangup,
}

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Reply {
    status(200, body)
}

pub(crate) fn status(status: u16, body: impl AsRef<[u8]>) -> Reply {
    with_headers(status, "", body)
}

pub(crate) fn with_headers(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    Reply::Answer(status, headers.to_owned(), body.as_ref().to_vec())
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

    pub(crate) fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The one request that was made, after the checks that each must pass.
    pub(crate) fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        let request = requests.into_iter().next().unwrap();
        assert_eq!(request.method, "GET");
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("ledgerdome/"), "{agent}");
        assert!(agent.ends_with(&format!(" (+{CONTACT})")), "{agent}");
        request
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn http() -> Http {
    patient_for(Duration::from_secs(10))
}

pub(crate) fn patient_for(timeout: Duration) -> Http {
    let contact = CONTACT.to_owned();
    Http::new(&HttpConfig { contact, timeout }).unwrap()
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
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":";
    // The client may stop reading before the end.
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
            );
            drop(stream.write_all(&[head.as_bytes(), &body].concat()).await);
        }
        Reply::CutOff => drop(stream.write_all(half).await),
        Reply::HalfAnswer => {
            drop(stream.write_all(half).await);
            std::future::pending().await
        }
        Reply::Hangup => {}
        Reply::Silence => std::future::pending().await,
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            return Some(parse(head));
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

fn parse(head: &str) -> Request {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Request {
        method: first.next().unwrap().to_owned(),
        target: first.next().unwrap().to_owned(),
        headers,
    }
}
