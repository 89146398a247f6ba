//! Everything that `deploy/` names exists: settings, files, metrics, alerts. Its form is checked by validators of
//! others (`scripts/check-deploy`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use system_tests::stack::root;

const ALERTS: &str = "deploy/monitoring/alerts.yml";
const DASHBOARD: &str = "deploy/monitoring/grafana/dashboards/ledgerdome.json";
const GUIDE: &str = "docs/operators.md";
const COMPOSE: &str = "deploy/compose.yaml";
/// With this token Prometheus would have to send it: the guide says how.
const NOT_IN_COMPOSE: &str = "METRICS_TOKEN";

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The name that a line gives a value, as environments are written: `NAME` and then `end`.
fn name_before(text: &str, end: char) -> Option<&str> {
    let (name, _) = text.split_once(end)?;
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_uppercase())
            && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    is_name(name).then_some(name)
}

/// The settings of `.env.example`.
fn settings() -> BTreeSet<String> {
    let text = read(".env.example");
    let names = text.lines().filter_map(|line| name_before(line.trim_start_matches('#'), '='));
    names.map(str::to_owned).collect()
}

/// Names to which `deploy/` gives a value, less those of others.
fn named() -> BTreeSet<String> {
    let (compose, dockerfile) = (read(COMPOSE), read("deploy/Dockerfile"));
    let compose = compose
        .lines()
        .filter_map(|line| name_before(line.strip_prefix("    ")?.trim_start(), ':'));
    let dockerfile = dockerfile.lines().filter_map(|line| {
        let text = line.strip_prefix("ENV ").or_else(|| line.strip_prefix("    "))?;
        name_before(text, '=')
    });
    let mut found: BTreeSet<String> = compose.chain(dockerfile).map(str::to_owned).collect();
    for path in files(&root().join("deploy/systemd")) {
        let text = read(&path);
        let lines = text.lines().filter_map(|line| line.strip_prefix("Environment="));
        found.extend(lines.filter_map(|line| name_before(line, '=')).map(str::to_owned));
    }
    let others = [
        "PATH",
        "HOME",
        "REDIS_PASSWORD",
        "ARENA_APP_PASSWORD",
        "ARENA_OWNER_PASSWORD",
        "LEDGERDOME_COMMIT",
        "LEDGERDOME_COMMIT_DATE",
    ];
    found.retain(|name| {
        let of_others = others.contains(&name.as_str());
        !of_others && !name.starts_with("POSTGRES_") && !name.starts_with("GF_")
    });
    found
}

#[test]
fn what_deploy_sets_is_a_setting() {
    let (settings, named) = (settings(), named());
    let mut code = String::new();
    for path in files(&root().join("crates/daemon/src/config")) {
        code += &read(path);
    }
    // Were nothing found, all would be well for ever.
    assert!(named.len() >= 8, "{named:?}");
    for name in &named {
        let is_known = settings.contains(name) || code.contains(&format!("\"{name}\""));
        assert!(is_known, "deploy/ sets {name}, which is no setting of .env.example");
    }
}

#[test]
fn every_secret_gets_into_its_containers() {
    let is_secret = |name: &str| {
        let name = name.strip_suffix("_NEXT").or(name.strip_suffix("_PREVIOUS")).unwrap_or(name);
        name.ends_with("_KEY") || name.ends_with("_TOKEN")
    };
    let secrets: Vec<String> =
        settings().into_iter().filter(|name| is_secret(name) && name != NOT_IN_COMPOSE).collect();
    assert!(secrets.len() >= 10, "{secrets:?}");
    let compose = read(COMPOSE);
    for name in secrets {
        let is_passed = compose.lines().any(|line| {
            let value = line.trim_start().strip_prefix(&format!("{name}: "));
            line.starts_with(' ') && value.is_some_and(|value| value.starts_with(['&', '$']))
        });
        assert!(is_passed, "{name} of .env.example is in no container: {COMPOSE} has to pass it");
    }
}

