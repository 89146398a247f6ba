//! `arenactl rotate-secret-key` and `rotate-admin-token`: other secrets in `.env`, while everything runs.
//!
//! Each API process reads `.env` within seconds, independently. So that no process gets an unknown secret, a new
//! one is first accepted by all (`…_NEXT`), and only then used; the old one stays accepted (`…_PREVIOUS`) until
//! it is no longer needed. `.env` itself shows the progress of an interrupted run, and each process' report
//! ([`cache::presence`]) which secret it uses.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use cache::presence;
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::in_file;
use super::roll_call::{RollCall, Wrong};
use crate::env_file;
use crate::keys;

/// After so long no request is under way that began before its process knew the new key: then twins could
/// miss each other. Longer than a request and its background work may take.
const OUTLIVED: Duration = Duration::from_secs(20);

const OTHERS: &str = "use another value, and nothing was changed. Restart them with that file, then run this \
    again";
const NOT_KNOWN: &str = "do not have the new one yet, and it is not used. Restart them with that file, then \
    run this again";
const NOT_USED: &str = "still use the previous one, which is accepted too. Restart them with that file; until --finish nothing \
                        else is left to do";
const NOT_FORGOTTEN: &str =
    "still accept the old one. Restart them with that file; nothing else is left to do";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make nothing new: end the time in which the previous one is still accepted
    #[arg(long)]
    finish: bool,
    /// How long to wait for processes that have not gone over
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=presence::WAIT_SECONDS_MAX))]
    wait: u64,
}

/// A secret of the API, by the names of its settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    present: &'static str,
    next: &'static str,
    previous: &'static str,
    outlived: Duration,
}

pub(crate) const SECRET_KEY: Secret = Secret {
    present: presence::SECRET_KEY,
    next: "SECRET_KEY_NEXT",
    previous: "SECRET_KEY_PREVIOUS",
    outlived: OUTLIVED,
};
pub(crate) const ADMIN_TOKEN: Secret = Secret {
    present: presence::ADMIN_TOKEN,
    next: "ADMIN_TOKEN_NEXT",
    previous: "ADMIN_TOKEN_PREVIOUS",
    outlived: Duration::ZERO,
};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    setting: &'static str,
    outcome: Outcome,
    /// How many reported the new secret.
    processes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Rotated,
    /// An earlier run had made the new one.
    Resumed,
    Finished,
}

pub(crate) async fn rotate(
    secret: Secret,
    sources: &Sources,
    args: &Args,
) -> Result<Report, Failure> {
    in_file(sources, &[secret.present, secret.next, secret.previous])?;
    let rotation = Rotation {
        secret,
        file: sources.file().to_owned(),
        roll_call: RollCall::open(sources, Duration::from_secs(args.wait)).await?,
    };
    rotation.run(args.finish).await
}

struct Rotation {
    secret: Secret,
    file: PathBuf,
    roll_call: RollCall,
}

impl Rotation {
    async fn run(&self, finish: bool) -> Result<Report, Failure> {
        let Secret { present: setting, next: in_next, previous: in_previous, outlived } =
            self.secret;
        let sources = Sources::from_file(&self.file);
        let present = required(&sources, setting)?;
        let next = given(&sources, in_next);
        if finish && next.is_some() {
            let problem = "is still set: a rotation was interrupted; run it again without --finish";
            return Err(ConfigError::single(in_next, problem).into());
        }
        self.insist_on_all(OTHERS).await?;
        if finish {
            self.write(&[(in_previous, "")]).await?;
            let processes = self.insist_on_all(NOT_FORGOTTEN).await?;
            return Ok(self.report(Outcome::Finished, processes));
        }
        let (next, outcome) = match next {
            Some(next) => (next, Outcome::Resumed),
            None => {
                let next = keys::password()?;
                self.write(&[(in_next, next.expose_secret())]).await?;
                (next, Outcome::Rotated)
            }
        };
        self.insist_on_all(NOT_KNOWN).await?;
        // Also after an interruption, which may have been just now.
        tokio::time::sleep(outlived).await;
        // A process that did not report a while ago may do so now.
        self.insist_on_all(NOT_KNOWN).await?;
        let sources = self.unchanged_since(&sources, &next)?;
        let previous = list(&present, given(&sources, in_previous));
        let swap = [
            (setting, next.expose_secret()),
            (in_previous, previous.expose_secret()),
            (in_next, ""),
        ];
        self.write(&swap).await?;
        let processes = self.insist_on_all(NOT_USED).await?;
        tokio::time::sleep(outlived).await;
        Ok(self.report(outcome, processes))
    }

