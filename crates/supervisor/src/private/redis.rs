//! A private Redis.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use daemon::process::Refusal;
use tokio::time::Instant;

use super::Programs;
use super::account::Account;
use crate::files::secret_file;
use crate::process::{LOOK_EVERY, born};
use crate::{Told, probe, reason};

/// A Redis whose files are in one directory.
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    password: String,
    account: Account,
}

impl Redis {
    /// Writes its configuration, of which nothing is on a command line for others to read; `lines` come last.
    ///
    /// # Errors
    /// When there is no program for it, or its files cannot be written.
    pub fn create(
        programs: &Programs,
        dir: &Path,
        port: u16,
        password: &str,
        lines: &[&str],
    ) -> Told<Redis> {
        let redis = Redis {
            program: programs.redis()?,
            dir: dir.to_owned(),
            port,
            password: password.to_owned(),
            account: Account::adopting(dir)?,
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\nrequirepass \"{}\"\ndaemonize no\nlogfile \"\"\n\
             databases 64\nappendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n",
            quoted(&dir.display().to_string()),
            quoted(password)
        );
        for line in lines {
            text += line;
            text.push('\n');
        }
        let path = redis.config();
        let write = || {
            let mut file = secret_file(&path, 0o600)?;
            file.write_all(text.as_bytes())?;
            redis.account.own(&path)
        };
        write().map_err(|error| {
            let (path, why) = (path.display(), reason(&error));
            Refusal::unavailable(format!("cannot write {path}: {why}."))
        })?;
        Ok(redis)
    }

    fn config(&self) -> PathBuf {
        self.dir.join("redis.conf")
    }

    /// The command that starts it; `wrapped` is a prefix of it.
    pub fn command(&self, wrapped: &[&str]) -> Command {
        let mut command = super::postgres::wrapped(self.account, wrapped, &self.program);
        command.arg(self.config()).current_dir(&self.dir);
        command
    }

    /// Waits until it answers PING.
    ///
    /// # Errors
    /// With the reason, when it does not.
    pub async fn answers(&self, pid: u32, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            if born(pid).is_none() {
                return Err("it ended at once".to_owned());
            }
            let refusal = match probe::ping(self.port, &self.password).await {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            // While it loads its data it refuses, too; a wrong password stays one.
            if refusal.starts_with("-WRONGPASS") || Instant::now() >= deadline {
                return Err(match refusal.as_str() {
                    "" => "no answer to PING".to_owned(),
                    _ => refusal,
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
