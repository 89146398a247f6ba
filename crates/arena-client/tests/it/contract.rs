//! Compares the client's calls with the arena's contract.

use std::collections::BTreeSet;

use serde_json::Value;

/// The sources in which calls are made.
const SOURCES: [&str; 5] = [
    include_str!("../../src/client.rs"),
    include_str!("../../src/client/dry_run.rs"),
    include_str!("../../src/client/events.rs"),
    include_str!("../../src/operator.rs"),
    include_str!("../../src/token.rs"),
];
/// Operations that this client does not have.
const NOT_OFFERED: [&str; 6] = [
    "GET /markets/{market}/evidence",
    "GET /markets/{market}/evidence/{evidence}",
    "GET /metrics",
    "GET /openapi.json",
    "GET /problems/{name}",
    "GET /ws/stream",
];

#[test]
fn the_client_asks_for_what_the_contract_has_and_leaves_nothing_out() {
    let document = include_str!("../../../../docs/openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let mut offered = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            offered.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let literals = SOURCES.iter().flat_map(|source| source.split('"'));
    let is_operation = |text: &&str| {
        let method = text.split_once(" /").map(|(method, _)| method);
        matches!(method, Some("GET" | "POST" | "DELETE"))
    };
    let asked: BTreeSet<String> = literals.filter(is_operation).map(str::to_owned).collect();
    let unknown: Vec<_> = asked.difference(&offered).collect();
    assert!(unknown.is_empty(), "the contract has no {unknown:?}");
    let not_offered = NOT_OFFERED.map(str::to_owned).into();
    let missing: Vec<_> = offered.difference(&asked).collect();
    assert_eq!(missing, BTreeSet::iter(&not_offered).collect::<Vec<_>>());
}
