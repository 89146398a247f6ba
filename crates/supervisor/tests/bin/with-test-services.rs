//! `with-test-services [--durable] COMMAND…`: runs a command with a temporary Postgres and Redis.
//! For development; `scripts/with-test-services` builds and starts it.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use daemon::config::Sources;
use daemon::process::{Failure, Refusal};
use supervisor::private::{Durability, Postgres, Programs, Redis, SUPERUSER, temporary_directory};
use supervisor::process::{PidFile, Signal, code_of, end, spawn};
use supervisor::{ports, random_hex};
use tokio::signal::unix::{SignalKind, signal};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const COMMAND_ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Ports are looked for from one of these on.
const PORTS: (u16, u16) = (20_000, 9_000);
const DIRECTORY: &str = "arena-test";
/// Should this process be killed outright, the kernel stops the servers for it.
const WITH_PARENT: [&str; 4] = ["setpriv", "--pdeathsig", "INT", "--"];

/// Nobody will ever read these files again.
const FAST: [&str; 5] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum_naptime=10s",
    "max_wal_size=4GB",
];
const DURABLE: [&str; 1] = ["max_wal_size=8GB"];
const QUIET: [&str; 3] =
    ["max_connections=500", "log_min_messages=fatal", "log_min_error_statement=panic"];
/// Tests that count what statements read. Each test has its own database, and thus its own statements.
const COUNTED: [&str; 2] =
    ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=50000"];

fn main() -> ExitCode {
    // Only the command's own output is shown.
    daemon::telemetry::init_with("with-test-services", "warn");
    let mut code = 0;
    let ended = daemon::process::run("with-test-services", async {
        code = run().await?;
        Ok(())
    });
    ExitCode::from(if ended == 0 { code } else { ended })
}

async fn run() -> Result<u8, Failure> {
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    let is_durable = words.first().is_some_and(|word| word == "--durable");
    if is_durable {
        words.remove(0);
    }
    if words.is_empty() {
        let usage = "usage: with-test-services [--durable] COMMAND...";
        return Err(Refusal::config(usage).into());
    }
    let sources = Sources::load();
    let parent = sources.given("TMPDIR");
    let parent = PathBuf::from(parent.unwrap_or_else(|| "/tmp".to_owned()));
    remove_leftovers(&parent);
    let home = Home(temporary_directory(&parent, DIRECTORY)?);
    PidFile::new(home.0.join("owner")).write(std::process::id())?;
    let mut kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()]
        .map(|kind| signal(kind).map(|signal| (128 + kind.as_raw_value(), signal)));
    let (mut services, child) = (None, Cell::new(None));
    let running = async {
        let services = services.insert(start(&home.0, &sources, is_durable).await?);
        command(&words, services, &sources, &child).await
    };
    let [hangup, interrupt, terminate] = &mut kinds;
    let ended = tokio::select! {
        biased;
        code = heard(hangup) => Ok(code),
        code = heard(interrupt) => Ok(code),
        code = heard(terminate) => Ok(code),
        ended = running => ended,
    };
    if let Some(pid) = child.get() {
        end("the command", pid, Signal::TERM, COMMAND_ENDS_WITHIN, Signal::KILL).await;
    }
    if let Some(services) = services {
        services.stop().await;
    }
    ended
}

/// The exit code of a signal, once it comes.
async fn heard(signal: &mut std::io::Result<(i32, tokio::signal::unix::Signal)>) -> u8 {
    match signal {
        Ok((code, signal)) => {
            signal.recv().await;
            u8::try_from(*code).unwrap_or(1)
        }
        Err(_) => std::future::pending().await,
    }
}

