//! `arenactl keep-log FILE`: what comes from standard input goes to a log that rotates.
//!
//! `run_system.sh` gives Postgres and Redis one each; our services rotate their own.

use std::io::{self, BufReader};
use std::path::PathBuf;

use anyhow::Context as _;
use daemon::config::Sources;
use daemon::log_file::{self, Limits, LogFile};
use daemon::process::Failure;

#[derive(clap::Args)]
pub(crate) struct Args {
    file: PathBuf,
}

/// Until standard input ends.
pub(crate) async fn run(sources: &Sources, args: Args) -> Result<(), Failure> {
    let limits = Limits::from_sources(sources)?;
    let shown = args.file.display().to_string();
    let kept = tokio::task::spawn_blocking(move || {
        let mut log = LogFile::open(&args.file, limits)?;
        log_file::keep(&mut BufReader::new(io::stdin().lock()), &mut log)
    });
    Ok(kept
        .await
        .context("keeping the log panicked")?
        .with_context(|| format!("cannot keep {shown}"))?)
}
