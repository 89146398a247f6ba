//! A private Postgres: its cluster, its roles, its start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon::process::Refusal;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::account::Account;
use super::{Programs, programs};
use crate::address::ServerUrl;
use crate::files::secret_file;
use crate::first_settings::random_hex;
use crate::process::{LOOK_EVERY, born};
use crate::{Told, reason};

/// Never named in a `.env`: the way back in when a role's password is lost. Its password is in `superuser` next
/// to the cluster, readable by its owner and root.
pub const SUPERUSER: &str = "postgres";

const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Whether a new cluster has to survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Synced,
    /// For one that is deleted at the end.
    ThrowAway,
}

/// A Postgres whose files are in one directory.
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    account: Account,
}

impl Postgres {
    /// Makes an empty cluster in the directory, unless there is one.
    ///
    /// # Errors
    /// When there is no program for it, or it cannot be made.
    pub fn create(found: &Programs, dir: &Path, durability: Durability) -> Told<Postgres> {
        let account = Account::adopting(dir)?;
        let postgres = Postgres {
            bin: programs::for_cluster(found.postgres()?, dir)?,
            dir: dir.to_owned(),
            account,
        };
        let cluster = dir.join("cluster");
        if cluster.join("PG_VERSION").is_file() {
            if postgres.superuser_password().is_none() {
                let dir = dir.display();
                return Err(Refusal::unavailable(format!(
                    "{dir} has a cluster, but {dir}/superuser with its superuser's password is missing: see \
                     The way back in, in docs/operators.md."
                )));
            }
            return Ok(postgres);
        }
        postgres.initdb(&cluster, durability)?;
        Ok(postgres)
    }

    /// Whether its programs can read the existing cluster, for a check before the start.
    ///
    /// # Errors
    /// When they cannot, or there are none.
    pub(crate) fn check(found: &Programs, dir: &Path) -> Told<()> {
        programs::for_cluster(found.postgres()?, dir).map(drop)
    }

