//! `arenactl rotate-secret-key` and `rotate-admin-token`: other secrets in `.env`, while everything runs.
//!
//! The API takes up what `.env` says within seconds, each process by itself. So that none of them is
//! ever shown what it does not know yet, a new SECRET_KEY is first accepted by all
//! (SECRET_KEY_NEXT), and only then used; the old one stays accepted (SECRET_KEY_PREVIOUS) until what
//! was made under it is void. `.env` itself says how far an interrupted run had come.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{TAKE_UP, in_file};
use crate::env_file;
use crate::keys;

const SECRET_KEY: &str = "SECRET_KEY";
const SECRET_KEY_NEXT: &str = "SECRET_KEY_NEXT";
const SECRET_KEY_PREVIOUS: &str = "SECRET_KEY_PREVIOUS";
const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
const ADMIN_TOKEN_PREVIOUS: &str = "ADMIN_TOKEN_PREVIOUS";

/// After so long no request is under way that began before its process knew the new key: then twins could
/// miss each other. Longer than a request and what it leaves behind may take.
const OUTLIVED: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make nothing new: end the time in which the previous one is still accepted
    #[arg(long)]
    finish: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    setting: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Rotated,
    /// An earlier run had made the new one.
    Resumed,
    Finished,
}

pub(crate) async fn secret_key(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    in_file(sources, &[SECRET_KEY, SECRET_KEY_NEXT, SECRET_KEY_PREVIOUS])?;
    rotate_secret_key(sources, args.finish, OUTLIVED).await
}

async fn rotate_secret_key(
    sources: &Sources,
    finish: bool,
    take_up: Duration,
) -> Result<Report, Failure> {
    let file = sources.file();
    let report = |outcome| Report {
        setting: SECRET_KEY,
        outcome,
    };
    let present = required(sources, SECRET_KEY)?;
    let next = given(sources, SECRET_KEY_NEXT);
    if finish {
        if next.is_some() {
            let problem = "is still set: a rotation was interrupted; run it again without --finish";
            return Err(ConfigError::single(SECRET_KEY_NEXT, problem).into());
        }
        write(file, &[(SECRET_KEY_PREVIOUS, "")]).await?;
        tokio::time::sleep(take_up).await;
        return Ok(report(Outcome::Finished));
    }
    let (next, outcome) = match next {
        Some(next) => (next, Outcome::Resumed),
        None => {
            let next = keys::password()?;
            write(file, &[(SECRET_KEY_NEXT, next.expose_secret())]).await?;
            (next, Outcome::Rotated)
        }
    };
    // Also after an interruption: nobody knows how long ago that was.
    tokio::time::sleep(take_up).await;
    let previous = list(&present, given(sources, SECRET_KEY_PREVIOUS));
    let swap = [
        (SECRET_KEY, next.expose_secret()),
        (SECRET_KEY_PREVIOUS, previous.expose_secret()),
        (SECRET_KEY_NEXT, ""),
    ];
    write(file, &swap).await?;
    tokio::time::sleep(take_up).await;
    Ok(report(outcome))
}

pub(crate) async fn admin_token(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    in_file(sources, &[ADMIN_TOKEN, ADMIN_TOKEN_PREVIOUS])?;
    rotate_admin_token(sources, args.finish, TAKE_UP).await
}

async fn rotate_admin_token(
    sources: &Sources,
    finish: bool,
    take_up: Duration,
) -> Result<Report, Failure> {
    let file = sources.file();
    let present = required(sources, ADMIN_TOKEN)?;
    let outcome = if finish {
        write(file, &[(ADMIN_TOKEN_PREVIOUS, "")]).await?;
        Outcome::Finished
    } else {
        let new = keys::password()?;
        let previous = list(&present, given(sources, ADMIN_TOKEN_PREVIOUS));
        let both = [
            (ADMIN_TOKEN, new.expose_secret()),
            (ADMIN_TOKEN_PREVIOUS, previous.expose_secret()),
        ];
        write(file, &both).await?;
        Outcome::Rotated
    };
    tokio::time::sleep(take_up).await;
    Ok(Report {
        setting: ADMIN_TOKEN,
        outcome,
    })
}

fn required(sources: &Sources, setting: &str) -> Result<SecretString, ConfigError> {
    let mut reader = Reader::new(sources);
    let secret = reader.secret(setting, 1);
    let secret = reader.finish_with(secret)?;
    if secret.expose_secret().contains(',') {
        let problem = "has a comma, so it cannot be listed beside its successor: set another one by hand \
                       and restart the API";
        return Err(ConfigError::single(setting, problem));
    }
    Ok(secret)
}

fn given(sources: &Sources, setting: &str) -> Option<SecretString> {
    sources
        .get(setting)
        .filter(|text| !text.trim().is_empty())
        .map(SecretString::from)
}

/// The newest first.
fn list(newest: &SecretString, older: Option<SecretString>) -> SecretString {
    let newest = newest.expose_secret();
    match older {
        Some(older) => format!("{newest},{}", older.expose_secret()).into(),
        None => newest.into(),
    }
}

async fn write(file: &Path, settings: &[(&'static str, &str)]) -> anyhow::Result<()> {
    let settings: Vec<(&'static str, SecretString)> = settings
        .iter()
        .map(|(name, value)| (*name, SecretString::from(*value)))
        .collect();
    let (file, shown) = (file.to_owned(), file.display().to_string());
    tokio::task::spawn_blocking(move || {
        let plain: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.expose_secret()))
            .collect();
        env_file::set_all(&file, &plain)
    })
    .await
    .context("writing the settings panicked")?
    .with_context(|| format!("cannot write to {shown}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.setting;
        let until = if setting == SECRET_KEY {
            "after a day, when the answers kept for retries are void too"
        } else {
            "once nobody uses it any more"
        };
        match self.outcome {
            Outcome::Finished => write!(f, "what {setting} was before is accepted no more"),
            Outcome::Rotated | Outcome::Resumed => {
                if self.outcome == Outcome::Resumed {
                    writeln!(f, "an interrupted rotation was completed")?;
                }
                write!(
                    f,
                    "{setting} is another one; the previous one is still accepted. End that with \
                     --finish {until}"
                )
            }
        }
    }
}

#[cfg(test)]
#[path = "rotate_secrets_tests.rs"]
mod tests;
