//! Which processes run, and with which credentials: so that a rotation knows which processes do not use the new
//! one yet, and keeps the old one for them.
//!
//! A process reports this every [`SAID_EVERY`], and counts as running for [`BELIEVED`] after its last report:
//! also a process that hangs or has ended. A report only has fingerprints of credentials.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::cmd;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::Cache;
use crate::error::{CacheError, CacheResult};
use crate::passwords::DEFAULT_USER;

/// How often a process reports.
pub const SAID_EVERY: Duration = Duration::from_secs(2);
/// How long a report is valid. Longer than [`WAIT_SECONDS_MAX`]: silence must not look like
/// consent.
pub const BELIEVED: Duration = Duration::from_secs(120);
/// The longest wait for processes to use a new credential.
pub const WAIT_SECONDS_MAX: u64 = 100;
/// The setting of the cache' own URL.
pub const REDIS_URL: &str = "REDIS_URL";
/// The setting of the services' role in Postgres.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// The API's keys. Their fingerprint is that of two groups: the one in use; the next and the previous ones.
pub const SECRET_KEY: &str = "SECRET_KEY";
/// The operator's token, in the same two groups.
pub const ADMIN_TOKEN: &str = "ADMIN_TOKEN";

const KEYS_A_LOOK: usize = 1000;
const FINGERPRINT_BYTES: usize = 8;

/// The report of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// For people: which service, on which machine, under which process id.
    pub process: String,
    pub host: String,
    pub pid: u32,
    /// Fingerprints of the credentials it uses, by the names of their settings.
    pub credentials: BTreeMap<String, String>,
    /// The time since its last report.
    #[serde(skip)]
    pub silent: Duration,
}

/// Keeps a process present for as long as it is held.
pub struct Announcement {
    cache: Cache,
    /// Until it has left.
    key: Option<String>,
    task: JoinHandle<()>,
}

impl Cache {
    /// Says from now on that this process is there.
    pub fn announce(&self, service: &str) -> Announcement {
        let (host, pid) = (this_host(), std::process::id());
        let presence = Presence {
            process: format!("{service} on {host} (pid {pid})"),
            host,
            pid,
            credentials: BTreeMap::new(),
            silent: Duration::ZERO,
        };
        // Host and pid may be those of another one, where containers are given the same name.
        let key = self.key(&format!("process:{}", Uuid::new_v4()));
        let (cache, at) = (self.clone(), key.clone());
        let mut news = self.credentials.subscribe();
        let task = tokio::spawn(async move {
            let mut told = false;
            loop {
                news.mark_unchanged();
                match cache.say(&at, &presence).await {
                    Ok(()) => told = false,
                    // Rotations of credentials would take it for gone: worth one line.
                    Err(error) if !told => {
                        told = true;
                        warn!(%error, "this process cannot report to Redis that it runs");
                    }
                    Err(_) => {}
                }
                // At once after a change; the sender lives as long as the cache.
                let _ = tokio::time::timeout(SAID_EVERY, news.changed()).await;
            }
        });
        Announcement { cache: self.clone(), key: Some(key), task }
    }

    /// Tells by its fingerprint which credential this process uses from now on.
    pub fn uses(&self, setting: &str, fingerprint: String) {
        self.credentials.send_modify(|credentials| {
            credentials.insert(setting.to_owned(), fingerprint);
        });
    }

    /// Tells under which role of Postgres this process works from now on.
    pub fn uses_role(&self, role: Option<&str>) {
        if let Some(role) = role {
            self.uses(DATABASE_URL, fingerprint(&[&[role]]));
        }
    }

    async fn say(&self, key: &str, presence: &Presence) -> CacheResult<()> {
        let presence =
            Presence { credentials: self.credentials.borrow().clone(), ..presence.clone() };
        let text = serde_json::to_string(&presence)
            .map_err(|error| CacheError::Corrupt(error.to_string()))?;
        let mut command = cmd("SET");
        command.arg(key).arg(text).arg("EX").arg(BELIEVED.as_secs());
        self.run(&command).await
    }

