//! `run_system.sh`: what it does before it becomes `arenactl up`, in any language.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bench::{Bench, Ran, STAND_IN, root, signal, until};

fn script() -> PathBuf {
    root().join("run_system.sh")
}

fn run_system(bench: &Bench, words: &[&str]) -> Ran {
    Ran::of(&bench.command(script(), words).output().unwrap())
}

/// A program of a test's own.
fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Bench {
    /// Has `run_system.sh` find a cargo that does this, and build with it.
    fn builds_by(&self, cargo: &str) -> Command {
        let fake = self.path("fake");
        fs::create_dir_all(&fake).unwrap();
        let metadata = "[ \"$1\" != metadata ] || exit 1";
        program(&fake.join("cargo"), &format!("{metadata}\n{cargo}"));
        program(&fake.join("cc"), "");
        let mut command = self.command(script(), &["start"]);
        command
            .env_remove("ARENA_BIN_DIR")
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("PATH", format!("{}:/usr/bin:/bin", fake.display()));
        command
    }
}

/// Locales with a comma for a decimal point, a dotted and a dotless i, digits of another script.
#[test]
fn it_starts_in_any_language() {
    let mut bench = Bench::new();
    let link = bench.path("link");
    symlink(script(), &link).unwrap();
    fs::create_dir(bench.path("locales")).unwrap();
    for language in ["C", "tr_TR.UTF-8", "de_DE.UTF-8", "fa_IR.UTF-8"] {
        if let Some((name, _)) = language.split_once('.') {
            let made = Command::new("localedef")
                .args(["-i", name, "-f", "UTF-8"])
                .arg(bench.path("locales").join(language))
                .output();
            assert!(
                made.is_ok_and(|made| made.status.success()),
                "{language} needs Debian's package locales (apt-get install locales)"
            );
        }
        bench.tell("LOCPATH", bench.path("locales").display().to_string());
        bench.tell("LC_ALL", language);
        bench.start_as(bench.command(&link, &[]));
        bench.opens();
        run_system(&bench, &["status"]).ended_with(0);
        let old = bench.pid("ticker").unwrap();
        signal(old, "KILL");
        bench.says(&format!("ticker (pid {old}) died with code 137; starting it again in 1 s"));
        until("it runs again", || bench.pid("ticker").is_some_and(|pid| pid != old));
        let again = run_system(&bench, &[]).ended_with(1).in_one_line();
        again.says(&format!("already running (pid {})", bench.supervisor_pid()));
        run_system(&bench, &["logs", "ticker"]).ended_with(0);
        run_system(&bench, &["stop"]).ended_with(0);
        bench.end().ended_with(0);
        bench.is_empty();
        bench.tell("API_PORT", "٨٠٠٠");
        let refused = run_system(&bench, &[]).ended_with(78);
        refused.says("API_PORT must be a port from 1 to 65535");
        bench.told.clear();
    }
    run_system(&bench, &["reset", "--yes"]).ended_with(0);
    run_system(&bench, &["strat"]).ended_with(1).says("\"strat\" is no command.");
    run_system(&bench, &["--help"]).ended_with(0).says("ARENA_BIN_DIR");
}

#[test]
fn what_it_built_is_started_under_its_own_pid() {
    let mut bench = Bench::new();
    let bin = bench.bin().display().to_string();
    let command = bench.builds_by(&format!(
        "echo \"$LEDGERDOME_COMMIT\" >\"$STAND_IN/commit\"\n\
         mkdir -p \"$CARGO_TARGET_DIR/quick\"\n\
         cp '{STAND_IN}' \"$CARGO_TARGET_DIR/quick/arenactl\"\n\
         cp -P '{bin}'/[!a]* '{bin}/api' \"$CARGO_TARGET_DIR/quick/\""
    ));
    bench.start_as(command);
    bench.opens();
    assert!(bench.has_said("building (quick; "), "{}", bench.out());
    assert_eq!(bench.pid("supervisor"), Some(bench.supervisor_pid()));
    let commit = fs::read_to_string(bench.path("commit")).unwrap();
    let digits = commit.trim().trim_end_matches("-dirty");
    let is_hex = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hex || !root().join(".git").exists(), "{commit}");
    // From now on commands find the built programs.
    let mut status = bench.command(script(), &["status"]);
    status.env_remove("ARENA_BIN_DIR").env("CARGO_TARGET_DIR", bench.path("target"));
    Ran::of(&status.output().unwrap()).ended_with(0);
    bench.close("TERM");
}

