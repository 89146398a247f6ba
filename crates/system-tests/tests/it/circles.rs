//! Limits circles: groups of files in which each uses, directly or indirectly, all others. A reader can only
//! understand such files together. A use of the module's own children does not count, because it declares them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most files in a circle: a part and its helpers.
const CIRCLE_MAX: usize = 3;

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

/// All paths in a source that begin within the crate, in a `use` or elsewhere. Unit tests are exempt.
fn paths(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let source = lines.collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in source.match_indices(start) {
            let before = source[..at].chars().next_back().unwrap_or(' ');
            // The second part of `super::super::` is not a beginning, and `$crate` may be another crate.
            if !before.is_alphanumeric() && !"_:$".contains(before) {
                expand("", path_at(&source[at..]), &mut paths);
            }
        }
    }
    paths
}

/// The path at the beginning of a text, up to the end of its braces if it has any.
fn path_at(text: &str) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if depth > 0 || text[..at].ends_with("::") => depth += 1,
            '}' if depth == 1 => return &text[..=at],
            '}' if depth > 0 => depth -= 1,
            _ if depth > 0 || letter.is_alphanumeric() || "_:".contains(letter) => {}
            _ => return &text[..at],
        }
    }
    text
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

/// The file that a path in `module` refers to: its longest prefix that is a module.
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

/// The circles of a crate's modules.
fn circles(src: &Path) -> BTreeSet<BTreeSet<Module>> {
    let mut files = Vec::new();
    files_under(src, &mut files);
    let modules: BTreeSet<Module> = files.iter().map(|file| module_of(src, file)).collect();
    let mut leads: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for file in &files {
        let module = module_of(src, file);
        let source = std::fs::read_to_string(file).unwrap();
        let targets = paths(&source).into_iter();
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
        for circle in circles(&src) {
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            assert!(names.len() <= CIRCLE_MAX, "{name}: {} form a circle", names.join(", "));
        }
        looked_at += 1;
    }
    assert!(looked_at > 10, "only {looked_at} crates were found");
}

#[test]
fn paths_are_understood() {
    let source = "use crate::a::{B, c::{self, D}, e};
pub(crate) use super::f;
use super::g::H as I;
// crate::nowhere
fn j() -> crate::k::L { if super::super::m(crate::n::<O>()) { $crate::p() } }
#[cfg(test)]
mod tests { use crate::q; }
";
    let expected = [
        "crate::a::B",
        "crate::a::c::self",
        "crate::a::c::D",
        "crate::a::e",
        "crate::k::L",
        "crate::n::",
        "super::f",
        "super::g::H",
        "super::super::m",
    ];
    assert_eq!(paths(source), expected);
    let module = |path: &str| -> Module { path.split("::").map(str::to_owned).collect() };
    let modules = ["a", "a::c", "g", "x", "x::y"].map(module).into();
    let from = module("x::y");
    assert_eq!(target(&from, "crate::a::c::D", &modules), Some(module("a::c")));
    assert_eq!(target(&from, "super::Z", &modules), Some(module("x")));
    assert_eq!(target(&from, "super::super::g::H", &modules), Some(module("g")));
}
