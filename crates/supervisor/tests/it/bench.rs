//! A place for one arena, and what a test does to it.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_arena-stand-in");
pub(crate) const SERVICES: [&str; 4] = ["api", "ticker", "oracle", "bot-runner"];
pub(crate) const PARTS: [&str; 6] = ["postgres", "redis", "api", "ticker", "oracle", "bot-runner"];
const PORT_SETTINGS: [&str; 6] = [
    "PRIVATE_POSTGRES_PORT",
    "PRIVATE_REDIS_PORT",
    "API_PORT",
    "TICKER_HEALTH_PORT",
    "ORACLE_HEALTH_PORT",
    "BOT_RUNNER_HEALTH_PORT",
];
/// Many tests share few processors.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    /// As `PORT_SETTINGS`.
    pub(crate) ports: [u16; 6],
    /// Further settings of every command.
    pub(crate) told: Vec<(String, String)>,
    pub(crate) supervisor: Option<Child>,
}

/// The result of a command.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Ran {
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        Ran { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
    }

    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}", self.said);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Ran {
        assert!(self.said.contains(text), "\"{text}\" is not in: {}", self.said);
        self
    }

    #[track_caller]
    pub(crate) fn says_not(self, text: &str) -> Ran {
        assert!(!self.said.contains(text), "\"{text}\" is in: {}", self.said);
        self
    }

    #[track_caller]
    pub(crate) fn in_one_line(self) -> Ran {
        assert_eq!(self.said.lines().count(), 1, "{}", self.said);
        self
    }
}

/// Free ports, each with free ones behind it. Every test has its own range, outside of the system's ephemeral
/// ports.
fn free_ports() -> [u16; 6] {
    const FIRST: u16 = 10_000;
    const RANGES: u32 = 700;
    const RANGE: u16 = 30;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let number = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let range = FIRST + u16::try_from(number % RANGES).unwrap() * RANGE;
        if (range..range + RANGE).all(is_free) {
            return [0, 5, 10, 15, 20, 25].map(|offset| range + offset);
        }
    }
}

/// Waits for it.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.unwrap().success(), "SIG{name} to {pid}");
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let dir = tempfile::Builder::new().prefix("arena-stack-test.").tempdir().unwrap();
        // Servers under another user must be able to reach it.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        let bench = Bench { dir, ports: free_ports(), told: Vec::new(), supervisor: None };
        fs::create_dir(bench.bin()).unwrap();
        for name in SERVICES.into_iter().chain(["arenactl"]) {
            symlink(STAND_IN, bench.bin().join(name)).unwrap();
        }
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    pub(crate) fn env_file(&self) -> PathBuf {
        self.path(".env")
    }

    /// With a blank, which every path may have.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data dir")
    }

    pub(crate) fn env_text(&self) -> String {
        fs::read_to_string(self.env_file()).unwrap_or_default()
    }

    /// A value of `.env`.
    pub(crate) fn env_value(&self, name: &str) -> String {
        let pairs = daemon::config::env_file::parse(&self.env_text());
        let value = pairs.into_iter().rfind(|(known, _)| known == name);
        value.map(|(_, value)| value).unwrap_or_default()
    }

    pub(crate) fn write_env(&self, text: impl AsRef<[u8]>) {
        fs::write(self.env_file(), text).unwrap();
    }

    /// Tells every command that follows.
    pub(crate) fn tell(&mut self, name: &str, value: impl Into<String>) {
        self.told.push((name.to_owned(), value.into()));
    }

    /// Later commands do not get this port.
    pub(crate) fn forget_ports(&mut self, names: &[&str]) {
        for name in names {
            self.tell(name, "");
        }
    }

    /// A program with next to no environment.
    pub(crate) fn command(&self, program: impl AsRef<Path>, words: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ARENA_ENV_FILE", self.env_file())
            .env("ARENA_DATA_DIR", self.data())
            .env("ARENA_BIN_DIR", self.bin())
            .env("STAND_IN", self.dir.path())
            .envs(PORT_SETTINGS.into_iter().zip(self.ports.map(|port| port.to_string())))
            .envs(self.told.iter().map(|(name, value)| (name, value)))
            // From another directory: the working directory must not matter.
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn arenactl(&self, words: &[&str]) -> Ran {
        let mut command = self.command(self.bin().join("arenactl"), words);
        Ran::of(&command.output().unwrap())
    }

    pub(crate) fn status(&self) -> Ran {
        self.arenactl(&["status", "--services"])
    }

    /// Starts a supervisor, whose words go to a file.
    pub(crate) fn start_as(&mut self, mut command: Command) {
        let _ = fs::remove_file(self.path("order"));
        let out = File::create(self.path("out")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        self.supervisor = Some(command.spawn().unwrap());
    }

    pub(crate) fn start(&mut self) {
        self.start_as(self.command(self.bin().join("arenactl"), &["up"]));
    }

    /// Starts one, and waits until the arena is open.
    #[track_caller]
    pub(crate) fn open(&mut self) {
        self.start();
        self.opens();
    }

    #[track_caller]
    pub(crate) fn opens(&mut self) {
        until("the arena is open", || {
            let ended = self.supervisor.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.out());
            self.has_said("The arena is open")
        });
    }

    /// Starts one that ends without a signal.
    pub(crate) fn refusal(&mut self) -> Ran {
        self.start();
        self.end()
    }

    /// The supervisor's output.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.out().contains(text)
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        until(&format!("it says \"{text}\""), || self.has_said(text));
    }

    pub(crate) fn order(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("order")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for the supervisor's end.
    pub(crate) fn end(&mut self) -> Ran {
        let mut supervisor = self.supervisor.take().unwrap();
        until("the supervisor ends", || supervisor.try_wait().unwrap().is_some());
        Ran { code: supervisor.wait().unwrap().code(), said: self.out() }
    }

    pub(crate) fn supervisor_pid(&self) -> u32 {
        self.supervisor.as_ref().unwrap().id()
    }

    /// Ends the supervisor by a signal.
    #[track_caller]
    pub(crate) fn close(&mut self, name: &str) {
        signal(self.supervisor_pid(), name);
        self.end().ended_with(0);
        self.is_empty();
    }

    /// Kills the supervisor, so that it leaves everything behind.
    pub(crate) fn kill_supervisor(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
    }

    /// The pid of a part that runs.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        let path = self.data().join("run").join(format!("{name}.pid"));
        supervisor::process::PidFile::new(path).read()
    }

    /// Nothing runs, and there is no pid file.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        for port in self.ports {
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "port {port} is taken");
        }
        let run = fs::read_dir(self.data().join("run")).into_iter().flatten().flatten();
        for entry in run {
            let name = entry.file_name().into_string().unwrap();
            assert!(!name.ends_with(".pid"), "{name} is left");
        }
    }

    /// The answer of the private Postgres to its superuser, by `psql`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        let password = fs::read_to_string(self.data().join("postgres/superuser")).unwrap();
        let output = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-c", sql])
            .args(["-p", &self.ports[0].to_string()])
            .env("PGPASSWORD", password.trim())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            let _ = Command::new("kill").arg(supervisor.id().to_string()).status();
            let _ = supervisor.wait();
        }
        self.arenactl(&["reset", "--yes"]);
    }
}

/// Somebody who listens where he should not.
pub(crate) struct Squatter(TcpListener);

impl Squatter {
    pub(crate) fn new(port: u16) -> Squatter {
        Squatter(TcpListener::bind(("127.0.0.1", port)).unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}