/// Every file of the checkout that a crate reads at compile time gets into the image.
#[test]
fn what_is_compiled_in_is_in_the_image() {
    let ignored = read("deploy/Dockerfile.dockerignore");
    let let_in: BTreeSet<&str> =
        ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &let_in {
        assert!(root().join(path).exists(), "deploy/Dockerfile.dockerignore lets in {path}");
    }
    let mut compiled = BTreeSet::new();
    for path in files(&root().join("crates")) {
        let is_source = path.extension().is_some_and(|ending| ending == "rs")
            && path.components().any(|part| part.as_os_str() == "src");
        if !is_source {
            continue;
        }
        let text = read(&path);
        for form in ["include_str!(\"", "include_bytes!(\"", "embed_migrations!(\""] {
            for part in text.split(form).skip(1) {
                let file = part.split('"').next().unwrap();
                let inside = file.trim_start_matches("../");
                let folders = ["deploy", "migrations", "bots", "docs"];
                let is_outside = folders.iter().any(|folder| inside.starts_with(folder));
                if file.starts_with("../") && is_outside {
                    compiled.insert(inside.to_owned());
                }
            }
        }
    }
    assert!(compiled.len() >= 3, "{compiled:?}");
    for path in compiled {
        let is_in = let_in.contains(path.as_str());
        assert!(is_in, "{path} is compiled in, but deploy/Dockerfile.dockerignore keeps it out");
    }
}

/// One is for the machine, one for containers.
#[test]
fn the_two_configurations_of_prometheus_differ_in_their_targets_alone() {
    let masked = |name: &str| {
        let text = read(format!("deploy/monitoring/{name}"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let masked = lines.map(|line| line.split_once("targets: ").map_or(line, |(head, _)| head));
        masked.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(masked("prometheus.yml"), masked("prometheus-containers.yml"));
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let all = dashboard["panels"].as_array().unwrap();
    let rows = all.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    let expected = [
        "At a glance",
        "API",
        "Ticks",
        "Prices and markets",
        "Money (supply, drift)",
        "Language models",
        "Postgres pools and processes",
    ];
    assert_eq!(rows, expected);
    assert_eq!((&dashboard["uid"], &dashboard["id"]), (&"ledgerdome".into(), &Value::Null));
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36, "older than Grafana 11");
    let ids: BTreeSet<u64> = all.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), all.len(), "an id is given twice");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for name in ["datasource", "instance"] {
        assert!(variables.iter().any(|variable| variable["name"] == name), "{name}");
    }
    let is_ours = |holder: &Value| holder["datasource"]["uid"] == "${datasource}";
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        let has = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(has(&panel["fieldConfig"]["defaults"]["unit"]), "{title}: no unit");
        assert!(has(&panel["description"]), "{title}: no description");
        let targets = panel["targets"].as_array().unwrap();
        assert!(targets.iter().any(|target| has(&target["expr"])), "{title}: no query");
        let asks_ours = is_ours(panel) && targets.iter().all(is_ours);
        assert!(asks_ours, "{title}: asks a datasource of its own");
    }
    for note in dashboard["annotations"]["list"].as_array().unwrap() {
        assert!(note["builtIn"] == 1 || is_ours(note), "{}", note["name"]);
    }
}

/// Name and kind of each metric in the guide's table.
fn documented() -> BTreeMap<String, String> {
    let text = read(GUIDE);
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (Some(name), Some(kind)) = (cells.next(), cells.next()) else {
            continue;
        };
        let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        if let Some(name) = name.filter(|_| ["gauge", "counter", "histogram"].contains(&kind)) {
            let before = kinds.insert(name.to_owned(), kind.to_owned());
            assert!(before.is_none(), "{GUIDE} has {name} twice");
        }
    }
    kinds
}

/// The queries of the alerts. A value begins behind its key, and goes on in lines that are indented more.
fn alert_queries() -> String {
    let (text, mut queries, mut is_inside) = (read(ALERTS), String::new(), false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(value) = trimmed.strip_prefix("expr:") {
            is_inside = true;
            queries += value.trim().trim_start_matches(">-");
        } else if ["for:", "labels:", "annotations:", "- alert:"]
            .iter()
            .any(|key| trimmed.starts_with(key))
        {
            is_inside = false;
        } else if is_inside {
            queries += trimmed;
        }
        queries.push(' ');
    }
    queries
}

/// The queries of the dashboard, only of its panels or all.
fn dashboard_queries(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).unwrap_or_default();
            let inner = fields.values().map(dashboard_queries);
            inner.fold(format!("{own} "), |all, inner| all + &inner)
        }
        Value::Array(values) => values.iter().map(dashboard_queries).collect(),
        _ => String::new(),
    }
}

