//! The operator's commands: `arenactl migrate`, `genesis`, `sync-keys`, `revive`, `retire`,
//! `pause`, `resume`, `status`, `audit`, `inspect-ledger`, `backup`, `restore`, `after-recovery`, `export`, `verify-export`, `debug-auth`,
//! `rotate-role`, `rotate-redis`, `rotate-secret-key`, `rotate-admin-token`; and the supervisor's: `up`, `stop`,
//! `logs`, `reset`.
//!
//! Each works from any directory, reads only the settings it needs, prints its result (as text, or with `--json`
//! as one object), and exits non-zero if it failed: 78 a setting is wrong, 69 something cannot be reached, 2 the
//! command line is wrong, 1 the rest. Money moves through `db` alone; hashes and balances are computed by
//! `ledger-core` alone, and nothing here shows a secret.

/// Ends a function with a [`Failure`](daemon::process::Failure), as `anyhow::bail!` does with an error.
macro_rules! fail {
    ($($words:tt)+) => {
        return Err(anyhow::anyhow!($($words)+).into())
    };
}

mod arguments;
mod backup_key;
mod cli;
mod commands;
mod credentials;
mod dump_tools;
mod env_file;
mod export_file;
mod files;
mod keys;
mod operator;
mod output;
mod personas;
mod postgres;

use std::fmt::{self, Display};
use std::process::ExitCode;

use daemon::command_line::Build;
use daemon::config::Sources;
use daemon::process::{self, Failure};
use daemon::telemetry;
use db::pauses::Wanted;
use ledger_core::economy::Operator;
use serde::Serialize;

use crate::cli::{Cli, Command};
use crate::commands::pause::{PauseArgs, ResumeArgs};
use crate::commands::rotate_secrets::{ADMIN_TOKEN, SECRET_KEY};
use crate::commands::{
    after_recovery, audit, backup, debug_auth, export, genesis, inspect_ledger, migrate, pause,
    resolve, restore, retire, revive, rotate_redis, rotate_role, rotate_secrets, services, status,
    sync_keys, verify_export, void_market,
};
use crate::output::{Format, Judged as _};

/// Runs the command that the process was started with.
pub fn main(build: Build) -> ExitCode {
    let cli = cli::parse(build);
    // Before `process::main`, whose default would greet the operator with a log line.
    telemetry::init_with("arenactl", "warn");
    let mut told = 0;
    let ended = process::run("arenactl", async {
        told = run(cli).await?;
        Ok(())
    });
    ExitCode::from(if ended == process::EXIT_OK { told } else { ended })
}

/// The exit code of a command that did its work.
async fn run(cli: Cli) -> Result<u8, Failure> {
    let format = if cli.json { Format::Json } else { Format::Text };
    let verdict = match cli.command {
        Command::Status(args) if args.is_about_services() => {
            return services::status(&args).await;
        }
        command => dispatch(command, cli.by, format).await,
    };
    if let Err(Stopped::BeforeReport(failure)) = &verdict {
        format.show_failure(failure);
    }
    verdict.map_err(Stopped::failure)?;
    Ok(process::EXIT_OK)
}

/// Why a command ends with a failure.
enum Stopped {
    /// It could not do its work; nothing was printed yet.
    BeforeReport(Failure),
    /// It did its work and reported, and the result is bad.
    ByReport(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::BeforeReport(failure)
    }
}

impl Stopped {
    fn failure(self) -> Failure {
        match self {
            Stopped::BeforeReport(failure) | Stopped::ByReport(failure) => failure,
        }
    }
}