    fn initdb(&self, cluster: &Path, durability: Durability) -> Told<()> {
        // Created aside, so that an interrupted initdb is never taken for a cluster.
        let (aside, password) = (self.dir.join("cluster.new"), self.dir.join("superuser"));
        let failed = |why: &str| Refusal::unavailable(format!("initdb failed: {why}"));
        let prepare = || -> io::Result<()> {
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            let mut file = secret_file(&password, 0o600)?;
            writeln!(file, "{}", random_hex(24)?)?;
            self.account.own(&password)
        };
        prepare().map_err(|error| failed(&reason(&error)))?;
        let mut command = self.account.command(self.bin.join("initdb"));
        command
            .arg("--no-sync")
            .arg("-D")
            .arg(&aside)
            .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", password.display()))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            // A terminal's Ctrl-C is only for the supervisor, which then stops it.
            .process_group(0);
        let output = command.output().map_err(|error| failed(&reason(&error)))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(failed(&complaint(&String::from_utf8_lossy(&said))));
        }
        let settle = || {
            fs::rename(&aside, cluster)?;
            // initdb's files, too: no checkpoint would ever write them to disk.
            if durability == Durability::Synced {
                rustix::fs::syncfs(File::open(&self.dir)?)?;
            }
            Ok(())
        };
        settle().map_err(|error: io::Error| failed(&reason(&error)))
    }

    /// The command that starts it on that port; `wrapped` is a prefix of it, `extra` further settings. Without a
    /// Unix socket: clients need TCP and a password.
    pub fn command(&self, port: u16, wrapped: &[&str], extra: &[&str]) -> Command {
        self.drop_stale_lock();
        let mut command = self::wrapped(self.account, wrapped, &self.bin.join("postgres"));
        command.arg("-D").arg(self.dir.join("cluster")).current_dir(&self.dir);
        let (port, buffers) =
            (format!("port={port}"), format!("shared_buffers={}MB", shared_buffers_mb()));
        let settings = [
            "listen_addresses=127.0.0.1",
            &port,
            "unix_socket_directories=",
            &buffers,
            "max_connections=200",
            "max_wal_size=2GB",
            "jit=off",
            "logging_collector=off",
            "log_destination=stderr",
        ];
        for setting in settings.iter().chain(extra) {
            command.arg("-c").arg(setting);
        }
        command
    }

    /// The directory of its programs.
    pub fn programs(&self) -> &Path {
        &self.bin
    }

    /// After a crash of the whole machine the pid in Postgres' lock file may belong to another process, which
    /// would prevent Postgres from starting.
    fn drop_stale_lock(&self) {
        let path = self.dir.join("cluster/postmaster.pid");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let pid = text.lines().next().unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if !name.starts_with("postgres") {
            let _ = fs::remove_file(path);
        }
    }

    /// `None` where it is lost.
    pub fn superuser_password(&self) -> Option<String> {
        let text = fs::read_to_string(self.dir.join("superuser")).ok()?;
        Some(text.trim().to_owned()).filter(|password| !password.is_empty())
    }

    async fn connect(&self, port: u16) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host("127.0.0.1")
            .port(port)
            .user(SUPERUSER)
            .password(self.superuser_password().unwrap_or_default())
            .dbname("postgres")
            .application_name("arenactl")
            // Statements about roles contain passwords, which must never get into Postgres' log.
            .options("-c log_min_error_statement=panic -c log_statement=none -c log_min_duration_statement=-1")
            .connect_timeout(ANSWERS_WITHIN)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Waits until it answers SELECT 1. An error after it accepts connections would be repeated.
    ///
    /// # Errors
    /// With the reason, when it does not.
    pub async fn answers(&self, pid: u32, port: u16, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            if born(pid).is_none() {
                return Err("it ended at once".to_owned());
            }
            let asking = async { self.connect(port).await?.simple_query("SELECT 1").await };
            let why = match timeout(ANSWERS_WITHIN, asking).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => {
                    let starts = error.code() == Some(&SqlState::CANNOT_CONNECT_NOW);
                    if error.as_db_error().is_some() && !starts {
                        return Err(words(&error));
                    }
                    words(&error)
                }
                Err(_) => "no answer to SELECT 1".to_owned(),
            };
            if Instant::now() >= deadline {
                return Err(why);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The roles and the database are set by the URLs, so that a lost or edited `.env` never locks anyone out.
    pub(crate) async fn keep_roles(
        &self,
        port: u16,
        app: &ServerUrl,
        owner: &ServerUrl,
    ) -> Told<()> {
        if [app, owner].iter().any(|url| url.user == SUPERUSER) {
            return Err(Refusal::config(
                "the private Postgres' superuser must not be named in DATABASE_URL or DATABASE_OWNER_URL. \
                 Name arena_app and arena_owner there.",
            ));
        }
        let kept = timeout(Duration::from_secs(30), self.try_keep_roles(port, app, owner)).await;
        let why = match kept {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => words(&error),
            Err(_) => "no answer within 30 s".to_owned(),
        };
        Err(Refusal::unavailable(format!("cannot create the roles of the private Postgres: {why}")))
    }

    async fn try_keep_roles(
        &self,
        port: u16,
        app: &ServerUrl,
        owner: &ServerUrl,
    ) -> Result<(), tokio_postgres::Error> {
        let client = self.connect(port).await?;
        let has_role = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
        let database = &owner.database;
        let is_new =
            !is(&client, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database)
                .await?;
        for url in [app, owner] {
            if !is(&client, has_role, &url.user).await? {
                run(&client, "CREATE ROLE %I", &[&url.user]).await?;
            }
            let words = [url.user.as_str(), &url.password];
            run(&client, "ALTER ROLE %I LOGIN PASSWORD %L", &words).await?;
        }
        if !is_new {
            return Ok(());
        }
        // The first migrations name arena_app. In an empty cluster under a `.env` whose role was rotated, that
        // role gets its rights through this one.
        if !is(&client, has_role, "arena_app").await? {
            run(&client, "CREATE ROLE arena_app NOLOGIN", &[]).await?;
        }
        if app.user != "arena_app" {
            run(&client, "GRANT arena_app TO %I", &[&app.user]).await?;
        }
        run(&client, "CREATE DATABASE %I OWNER %I", &[database, &owner.user]).await
    }
}

