//! The stubs of the arena's programs in the supervisor's tests: a service by its name, and `arenactl` with only
//! the supervisor's commands. Never installed.
//!
//! Files in the directory `STAND_IN` control it (`refuse-NAME`, `unready-NAME`, `hang-arenactl`) and record its
//! work (`order`, `environment-NAME`).
#![allow(clippy::print_stdout, reason = "a stand-in talks to its test")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use daemon::config::Sources;
use daemon::process::{self, Failure, Refusal};
use supervisor::{Arena, Place};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// The number of probes that find it unready, so that a caller that does not wait is detected.
const UNREADY_PROBES: u32 = 3;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let words: Vec<String> = words.collect();
    let sources = Sources::load();
    let notes = Notes(PathBuf::from(sources.get("STAND_IN").unwrap_or_default()));
    // Like the real ones: arenactl does not begin with a log line.
    daemon::telemetry::init_with(&name, "warn");
    let mut code = 0;
    let ended = process::run(&name, async {
        code = match name.as_str() {
            "api" | "ticker" | "oracle" | "bot-runner" => service(&name, &sources, &notes).await?,
            _ => arenactl(&words, &sources, notes.clone()).await?,
        };
        Ok(())
    });
    ExitCode::from(if ended == 0 { code } else { ended })
}

#[derive(Clone)]
struct Notes(PathBuf);

impl Notes {
    fn order(&self, line: &str) -> std::io::Result<()> {
        let order = OpenOptions::new().append(true).create(true).open(self.0.join("order"));
        writeln!(order?, "{line}")
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    /// The code and the text of a refusal that a test wants.
    fn refusal(&self, name: &str) -> Option<(u8, String)> {
        let text = fs::read_to_string(self.0.join(format!("refuse-{name}"))).ok()?;
        let (code, text) = text.split_once('\n')?;
        Some((code.parse().ok()?, text.to_owned()))
    }
}

async fn service(name: &str, sources: &Sources, notes: &Notes) -> Result<u8, Failure> {
    if let Some((code, text)) = notes.refusal(name) {
        let _ = writeln!(std::io::stderr(), "{{\"level\":\"INFO\"}}\n{}", text.trim_end());
        return Ok(code);
    }
    let (host, port) = match name {
        "api" => ("API_HOST", "API_PORT"),
        "ticker" => ("HEALTH_HOST", "TICKER_HEALTH_PORT"),
        "oracle" => ("HEALTH_HOST", "ORACLE_HEALTH_PORT"),
        _ => ("HEALTH_HOST", "BOT_RUNNER_HEALTH_PORT"),
    };
    let host = sources.get(host).unwrap_or_else(|| "127.0.0.1".to_owned());
    let port: u16 = sources.get(port).unwrap_or_default().parse()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    // Values that only the settings have.
    let environment = fs::read("/proc/self/environ")?;
    fs::write(notes.0.join(format!("environment-{name}")), environment)?;
    notes.order(&format!("start {name}"))?;
    let mut probes = 0;
    loop {
        let stream = tokio::select! {
            _ = terminate.recv() => {
                notes.order(&format!("stop {name}"))?;
                return Ok(0);
            }
            accepted = listener.accept() => accepted?.0,
        };
        probes += 1;
        if probes == UNREADY_PROBES + 1 {
            notes.order(&format!("ready {name}"))?;
        }
        let is_ready = probes > UNREADY_PROBES && !notes.has(&format!("unready-{name}"));
        // The caller may be gone.
        let _ = answer(stream, if is_ready { 200 } else { 503 }).await;
    }
}

async fn answer(stream: TcpStream, code: u16) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let head = format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

async fn arenactl(words: &[String], sources: &Sources, notes: Notes) -> Result<u8, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let place = Place::new(sources)?;
    match words[..] {
        ["up"] => supervisor::up(&StandIn(notes)).await?,
        ["stop"] => supervisor::stop(&place).await?,
        ["logs"] => supervisor::logs(&place, None)?,
        ["logs", name] => supervisor::logs(&place, Some(name))?,
        ["reset"] => supervisor::reset(&place, false).await?,
        ["reset", "--yes"] => supervisor::reset(&place, true).await?,
        ["status", "--services"] => return Ok(supervisor::services(&place, sources).await?),
        ["status", "--watch"] => return Ok(supervisor::watch(&place, sources).await?),
        ["status", "--logs", logs] => outlook(logs, sources, &notes).await,
        _ => return Err(Refusal::failure(format!("{words:?} is no command")).into()),
    }
    Ok(0)
}

/// Its settings, for the test that reads them.
async fn outlook(logs: &str, sources: &Sources, notes: &Notes) {
    let database = sources.is_from_environment("DATABASE_URL");
    println!("tick    7, begun 3 s ago");
    println!("logs    {logs}");
    println!("env     {}, DATABASE_URL {database}", sources.file().display());
    if notes.has("hang-arenactl") {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}

struct StandIn(Notes);

impl Arena for StandIn {
    async fn postgres(&self, setting: &'static str) -> Result<(), String> {
        let url = Sources::load().get(setting).unwrap_or_default();
        let login = async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.simple_query("SELECT 1").await
        };
        match tokio::time::timeout(Duration::from_secs(4), login).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    async fn redis(&self) -> Result<(), String> {
        Ok(())
    }

    async fn prepare(&self) -> Result<(), Failure> {
        if let Some((code, text)) = self.0.refusal("arenactl") {
            return Err(Refusal::new(code, text.trim_end()).into());
        }
        self.0.order("prepare")?;
        Ok(())
    }
}
