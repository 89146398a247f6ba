//! `arenactl rotate-secret-key` and `rotate-admin-token`: other secrets in `.env`, while everything runs.
//!
//! The API takes up what `.env` says within seconds, each process by itself. So that none of them is
//! ever shown what it does not know yet, a new SECRET_KEY is first accepted by all
//! (SECRET_KEY_NEXT), and only then used; the old one stays accepted (SECRET_KEY_PREVIOUS) until what
//! was made under it is void. `.env` itself says how far an interrupted run had come, and what every
//! process says of itself ([`bus::presence`]) whether it has gone over.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bus::presence::{self, API_SECRETS};
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::in_file;
use super::roll_call::RollCall;
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
    /// How long to wait for processes that have not gone over
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
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
    let rotation = Rotation::open(sources, args).await?;
    rotation.secret_key(args.finish).await
}

pub(crate) async fn admin_token(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    in_file(sources, &[ADMIN_TOKEN, ADMIN_TOKEN_PREVIOUS])?;
    let rotation = Rotation::open(sources, args).await?;
    rotation.admin_token(args.finish).await
}

struct Rotation {
    file: PathBuf,
    roll_call: RollCall,
    outlived: Duration,
}

impl Rotation {
    async fn open(sources: &Sources, args: &Args) -> Result<Rotation, Failure> {
        Ok(Rotation {
            file: sources.file().to_owned(),
            roll_call: RollCall::open(sources, Duration::from_secs(args.wait)).await?,
            outlived: OUTLIVED,
        })
    }

    async fn secret_key(&self, finish: bool) -> Result<Report, Failure> {
        let sources = Sources::from_file(&self.file);
        let present = required(&sources, SECRET_KEY)?;
        let next = given(&sources, SECRET_KEY_NEXT);
        if finish && next.is_some() {
            let problem = "is still set: a rotation was interrupted; run it again without --finish";
            return Err(ConfigError::single(SECRET_KEY_NEXT, problem).into());
        }
        self.insist_on_all(
            "run with other secrets than it says, and nothing was changed: restart them, then run this again",
        )
        .await?;
        if finish {
            self.write(&[(SECRET_KEY_PREVIOUS, "")]).await?;
            self.insist_on_all(
                "still accept what SECRET_KEY was before: restart them; nothing else is left to do",
            )
            .await?;
            return Ok(report(SECRET_KEY, Outcome::Finished));
        }
        let (next, outcome) = match next {
            Some(next) => (next, Outcome::Resumed),
            None => {
                let next = keys::password()?;
                self.write(&[(SECRET_KEY_NEXT, next.expose_secret())])
                    .await?;
                (next, Outcome::Rotated)
            }
        };
        self.insist_on_all("do not know the new SECRET_KEY yet, and nobody uses it: restart them, then run this again")
            .await?;
        // Also after an interruption: nobody knows how long ago that was.
        tokio::time::sleep(self.outlived).await;
        let previous = list(&present, given(&sources, SECRET_KEY_PREVIOUS));
        let swap = [
            (SECRET_KEY, next.expose_secret()),
            (SECRET_KEY_PREVIOUS, previous.expose_secret()),
            (SECRET_KEY_NEXT, ""),
        ];
        self.write(&swap).await?;
        self.insist_on_all(
            "still use the previous SECRET_KEY, which is accepted too: restart them; until --finish nothing else is left to do",
        )
        .await?;
        tokio::time::sleep(self.outlived).await;
        Ok(report(SECRET_KEY, outcome))
    }

    async fn admin_token(&self, finish: bool) -> Result<Report, Failure> {
        let sources = Sources::from_file(&self.file);
        let present = required(&sources, ADMIN_TOKEN)?;
        self.insist_on_all(
            "run with other secrets than it says, and nothing was changed: restart them, then run this again",
        )
        .await?;
        if finish {
            self.write(&[(ADMIN_TOKEN_PREVIOUS, "")]).await?;
            self.insist_on_all(
                "still accept what ADMIN_TOKEN was before: restart them; nothing else is left to do",
            )
            .await?;
            return Ok(report(ADMIN_TOKEN, Outcome::Finished));
        }
        let new = keys::password()?;
        let previous = list(&present, given(&sources, ADMIN_TOKEN_PREVIOUS));
        let both = [
            (ADMIN_TOKEN, new.expose_secret()),
            (ADMIN_TOKEN_PREVIOUS, previous.expose_secret()),
        ];
        self.write(&both).await?;
        self.insist_on_all(
            "know the previous ADMIN_TOKEN alone: restart them before you use the new one; until --finish nothing else is left to do",
        )
        .await?;
        Ok(report(ADMIN_TOKEN, Outcome::Rotated))
    }

    /// Waits until every API process runs with the secrets in the file as it is now, or says of which
    /// processes what is wrong.
    async fn insist_on_all(&self, wrong: &str) -> Result<(), Failure> {
        let fingerprint = api_secrets(&Sources::from_file(&self.file))?;
        let behind = self.roll_call.behind(API_SECRETS, &fingerprint).await?;
        if behind.is_empty() {
            return Ok(());
        }
        let (behind, file) = (behind.join(", "), self.file.display());
        Err(anyhow!("{file} is not what these processes go by: {behind}. They {wrong}").into())
    }

    /// Writes them, and gives everybody the time to go over.
    async fn write(&self, settings: &[(&'static str, &str)]) -> anyhow::Result<()> {
        let settings: Vec<(&'static str, SecretString)> = settings
            .iter()
            .map(|(name, value)| (*name, SecretString::from(*value)))
            .collect();
        let (file, shown) = (self.file.clone(), self.file.display());
        tokio::task::spawn_blocking(move || {
            let plain: Vec<(&str, &str)> = settings
                .iter()
                .map(|(name, value)| (*name, value.expose_secret()))
                .collect();
            env_file::set_all(&file, &plain)
        })
        .await
        .context("writing the settings panicked")?
        .with_context(|| format!("cannot write to {shown}"))?;
        self.roll_call.settle().await;
        Ok(())
    }
}

const fn report(setting: &'static str, outcome: Outcome) -> Report {
    Report { setting, outcome }
}

/// What an API process tells of its secrets when they are these.
fn api_secrets(sources: &Sources) -> Result<String, ConfigError> {
    let mut reader = Reader::new(sources);
    let secret_key = reader.secret(SECRET_KEY, 1);
    let next = reader.secrets(SECRET_KEY_NEXT, 1);
    let previous = reader.secrets(SECRET_KEY_PREVIOUS, 1);
    let admin_token = reader.secret(ADMIN_TOKEN, 1);
    let previous_tokens = reader.secrets(ADMIN_TOKEN_PREVIOUS, 1);
    let read = || {
        Some((
            secret_key?,
            next?,
            previous?,
            admin_token?,
            previous_tokens?,
        ))
    };
    let (secret_key, mut others, previous, admin_token, mut tokens) = reader.finish_with(read())?;
    others.extend(previous);
    tokens.insert(0, admin_token);
    Ok(presence::fingerprint(&[
        &[secret_key.expose_secret()],
        &exposed(&others),
        &exposed(&tokens),
    ]))
}

fn exposed(list: &[SecretString]) -> Vec<&str> {
    list.iter().map(ExposeSecret::expose_secret).collect()
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