/// A directory that goes with its value.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Leftovers of killed runs.
fn remove_leftovers(parent: &Path) {
    for parent in [parent, Path::new("/tmp")] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(DIRECTORY);
            let owner = entry.path().join("owner");
            if is_ours && owner.is_file() && PidFile::new(owner).read().is_none() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

struct Services {
    postgres: Child,
    redis: Child,
    postgres_url: String,
    redis_url: String,
    /// Of Postgres, for pgbench and the like, which Debian keeps out of `PATH`.
    programs: PathBuf,
}

impl Services {
    async fn stop(mut self) {
        end("redis", self.redis.id(), Signal::TERM, ENDS_WITHIN, Signal::KILL).await;
        end("postgres", self.postgres.id(), Signal::QUIT, ENDS_WITHIN, Signal::KILL).await;
        let _ = (self.redis.wait(), self.postgres.wait());
    }
}

async fn start(home: &Path, sources: &Sources, is_durable: bool) -> Result<Services, Failure> {
    let found = Programs::find(sources);
    let postgres = Postgres::create(&found, &home.join("postgres"), Durability::ThrowAway)?;
    let mut settings: Vec<String> = QUIET.map(str::to_owned).into();
    settings.extend(
        if is_durable { &DURABLE[..] } else { &FAST[..] }.iter().map(|text| (*text).to_owned()),
    );
    // On other systems than Debian it may be a separate package; then those tests fail with a reason.
    let library = postgres.programs().join("../lib/pg_stat_statements.so");
    if !is_durable && library.exists() {
        settings.extend(COUNTED.map(str::to_owned));
    }
    // A server whose errors are in another language, such as de_DE.UTF-8.
    let language = sources.given("TEST_LC_MESSAGES");
    settings.extend(language.map(|language| format!("lc_messages={language}")));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut refusal = String::new();
    // Somebody may take a port between our look and the server's bind: then take another.
    for _ in 0..5 {
        let random = random_hex(2)?;
        let first = PORTS.0 + u16::from_str_radix(&random, 16).unwrap_or(0) % PORTS.1;
        let port = ports::next_free(first, &[])?;
        let redis_port = ports::next_free(port + 1, &[])?;
        let password = random_hex(16)?;
        let redis =
            Redis::create(&found, &home.join("redis"), redis_port, &password, &["appendonly no"])?;
        let logged = |mut command: Command, name: &str| {
            let log = fs::File::create(home.join(name))?;
            command.stdout(log.try_clone()?).stderr(log);
            spawn(command)
        };
        let services = Services {
            postgres: logged(postgres.command(port, &WITH_PARENT, &settings), "postgres.log")?,
            redis: logged(redis.command(&WITH_PARENT), "redis.log")?,
            postgres_url: format!(
                "postgres://{SUPERUSER}:{}@127.0.0.1:{port}/postgres",
                postgres.superuser_password().unwrap_or_default()
            ),
            redis_url: format!("redis://default:{password}@127.0.0.1:{redis_port}/0"),
            programs: postgres.programs().to_owned(),
        };
        let answers = async {
            postgres.answers(services.postgres.id(), port, ANSWERS_WITHIN).await?;
            redis.answers(services.redis.id(), ANSWERS_WITHIN).await
        };
        match answers.await {
            Ok(()) => return Ok(services),
            Err(why) => refusal = why,
        }
        services.stop().await;
    }
    for log in ["postgres.log", "redis.log"] {
        let text = fs::read_to_string(home.join(log)).unwrap_or_default();
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    let text = format!("could not start a throw-away Postgres and Redis: {refusal}.");
    Err(Refusal::unavailable(text).into())
}

/// Runs it with our standard input and with the terminal's Ctrl-C, and passes on its exit code.
async fn command(
    words: &[std::ffi::OsString],
    services: &Services,
    sources: &Sources,
    running: &Cell<Option<u32>>,
) -> Result<u8, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(0);
    };
    let path = sources.get("PATH").unwrap_or_default();
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env("TEST_DATABASE_URL", &services.postgres_url)
        .env("TEST_REDIS_URL", &services.redis_url)
        .env("PATH", format!("{path}:{}", services.programs.display()));
    let shown = program.to_string_lossy();
    let child = command.spawn();
    let mut child =
        child.map_err(|error| Refusal::failure(format!("cannot run {shown}: {error}")))?;
    running.set(child.id());
    let status = child.wait().await?;
    running.set(None);
    Ok(u8::try_from(code_of(status)).unwrap_or(1))
}