/// A query without strings, matchers, ranges, variables and groupings.
fn bare(query: &str) -> String {
    const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    let (mut left, mut rest) = (String::new(), query);
    while let Some(first) = rest.chars().next() {
        let past = |end: char, from: usize| {
            let found = rest[from..].find(end);
            found.map_or(rest.len(), |at| from + at + end.len_utf8())
        };
        let name = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
        let length = match first {
            '"' => past('"', 1),
            '{' => past('}', 1),
            '[' => past(']', 1),
            '$' if rest.starts_with("${") => past('}', 1),
            '$' => 1 + rest[1..].find(|c: char| !is_of_name(c)).unwrap_or(rest.len() - 1),
            _ if GROUPINGS.contains(&&rest[..name]) => {
                let lists = rest[name..].trim_start().starts_with('(');
                if lists { past(')', name) } else { name }
            }
            _ => {
                let kept = name.max(first.len_utf8());
                left += &rest[..kept];
                kept
            }
        };
        rest = &rest[length..];
        if left.ends_with(is_of_name) && length != name {
            left.push(' ');
        }
    }
    left
}

/// The metrics of queries: names that are neither functions nor words of PromQL.
fn used(queries: &str) -> BTreeSet<String> {
    const WORDS: [&str; 9] =
        ["and", "or", "unless", "bool", "offset", "inf", "nan", "up", "ALERTS"];
    let text = bare(queries);
    let mut found = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_of_name) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let is_number = name.starts_with(|c: char| c.is_ascii_digit());
        let is_called = after.trim_start().starts_with('(');
        if !is_number && !is_called && !WORDS.contains(&name) {
            found.insert(name.to_owned());
        }
        rest = after;
    }
    found
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The metric that a series of a histogram belongs to.
fn base<'a>(name: &'a str, kinds: &BTreeMap<String, String>) -> &'a str {
    let endings = ["_bucket", "_sum", "_count"];
    let histogram = endings.iter().find_map(|ending| name.strip_suffix(ending));
    histogram
        .filter(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram"))
        .unwrap_or(name)
}

#[test]
fn the_metrics_of_a_query_are_found() {
    let query = "sum by (job) (rate(a_total{job=~\"x|y\"}[5m])) / on (instance) group_left (version) b:c \
                 > 0.5 and up == 1 or $__interval + ${rate} * 1e3 unless absent(d)";
    let found: Vec<String> = used(query).into_iter().collect();
    assert_eq!(found, ["a_total", "b:c", "d"]);
}

#[test]
fn every_metric_is_documented_and_shown() {
    let (kinds, dashboard) = (documented(), dashboard());
    assert!(kinds.len() >= 30, "{kinds:?}");
    let mut count = 0;
    for (place, queries) in [(ALERTS, alert_queries()), (DASHBOARD, dashboard_queries(&dashboard))]
    {
        for name in used(&queries) {
            count += 1;
            let base = base(&name, &kinds);
            let kind = kinds.get(base);
            let is_series = kind.is_some_and(|kind| kind != "histogram" || base != name);
            assert!(is_series, "{place} asks for {name}, which is not in the table of {GUIDE}");
        }
    }
    assert!(count >= 20, "{count}");
    let shown: String = panels(&dashboard).into_iter().map(dashboard_queries).collect();
    let shown: BTreeSet<String> =
        used(&shown).iter().map(|name| base(name, &kinds).to_owned()).collect();
    for name in kinds.keys() {
        assert!(shown.contains(name), "{DASHBOARD} shows {name} nowhere");
    }
}

/// Each is in the guide, and tested both ways.
#[test]
fn every_alert_is_told_of_and_tested() {
    let (alerts, guide) = (read(ALERTS), read(GUIDE));
    let alerts: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let tests = read("deploy/monitoring/alerts_test.yml");
    for name in &alerts {
        assert!(guide.contains(&format!("\n| `{name}` |")), "{GUIDE} says nothing of {name}");
        let (mut fires, mut quiet, mut is_mine) = (0, 0, false);
        for line in tests.lines().map(str::trim_start) {
            if line.starts_with("- expr:") {
                let of_it = line.contains(&format!("alertname=\"{name}\""));
                is_mine = of_it && line.contains("alertstate=\"firing\"");
            } else if is_mine && line.contains("exp_samples:") {
                let counted = if line.contains("[]") { &mut quiet } else { &mut fires };
                *counted += 1;
            }
        }
        assert!(
            fires > 0 && quiet > 0,
            "tests have {name} fire {fires} times and be quiet {quiet} times"
        );
    }
    let told = guide.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split_once("` |")?.0;
        let is_alert = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_alert.then_some(name)
    });
    for name in told {
        assert!(alerts.contains(name), "{GUIDE} tells of the alert {name}, which is not there");
    }
}
