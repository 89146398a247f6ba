//! Exit codes and messages of real processes: each test starts this test binary again as a child
//! that runs [`child`] alone.

use std::io::Write as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use daemon::config::{ConfigError, Reader, Sources};
use daemon::process::{
    self, EXIT_CONFIG, EXIT_FAILURE, EXIT_UNAVAILABLE, Failure, Refusal, Unavailable,
};
use daemon::shutdown::Shutdown;

const CASE: &str = "DAEMON_TEST_CASE";

/// The code of the child processes; started by the tests below.
#[test]
#[ignore = "runs as a child of the other tests"]
fn child() {
    #[allow(clippy::disallowed_methods, reason = "the test tells its child what to play")]
    let case = std::env::var(CASE).expect("started by another test");
    let code = process::run("child", async move {
        match case.as_str() {
            "ok" => Ok(()),
            "config" => Ok(read_config()?),
            "config-in-anyhow" => Ok(wrapped_config_error()?),
            "unavailable" => Err(unreachable_postgres().into()),
            "other" => Ok(failing_work()?),
            "panic" => panic!("the service is broken"),
            "round-panic" => panicking_round().await,
            "log" => write_log(),
            "log-and-output" => {
                let result = write_log();
                writeln!(std::io::stdout(), "after the rotation")?;
                result
            }
            "sigint" => stop_by_signal(signal_hook::consts::SIGINT).await,
            "sigterm" => stop_by_signal(signal_hook::consts::SIGTERM).await,
            other => panic!("no such case: {other}"),
        }
    });
    std::process::exit(i32::from(code));
}

fn read_config() -> Result<(), ConfigError> {
    let sources = Sources::load();
    let mut reader = Reader::new(&sources);
    reader.secret("SECRET_KEY", 32);
    let _: Option<u16> = reader.required("API_PORT");
    reader.finish()
}

fn wrapped_config_error() -> anyhow::Result<()> {
    Err(ConfigError::single("BOTS_DIR", "does not exist")).context("cannot load personas")
}

fn unreachable_postgres() -> Unavailable {
    Unavailable::new("Postgres at 127.0.0.1:5432", "is it running? see DATABASE_URL")
        .because(std::io::Error::other("connection\n  refused"))
}

fn failing_work() -> anyhow::Result<()> {
    Err(anyhow::anyhow!("the disk is full")).context("cannot write the export")
}

fn write_log() -> Result<(), Failure> {
    for number in 0..9_000 {
        tracing::info!(number, padding = "x".repeat(200), "a line");
    }
    Err(anyhow::anyhow!("the last words").into())
}

async fn panicking_round() -> Result<(), Failure> {
    let shutdown = Shutdown::manual();
    daemon::cadence::run(Duration::from_millis(1), &shutdown, || {
        shutdown.request();
        async { Err(anyhow::anyhow!("inner cause").context("outer words")) }
    })
    .await;
    let again = Shutdown::manual();
    daemon::cadence::run(Duration::from_millis(1), &again, || {
        again.request();
        async { panic!("one bot too many") as anyhow::Result<()> }
    })
    .await;
    Ok(())
}

async fn stop_by_signal(signal: i32) -> Result<(), Failure> {
    let shutdown = Shutdown::install()?;
    let sleeper = shutdown.clone();
    let asleep = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(600)).await });
    let began = Instant::now();
    signal_hook::low_level::raise(signal)?;
    asleep.await?;
    assert!(began.elapsed() < Duration::from_secs(1), "the signal went unnoticed");
    // A second one must not kill what is still finishing.
    signal_hook::low_level::raise(signal)?;
    Ok(())
}

fn child_command() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "process::child", "--ignored", "--nocapture"])
        .env_remove("RUST_LOG")
        .env("ARENA_HOME", std::env::temp_dir().join("no-such-arena"));
    command
}

fn run(case: &str, environment: &[(&str, &str)]) -> (i32, String) {
    let Output { status, stderr, .. } =
        child_command().env(CASE, case).envs(environment.iter().copied()).output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    (status.code().expect("ends by itself, not by a signal"), stderr)
}

