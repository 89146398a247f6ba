//! Real processes: a single service, or the whole of `run_system.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The services, in the order of their start.
pub const SERVICES: [&str; 4] = ["api", "ticker", "oracle", "bot-runner"];

/// Settings without requests to sources outside of this machine: each refuses at once.
pub fn no_sources() -> Vec<(&'static str, String)> {
    let nobody = "http://127.0.0.1:9";
    let mut settings = test_kit::outside::settings_at(nobody);
    settings.extend(["COINGECKO_URL", "KRAKEN_URL"].map(|name| (name, nobody.to_owned())));
    settings
}

/// The directory of built programs: that of the running one, for tests one above `deps/`.
pub fn bin_dir() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().unwrap();
    let deps = folder.ends_with("deps");
    if deps { folder.parent().unwrap().to_owned() } else { folder.to_owned() }
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A loopback port that is free at this moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// One number of `/proc/PID/status`, in KiB: `VmRSS` for now, `VmHWM` for the peak.
pub fn memory_kib(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A process that ends with its value.
pub struct Running {
    child: std::process::Child,
}

impl Running {
    /// Starts a built program with nothing in its environment but `environment`.
    pub fn service(name: &str, environment: &[(&str, String)]) -> Running {
        let child = Command::new(bin_dir().join(name))
            .env_clear()
            .env("ARENA_ENV_FILE", "/dev/null")
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Running { child }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as a supervisor does, and waits for its end; its exit code.
    pub async fn terminate(mut self, patience: Duration) -> Option<i32> {
        let asked = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(asked.unwrap().success());
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `/ready` on `port` answers 200.
pub async fn ready(port: u16, patience: Duration) {
    let deadline = Instant::now() + patience;
    loop {
        if says_ready(port).await.unwrap_or(false) {
            return;
        }
        assert!(Instant::now() < deadline, "port {port} was not ready within {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One question, which a process that is being killed may not answer.
async fn says_ready(port: u16) -> std::io::Result<bool> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let asking = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let request = crate::http::request("GET", "/ready", &[("connection", "close")], "");
        stream.write_all(&request).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        Ok(head.ends_with(b" 200"))
    };
    tokio::time::timeout(Duration::from_secs(5), asking).await.unwrap_or(Ok(false))
}

/// Sends a signal; a process that has ended meanwhile needs none.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// The whole stack under `run_system.sh`, with its own files and ports.
pub struct Stack {
    supervisor: std::process::Child,
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
    pub api_port: u16,
}

impl Stack {
    /// Starts it and waits until every service is ready; how long that took.
    pub async fn start(settings: &[(&str, &str)]) -> (Stack, Duration) {
        let home = tempfile::tempdir().unwrap();
        // Servers under another user can reach this directory and keep their files here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(home.path(), open).unwrap();
        let api_port = free_port();
        let at = |name: &str| home.path().join(name).display().to_string();
        let mut environment: Vec<(String, String)> = [
            ("ARENA_ENV_FILE", at("env")),
            ("ARENA_DATA_DIR", at("data")),
            ("BOTS_ENV_FILE", at("env.bots")),
            ("ARENA_BIN_DIR", bin_dir().display().to_string()),
            ("API_PORT", api_port.to_string()),
            ("TICKER_HEALTH_PORT", free_port().to_string()),
            ("ORACLE_HEALTH_PORT", free_port().to_string()),
            ("BOT_RUNNER_HEALTH_PORT", free_port().to_string()),
            ("PRIVATE_POSTGRES_PORT", free_port().to_string()),
            ("PRIVATE_REDIS_PORT", free_port().to_string()),
            ("LLM_PROVIDER", "mock".to_owned()),
            // Whole crowds come from this one address.
            ("REQUESTS_PER_ADDRESS_PER_MINUTE", "0".to_owned()),
            ("REQUESTS_PER_CREDENTIAL_PER_MINUTE", "0".to_owned()),
            ("LOGINS_PER_ADDRESS_PER_MINUTE", "0".to_owned()),
            ("LOGINS_PER_BOT_PER_MINUTE", "0".to_owned()),
            ("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        environment.extend(
            no_sources()
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .chain(settings.iter().copied())
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let began = Instant::now();
        let supervisor = run_system(&environment).arg("start").spawn().unwrap();
        let stack = Stack { supervisor, home, environment, api_port };
        stack.wait_until_ready(Duration::from_secs(90)).await;
        (stack, began.elapsed())
    }

    /// Waits until every service answers that it is ready.
    pub async fn wait_until_ready(&self, patience: Duration) {
        for name in
            ["API_PORT", "TICKER_HEALTH_PORT", "ORACLE_HEALTH_PORT", "BOT_RUNNER_HEALTH_PORT"]
        {
            ready(self.setting(name).parse().unwrap(), patience).await;
        }
    }

    /// A setting of this stack's own.
    pub fn setting(&self, name: &str) -> &str {
        let set = self.environment.iter().find(|(known, _)| known == name);
        set.map(|(_, value)| value.as_str()).unwrap()
    }

    /// The process of a service, Postgres or Redis; `None` while it is down.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let file = self.home.path().join(format!("data/run/{name}.pid"));
        std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// A value from the `.env` that `run_system.sh` wrote.
    pub fn written(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.home.path().join("env")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not in .env")).to_owned()
    }

    /// Runs an operator command; its output and whether it succeeded.
    pub fn arenactl(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(bin_dir().join("arenactl"))
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The settings of each process of this stack, including `.env`.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A file next to the logs.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("data/logs").join(name)
    }

    /// The private Postgres' superuser, in the arena's database.
    pub fn superuser_url(&self) -> String {
        let password = std::fs::read_to_string(self.home.path().join("data/postgres/superuser"));
        let url = self.written("DATABASE_URL");
        let at = url.split_once('@').unwrap().1;
        format!("postgres://postgres:{}@{at}", password.unwrap().trim())
    }

    /// The last lines of a service's log.
    pub fn log(&self, name: &str) -> String {
        let file = self.home.path().join(format!("data/logs/{name}.log"));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// Stops everything as an operator would and answers the supervisor's exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.wind_up()
    }

    fn wind_up(&mut self) -> Option<i32> {
        let _ = run_system(&self.environment).arg("stop").status();
        self.supervisor.wait().ok().and_then(|status| status.code())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if matches!(self.supervisor.try_wait(), Ok(None)) {
            self.wind_up();
        }
    }
}

fn run_system(environment: &[(String, String)]) -> Command {
    let mut command = Command::new(root().join("run_system.sh"));
    // Not the user's own; a stack's own may be named.
    command
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
