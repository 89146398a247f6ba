//! The commands in `scripts/`, and what all scripts have in common.

use std::fs;
use std::path::PathBuf;

use crate::bench::{Bench, Ran, root};

/// Every script of the checkout that is run.
fn scripts() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["run_system.sh", ".ci/run", "deploy/make-secrets"].map(|name| root().join(name)).into();
    for folder in ["scripts", "deploy/postgres"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
        found.extend(files.filter(|path| path.extension().is_none_or(|ending| ending == "sh")));
    }
    found
}

#[test]
fn no_script_follows_the_locale() {
    assert!(scripts().len() > 20);
    for script in scripts() {
        let text = fs::read_to_string(&script).unwrap();
        if !text.lines().next().is_some_and(|line| line.contains("sh")) {
            continue;
        }
        let first = text.lines().find(|line| !line.starts_with('#'));
        assert_eq!(first, Some("export LC_ALL=C"), "{}", script.display());
    }
}

#[test]
fn a_command_finds_what_is_built_and_builds_nothing() {
    let bench = Bench::new();
    let script = |name: &str| {
        let mut command = bench.command(root().join("scripts").join(name), &["a b"]);
        command.env_remove("ARENA_BIN_DIR").env("CARGO_TARGET_DIR", bench.path("target"));
        command
    };
    let unbuilt = Ran::of(&script("audit").output().unwrap()).ended_with(69);
    unbuilt.says("cargo build --profile quick --locked -p arenactl");
    let nowhere = Ran::of(&script("audit").env("ARENA_BIN_DIR", "/nowhere").output().unwrap());
    nowhere.ended_with(78).says("ARENA_BIN_DIR (/nowhere) lacks arenactl");
    // A packaged build, too; and it gets this checkout.
    let built = bench.path("target/dist");
    fs::create_dir_all(&built).unwrap();
    let arenactl = built.join("arenactl");
    fs::write(&arenactl, "#!/bin/sh\necho \"$# $1 $2 of $ARENA_HOME\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&arenactl, mode).unwrap();
    let home = root().display().to_string();
    for name in ["debug-auth", "arenactl"] {
        let said = Ran::of(&script(name).output().unwrap()).ended_with(0).said;
        let expected = match name {
            "arenactl" => format!("1 a b  of {home}\n"),
            _ => format!("2 {name} a b of {home}\n"),
        };
        assert_eq!(said, expected);
    }
}

/// A failing cargo (for example without its toolchain) must not end a script without a message.
#[test]
fn a_cargo_that_fails_means_the_usual_place() {
    let bench = Bench::new();
    let fake = bench.path("fake");
    fs::create_dir(&fake).unwrap();
    fs::write(fake.join("cargo"), "#!/bin/sh\nexit 101\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(fake.join("cargo"), mode).unwrap();
    let text =
        "set -euo pipefail; source scripts/lib/common.sh; target_directory /src; echo \"$REPLY\"";
    let mut bash = bench.command("/bin/bash", &["-c", text]);
    bash.current_dir(root()).env("PATH", format!("{}:/usr/bin:/bin", fake.display()));
    let told = Ran::of(&bash.output().unwrap()).ended_with(0).said;
    assert_eq!(told, "/src/target\n");
}

/// Cargo chooses features of the dependencies by what is built together: another selection builds them again.
#[test]
fn no_build_of_the_tests_selects_other_features_than_the_rest() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let rules = makefile
        .split("\n\n")
        .filter(|rule| ["test:", "drill:"].iter().any(|name| rule.starts_with(name)));
    let mut texts: Vec<String> = rules.map(str::to_owned).collect();
    assert_eq!(texts.len(), 2);
    for name in [".ci/run", "scripts/lib/common.sh", "scripts/fuzz-api", "scripts/test-web"] {
        texts.push(fs::read_to_string(root().join(name)).unwrap());
    }
    let mut count = 0;
    for line in
        texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().starts_with('#'))
    {
        for word in ["cargo build ", "cargo test ", "cargo run "] {
            for command in line.split(word).skip(1) {
                count += 1;
                let command = command.split(['&', '|', ';']).next().unwrap();
                let same = ["--bins --examples", "--no-run", "--no-fail-fast"];
                let is_same =
                    same.iter().any(|rest| command.contains(&format!("--workspace {rest}")));
                assert!(is_same, "{line}");
            }
        }
    }
    assert!(count >= 4, "{count}");
}
