//! An arena, a directory with personas and keys, and the command itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use argon2::{Argon2, PasswordVerifier};
use db::bots::BotRef;
use serde_json::Value;
use tempfile::TempDir;
use test_kit::Arena;

/// The key of this arena's backups.
pub(crate) const BACKUP_KEY: &str =
    "5b0f1a2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd";

pub(crate) struct Bench {
    pub(crate) arena: Arena,
    pub(crate) dir: TempDir,
}

/// The result of one run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one object on one line: {}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Panics with the command's output if it ended otherwise.
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        let bench = Bench { arena: Arena::new().await, dir: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.bots_dir()).unwrap();
        fs::write(bench.dir.path().join(".env"), "").unwrap();
        bench
    }

    pub(crate) fn bots_dir(&self) -> PathBuf {
        self.dir.path().join("bots")
    }

    pub(crate) fn keys_file(&self) -> PathBuf {
        self.dir.path().join(".env.bots")
    }

    pub(crate) fn keys_text(&self) -> String {
        fs::read_to_string(self.keys_file()).unwrap_or_default()
    }

    pub(crate) fn write_keys(&self, text: &str) {
        fs::write(self.keys_file(), text).unwrap();
    }

    pub(crate) fn persona(&self, file: &str, text: &str) {
        fs::write(self.bots_dir().join(file), text).unwrap();
    }

    pub(crate) fn personas(&self, handles: &[&str]) {
        for handle in handles {
            self.persona(&format!("{handle}.yaml"), &persona_of(handle));
        }
    }

    /// The key on the line of that name; the last one counts.
    pub(crate) fn key(&self, variable: &str) -> Option<String> {
        let text = self.keys_text();
        let prefix = format!("{variable}=");
        text.lines().rev().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }

    /// Whether the key opens the bot, by the hash that is stored.
    pub(crate) async fn opens(&self, handle: &str, key: &str) -> bool {
        let bot = BotRef::Handle(handle.parse().unwrap());
        let mut conn = self.arena.conn().await;
        let (_, hash) = db::bots::api_key_hash(&mut conn, &bot).await.unwrap().unwrap();
        Argon2::default().verify_password(key.as_bytes(), hash.as_str()).is_ok()
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.arena.owner_client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// The command with the settings of this arena.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare_command(args);
        command
            .env("DATABASE_URL", self.arena.database_url())
            .env("DATABASE_OWNER_URL", self.arena.owner_url())
            .env("REDIS_URL", self.arena.redis_url())
            .env("BACKUP_KEY", BACKUP_KEY)
            .env("BOTS_DIR", self.bots_dir())
            .env("BOTS_ENV_FILE", self.keys_file());
        command
    }

    /// The command with an empty `.env` and nothing else.
    pub(crate) fn bare_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arenactl"));
        command
            .args(args)
            .env_clear()
            .env("ARENA_ENV_FILE", self.dir.path().join(".env"))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.command(args))
    }

    pub(crate) fn finish(&self, mut command: Command) -> Ran {
        let secrets = self.secrets();
        self.checked(command.output().unwrap(), secrets)
    }

    pub(crate) fn wait(&self, child: Child) -> Ran {
        let secrets = self.secrets();
        self.checked(child.wait_with_output().unwrap(), secrets)
    }

    fn checked(&self, output: Output, mut secrets: Vec<String>) -> Ran {
        let ran = Ran {
            code: output.status.code().expect("the command was not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        secrets.extend(self.secrets());
        for secret in secrets {
            assert!(!ran.stdout.contains(&secret), "a secret on stdout");
            assert!(!ran.stderr.contains(&secret), "a secret on stderr");
        }
        ran
    }

    /// Passwords of the URLs, and all keys on file.
    fn secrets(&self) -> Vec<String> {
        let urls = [self.arena.database_url(), self.arena.owner_url(), self.arena.redis_url()];
        let passwords = urls.iter().filter_map(|url| {
            let (_, rest) = url.split_once("://")?;
            let (credentials, _) = rest.rsplit_once('@')?;
            credentials.split_once(':').map(|(_, password)| password.to_owned())
        });
        let text = self.keys_text();
        let keys = daemon::config::env_file::parse(&text).into_iter().map(|(_, value)| value);
        passwords
            .chain(keys)
            .chain([BACKUP_KEY.to_owned()])
            .filter(|secret| !secret.is_empty())
            .collect()
    }
}

/// The text of a persona that the runner would run.
pub(crate) fn persona_of(handle: &str) -> String {
    format!(
        r#"handle: {handle}
name: {handle}
description: Trades as {handle}.
temperament: calm
system_prompt: You trade.
strategy: {{aggression: "0.50", contrarian: "0.50", patience: "0.50"}}
interval_seconds: 60
max_stake_fraction: "0.05"
min_confidence: "0.55"
"#
    )
}