    /// The processes that were heard of lately.
    ///
    /// # Errors
    /// When Redis does not answer, or with something else.
    pub async fn present(&self) -> CacheResult<Vec<Presence>> {
        let pattern = format!("{}*", escaped(&self.key("process:")));
        let (mut cursor, mut found) = (0_u64, BTreeMap::new());
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(KEYS_A_LOOK);
            let (next, keys): (u64, Vec<String>) = self.run(&scan).await?;
            for key in keys {
                // It may have left between the two commands.
                let text: Option<String> = self.run(cmd("GET").arg(&key)).await?;
                let left: i64 = self.run(cmd("PTTL").arg(&key)).await?;
                let Some(text) = text else { continue };
                let mut presence: Presence = serde_json::from_str(&text)
                    .map_err(|error| CacheError::Corrupt(format!("{key}: {error}")))?;
                let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                presence.silent = BELIEVED.saturating_sub(left);
                found.insert(key, presence);
            }
            if next == 0 {
                return Ok(found.into_values().collect());
            }
            cursor = next;
        }
    }
}

impl Announcement {
    /// Says that the process is going.
    pub async fn leave(mut self) {
        self.task.abort();
        if let Some(key) = self.key.take() {
            forget(self.cache.clone(), key).await;
        }
    }
}

/// A failed start must not count as running.
impl Drop for Announcement {
    fn drop(&mut self) {
        self.task.abort();
        if let (Some(key), Ok(runtime)) = (self.key.take(), Handle::try_current()) {
            runtime.spawn(forget(self.cache.clone(), key));
        }
    }
}

async fn forget(cache: Cache, key: String) {
    let gone: CacheResult<()> = cache.run(cmd("DEL").arg(&key)).await;
    if let Err(error) = gone {
        debug!(%error, "this process still counts as running for a while");
    }
}

/// The name of this machine's processes in their reports.
pub fn this_host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Tells sets of secrets apart without showing any: 64 bits of a SHA-256 over all of them. A reader of Redis
/// could test guesses against it, so secrets must be long and random, as generated ones are.
pub fn fingerprint(groups: &[&[&str]]) -> String {
    let mut hash = Sha256::new();
    let count = |hash: &mut Sha256, length: usize| hash.update(length.to_string() + ":");
    for group in groups {
        count(&mut hash, group.len());
        for secret in *group {
            count(&mut hash, secret.len());
            hash.update(secret);
        }
    }
    let digest = hash.finalize();
    let bytes = digest.iter().take(FINGERPRINT_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The fingerprint of only user and password in a URL of Redis: machines may use other addresses for it.
///
/// # Errors
/// [`CacheError::Url`] if it cannot be read.
pub fn login_fingerprint(url: &str) -> CacheResult<String> {
    let client = crate::address::login(url)?;
    let login = client.get_connection_info().redis_settings();
    let user = login.username().unwrap_or(DEFAULT_USER);
    Ok(fingerprint(&[&[user], &[login.password().unwrap_or_default()]]))
}

/// The text as a pattern that matches nothing else.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let special = matches!(c, '*' | '?' | '[' | ']' | '\\' | '^');
            special.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_differ_or_are_grouped_otherwise_have_other_fingerprints() {
        let all = [
            fingerprint(&[&["ab"]]),
            fingerprint(&[&["ac"]]),
            fingerprint(&[&["a", "b"]]),
            fingerprint(&[&["a"], &["b"]]),
            fingerprint(&[&["a", "b"], &[]]),
            fingerprint(&[]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 16);
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(all[0], fingerprint(&[&["ab"]]));
    }

    #[test]
    fn a_login_is_the_same_at_every_address() {
        let of = |url| login_fingerprint(url).unwrap();
        let login = of("redis://:p%40ss@127.0.0.1:6379/0");
        assert_eq!(login, of("redis://default:p%40ss@10.0.0.1:6380/1"));
        assert_ne!(login, of("redis://:pass@127.0.0.1:6379/0"));
        assert_ne!(login, of("redis://other:p%40ss@127.0.0.1:6379/0"));
        assert!(login_fingerprint("nowhere").is_err());
    }

    #[test]
    fn a_namespace_matches_itself_alone() {
        assert_eq!(escaped(r"a*b[c]?\^d"), r"a\*b\[c\]\?\\\^d");
    }
}
