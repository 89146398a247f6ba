//! Where settings come from: the `.env` file, then the process environment over it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use secrecy::SecretString;

use super::env_file::EnvFile;
use super::{ConfigError, Problem, Reader, workspace_root};

/// The file to read in place of the workspace's `.env`.
const ENV_FILE_OVERRIDE: &str = "ARENA_ENV_FILE";

/// Every setting there is, as written. Its `Debug` shows no values.
#[derive(Clone)]
pub struct Sources {
    figment: Figment,
    /// Names whose value in the process environment is not UTF-8.
    undecodable: BTreeSet<String>,
    file: PathBuf,
    /// Names that the process environment sets, regardless of the file.
    from_environment: BTreeSet<String>,
    /// An error of the file itself; reported with the other problems.
    pub(super) file_problems: Vec<Problem>,
    looked_at: String,
}

impl Sources {
    /// Reads the `.env` file (`ARENA_ENV_FILE` if that is set, else the workspace's `.env`) and the process
    /// environment, which takes precedence.
    ///
    /// It cannot fail: an unreadable file becomes a problem that [`super::Reader::finish`]
    /// reports together with all others. A missing `.env` is no problem, because everything may
    /// come from the environment.
    pub fn load() -> Self {
        let named = std::env::var_os(ENV_FILE_OVERRIDE).filter(|path| !path.is_empty());
        let path = match &named {
            Some(path) => PathBuf::from(path),
            None => workspace_root().join(".env"),
        };
        match std::fs::read(&path) {
            Ok(bytes) => Self::new(&bytes, &path, std::env::vars_os()),
            Err(error) => {
                let mut sources = Self::new(b"", &path, std::env::vars_os());
                if named.is_some() {
                    let text = format!("names {}, which cannot be read: {error}", path.display());
                    sources.add_file_problem(ENV_FILE_OVERRIDE, text);
                } else if error.kind() != io::ErrorKind::NotFound {
                    let text = format!("cannot be read: {error}");
                    sources.add_file_problem(path.display().to_string(), text);
                } else {
                    let maker = path.with_file_name("run_system.sh");
                    let advice = match maker.is_file() {
                        true => format!("; {} writes one", maker.display()),
                        false => String::new(),
                    };
                    sources.looked_at = format!(
                        "Set them in the environment, or in {} (there is no such file{advice}).",
                        path.display()
                    );
                }
                sources
            }
        }
    }

    /// The settings of one file, regardless of the environment: for a command that has just changed it.
    pub fn from_file(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        Self::new(&bytes, path, std::iter::empty())
    }

    /// Sources from the text of a `.env` file and the pairs of an environment that overrides it.
    pub fn from_parts<'a>(
        file: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let environment = environment.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self::new(file.as_bytes(), Path::new(".env"), environment)
    }

    fn new(
        bytes: &[u8],
        path: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut undecodable = BTreeSet::new();
        let mut overrides = BTreeMap::new();
        for (key, value) in environment {
            // Our names are ASCII, so a key that is not UTF-8 is not a setting.
            let Ok(key) = key.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(overrides.insert(key, value)),
                Err(_) => drop(undecodable.insert(key)),
            }
        }
        let from_environment = overrides.keys().cloned().collect();
        let EnvFile { pairs, faults } = EnvFile::parse(bytes);
        // Not figment's own providers of files and environments, which interpret values: `[x]` would become
        // a list and `007` a number.
        let layer = Serialized::<BTreeMap<String, String>>::defaults;
        let mut sources = Self {
            figment: Figment::new()
                .merge(layer(pairs.into_iter().collect()))
                .merge(layer(overrides)),
            undecodable,
            file: path.to_owned(),
            from_environment,
            file_problems: Vec::new(),
            looked_at: format!("Set them in the environment, or in {}.", path.display()),
        };
        for fault in faults {
            sources.add_file_problem(path.display().to_string(), fault.to_string());
        }
        sources
    }

    /// The value as written; `None` when it is not set.
    pub fn get(&self, name: &str) -> Option<String> {
        self.figment.find_value(name).ok()?.into_string()
    }

    /// The value as written, unless it is empty or not set.
    pub fn given(&self, name: &str) -> Option<String> {
        self.get(name).filter(|text| !text.is_empty())
    }

    /// The URL of a server, for callers without other settings: see [`Reader::connection_url`].
    ///
    /// # Errors
    /// When it is not set or no such URL, or when the file cannot be used.
    pub fn connection_url(
        &self,
        name: &str,
        schemes: &[&str],
    ) -> Result<SecretString, ConfigError> {
        let mut reader = Reader::new(self);
        let url = reader.connection_url(name, schemes);
        reader.finish().map(|()| url)
    }

    /// The `.env` file, whether there is one or not.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the process environment sets it, so that a change of the file changes nothing.
    pub fn is_from_environment(&self, name: &str) -> bool {
        self.from_environment.contains(name)
    }

    /// Whether the process environment sets it to something that is not UTF-8, and thus no setting.
    pub fn is_undecodable(&self, name: &str) -> bool {
        self.undecodable.contains(name)
    }

    /// Which layer the value came from, for messages.
    pub(super) fn origin(&self, name: &str) -> Option<String> {
        let of_file = || self.get(name).map(|_| self.file.display().to_string());
        if self.is_from_environment(name) { Some("the environment".to_owned()) } else { of_file() }
    }

    pub(super) fn looked_at(&self) -> &str {
        &self.looked_at
    }

    fn add_file_problem(&mut self, name: impl Into<String>, text: String) {
        self.file_problems.push(Problem { name: name.into(), text });
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("looked_at", &self.looked_at).finish_non_exhaustive()
    }
}