async fn is(client: &Client, question: &str, name: &str) -> Result<bool, tokio_postgres::Error> {
    client.query_one(question, &[&name]).await?.try_get(0)
}

/// Has Postgres itself put names and values into a statement, then runs it.
async fn run(client: &Client, form: &str, words: &[&str]) -> Result<(), tokio_postgres::Error> {
    let question = "SELECT format($1, VARIADIC $2::text[])";
    let row = client.query_one(question, &[&form, &words]).await?;
    let statement: String = row.try_get(0)?;
    client.batch_execute(&statement).await
}

/// The server's error, else the connection's.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{}: {}", said.severity(), said.message()),
        None => error.to_string(),
    }
}

/// The line of a Postgres program with the error: its last line is about its cleanup.
fn complaint(said: &str) -> String {
    let wrong = ["error:", "FATAL:", "PANIC:"];
    let lines = || said.lines().filter(|line| !line.trim().is_empty());
    let line = lines().rfind(|line| wrong.iter().any(|word| line.contains(word)));
    line.or_else(|| lines().next_back()).unwrap_or("it said nothing").to_owned()
}

/// The command under an account, behind other words.
pub(super) fn wrapped(account: Account, words: &[&str], program: &Path) -> Command {
    match words.split_first() {
        None => account.command(program),
        Some((first, rest)) => {
            let mut command = account.command(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// An eighth of the memory that this machine, or this container, may use, within reason.
fn shared_buffers_mb() -> u64 {
    let kib = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(kib);
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
    let smallest = [memory, limit.map(|bytes| bytes / 1024)];
    let smallest = smallest.into_iter().flatten().min();
    smallest.map_or(256, |kib| (kib / 1024 / 8).clamp(64, 1024))
}

/// The next step if the programs of a running server were replaced on disk, as by an upgrade of its packages.
pub(crate) fn upgraded(name: &str, pid: u32) -> Option<String> {
    // Not ours to see where another user runs it.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let program = program.to_str()?.strip_suffix(" (deleted)")?;
    Some(if Path::new(program).exists() {
        format!(
            "{name} (pid {pid}) was upgraded on disk while it runs and still uses the old programs. When a \
             pause of some seconds suits: ./run_system.sh stop, then start it again."
        )
    } else {
        format!(
            "{name} (pid {pid}) runs from {program}, which is not installed any more: it goes on, and could \
             not be started again. Install that version's package, then: ./run_system.sh stop, and start it \
             again."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::spawn;

    #[test]
    fn the_line_that_says_what_is_wrong_is_told() {
        let said = "creating directory … ok\ninitdb: error: No space left on device\n\
                    initdb: removing data directory\n";
        assert_eq!(complaint(said), "initdb: error: No space left on device");
        assert_eq!(complaint("one\n\n"), "one");
        assert_eq!(complaint(""), "it said nothing");
    }

    #[test]
    fn a_program_that_was_replaced_or_removed_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("server");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut command = Command::new(&program);
        command.arg("60");
        let mut child = spawn(command).unwrap();
        let pid = child.id();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while fs::read_link(format!("/proc/{pid}/exe")).ok().as_ref() != Some(&program) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        let unchanged = upgraded("redis", pid);
        fs::remove_file(&program).unwrap();
        let gone = upgraded("redis", pid);
        fs::write(&program, "").unwrap();
        let replaced = upgraded("redis", pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(unchanged, None);
        let gone = gone.unwrap();
        assert!(gone.contains("is not installed any more"), "{gone}");
        let replaced = replaced.unwrap();
        assert!(replaced.contains("was upgraded on disk"), "{replaced}");
    }

    #[test]
    fn memory_bounds_the_buffers() {
        assert!((64..=1024).contains(&shared_buffers_mb()));
    }
}