#[test]
fn a_build_stops_when_it_is_asked_to() {
    let mut bench = Bench::new();
    for name in ["INT", "TERM"] {
        let building = bench.path("building");
        let _ = fs::remove_file(&building);
        // With a child, as rustc would be.
        let command = bench.builds_by("sleep 60 & echo $! >\"$STAND_IN/building\"; wait");
        bench.start_as(command);
        let child = || fs::read_to_string(&building).ok()?.trim().parse::<u32>().ok();
        until("it builds", || child().is_some());
        let child = child().unwrap();
        assert_eq!(bench.pid("supervisor"), Some(bench.supervisor_pid()));
        for dir in ["run", "logs"] {
            let mode = fs::metadata(bench.data().join(dir)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o700, "{dir}");
        }
        if name == "TERM" {
            // Nothing is built that could do it.
            let mut stop = bench.command(script(), &["stop"]);
            stop.env_remove("ARENA_BIN_DIR").env("CARGO_TARGET_DIR", bench.path("target"));
            Ran::of(&stop.output().unwrap()).ended_with(0).says("stopped (pid ");
        } else {
            signal(bench.supervisor_pid(), name);
        }
        bench.end().ended_with(0).says("stopping");
        until("the build is stopped", || supervisor::process::born(child).is_none());
        bench.is_empty();
    }
    assert!(!bench.data().join("postgres").exists());
}

/// After an upgrade of the source the newest arenactl may be of the version before.
#[test]
fn an_older_arenactl_does_not_keep_the_stack_from_being_stopped() {
    let mut bench = Bench::new();
    bench.open();
    let older = bench.path("older");
    fs::create_dir(&older).unwrap();
    program(&older.join("arenactl"), "echo 'unrecognized subcommand' >&2; exit 2");
    let run = |word: &str| {
        let mut command = bench.command(script(), &[word]);
        command.env("ARENA_BIN_DIR", &older);
        Ran::of(&command.output().unwrap())
    };
    let pid = bench.supervisor_pid();
    run("status").ended_with(1).says(&format!("run_system.sh runs (pid {pid})"));
    run("stop").ended_with(0).says(&format!("stopped (pid {pid})"));
    run("status").ended_with(3).says("not running");
    run("stop").ended_with(0).says("not running");
    bench.end().ended_with(0);
    bench.is_empty();
}

#[test]
fn a_build_that_fails_says_why_and_what_it_was_at() {
    let mut bench = Bench::new();
    // Until its progress was shown.
    let mut command = bench.builds_by(
        "echo '   Compiling serde v1' >&2\n\
         until grep -q 'building: ' \"$STAND_IN/out\"; do sleep 0.05; done\n\
         echo 'error: no such crate' >&2; exit 3",
    );
    command.env("build_line_seconds", "0.2");
    bench.start_as(command);
    let failed = bench.end().ended_with(1);
    let failed = failed.says("building: 1 crates begun after ").says(" s; now serde\n");
    let failed = failed.says("error: no such crate").says("the build failed");
    failed.says_not("   Compiling");
    bench.is_empty();
}

#[test]
fn what_would_end_the_start_is_told_before_the_build() {
    let mut bench = Bench::new();
    let never = "touch \"$STAND_IN/built\"; exit 1";
    for (text, said) in [
        (
            "export DATABASE_URL='postgres://a:b@127.0.0.1:1/x'\r\n",
            "Postgres at 127.0.0.1:1 does not accept connections",
        ),
        ("REDIS_URL=\"redis://:b@[::1]:1\"\n", "Redis at [::1]:1 does not accept connections"),
    ] {
        bench.write_env(text);
        let command = bench.builds_by(never);
        bench.start_as(command);
        bench.end().ended_with(69).in_one_line().says(said);
    }
    fs::remove_file(bench.env_file()).unwrap();
    let mut command = bench.builds_by(never);
    command.env("DATABASE_URL", "");
    bench.start_as(command);
    bench.end().ended_with(78).says("DATABASE_URL is set but empty in the environment");
    let mut command = bench.builds_by(never);
    command.env("PATH", "/usr/bin:/bin").env("HOME", bench.dir.path());
    bench.start_as(command);
    bench.end().ended_with(69).says("cargo is missing. Install Rust from https://rustup.rs");
    let mut command = bench.builds_by(never);
    command.env("ARENA_DATA_DIR", "/dev/null/data");
    bench.start_as(command);
    bench.end().ended_with(1).in_one_line().says("cannot write to /dev/null/data as ");
    assert!(!bench.path("built").exists());
    bench.is_empty();
}

