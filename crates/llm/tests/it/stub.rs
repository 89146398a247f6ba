//! A small HTTP server on loopback that gives one prepared answer to every request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use llm::openai::OpenAiConfig;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

pub(crate) const KEY: &str = "sk-hunter2-0123456789";

pub(crate) enum Behaviour {
    /// The whole answer, head included.
    Answer(Vec<u8>),
    /// Takes the request and never answers.
    Silence,
    /// Sends the head of an answer and then nothing more.
    HalfAnswer,
    /// Closes the connection as soon as the request is there.
    Hangup,
}

pub(crate) struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                match &behaviour {
                    // The client may stop reading before the end.
                    Behaviour::Answer(bytes) => drop(stream.write_all(bytes).await),
                    Behaviour::HalfAnswer => {
                        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"choices\":";
                        stream.write_all(head).await.unwrap();
                        held.push(stream);
                    }
                    Behaviour::Silence => held.push(stream),
                    Behaviour::Hangup => drop(stream),
                }
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    pub(crate) async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        Self::start(Behaviour::Answer(text.into_bytes())).await
    }

    pub(crate) fn config(&self) -> OpenAiConfig {
        OpenAiConfig {
            base_url: Url::parse(&format!("http://{}/v1", self.address)).unwrap(),
            api_key: Some(SecretString::from(KEY)),
            model: "arena-small".to_owned(),
            timeout: std::time::Duration::from_secs(10),
        }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse::<usize>().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let mut chunk = [0_u8; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the request ended early: {text}");
        bytes.extend_from_slice(&chunk[..count]);
    }
}
