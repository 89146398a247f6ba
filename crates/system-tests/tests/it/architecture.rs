//! Which crate may depend on which, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Packages of the workspace that each package may build on. Other dependencies are not allowed; tests may have
/// more.
const MAY_KNOW: [(&str, &[&str]); 21] = [
    ("ledger-core", &[]),
    ("http-client", &[]),
    ("http-stub", &[]),
    ("llm", &["http-client"]),
    ("personas", &["ledger-core", "llm"]),
    ("daemon", &[]),
    ("supervisor", &["daemon"]),
    ("service", &["cache", "daemon", "db", "ledger-core"]),
    ("db", &["ledger-core"]),
    ("cache", &["ledger-core"]),
    ("sources", &["http-client", "ledger-core"]),
    ("api-types", &["ledger-core"]),
    ("arena-client", &["api-types", "http-client", "ledger-core"]),
    ("api", &["api-types", "cache", "daemon", "db", "ledger-core", "service"]),
    ("ticker", &["cache", "daemon", "db", "ledger-core", "service"]),
    ("oracle", &["cache", "daemon", "db", "http-client", "ledger-core", "service", "sources"]),
    (
        "arenactl",
        &["cache", "daemon", "db", "ledger-core", "personas", "service", "sources", "supervisor"],
    ),
    (
        "bot-runner",
        &[
            "api-types",
            "arena-client",
            "daemon",
            "db",
            "ledger-core",
            "llm",
            "personas",
            "service",
            "sources",
        ],
    ),
    ("test-kit", &["cache", "db", "ledger-core", "sources"]),
    ("system-tests", &["api-types", "arena-client", "cache", "db", "ledger-core", "test-kit"]),
    ("simulation", &["cache", "daemon", "db", "ledger-core", "oracle", "sources", "test-kit"]),
];
const DEV_CRATES: [&str; 4] = ["http-stub", "test-kit", "system-tests", "simulation"];
const BINARIES: [&str; 5] = ["api", "ticker", "oracle", "bot-runner", "arenactl"];
/// Dev crates that run a service's rounds in their own process: a simulation is the oracle's own code
/// under another clock, and a copy of it would simulate something else.
const IN_PROCESS: [(&str, &str); 1] = [("simulation", "oracle")];

/// Libraries that only some packages may name outside of tests.
const KEPT_TO: [(&str, &[&str]); 9] = [
    ("actix-web", &["api"]),
    ("clap", &["arenactl", "simulation"]),
    (
        "anyhow",
        &[
            "api",
            "ticker",
            "oracle",
            "bot-runner",
            "arenactl",
            "test-kit",
            "system-tests",
            "simulation",
        ],
    ),
    ("diesel", &["db"]),
    ("diesel-async", &["db"]),
    ("tokio-postgres", &["db", "supervisor", "test-kit", "system-tests", "simulation"]),
    ("redis", &["cache"]),
    ("figment", &["daemon"]),
    ("plotters", &["simulation"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().unwrap()
}

/// The dependencies of each package outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let named = |package: &cargo_metadata::Package| {
        package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect()
    };
    metadata().packages.iter().map(|package| (package.name.to_string(), named(package))).collect()
}

#[test]
fn packages_know_only_whom_they_may_know() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.into_iter().collect();
    let packages = dependencies();
    assert_eq!(packages.len(), allowed.len(), "a package without a place in the house");
    for (package, named) in &packages {
        let may_know = allowed.get(package.as_str()).expect(package);
        for other in named.iter().filter(|other| packages.contains_key(*other)) {
            assert!(may_know.contains(&other.as_str()), "{package} must not know {other}");
        }
    }
}

#[test]
fn binaries_and_dev_crates_are_nobodys_foundation() {
    for (package, named) in dependencies() {
        let dev = DEV_CRATES.contains(&package.as_str());
        for other in BINARIES.iter().chain(&DEV_CRATES) {
            let fine = dev && DEV_CRATES.contains(other)
                || IN_PROCESS.contains(&(package.as_str(), other));
            assert!(fine || !named.contains(*other), "{package} must not build on {other}");
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    for (package, named) in dependencies() {
        for (library, rooms) in KEPT_TO {
            let fine = !named.contains(library) || rooms.contains(&package.as_str());
            assert!(fine, "{package} must not name {library}: it belongs to {rooms:?}");
        }
    }
}

#[test]
fn folders_are_named_for_their_packages() {
    for package in metadata().packages {
        let folder = package.manifest_path.parent().unwrap().file_name().unwrap();
        assert_eq!(folder, package.name.as_str());
    }
}