    /// Concurrent changes must not get lost.
    fn unchanged_since(&self, before: &Sources, next: &SecretString) -> Result<Sources, Failure> {
        let now = Sources::from_file(&self.file);
        let same = |name| before.get(name).unwrap_or_default() == now.get(name).unwrap_or_default();
        let in_next = now.get(self.secret.next).unwrap_or_default();
        let announced = in_next == next.expose_secret();
        if announced && same(self.secret.present) && same(self.secret.previous) {
            return Ok(now);
        }
        Err(anyhow!(
            "another process changed {} in {} meanwhile; the new one is not used yet: run this again",
            self.secret.present,
            self.file.display()
        )
        .into())
    }

    const fn report(&self, outcome: Outcome, processes: usize) -> Report {
        Report { setting: self.secret.present, outcome, processes }
    }

    /// Waits until every API process uses the secret that is now in the file, and counts them; otherwise lists
    /// the wrong processes.
    async fn insist_on_all(&self, wrong: &str) -> Result<usize, Failure> {
        let sources = Sources::from_file(&self.file);
        let fingerprint = self.secret.fingerprint(&sources)?;
        let setting = self.secret.present;
        let state = format!("not all go by the {setting} of {}", self.file.display());
        let wrong = Wrong { state: &state, advice: &format!(" {wrong}") };
        self.roll_call.take_twice(setting, &fingerprint, wrong).await
    }

    /// Writes them, and gives all processes the time to use them.
    async fn write(&self, settings: &[(&'static str, &str)]) -> anyhow::Result<()> {
        let settings: Vec<(&'static str, SecretString)> =
            settings.iter().map(|(name, value)| (*name, SecretString::from(*value))).collect();
        env_file::write(&self.file, settings).await?;
        self.roll_call.settle().await;
        Ok(())
    }
}

impl Secret {
    /// The report of an API process with these settings.
    fn fingerprint(&self, sources: &Sources) -> Result<String, ConfigError> {
        let mut reader = Reader::new(sources);
        let present = reader.secret(self.present, 1);
        let mut others = reader.secrets(self.next, 1);
        others.extend(reader.secrets(self.previous, 1));
        reader.finish()?;
        let others: Vec<&str> = others.iter().map(ExposeSecret::expose_secret).collect();
        Ok(presence::fingerprint(&[&[present.expose_secret()], &others]))
    }
}

fn required(sources: &Sources, setting: &str) -> Result<SecretString, ConfigError> {
    let mut reader = Reader::new(sources);
    let secret = reader.secret(setting, 1);
    reader.finish()?;
    if secret.expose_secret().contains(',') {
        let problem = "has a comma, so it cannot be listed with its successor: set another one by hand and \
            restart the API";
        return Err(ConfigError::single(setting, problem));
    }
    Ok(secret)
}

fn given(sources: &Sources, setting: &str) -> Option<SecretString> {
    sources.get(setting).filter(|text| !text.trim().is_empty()).map(SecretString::from)
}

/// The newest first.
fn list(newest: &SecretString, older: Option<SecretString>) -> SecretString {
    let newest = newest.expose_secret();
    match older {
        Some(older) => format!("{newest},{}", older.expose_secret()).into(),
        None => newest.into(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.setting;
        let until = if setting == presence::SECRET_KEY {
            "after a day, when the answers kept for retries are void too"
        } else {
            "once it is no longer used"
        };
        let heard = match self.processes {
            0 => "no API process is running".to_owned(),
            1 => "the API process has reported it".to_owned(),
            many => format!("all {many} API processes have reported it"),
        };
        match self.outcome {
            Outcome::Finished => {
                write!(f, "the old {setting} is no longer accepted; {heard}")
            }
            Outcome::Rotated | Outcome::Resumed => {
                if self.outcome == Outcome::Resumed {
                    writeln!(f, "an interrupted rotation was completed")?;
                }
                write!(
                    f,
                    "{setting} was replaced; {heard}. The previous one is still accepted: end that \
                     with --finish {until}"
                )
            }
        }
    }
}

#[cfg(test)]
#[path = "rotate_secrets_tests.rs"]
mod tests;