/// The lines that are not logs.
fn message(stderr: &str) -> String {
    stderr.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_end_without_failure_is_0() {
    let (code, stderr) = run("ok", &[]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(message(&stderr), "");
}

#[test]
fn a_configuration_that_cannot_be_used_is_78_and_names_everything_without_values() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings");
    std::fs::write(&file, "export SECRET_KEY='hunter2'\nAPI_PORT=hunter3\n").unwrap();
    let path = file.to_str().unwrap();
    let (code, stderr) = run("config", &[("ARENA_ENV_FILE", path)]);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains(&format!("SECRET_KEY (from {path}) must have")), "{stderr}");
    assert!(stderr.contains("API_PORT"), "{stderr}");
    assert!(!stderr.contains("hunter"), "{stderr}");

    let key = "k".repeat(32);
    let set = [("ARENA_ENV_FILE", path), ("SECRET_KEY", key.as_str()), ("API_PORT", "8000")];
    let (code, stderr) = run("config", &set);
    assert_eq!(code, 0, "the environment overrides the file: {stderr}");
}

#[test]
fn a_named_env_file_that_is_missing_is_a_problem_but_a_missing_default_is_not() {
    let (code, stderr) = run("config", &[("ARENA_ENV_FILE", "/nowhere/at/all")]);
    assert_eq!(code, 78);
    assert!(stderr.contains("ARENA_ENV_FILE names /nowhere/at/all"), "{stderr}");
    assert!(stderr.contains("SECRET_KEY is not set"), "all problems at once: {stderr}");

    let key = "k".repeat(32);
    let (code, stderr) = run("config", &[("SECRET_KEY", &key), ("API_PORT", "8000")]);
    assert_eq!(code, 0, "{stderr}");

    let (_, stderr) = run("config", &[]);
    assert!(stderr.contains("no-such-arena/.env (there is no such file)"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::child", "--ignored", "--nocapture"])
        .env("ARENA_HOME", std::env::temp_dir().join("no-such-arena"))
        .env("SECRET_KEY", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .env("API_PORT", "8000")
        .env(CASE, "config")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr.contains("SECRET_KEY (from the environment) is not UTF-8"), "{stderr}");
}

#[test]
fn a_config_error_keeps_its_code_through_anyhow() {
    let (code, stderr) = run("config-in-anyhow", &[]);
    assert_eq!(code, 78);
    assert!(message(&stderr).contains("cannot load personas"), "{stderr}");
    assert!(message(&stderr).contains("BOTS_DIR does not exist"), "{stderr}");
}

#[test]
fn an_unreachable_dependency_is_69_in_one_line_with_a_hint() {
    let (code, stderr) = run("unavailable", &[]);
    assert_eq!(code, 69);
    assert_eq!(
        message(&stderr),
        "child: cannot reach Postgres at 127.0.0.1:5432: connection refused \
         (is it running? see DATABASE_URL)"
    );
}

#[test]
fn any_other_failure_is_1_with_its_causes() {
    let (code, stderr) = run("other", &[]);
    assert_eq!(code, 1);
    assert_eq!(message(&stderr), "child: cannot write the export: the disk is full");
}

#[test]
fn a_panic_is_1_and_says_where() {
    let (code, stderr) = run("panic", &[]);
    assert_eq!(code, 1);
    assert!(message(&stderr).contains("child: panicked"), "{stderr}");
    assert!(stderr.contains("the service is broken"), "{stderr}");
    assert!(stderr.contains("process.rs"), "{stderr}");
}

#[test]
fn off_a_terminal_the_log_is_json_and_failed_rounds_are_in_it_with_their_causes() {
    let (code, stderr) = run("round-panic", &[]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines[0]["message"], "starting");
    assert_eq!(lines[0]["service"], "child");
    let errors: Vec<&str> = lines.iter().filter_map(|line| line["error"].as_str()).collect();
    assert_eq!(errors, ["outer words: inner cause", "panicked: one bot too many"]);
}

#[test]
fn rust_log_is_respected_and_a_malformed_one_does_not_stop_anything() {
    let (code, stderr) = run("ok", &[("RUST_LOG", "error")]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (code, stderr) = run("ok", &[("RUST_LOG", "info,==nonsense")]);
    assert_eq!(code, 0);
    assert!(stderr.contains("RUST_LOG cannot be read"), "{stderr}");
}

#[test]
fn signals_stop_it_with_0() {
    for case in ["sigint", "sigterm"] {
        let (code, stderr) = run(case, &[]);
        assert_eq!(code, 0, "{case}: {stderr}");
    }
}

#[test]
fn the_exit_code_is_found_through_every_wrapping() {
    let config = || ConfigError::single("A", "is not set");
    let codes = [
        Failure::from(config()).exit_code(),
        Failure::from(anyhow::Error::from(config())).exit_code(),
        Failure::from(anyhow::Error::from(config()).context("a").context("b")).exit_code(),
        Failure::from(unreachable_postgres()).exit_code(),
        Failure::from(anyhow::Error::from(unreachable_postgres())).exit_code(),
        Failure::from(anyhow::Error::from(unreachable_postgres()).context("a")).exit_code(),
        Failure::unavailable("Redis at 127.0.0.1:6379", "start it").exit_code(),
        Failure::from(std::io::Error::other("x")).exit_code(),
        Failure::from("only a text").exit_code(),
    ];
    assert_eq!(codes, [78, 78, 78, 69, 69, 69, 69, 1, 1]);
}

#[test]
fn a_log_of_its_own_rotates_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("child.log");
    let log = std::fs::File::options().append(true).create(true).open(&path).unwrap();
    let status = child_command()
        .env(CASE, "log")
        .env("LOG_FILE", &path)
        .env("LOG_MAX_MB", "1")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let newest = std::fs::read_to_string(&path).unwrap();
    let rotated: String = [2, 1]
        .map(|number| format!("{}.{number}", path.display()))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .concat();
    let text = rotated + &newest;
    for number in 0..9_000 {
        assert!(text.contains(&format!("\"number\":{number},")), "line {number}");
    }
    assert!(newest.len() < 1 << 20, "{} bytes", newest.len());
    // Output that is not logged follows the rotation too.
    assert!(newest.contains("child: the last words"));
}

#[test]
fn standard_output_that_is_another_file_stays_that_file() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let path = dir.path().join(name);
        let mut options = std::fs::File::options();
        (options.create(true).append(true).open(&path).unwrap(), path)
    };
    let ((log, path), (output, elsewhere)) = (open("child.log"), open("child.out"));
    let status = child_command()
        .env(CASE, "log-and-output")
        .env("LOG_FILE", &path)
        .env("LOG_MAX_MB", "1")
        .stdout(output)
        .stderr(log)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(dir.path().join("child.log.1").exists());
    let output = std::fs::read_to_string(elsewhere).unwrap();
    assert!(output.contains("after the rotation"), "{output}");
}

