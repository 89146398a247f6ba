//! New credentials without a restart: a process reads its settings every two seconds, and at once on SIGHUP, and
//! uses the connection URLs and secrets that it finds there.
//!
//! Only user and password of a URL may change in this way. Another server or database is another arena, which
//! needs a restart. Where settings come from the environment they never change under a running process; there a
//! rolling restart does the same.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache::Cache;
use cache::presence::{DATABASE_URL, REDIS_URL};
use daemon::config::Sources;
use daemon::shutdown::{SIGHUP, Shutdown, Wake};
use db::roles::role_of;
use db::{Database, DbError};
use secrecy::{ExposeSecret, SecretString};
use tracing::{info, warn};

use crate::settings::{POSTGRES_SCHEMES, PostgresSettings, REDIS_SCHEMES, RedisSettings};

/// How often the settings are looked at.
pub const LOOK_SECONDS: u64 = 2;
const CHECKS_A_LOOK: u32 = 20;

/// Uses each new login of Postgres until the shutdown, and reports its role through the cache if the process has
/// one.
///
/// # Errors
/// When the handler of SIGHUP cannot be installed.
pub fn follow_postgres(
    in_use: &PostgresSettings,
    database: Database,
    cache: Option<Cache>,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let follower = Follower::new(DATABASE_URL, POSTGRES_SCHEMES, &in_use.url);
    follow(follower, shutdown, move |url| {
        let (database, cache) = (database.clone(), cache.clone());
        async move {
            let role = role_of(&url);
            database.take_up(url).await?;
            if let Some(cache) = cache {
                cache.uses_role(role.as_deref());
            }
            Ok::<(), DbError>(())
        }
    })
}

/// Takes up each new login of Redis until the shutdown.
///
/// # Errors
/// When the handler of SIGHUP cannot be installed.
pub fn follow_redis(in_use: &RedisSettings, cache: Cache, shutdown: &Shutdown) -> io::Result<()> {
    let follower = Follower::new(REDIS_URL, REDIS_SCHEMES, &in_use.url);
    follow(follower, shutdown, move |url| {
        let cache = cache.clone();
        async move { cache.take_up(&url).await }
    })
}

/// Calls `take_up` with each new URL. One that cannot be used is logged once, and tried again at the next
/// look.
fn follow<F, Fut, E>(mut follower: Follower, shutdown: &Shutdown, take_up: F) -> io::Result<()>
where
    F: Fn(String) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Display + Send,
{
    let looks = Looks::begin(shutdown)?;
    tokio::spawn(async move {
        while let Some(sources) = looks.next().await {
            let Some(url) = follower.news(&sources) else {
                continue;
            };
            let taken_up = take_up(url.expose_secret().to_owned()).await;
            follower.taken_up(url, taken_up);
        }
    });
    Ok(())
}

/// Calls `look` with the settings as they are every two seconds, and at once on SIGHUP, until the
/// shutdown.
///
/// # Errors
/// When the handler of SIGHUP cannot be installed.
pub fn watch(
    shutdown: &Shutdown,
    mut look: impl FnMut(&Sources) + Send + 'static,
) -> io::Result<()> {
    let looks = Looks::begin(shutdown)?;
    tokio::spawn(async move {
        while let Some(sources) = looks.next().await {
            look(&sources);
        }
    });
    Ok(())
}

/// The times at which the settings are read again.
struct Looks {
    shutdown: Shutdown,
    hangup: Arc<AtomicBool>,
}

impl Looks {
    fn begin(shutdown: &Shutdown) -> io::Result<Looks> {
        let hangup = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&hangup))?;
        Ok(Looks { shutdown: shutdown.clone(), hangup })
    }

    /// The settings at the next look; `None` after the shutdown.
    async fn next(&self) -> Option<Sources> {
        loop {
            let step = Duration::from_secs(LOOK_SECONDS) / CHECKS_A_LOOK;
            for _ in 0..CHECKS_A_LOOK {
                if self.shutdown.sleep(step).await == Wake::ShutdownRequested {
                    return None;
                }
                if self.hangup.swap(false, Ordering::SeqCst) {
                    break;
                }
            }
            // It reads a file.
            if let Ok(sources) = tokio::task::spawn_blocking(Sources::load).await {
                return Some(sources);
            }
        }
    }
}

