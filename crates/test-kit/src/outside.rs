//! The outside world on loopback: the services that markets read, with answers of their shape about a small
//! world, the same for all requests at one moment ([`sources::played`]).
//!
//! For tests, and for trying the arena on a machine without the internet. None of it looks real: a market's
//! evidence has the loopback address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ledger_core::Timestamp;
use ledger_core::market::MarketSource;
pub use sources::played::Played;
use sources::played::{Asked, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers that replace the played ones, and the requests.
#[derive(Default)]
struct Script {
    world: World,
    faults: BTreeMap<MarketSource, Played>,
    /// For single subjects, by path.
    faults_about: BTreeMap<String, Played>,
    asked: BTreeMap<MarketSource, usize>,
}

/// All services on one port.
pub struct Outside {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Outside {
    /// On any free port.
    pub async fn start() -> Outside {
        Outside::listen(0).await
    }

    pub async fn listen(port: u16) -> Outside {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Outside { address, script, task }
    }

    /// The settings that send oracle and bot-runner here, as lines of a `.env`.
    pub fn settings(&self) -> String {
        settings_at(&format!("http://{}", self.address))
            .iter()
            .map(|(name, url)| format!("{name}={url}\n"))
            .collect()
    }

    /// From now on a source answers this; `None` for the truth again.
    pub fn fault(&self, source: MarketSource, fault: Option<Played>) {
        let mut script = lock(&self.script);
        match fault {
            Some(fault) => drop(script.faults.insert(source, fault)),
            None => drop(script.faults.remove(&source)),
        }
    }

    /// From now on requests for this path get this; `None` restores the played answer.
    pub fn fault_about(&self, path: &str, fault: Option<Played>) {
        let mut script = lock(&self.script);
        match fault {
            Some(fault) => drop(script.faults_about.insert(path.to_owned(), fault)),
            None => drop(script.faults_about.remove(path)),
        }
    }

    /// The number of requests to a source.
    pub fn asked(&self, source: MarketSource) -> usize {
        let script = lock(&self.script);
        script.asked.get(&source).copied().unwrap_or(0)
    }
}

/// The settings that redirect requests for sources to this address.
pub fn settings_at(base: &str) -> Vec<(&'static str, String)> {
    let setting = |source: &MarketSource| {
        let (name, path) = sources::of(*source).address();
        (name, format!("{base}{path}"))
    };
    MarketSource::ALL.iter().map(setting).collect()
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(script: &Mutex<Script>) -> std::sync::MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok()?;
        if count == 0 || head.len() > 65_536 {
            return None;
        }
        head.extend_from_slice(chunk.get(..count)?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    let answer = packed(&respond(&target, &script));
    // The client may stop reading before the end.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    Some(())
}

fn respond(target: &str, script: &Mutex<Script>) -> Played {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let now = Timestamp::from(chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()));
    let mut script = lock(script);
    let (source, truth) = script.world.answer(&Asked { path, query, now });
    if let Some(source) = source {
        *script.asked.entry(source).or_default() += 1;
    }
    let of_source = source.and_then(|source| script.faults.get(&source));
    let fault = script.faults_about.get(path).or(of_source);
    fault.cloned().unwrap_or(truth)
}

fn packed(played: &Played) -> Vec<u8> {
    let Played { status, body, .. } = played;
    let headers: String =
        played.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
