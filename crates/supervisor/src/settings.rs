//! Settings as the services read them: the environment, then `.env`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use daemon::config::Sources;
use daemon::config::env_file::EnvFile;
use daemon::process::Refusal;

use crate::part::Part;
use crate::place::Place;
use crate::{Told, private, reason};

pub(crate) const DATABASE_URL: &str = "DATABASE_URL";
pub(crate) const DATABASE_OWNER_URL: &str = "DATABASE_OWNER_URL";
pub(crate) const REDIS_URL: &str = "REDIS_URL";

/// In the environment these must have a value or be unset: an empty one hides the line of `.env` from us and from
/// the services, so a line that we write would have no effect.
const NEVER_EMPTY: [&str; 3] = [DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL];
const MARK: &str = "ARENA_PRIVATE_SERVICES";

pub(crate) struct Settings {
    sources: Sources,
    /// The settings of `.env`, regardless of the environment.
    file: Sources,
}

impl Settings {
    /// Reads them again. A malformed `.env` is refused: the services could read its lines, or an added one,
    /// differently.
    pub(crate) fn load(place: &Place) -> Told<Settings> {
        let path = &place.env_file;
        match fs::read(path) {
            Ok(bytes) => {
                if let Some(fault) = EnvFile::parse(&bytes).faults.first() {
                    return Err(Refusal::config(format!(
                        "{}: {fault}. Nothing was written to it.",
                        path.display()
                    )));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
        let sources = Sources::load();
        for name in NEVER_EMPTY {
            if sources.is_from_environment(name) && sources.given(name).is_none() {
                return Err(Refusal::config(format!(
                    "{name} is set but empty in the environment, which hides any in {}. Unset it or give it \
                     a value.",
                    path.display()
                )));
            }
        }
        Ok(Settings { sources, file: Sources::from_file(path) })
    }

    /// The value, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.sources.given(name)
    }

    pub(crate) fn is_from_environment(&self, name: &str) -> bool {
        self.sources.is_from_environment(name)
    }

    /// A port, if it is set.
    pub(crate) fn port(&self, name: &str) -> Told<Option<u16>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        match text.parse() {
            Ok(port) if digits => Ok(Some(port)),
            _ => Err(Refusal::config(format!(
                "{name} must be a port from 1 to 65535. Set it in {} or the environment.",
                self.sources.file().display()
            ))),
        }
    }

    /// The port of a service.
    pub(crate) fn port_of(&self, part: Part) -> Told<u16> {
        match part.port_setting() {
            Some((name, default)) => Ok(self.port(name)?.unwrap_or(default)),
            None => Ok(0),
        }
    }

    /// The servers that `.env` marks as private.
    pub(crate) fn marked(&self) -> Vec<String> {
        let mark = self.file.get(MARK).unwrap_or_default();
        let mark = if mark == "1" { "postgres,redis" } else { &mark };
        mark.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    let user = private::account::myself();
    let owner = fs::metadata(path).ok().map(|file| file.uid());
    let belongs = owner.map_or_else(String::new, |uid| {
        format!("; it belongs to {}", private::account::name_of(uid))
    });
    let (path, why) = (path.display(), reason(error));
    Refusal::config(format!("{path} cannot be read by {user}: {why}{belongs}."))
}
