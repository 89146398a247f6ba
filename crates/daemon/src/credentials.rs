//! New credentials without a restart: a process looks at its settings every two seconds, and at once
//! on SIGHUP, and goes on with the connection URLs and secrets that it finds there.
//!
//! Of a URL only user and password may change in this way. Another server or database is another arena, for
//! which a process must be started anew. Where settings come from the environment they never change
//! under a running process; there a rolling restart does the same.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use signal_hook::consts::SIGHUP;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{Reader, Sources};
use crate::shutdown::{Shutdown, Wake};

/// How often the settings are looked at.
pub const LOOK_SECONDS: u64 = 2;
const CHECKS_A_LOOK: u32 = 20;

/// The setting of a connection URL that a process has in use.
pub struct Followed {
    pub setting: &'static str,
    pub schemes: &'static [&'static str],
    pub in_use: SecretString,
}

/// Looks at the setting until the shutdown, and calls `take_up` with each new URL. One that cannot
/// be used is logged once, and tried again at the next look.
///
/// # Errors
/// When the handler of SIGHUP cannot be installed.
pub fn follow<F, Fut, E>(
    followed: Followed,
    shutdown: Shutdown,
    take_up: F,
) -> io::Result<JoinHandle<()>>
where
    F: Fn(String) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Display + Send,
{
    let hangup = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&hangup))?;
    let mut follower = Follower {
        followed,
        told: String::new(),
    };
    Ok(tokio::spawn(async move {
        while wait(&shutdown, &hangup).await == Wake::Elapsed {
            // It reads a file.
            let Ok(sources) = tokio::task::spawn_blocking(Sources::load).await else {
                continue;
            };
            let Some(url) = follower.news(&sources) else {
                continue;
            };
            let taken_up = take_up(url.expose_secret().to_owned()).await;
            follower.taken_up(url, taken_up);
        }
    }))
}

/// Calls `look` with the settings as they are every two seconds, and at once on SIGHUP, until the
/// shutdown.
///
/// # Errors
/// When the handler of SIGHUP cannot be installed.
pub fn watch(
    shutdown: Shutdown,
    mut look: impl FnMut(&Sources) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let hangup = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&hangup))?;
    Ok(tokio::spawn(async move {
        while wait(&shutdown, &hangup).await == Wake::Elapsed {
            // It reads a file.
            if let Ok(sources) = tokio::task::spawn_blocking(Sources::load).await {
                look(&sources);
            }
        }
    }))
}

async fn wait(shutdown: &Shutdown, hangup: &AtomicBool) -> Wake {
    let step = Duration::from_secs(LOOK_SECONDS) / CHECKS_A_LOOK;
    for _ in 0..CHECKS_A_LOOK {
        if shutdown.sleep(step).await == Wake::ShutdownRequested {
            return Wake::ShutdownRequested;
        }
        if hangup.swap(false, Ordering::SeqCst) {
            break;
        }
    }
    Wake::Elapsed
}

struct Follower {
    followed: Followed,
    /// The complaint that was logged last: it is worth one line, not one every two seconds.
    told: String,
}

impl Follower {
    /// Another URL than the one in use, if it is one to take up.
    fn news(&mut self, sources: &Sources) -> Option<SecretString> {
        let setting = self.followed.setting;
        let mut reader = Reader::new(sources);
        let url = reader.connection_url(setting, self.followed.schemes);
        let url = match reader.finish_with(url) {
            Ok(url) => url,
            Err(error) => {
                self.complain(error.to_string());
                return None;
            }
        };
        if url.expose_secret() == self.followed.in_use.expose_secret() {
            self.told.clear();
            return None;
        }
        if !is_same_place(url.expose_secret(), self.followed.in_use.expose_secret()) {
            self.complain(format!(
                "{setting} now leads to another place; that needs a restart"
            ));
            return None;
        }
        Some(url)
    }

    fn taken_up(&mut self, url: SecretString, outcome: Result<(), impl Display>) {
        let setting = self.followed.setting;
        match outcome {
            Ok(()) => {
                info!(setting, "new credentials are in use");
                self.followed.in_use = url;
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
        let mut follower = Follower {
            followed: Followed {
                setting: "DATABASE_URL",
                schemes: &["postgres"],
                in_use: IN_USE.into(),
            },
            told: String::new(),
        };
        let news = follower.news(&Sources::from_parts(file, []));
        let news = news.map(|url| url.expose_secret().to_owned());
        (news, follower.told)
    }

    #[test]
    fn another_user_or_password_is_news() {
        for url in [
            "postgres://app:new@127.0.0.1:5432/arena",
            "postgres://app_2:old@127.0.0.1:5432/arena",
        ] {
            assert_eq!(
                news(&format!("DATABASE_URL={url}")),
                (Some(url.to_owned()), String::new())
            );
        }
        assert_eq!(
            news(&format!("DATABASE_URL={IN_USE}")),
            (None, String::new())
        );
    }

    #[test]
    fn what_cannot_be_taken_up_is_told_without_its_value() {
        for (file, problem) in [
            (
                "DATABASE_URL=postgres://app:hush@elsewhere:5432/arena",
                "another place",
            ),
            (
                "DATABASE_URL=postgres://app:hush@127.0.0.1:5432/other",
                "another place",
            ),
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
        let mut follower = Follower {
            followed: Followed {
                setting: "DATABASE_URL",
                schemes: &["postgres"],
                in_use: IN_USE.into(),
            },
            told: String::new(),
        };
        let sources = Sources::from_parts(&format!("DATABASE_URL={new}"), []);
        assert!(follower.news(&sources).is_some());
        follower.taken_up(new.into(), Err("refused"));
        assert!(follower.told.contains("refused"));
        assert!(follower.news(&sources).is_some());
        follower.taken_up(new.into(), Ok::<(), String>(()));
        assert!(follower.news(&sources).is_none());
    }
}