#[expect(clippy::too_many_lines, reason = "an arm for each command")]
async fn dispatch(command: Command, by: Option<Operator>, format: Format) -> Result<(), Stopped> {
    let mut sources = Sources::load();
    let _alone = if command.is_rotation() {
        let alone = files::Alone::beside(sources.file()).map_err(Failure::from)?;
        // The last write of another process.
        sources = Sources::load();
        alone
    } else {
        None
    };
    // Only an acting command needs a name: a malformed one must not prevent the log.
    let who = || operator::acting(&sources, by.as_ref()).map_err(Failure::from);
    match command {
        Command::Migrate => {
            let who = who()?;
            let report = migrate::run(&sources).await?;
            if report.changed() {
                let setting = migrate::DATABASE_OWNER_URL;
                let record = operator::record(&sources, setting, &who, "MIGRATE", &report);
                show_then(format, &report, record).await?;
            } else {
                format.show(&report)?;
            }
        }
        Command::Genesis => format.show(&genesis::run(&sources, &who()?).await?)?,
        Command::SyncKeys => format.show(&sync_keys::run(&sources, &who()?).await?)?,
        Command::Revive(args) => format.show(&revive::run(&sources, &args, &who()?).await?)?,
        Command::Retire(args) => format.show(&retire::run(&sources, &args, &who()?).await?)?,
        Command::Resolve(args) => format.judge(resolve::run(&sources, &args).await?)?,
        Command::VoidMarket(args) => {
            format.show(&void_market::run(&sources, &args, &who()?).await?)?;
        }
        Command::Pause(PauseArgs { subject, reason }) => {
            let paused = Wanted::Paused;
            format.show(&pause::set(&sources, &subject, paused, &who()?, &reason).await?)?;
        }
        Command::Resume(ResumeArgs { subject, reason }) => {
            let running = Wanted::Running;
            format.show(&pause::set(&sources, &subject, running, &who()?, &reason).await?)?;
        }
        Command::Status(args) => format.judge(status::run(&sources, &args).await?)?,
        Command::Services(command) => services::run(command, by.clone()).await?,
        Command::Audit(args) => format.show(&audit::run(&sources, &args).await?)?,
        Command::InspectLedger(args) => {
            format.judge(inspect_ledger::run(&sources, &args).await?)?
        }
        Command::Backup(args) => format.judge(backup::run(&sources, &args).await?)?,
        Command::Restore(args) => {
            let who = who()?;
            let report = restore::run(&sources, &args).await?;
            let setting = restore::RESTORE_DATABASE_URL;
            let record = operator::record(&sources, setting, &who, "RESTORE", &report);
            show_then(format, &report, record).await?;
        }
        Command::AfterRecovery(args) => {
            let who = who()?;
            let recovered = after_recovery::run(&sources, &args).await?;
            let setting = migrate::DATABASE_OWNER_URL;
            let record = operator::record(&sources, setting, &who, "AFTER_RECOVERY", &recovered);
            show_then(format, &recovered, record).await?;
            recovered.verdict().map_err(Stopped::ByReport)?;
        }
        Command::Export(args) => {
            if let Some(report) = export::run(&sources, &args).await? {
                format.show(&report)?;
            }
        }
        Command::VerifyExport(args) => format.judge(verify_export::run(&args)?)?,
        Command::RotateRole(args) => {
            let rotation = rotate_role::run(&sources, &args);
            show_rotated(format, &who()?, "ROTATE_ROLE", rotation).await?;
        }
        Command::RotateRedis(args) => {
            let rotation = rotate_redis::run(&sources, &args);
            show_rotated(format, &who()?, "ROTATE_REDIS", rotation).await?;
        }
        Command::RotateSecretKey(args) => {
            let rotation = rotate_secrets::rotate(SECRET_KEY, &sources, &args);
            show_rotated(format, &who()?, "ROTATE_SECRET_KEY", rotation).await?;
        }
        Command::RotateAdminToken(args) => {
            let rotation = rotate_secrets::rotate(ADMIN_TOKEN, &sources, &args);
            show_rotated(format, &who()?, "ROTATE_ADMIN_TOKEN", rotation).await?;
        }
        Command::DebugAuth(args) => format.judge(debug_auth::run(&sources, &args).await?)?,
    }
    Ok(())
}

/// Shows the result, and then writes it to the audit log: a completed act is reported even if the log fails.
async fn show_then<R: Serialize + Display>(
    format: Format,
    report: &R,
    record: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Stopped> {
    let shown = format.show(report);
    let recorded = record.await;
    shown?;
    recorded.map_err(Stopped::ByReport)
}

/// A rotation's report, and what every credential then does, if they could be tried.
#[derive(Serialize)]
struct Rotated<R> {
    #[serde(flatten)]
    rotation: R,
    credentials: Option<debug_auth::Report>,
}

impl<R: Display> Display for Rotated<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rotation)?;
        match &self.credentials {
            Some(credentials) => write!(f, "\n{credentials}"),
            None => Ok(()),
        }
    }
}

/// Rotates, tries every credential by the settings as they are then, shows both, and writes to the audit log who
/// did it.
async fn show_rotated<R: Serialize + Display>(
    format: Format,
    who: &Operator,
    action: &str,
    rotation: impl Future<Output = Result<R, Failure>>,
) -> Result<(), Stopped> {
    let rotation = rotation.await?;
    let sources = Sources::load();
    let tried = debug_auth::run(&sources, &debug_auth::Args::default()).await;
    let (credentials, untried) = match tried {
        Ok(credentials) => (Some(credentials), None),
        Err(failure) => (None, Some(failure)),
    };
    let rotated = Rotated { rotation, credentials };
    let setting = commands::DATABASE_URL;
    let record = operator::record(&sources, setting, who, action, &rotated.rotation);
    show_then(format, &rotated, record).await?;
    let verdict = match (rotated.credentials, untried) {
        (_, Some(failure)) => Err(failure),
        (Some(credentials), None) => credentials.verdict(),
        (None, None) => Ok(()),
    };
    verdict.map_err(Stopped::ByReport)
}
