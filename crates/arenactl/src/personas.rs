//! Reads of each persona in `bots/*.yaml` what genesis needs: who it is. Everything else in the
//! file is the runner's to judge, so a file that the runner will refuse may still get its bot.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use daemon::config::ConfigError;
use ledger_core::Handle;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The setting that names the directory, and its place in the workspace.
pub(crate) const SETTING: &str = "BOTS_DIR";
pub(crate) const DEFAULT_NAME: &str = "bots";

/// The largest persona file.
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// As `bots.persona` and the API have it.
const DESCRIPTION_MAX_CHARS: usize = 2000;

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
    let files = files_of(directory).map_err(|error| {
        let problem = format!(
            "names {}, which cannot be read: {error}",
            directory.display()
        );
        ConfigError::single(SETTING, problem)
    })?;
    let mut first_of: BTreeMap<String, PathBuf> = BTreeMap::new();
    let (mut personas, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        let persona = read(&file).and_then(|(handle, description)| {
            let name = handle.as_str().to_ascii_lowercase();
            if let Some(first) = first_of.get(&name) {
                return Err(format!("handle: {handle} is taken by {}", first.display()));
            }
            first_of.insert(name, file.clone());
            Ok((handle, description))
        });
        match persona {
            Ok((handle, description)) => personas.push(Persona {
                file,
                handle,
                description,
            }),
            Err(reason) => refused.push(RefusedFile { file, reason }),
        }
    }
    Ok((personas, refused))
}

fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Deserialize)]
struct Sketch {
    #[serde(deserialize_with = "handle")]
    handle: Handle,
    #[serde(default)]
    description: Option<String>,
}

/// With the field's name before the problem; the parser adds the line.
fn handle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("handle {error}")))
}

fn read(file: &Path) -> Result<(Handle, String), String> {
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("is larger than {FILE_MAX_BYTES} bytes"));
    }
    let sketch: Sketch = serde_saphyr::from_str(&text).map_err(|error| explain(&error))?;
    let description = sketch.description.unwrap_or_default();
    if description.chars().count() > DESCRIPTION_MAX_CHARS {
        return Err(format!(
            "description: has more than {DESCRIPTION_MAX_CHARS} characters"
        ));
    }
    Ok((sketch.handle, description))
}

/// Message, line and column, without the excerpt that the parser would draw under it.
fn explain(error: &serde_saphyr::Error) -> String {
    error.without_snippet().to_string()
}