#[test]
fn a_malformed_limit_of_logs_is_refused_at_the_start() {
    let (code, stderr) = run("ok", &[("LOG_MAX_DAYS", "a week")]);
    assert_eq!(code, 78, "{stderr}");
    assert!(stderr.contains("LOG_MAX_DAYS"), "{stderr}");
}

#[test]
fn a_log_that_is_not_its_standard_error_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.log");
    std::fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
    let path = path.to_str().unwrap();
    let (code, stderr) = run("log", &[("LOG_FILE", path), ("LOG_MAX_MB", "1")]);
    assert_eq!(code, 1);
    assert!(stderr.contains("\"number\":8999,"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_refusal_is_its_own_line_and_exit_code() {
    for (refusal, code) in [
        (Refusal::config("API_PORT must be a port."), EXIT_CONFIG),
        (Refusal::unavailable("Redis is gone."), EXIT_UNAVAILABLE),
        (Refusal::failure("already running."), EXIT_FAILURE),
        (Refusal::new(3, "not running"), 3),
    ] {
        let text = refusal.to_string();
        let failure = Failure::from(refusal);
        assert_eq!((failure.exit_code(), failure.to_string()), (code, text));
    }
    let wrapped =
        anyhow::Error::new(Refusal::unavailable("Redis is gone.")).context("cannot start");
    assert_eq!(Failure::from(wrapped).exit_code(), EXIT_UNAVAILABLE);
}
