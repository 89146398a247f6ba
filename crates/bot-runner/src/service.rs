//! The bot runner as a process: connects, waits for the arena, runs the bots, reports its health.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arena_client::{Client, ClientError, Credential};
use daemon::command_line::{Build, Service};
use daemon::config::Sources;
use daemon::health::{self, Check, CheckState, LOOK_SECONDS, look};
use daemon::process::{Failure, Unavailable};
use daemon::shutdown::{Shutdown, Wake};
use db::Database;
use ledger_core::Money;
use service::{credentials, readiness};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

use crate::budget::{DailyCap, Mind, Spending};
use crate::config::{Config, KeyedPersona};
use crate::metrics;
use crate::runner::{Pace, Runner};
use crate::turn::{HostedBot, thinking_limit};

/// How long the arena may take to come up.
const ARENA_PATIENCE: Duration = Duration::from_secs(30);
const ARENA_PAUSE: Duration = Duration::from_millis(500);

/// The whole program: answers its command line, or serves until a signal.
///
/// It is not in `main.rs`, which contains the commit and is compiled again for each one.
pub fn main(build: Build) -> ExitCode {
    let service = Service {
        name: "bot-runner",
        about: "Runs the hosted bots: observe, decide, act through the API.",
        build,
        needs: &["DATABASE_URL"],
        host: "HEALTH_HOST",
        port: ("BOT_RUNNER_HEALTH_PORT", crate::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, run_with_settings())
}

async fn run_with_settings() -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let config = Config::read(&Sources::load())?;
    run(config, Pace::default(), shutdown).await
}

/// Runs until the shutdown.
///
/// # Errors
/// [`Unavailable`](daemon::process::Unavailable) if Postgres or the arena cannot be reached at start, or if the schema is
/// older than this program; [`ConfigError`](daemon::config::ConfigError) if it is newer; others if the health port is taken.
pub async fn run(config: Config, pace: Pace, shutdown: Shutdown) -> Result<(), Failure> {
    show_refused(&config);
    let database = config.postgres.connect().await?;
    credentials::follow_postgres(&config.postgres, database.clone(), None, &shutdown)?;
    if wait_for_arena(&config, &shutdown).await? == Wake::ShutdownRequested {
        return Ok(());
    }
    let missing = config.staff.refused.len() + config.staff.keyless.len();
    let (arena, hosts, address) =
        (config.arena.clone(), config.hosts.clone(), config.health_address);
    let bots = staff(config, &database)?;
    let count = bots.len();
    metrics::watch(&database);
    let runner = Runner::new(database.clone(), bots, pace, shutdown.clone());
    let roster = RosterView { count, missing, ended: runner.ended() };
    let probe = move || probe(database.clone(), arena.clone(), roster.clone());
    let health = health::serve(address, hosts, "bot-runner", probe, shutdown.clone()).await?;
    info!(bots = count, "running the hosted bots");
    runner.run().await;
    health.stopped().await;
    Ok(())
}

/// Each fault on its own line, before other errors.
fn show_refused(config: &Config) {
    for refused in &config.staff.refused {
        for fault in &refused.faults {
            let (file, line) = (refused.file.display(), fault.line);
            error!(%file, line, field = %fault.field, "persona refused: {fault}");
        }
    }
    for keyless in &config.staff.keyless {
        error!(bot = %keyless.handle, "persona refused: {keyless}");
    }
}

/// The api may be starting at the same moment.
async fn wait_for_arena(config: &Config, shutdown: &Shutdown) -> Result<Wake, Failure> {
    let deadline = Instant::now() + ARENA_PATIENCE;
    let mut has_told = false;
    loop {
        let patience = Duration::from_secs(LOOK_SECONDS);
        let error = match timeout(patience, config.arena.health()).await {
            Ok(Ok(())) => return Ok(Wake::Elapsed),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {patience:?}"),
        };
        if Instant::now() >= deadline {
            let what = format!("the arena at {}", config.arena_address);
            let hint = "is the api running, and is API_URL right?";
            return Err(Unavailable::new(what, hint).because(error).into());
        }
        if !has_told {
            let arena = &config.arena_address;
            info!(%arena, patience = ?ARENA_PATIENCE, "waiting for the arena");
            has_told = true;
        }
        if shutdown.sleep(ARENA_PAUSE).await == Wake::ShutdownRequested {
            return Ok(Wake::ShutdownRequested);
        }
    }
}

fn spending(limit: Option<Money>, database: &Database) -> Spending {
    match limit {
        None => Spending::Unlimited,
        Some(usd) => Spending::Capped(DailyCap { usd, database: database.clone() }),
    }
}

/// Gives each persona its credential, its mind and its tool.
fn staff(config: Config, database: &Database) -> Result<Vec<HostedBot>, Failure> {
    let Config { arena, mut models, limit, lookup, staff, .. } = config;
    let spending = spending(limit.usd, database);
    info!(model = %models.name(), ?spending, "the bots think with");
    let thinking_limit = thinking_limit(models.call_timeout());
    let mut bots = Vec::with_capacity(staff.bots.len());
    for KeyedPersona { persona, api_key } in staff.bots {
        let handle = persona.handle.clone();
        let credential = Credential::ApiKey { handle, api_key };
        let model = models.for_choices(&persona.llm)?;
        bots.push(HostedBot {
            arena: arena.with_credential(credential)?,
            mind: Mind::new(model, spending.clone(), Arc::clone(&limit.prices)),
            lookup: lookup.clone(),
            thinking_limit,
            persona,
        });
    }
    Ok(bots)
}

/// The part of `/ready` about the bots.
#[derive(Clone)]
struct RosterView {
    count: usize,
    /// Personas that were refused or have no key.
    missing: usize,
    ended: watch::Receiver<usize>,
}

impl RosterView {
    fn check(&self) -> Check {
        let ended = *self.ended.borrow();
        let running = self.count.saturating_sub(ended);
        let detail = format!(
            "{running} run, {ended} ended (dead, retired or without access), {} refused at start",
            self.missing
        );
        let state =
            if self.missing > 0 || running == 0 { CheckState::Degraded } else { CheckState::Ok };
        Check { name: "bots".to_owned(), state, detail: Some(detail) }
    }
}

async fn probe(database: Database, arena: Client, roster: RosterView) -> Vec<Check> {
    let not_ready = |_: &ClientError| Some("the API is not ready; see the log".to_owned());
    let (postgres, schema, api) = tokio::join!(
        readiness::postgres(&database),
        readiness::schema(&database),
        look("the API", arena.ready(), not_ready)
    );
    vec![postgres, schema, Check::of("api", api), roster.check()]
}
