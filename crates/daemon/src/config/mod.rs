//! Configuration: read once at start, every problem named at once, no value ever shown.
//!
//! [`Sources::load`] layers the workspace's `.env` file under the process environment. Every value stays the
//! string that was written: a secret that looks like a number, a list or a truth value is still that secret. A
//! [`Reader`] then takes the settings by name, parses them, and collects all errors, so that one start reports
//! them all:
//!
//! ```
//! use daemon::config::{ConfigError, Reader, Sources};
//!
//! struct Config { port: u16, token: secrecy::SecretString }
//!
//! fn read(sources: &Sources) -> Result<Config, ConfigError> {
//!     let mut reader = Reader::new(sources);
//!     let config = Config {
//!         port: reader.or("API_PORT", 8000),
//!         token: reader.secret("ADMIN_TOKEN", 24),
//!     };
//!     reader.finish().map(|()| config)
//! }
//! # let sources = Sources::from_parts("ADMIN_TOKEN=0123456789abcdef01234567", []);
//! # assert_eq!(read(&sources).map(|config| config.port).ok(), Some(8000));
//! ```
#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

pub mod env_file;
mod reader;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::failure::{Code, EXIT_CONFIG};
pub use reader::Reader;
pub use sources::Sources;

/// Where the system runs. Production is the default, because a forgotten setting must restrict access, never open
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    #[default]
    Production,
    Development,
}

impl Environment {
    pub const fn is_development(self) -> bool {
        matches!(self, Self::Development)
    }
}

impl FromStr for Environment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "production" => Ok(Self::Production),
            "development" => Ok(Self::Development),
            _ => Err("must be production or development"),
        }
    }
}

/// Everything that is wrong with the configuration, by the names of the settings. It holds no
/// values, so it can be printed anywhere.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n{problems}\n{looked_at}")]
pub struct ConfigError {
    problems: Problems,
    looked_at: String,
    #[source]
    code: Code,
}

impl ConfigError {
    /// One problem that was not found by a [`Reader`], e.g. a file that is missing.
    pub fn single(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(vec![Problem { name: name.into(), text: text.into() }], String::new())
    }

    fn new(problems: Vec<Problem>, looked_at: String) -> Self {
        Self { problems: Problems(problems), looked_at, code: Code(EXIT_CONFIG) }
    }

    /// The problems, in the order in which they were found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems.0
    }
}

/// One setting and what is wrong with it. The text never contains the setting's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {text}")]
pub struct Problem {
    pub name: String,
    pub text: String,
}

#[derive(Debug)]
struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}  - {problem}")?;
        }
        Ok(())
    }
}

/// The directory that holds `.env`, `bots/` and `run_system.sh`, wherever the process was
/// started: `ARENA_HOME`, else the workspace this was built in if it is still there, else the
/// nearest directory above the executable that holds `run_system.sh`, else the working directory.
pub fn workspace_root() -> PathBuf {
    if let Some(home) = std::env::var_os("ARENA_HOME").filter(|home| !home.is_empty()) {
        return PathBuf::from(home);
    }
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if built_in.join("Cargo.toml").is_file()
        && let Ok(root) = built_in.canonicalize()
    {
        return root;
    }
    let above_executable = std::env::current_exe().ok().and_then(|executable| {
        let root = executable.ancestors().find(|dir| dir.join("run_system.sh").is_file())?;
        Some(root.to_owned())
    });
    above_executable.or_else(|| std::env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("."))
}

/// `host:port` of a connection URL, for messages: never its user, password or database.
///
/// `None` when the text is not a URL with a host.
pub fn endpoint(url: &str, default_port: u16) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port_or_known_default().unwrap_or(default_port);
    Some(format!("{host}:{port}"))
}
