//! A Redis user's passwords: adds a second one, and later removes the first.
//!
//! Redis accepts any number of passwords for a user, so clients with the old one are not refused while services
//! change to the new one. Redis itself stores the change, in its ACL file or its configuration, so that it
//! survives a restart.

use std::time::Duration;

use crate::error::{CacheError, CacheResult};
use crate::{Link, within};

/// The user that a URL without one logs in as.
pub const DEFAULT_USER: &str = "default";

/// A session that may change users.
pub struct PasswordAdmin {
    link: Link,
    id: i64,
}

impl PasswordAdmin {
    /// Logs in.
    ///
    /// # Errors
    /// When Redis refuses the URL or does not answer.
    pub async fn open(url: &str) -> CacheResult<PasswordAdmin> {
        let link = Link::open(url).await?;
        let mut admin = PasswordAdmin { link, id: 0 };
        admin.id = admin.ask(redis::cmd("CLIENT").arg("ID")).await?;
        Ok(admin)
    }

    /// Whether the user gets in without a password, which a first password would end.
    ///
    /// # Errors
    /// If the session may not read users, or Redis does not answer.
    pub async fn needs_none(&self, user: &str) -> CacheResult<bool> {
        let rules = self.rules(user).await?;
        Ok(rules.iter().any(|rule| rule == "nopass"))
    }

    /// The number of valid passwords of the user.
    ///
    /// # Errors
    /// As for [`PasswordAdmin::needs_none`].
    pub async fn passwords(&self, user: &str) -> CacheResult<usize> {
        let rules = self.rules(user).await?;
        Ok(rules.iter().filter(|rule| rule.starts_with('#')).count())
    }

    async fn rules(&self, user: &str) -> CacheResult<Vec<String>> {
        let all: Vec<String> = self.ask(redis::cmd("ACL").arg("LIST")).await?;
        let is_theirs = |line: &&String| line.split(' ').nth(1) == Some(user);
        let theirs = all.iter().find(is_theirs);
        Ok(theirs.map_or_else(Vec::new, |line| line.split(' ').map(str::to_owned).collect()))
    }

    /// Takes a password away that was added.
    ///
    /// # Errors
    /// As for [`PasswordAdmin::add`].
    pub async fn forget(&self, user: &str, sha256: &str) -> CacheResult<()> {
        self.set_user(user, &[&format!("!{sha256}")]).await
    }

    /// From now on the password of this SHA-256, in lower-case hex, is valid for the user too.
    ///
    /// # Errors
    /// When the session may not change users, or Redis cannot keep the change.
    pub async fn add(&self, user: &str, sha256: &str) -> CacheResult<()> {
        self.set_user(user, &[&format!("#{sha256}")]).await?;
        let kept = self.keep().await;
        if kept.is_err() {
            self.forget(user, sha256).await?;
        }
        kept
    }

    /// From now on only the password in this URL is valid for the user. Sessions that are open stay so.
    ///
    /// # Errors
    /// As for [`PasswordAdmin::add`], and [`CacheError::Url`] if there is none.
    pub async fn only(&self, user: &str, url: &str) -> CacheResult<()> {
        let client = crate::address::login(url)?;
        let login = client.get_connection_info().redis_settings();
        let password = login.password().ok_or(CacheError::Url)?;
        if user == DEFAULT_USER {
            // It has its own line in the configuration, which would else keep the old one.
            self.ask::<()>(redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(password))
                .await?;
        } else {
            self.set_user(user, &["resetpass", &format!(">{password}")]).await?;
        }
        self.keep().await
    }

    /// Makes a user who may do everything, by this password.
    ///
    /// # Errors
    /// As for [`PasswordAdmin::add`].
    pub async fn make(&self, user: &str, password: &str) -> CacheResult<()> {
        self.set_user(user, &["on", &format!(">{password}"), "~*", "&*", "+@all"]).await
    }

    /// Sessions of the user that are older than that: their addresses.
    ///
    /// # Errors
    /// When the session may not list others, or Redis does not answer.
    pub async fn sessions_older_than(&self, user: &str, age: Duration) -> CacheResult<Vec<String>> {
        let list: String = self.ask(redis::cmd("CLIENT").arg("LIST")).await?;
        let field = |line: &str, name: &str| {
            line.split(' ')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let old = list.lines().filter(|line| {
            let is_ours = field(line, "user").as_deref() == Some(user)
                && field(line, "id") != Some(self.id.to_string());
            let seconds = field(line, "age").and_then(|text| text.parse().ok());
            is_ours && seconds.is_some_and(|seconds| Duration::from_secs(seconds) > age)
        });
        Ok(old.filter_map(|line| field(line, "addr")).collect())
    }

    async fn set_user(&self, user: &str, rules: &[&str]) -> CacheResult<()> {
        self.ask(redis::cmd("ACL").arg("SETUSER").arg(user).arg(rules)).await
    }

    /// Has Redis write down its users.
    async fn keep(&self) -> CacheResult<()> {
        let (_, acl_file): (String, String) =
            self.ask(redis::cmd("CONFIG").arg("GET").arg("aclfile")).await.unwrap_or_default();
        if acl_file.is_empty() {
            self.ask::<()>(redis::cmd("CONFIG").arg("REWRITE")).await
        } else {
            self.ask::<()>(redis::cmd("ACL").arg("SAVE")).await
        }
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> CacheResult<T> {
        let mut redis = self.link.manager.clone();
        within(async { command.query_async(&mut redis).await.map_err(CacheError::from) }).await
    }
}
