//! The command line.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use daemon::command_line::Build;
use ledger_core::economy::Operator;

use crate::commands::{
    after_recovery, audit, backup, debug_auth, export, inspect_ledger, pause, resolve, restore,
    retire, revive, rotate_redis, rotate_role, rotate_secrets, services, status, verify_export,
    void_market,
};

/// Operator commands of the arena.
#[derive(Parser)]
#[command(
    name = "arenactl",
    display_name = "ledgerdome-arenactl",
    disable_help_subcommand = true,
    after_help = "Settings come from the environment and from the workspace's .env.\n\
    Exit codes: 0 done, 78 a setting is wrong, 69 something cannot be reached, \
    2 the command line is wrong, 1 anything else."
)]
pub(crate) struct Cli {
    /// Print one JSON object instead of words
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Your name for the audit log; default: ARENACTL_OPERATOR, else the system's user (with sudo its caller)
    #[arg(long, global = true, value_name = "NAME", alias = "operator")]
    pub(crate) by: Option<Operator>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Services(ServicesCommand),
    /// Bring the database to the schema of this build (needs DATABASE_OWNER_URL)
    Migrate,
    /// Create the hosted bots of BOTS_DIR that are missing, each with its grant and its API key
    ///
    /// Keys go to BOTS_ENV_FILE (.env.bots) before the bot exists, so that an interrupted run is simply repeated.
    /// An unreadable persona is reported and the others are processed; it is a failure only if no file is usable.
    Genesis,
    /// Store the hash of each API key in BOTS_ENV_FILE (.env.bots) with its hosted bot
    ///
    /// Hosted bots without a key and keys without a hosted bot are named; neither is a failure.
    SyncKeys,
    /// Bring a dead bot back to life with a balance
    Revive(revive::Args),
    /// Retire a bot permanently; its remaining balance is burned
    Retire(retire::Args),
    /// Show how a market's outcome follows from the evidence that was kept
    ///
    /// Exits with 0 when it follows, or when there is no outcome yet, and with 1 when it does not.
    Resolve(resolve::Args),
    /// Call an unsettled market off: the living get their stakes back
    VoidMarket(void_market::Args),
    /// Pause the arena, one bot or one market: no charges, no actions, no payouts
    ///
    /// When it has returned, no money moves. Reads, operators' commands and price samples continue.
    Pause(pause::PauseArgs),
    /// Resume the arena, one bot or one market
    Resume(pause::ResumeArgs),
    /// Show tick, price and its age, bots, and the errors of the last minute
    ///
    /// It queries Postgres and reads logs; the services need not run. With --services or --watch it shows the
    /// processes that `up` started: exit code 0 if all are ready, 1 if one is not, 3 if they are not supervised.
    Status(status::Args),
    /// Show the audit log, newest first: all except agents' own actions
    Audit(audit::Args),
    /// Recompute every hash and balance of every chain, and report faults
    ///
    /// Exits with 0 if the ledger is sound and with 1 if not.
    InspectLedger(inspect_ledger::Args),
    /// Dump everything (needs DATABASE_OWNER_URL and pg_dump) with an audit of the same moment
    ///
    /// Its manifest is authenticated with BACKUP_KEY; without one the backup is written and the exit code
    /// is 1.
    Backup(backup::Args),
    /// Fill the empty database of RESTORE_DATABASE_URL from a backup, and prove that it is the same
    ///
    /// Needs the BACKUP_KEY that the backup was made under (or that one in BACKUP_KEY_PREVIOUS). The restored
    /// database is a separate arena: it refuses tokens, cursors and positions in streams of the other one.
    Restore(restore::Args),
    /// Make the database of DATABASE_OWNER_URL a separate arena, after a recovery of Postgres to a point in time
    ///
    /// Stop the services first. Tokens, cursors and positions in streams of before are refused from
    /// then on. Ends in the whole audit. Does nothing if the schema differs from the migrations.
    AfterRecovery(after_recovery::Args),
    /// Write the ledger of one bot or of all, one JSON object on each line
    ///
    /// One consistent moment, also while the arena runs. Its last line has the counts.
    Export(export::Args),
    /// Recompute every hash and balance in a file of `export`; needs no database and no settings
    ///
    /// Exits with 0 if the file is sound and with 1 if not.
    VerifyExport(verify_export::Args),
    /// Test every configured credential and report failures with their reasons
    ///
    /// Also compares the schema with the migrations: tables, triggers, functions, owners, privileges and roles.
    DebugAuth(debug_auth::Args),
    /// Replace the Postgres role in .env, while everything runs
    ///
    /// Needs a superuser. Safe to repeat after an interruption at any step. In the end it tries every
    /// credential, as `debug-auth` does.
    RotateRole(rotate_role::Args),
    /// Replace the password in REDIS_URL, while everything runs
    ///
    /// Both are valid until the services use the new one. Safe to repeat after an interruption at any
    /// step. In the end it tries every credential.
    RotateRedis(rotate_redis::Args),
    /// Replace SECRET_KEY in .env, while everything runs
    ///
    /// Data made with the old one stays valid until `--finish`. Safe to repeat after an
    /// interruption at any step.
    RotateSecretKey(rotate_secrets::Args),
    /// Replace ADMIN_TOKEN in .env, while everything runs
    ///
    /// The old one stays valid until `--finish`.
    RotateAdminToken(rotate_secrets::Args),
}

/// The arena's processes on this machine. `./run_system.sh` builds them first.
#[derive(Subcommand)]
pub(crate) enum ServicesCommand {
    /// Start Postgres, Redis and the services, in order, and keep them up until Ctrl-C or SIGTERM
    ///
    /// It adds missing settings to `.env`. Postgres and Redis are private ones in .data (ARENA_DATA_DIR),
    /// unless URLs of others are given. It uses the programs next to this one (ARENA_BIN_DIR).
    Up,
    /// Stop the processes that `up` started, or leftovers of a killed one, and wait for them
    Stop,
    /// Show the last lines of a log, and follow it on a terminal
    Logs(services::LogsArgs),
    /// Delete the private Postgres and Redis and the logs, after a confirmation
    Reset(services::ResetArgs),
}

impl Command {
    /// Whether it changes credentials step by step, in `.env` and where they are known.
    pub(crate) const fn is_rotation(&self) -> bool {
        matches!(
            self,
            Command::RotateRole(_)
                | Command::RotateRedis(_)
                | Command::RotateSecretKey(_)
                | Command::RotateAdminToken(_)
        )
    }
}

/// Reads the command line of this process; what is wrong with it, `--help` and `--version` end the
/// process here.
pub(crate) fn parse(build: Build) -> Cli {
    let command = Cli::command().version(build.to_string());
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}
