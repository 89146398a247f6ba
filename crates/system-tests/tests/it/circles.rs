//! Files that can only be understood together: groups that lead to each other by their `use` lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// As many files may lead to each other: a part and its helpers.
const CIRCLE_MAX: usize = 3;
/// Crates with a larger circle, and its size. It may shrink and must not grow.
const KNOWN: [(&str, usize); 6] = [
    ("arenactl", 9),
    ("bot-runner", 4),
    ("db", 7),
    ("ledger-core", 11),
    ("oracle", 4),
    ("supervisor", 4),
];

/// A module by the segments of its path: `["streams", "sse"]`.
type Module = Vec<String>;

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("src/bin") {
            files_under(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

fn module_of(src: &Path, file: &Path) -> Module {
    let within = file.strip_prefix(src).unwrap().with_extension("");
    let names = within.iter().map(|name| name.to_str().unwrap().to_owned());
    let mut module: Module = names.collect();
    if matches!(module.last().unwrap().as_str(), "mod" | "lib" | "main") {
        module.pop();
    }
    module
}

/// Every path of the private `use` lines that begin within the crate; tests may know more.
fn uses(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut paths = Vec::new();
    for start in ["use crate::", "use super::"] {
        for (at, _) in source.match_indices(start) {
            let before = &source[..at];
            if before.is_empty() || before.ends_with('\n') {
                let statement = &source[at + "use ".len()..];
                let statement = statement.split(';').next().unwrap();
                expand("", statement, &mut paths);
            }
        }
    }
    paths
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`.
fn expand(before: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((prefix, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap();
        paths.push(format!("{before}{}", name.trim()));
        return;
    };
    let before = format!("{before}{}", prefix.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !rest[start..at].trim().is_empty() {
                    expand(&before, &rest[start..at], paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The file that a path leads to, seen from `module`: the longest part of it that is a module.
fn target(module: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut at = Module::new();
    for (place, name) in path.split("::").enumerate() {
        match name {
            "crate" => {}
            "super" => {
                if place == 0 {
                    at.clone_from(module);
                }
                at.pop();
            }
            name => at.push(name.to_owned()),
        }
    }
    while !modules.contains(&at) {
        at.pop()?;
    }
    (!at.is_empty() && at != *module).then_some(at)
}

/// All modules that one depends on, directly or indirectly.
fn reached(from: &Module, leads: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for other in &leads[module] {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

/// The groups of a crate's modules of which each leads to all others.
fn circles(src: &Path) -> BTreeSet<BTreeSet<Module>> {
    let mut files = Vec::new();
    files_under(src, &mut files);
    let modules: BTreeSet<Module> = files.iter().map(|file| module_of(src, file)).collect();
    let mut leads: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for file in &files {
        let module = module_of(src, file);
        let source = std::fs::read_to_string(file).unwrap();
        let targets = uses(&source).into_iter();
        let targets = targets.filter_map(|path| target(&module, &path, &modules));
        leads.entry(module.clone()).or_default().extend(targets);
    }
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        leads.keys().map(|one| (one, reached(one, &leads))).collect();
    let circle = |one: &Module| -> BTreeSet<Module> {
        let back = all[one].iter().filter(|other| all[*other].contains(one));
        back.cloned().collect()
    };
    leads.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn no_more_than_a_few_files_lead_to_each_other() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(crates).unwrap() {
        let src = entry.unwrap().path().join("src");
        let name = src.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        let most = known.map_or(CIRCLE_MAX, |(_, size)| *size);
        for circle in circles(&src) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            assert!(names.len() <= most, "{name}: {} lead to each other", names.join(", "));
        }
        looked_at += 1;
    }
    assert!(looked_at > 10, "only {looked_at} crates were found");
}

#[test]
fn use_lines_are_understood() {
    let source =
        "use crate::a::{B, c::{self, D}, e};\npub(crate) use super::f;\nuse super::g::H as I;\n";
    let paths = uses(source);
    let expected =
        ["crate::a::B", "crate::a::c::self", "crate::a::c::D", "crate::a::e", "super::g::H"];
    assert_eq!(paths, expected);
    let module = |path: &str| -> Module { path.split("::").map(str::to_owned).collect() };
    let modules = ["a", "a::c", "g", "x", "x::y"].map(module).into();
    let from = module("x::y");
    assert_eq!(target(&from, "crate::a::c::D", &modules), Some(module("a::c")));
    assert_eq!(target(&from, "super::Z", &modules), Some(module("x")));
    assert_eq!(target(&from, "super::super::g::H", &modules), Some(module("g")));
}
