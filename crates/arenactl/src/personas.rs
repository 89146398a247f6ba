//! The personas that genesis makes bots for: exactly those that the bot runner would run. Both read
//! the files by the same code, and nothing is written before all of them are read.

use std::path::{Path, PathBuf};

use daemon::config::ConfigError;
use personas::{Filed, Roster};
use serde::Serialize;

/// The setting that names the directory, and its place in the workspace.
pub(crate) const SETTING: &str = "BOTS_DIR";
pub(crate) const DEFAULT_NAME: &str = "bots";

/// A file that makes no bot.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedFile {
    pub(crate) file: PathBuf,
    pub(crate) reason: String,
}

/// Reads every `*.yaml` of the directory, in order of their names.
pub(crate) fn read_all(directory: &Path) -> Result<(Vec<Filed>, Vec<RefusedFile>), ConfigError> {
    let roster = Roster::load(directory).map_err(|error| {
        let problem = format!("names {}, which cannot be read: {error}", directory.display());
        ConfigError::single(SETTING, problem)
    })?;
    let refused = roster.refused.into_iter().map(|refused| {
        let faults: Vec<String> = refused.faults.iter().map(ToString::to_string).collect();
        RefusedFile { file: refused.file, reason: faults.join("; ") }
    });
    Ok((roster.personas, refused.collect()))
}
