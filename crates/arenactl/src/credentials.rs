//! `.env.bots`: the API keys of the hosted bots, one line each, `MOMENTUM_MIA_API_KEY=…`.
//!
//! It is the only place where these keys exist in the clear. A change locks its directory, replaces the whole
//! file with mode 0600, and keeps every other line unchanged.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daemon::config::env_file::EnvFile;
use daemon::config::{ConfigError, env_file};
use daemon::process::Failure;
use personas::KEY_SUFFIX;
use secrecy::{ExposeSecret as _, SecretString};
use supervisor::files::{directory_of, write};

/// The setting that names the file, and its place in the workspace.
pub(crate) const SETTING: &str = "BOTS_ENV_FILE";
pub(crate) const DEFAULT_NAME: &str = ".env.bots";

const MODE: u32 = 0o600;
const HEADER: &str = "\
# API keys of the hosted bots, one line each. They exist nowhere else: the database keeps only
# hashes. After changing one, run `arenactl sync-keys`.
";

/// The file as it was read, or as it was last written. Without `Debug`: it contains secrets.
pub(crate) struct Credentials {
    path: PathBuf,
    text: String,
    exists: bool,
}

impl Credentials {
    /// Reads the file; one that does not exist has no keys.
    pub(crate) fn read(path: &Path) -> Result<Credentials, Failure> {
        let (bytes, exists) = match fs::read(path) {
            Ok(bytes) => (bytes, true),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), false),
            Err(error) => return Err(unusable(path, format!("which cannot be read: {error}"))),
        };
        // A malformed line might be a bot's key, which a change would replace.
        if let Some(fault) = EnvFile::parse(&bytes).faults.first() {
            return Err(unusable(path, format!("whose {fault}")));
        }
        let text = String::from_utf8(bytes).context("the text just read as UTF-8 is not UTF-8")?;
        Ok(Credentials { path: path.to_owned(), text, exists })
    }

    pub(crate) const fn exists(&self) -> bool {
        self.exists
    }

    /// The key of that name. An empty value is no key.
    pub(crate) fn get(&self, variable: &str) -> Option<SecretString> {
        let pairs = env_file::parse(&self.text);
        let (_, value) = pairs.into_iter().rev().find(|(name, _)| name == variable)?;
        (!value.is_empty()).then(|| SecretString::from(value))
    }

    /// The names of all keys.
    pub(crate) fn variables(&self) -> BTreeSet<String> {
        let names = env_file::parse(&self.text).into_iter().map(|(name, _)| name);
        names.filter(|name| name.ends_with(KEY_SUFFIX) && self.get(name).is_some()).collect()
    }
}

/// The file, locked for changes by this process.
pub(crate) struct LockedCredentials {
    credentials: Credentials,
    /// On the directory, because the file itself is replaced. It ends with the process in any case.
    _lock: File,
}

impl std::ops::Deref for LockedCredentials {
    type Target = Credentials;

    fn deref(&self) -> &Credentials {
        &self.credentials
    }
}

impl LockedCredentials {
    /// Waits until no other process changes the file, then reads it.
    pub(crate) async fn acquire(path: &Path) -> Result<LockedCredentials, Failure> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || {
            let directory = directory_of(&path);
            let lock = File::open(directory)
                .and_then(|directory| directory.lock().map(|()| directory))
                .map_err(|error| {
                    unusable(&path, format!("whose directory cannot be locked: {error}"))
                })?;
            Ok(LockedCredentials { credentials: Credentials::read(&path)?, _lock: lock })
        })
        .await
        .context("reading the bots' keys panicked")?
    }

    /// Adds a key, or gives the empty line of that name its value. When this returns, the key is on
    /// disk.
    pub(crate) fn put(&mut self, variable: &str, key: &SecretString) -> anyhow::Result<()> {
        let text = with_key(&self.credentials.text, variable, key.expose_secret());
        let path = &self.credentials.path;
        write(path, MODE, &text).with_context(|| format!("cannot write {}", path.display()))?;
        self.credentials.text = text;
        self.credentials.exists = true;
        Ok(())
    }
}

/// The text with the assignment in place of the last one of that name, else at its end.
fn with_key(text: &str, variable: &str, key: &str) -> String {
    let assigns = |line: &str| env_file::parse(line).into_iter().any(|(name, _)| name == variable);
    let assignment = format!("{variable}={key}\n");
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let replaced = lines.iter().rposition(|line| assigns(line));
    match replaced.and_then(|at| lines.get_mut(at)) {
        Some(line) => *line = &assignment,
        None if text.is_empty() || text.ends_with('\n') => lines.push(&assignment),
        None => lines.extend(["\n", &assignment]),
    }
    let header = if text.trim().is_empty() { HEADER } else { "" };
    header.to_owned() + &lines.concat()
}

fn unusable(path: &Path, problem: String) -> Failure {
    ConfigError::single(SETTING, format!("names {}, {problem}", path.display())).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_new_file_explains_itself() {
        let text = with_key("", "MIA_API_KEY", "ldk_1");
        assert_eq!(text, format!("{HEADER}MIA_API_KEY=ldk_1\n"));
        assert!(EnvFile::parse(text.as_bytes()).faults.is_empty());
    }

    #[test]
    fn other_lines_are_kept_to_the_letter() {
        let before = "\u{feff}# mine\r\nexport A_API_KEY = 'x # y'\n\n  B_API_KEY=\"!$\\\"";
        let after = with_key(before, "MIA_API_KEY", "ldk_1");
        assert_eq!(after, format!("{before}\nMIA_API_KEY=ldk_1\n"));
    }

    #[test]
    fn an_empty_line_gets_its_value_where_it_counts() {
        let before = "MIA_API_KEY=\n# between\n export MIA_API_KEY=''\nB_API_KEY=b\n";
        let after = with_key(before, "MIA_API_KEY", "ldk_1");
        assert_eq!(after, "MIA_API_KEY=\n# between\nMIA_API_KEY=ldk_1\nB_API_KEY=b\n");
    }

    #[test]
    fn names_that_merely_resemble_are_not_replaced() {
        let before = "#MIA_API_KEY=old\nXMIA_API_KEY=x\n";
        let after = with_key(before, "MIA_API_KEY", "ldk_1");
        assert_eq!(after, format!("{before}MIA_API_KEY=ldk_1\n"));
    }

    #[test]
    fn the_last_assignment_counts_and_empty_ones_do_not() {
        let text = "A_API_KEY=1\nA_API_KEY=2\nB_API_KEY=\nOTHER=3\n".to_owned();
        let file = Credentials { path: PathBuf::new(), text, exists: true };
        assert_eq!(file.get("A_API_KEY").unwrap().expose_secret(), "2");
        assert!(file.get("B_API_KEY").is_none());
        assert_eq!(file.variables(), BTreeSet::from(["A_API_KEY".to_owned()]));
    }
}