/// Has Bash do this with the functions for packages, on files of the test's own; all of it in a process group
/// that can be signalled.
fn packages(bench: &Bench, commands: &str) -> Child {
    use std::os::unix::process::CommandExt as _;
    let fake = bench.path("fake");
    fs::create_dir_all(&fake).unwrap();
    let text = format!(
        "source scripts/lib/common.sh && source scripts/lib/packages.sh\n\
         policy_file={0}/policy no_cluster_file={0}/postgresql/createcluster.d/arena.conf\n{commands}",
        fake.display()
    );
    let mut command = bench.command("/bin/bash", &["-c", &text]);
    command
        .current_dir(root())
        .env("PATH", format!("{}:/usr/bin:/bin", fake.display()))
        .env("LC_ALL", "C")
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn an_install_leaves_nothing_however_it_ends() {
    let bench = Bench::new();
    let fake = bench.path("fake");
    fs::create_dir_all(&fake).unwrap();
    let (policy, seen) = (fake.join("policy"), bench.path("policy-seen"));
    let is_clean = || !policy.exists() && !fake.join("postgresql").exists();
    let apt = |then: &str| {
        let text = format!("cp '{}' '{}'\n{then}", policy.display(), seen.display());
        program(&fake.join("apt-get"), &text);
    };
    apt("exit 100");
    let failed = packages(&bench, "install_quietly nothing").wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(is_clean());
    // Nothing may start meanwhile.
    assert!(fs::read_to_string(&seen).unwrap().contains("\nexit 101\n"));
    for name in ["INT", "TERM"] {
        fs::remove_file(&seen).unwrap();
        apt("sleep 60");
        let mut install = packages(&bench, "install_quietly nothing");
        until("it installs", || fs::metadata(&seen).is_ok_and(|file| file.len() > 0));
        let group = format!("-{}", install.id());
        let sent = Command::new("kill").args(["-s", name, "--", &group]).status();
        assert!(sent.unwrap().success());
        assert!(!install.wait().unwrap().success());
        until("nothing is left", is_clean);
    }
    // Leftovers of a killed one are removed; other files stay.
    let leave =
        "printf '#!/bin/sh\\n%s\\nexit 101\\n' \"$install_mark\" >\"$policy_file\"; allow_starting";
    packages(&bench, leave).wait().unwrap();
    assert!(is_clean());
    fs::write(&policy, "#!/bin/sh\nexit 101\n").unwrap();
    apt("exit 100");
    packages(&bench, "install_quietly nothing").wait().unwrap();
    assert_eq!(fs::read_to_string(&policy).unwrap(), "#!/bin/sh\nexit 101\n");
}

#[test]
fn whoever_may_not_install_is_told_which_package() {
    let bench = Bench::new();
    for (absent, package) in [("has_redis", "redis-server"), ("has_postgres", "postgresql")] {
        let present = if absent == "has_redis" { "has_postgres" } else { "has_redis" };
        // As the user `nobody`, if the test is root.
        let text = format!(
            "as() {{ if ((EUID == 0)); then setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"; else \"$@\"; fi; }}\n\
             {absent}() {{ false; }}; {present}() {{ true; }}; apt-get() {{ :; }}\n\
             {{ cat scripts/lib/common.sh scripts/lib/packages.sh; declare -f {absent} {present} apt-get; \
             echo 'require_servers postgres redis'; }} | as bash"
        );
        let refused = Ran::of(&packages(&bench, &text).wait_with_output().unwrap());
        let expected = format!("missing: {package}. Run: sudo apt-get install {package}\n");
        refused.ended_with(69).says(&expected);
    }
}
