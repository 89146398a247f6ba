//! The personas that genesis makes bots for: exactly those that the bot runner would run. Both read
//! the files by the same code, and nothing is written before all of them are read.

use std::path::{Path, PathBuf};

use daemon::config::ConfigError;
use ledger_core::Handle;
use personas::Roster;
use serde::Serialize;

/// The setting that names the directory, and its place in the workspace.
pub(crate) const SETTING: &str = "BOTS_DIR";
pub(crate) const DEFAULT_NAME: &str = "bots";

/// A bot that ought to be there.
pub(crate) struct Persona {
    pub(crate) file: PathBuf,
    pub(crate) handle: Handle,
    pub(crate) description: String,
}

/// A file that makes no bot.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedFile {
    pub(crate) file: PathBuf,
    pub(crate) reason: String,
}

/// Reads every `*.yaml` of the directory, in order of their names.
pub(crate) fn read_all(directory: &Path) -> Result<(Vec<Persona>, Vec<RefusedFile>), ConfigError> {
    let roster = Roster::load(directory).map_err(|error| {
        let problem = format!(
            "names {}, which cannot be read: {error}",
            directory.display()
        );
        ConfigError::single(SETTING, problem)
    })?;
    let personas = roster.personas.into_iter().map(|read| Persona {
        file: read.file,
        handle: read.persona.handle,
        description: read.persona.description,
    });
    let refused = roster.refused.into_iter().map(|refused| {
        let faults: Vec<String> = refused.faults.iter().map(ToString::to_string).collect();
        RefusedFile {
            file: refused.file,
            reason: faults.join("; "),
        }
    });
    Ok((personas.collect(), refused.collect()))
}