/// The URL of one store, as it is in use and as the settings have it.
struct Follower {
    setting: &'static str,
    schemes: &'static [&'static str],
    in_use: SecretString,
    /// The complaint that was logged last: it is worth one line, not one every two seconds.
    told: String,
}

impl Follower {
    fn new(
        setting: &'static str,
        schemes: &'static [&'static str],
        in_use: &SecretString,
    ) -> Follower {
        Follower { setting, schemes, in_use: in_use.clone(), told: String::new() }
    }

    /// Another URL than the one in use, if it is one to take up.
    fn news(&mut self, sources: &Sources) -> Option<SecretString> {
        let setting = self.setting;
        let url = match sources.connection_url(setting, self.schemes) {
            Ok(url) => url,
            Err(error) => {
                self.complain(error.to_string());
                return None;
            }
        };
        if url.expose_secret() == self.in_use.expose_secret() {
            self.told.clear();
            return None;
        }
        if !is_same_place(url.expose_secret(), self.in_use.expose_secret()) {
            self.complain(format!("{setting} now leads to another place; that needs a restart"));
            return None;
        }
        Some(url)
    }

    fn taken_up(&mut self, url: SecretString, outcome: Result<(), impl Display>) {
        let setting = self.setting;
        match outcome {
            Ok(()) => {
                info!(setting, "new credentials are in use");
                self.in_use = url;
                self.told.clear();
            }
            Err(error) => {
                self.complain(format!("{setting} has changed and does not work: {error}"))
            }
        }
    }

    fn complain(&mut self, problem: String) {
        if self.told != problem {
            warn!(%problem, "the credentials in use are kept");
            self.told = problem;
        }
    }
}

/// Whether two URLs differ in user and password at most.
fn is_same_place(one: &str, other: &str) -> bool {
    let place = |text: &str| {
        let mut url = url::Url::parse(text).ok()?;
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(url)
    };
    match (place(one), place(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_USE: &str = "postgres://app:old@127.0.0.1:5432/arena";

    fn news(file: &str) -> (Option<String>, String) {
        let mut follower = Follower::new(DATABASE_URL, POSTGRES_SCHEMES, &IN_USE.into());
        let news = follower.news(&Sources::from_parts(file, []));
        let news = news.map(|url| url.expose_secret().to_owned());
        (news, follower.told)
    }

    #[test]
    fn another_user_or_password_is_news() {
        for url in
            ["postgres://app:new@127.0.0.1:5432/arena", "postgres://app_2:old@127.0.0.1:5432/arena"]
        {
            assert_eq!(news(&format!("DATABASE_URL={url}")), (Some(url.to_owned()), String::new()));
        }
        assert_eq!(news(&format!("DATABASE_URL={IN_USE}")), (None, String::new()));
    }

    #[test]
    fn what_cannot_be_taken_up_is_told_without_its_value() {
        for (file, problem) in [
            ("DATABASE_URL=postgres://app:hush@elsewhere:5432/arena", "another place"),
            ("DATABASE_URL=postgres://app:hush@127.0.0.1:5432/other", "another place"),
            ("DATABASE_URL=hush", "DATABASE_URL"),
            ("", "DATABASE_URL"),
        ] {
            let (news, told) = news(file);
            assert_eq!(news, None, "{file}");
            assert!(told.contains(problem) && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn a_url_that_fails_is_news_again_at_the_next_look() {
        let new = "postgres://app:new@127.0.0.1:5432/arena";
        let mut follower = Follower::new(DATABASE_URL, POSTGRES_SCHEMES, &IN_USE.into());
        let sources = Sources::from_parts(&format!("DATABASE_URL={new}"), []);
        assert!(follower.news(&sources).is_some());
        follower.taken_up(new.into(), Err("refused"));
        assert!(follower.told.contains("refused"));
        assert!(follower.news(&sources).is_some());
        follower.taken_up(new.into(), Ok::<(), String>(()));
        assert!(follower.news(&sources).is_none());
    }
}
