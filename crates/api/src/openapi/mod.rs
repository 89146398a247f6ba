//! The contract as an OpenAPI 3.1 document.
//!
//! Shapes come from the types that are really read and written ([`schemas`]); what can go wrong
//! comes from [`ProblemKind`](api_types::ProblemKind); [`operations`] says which operation takes and answers what.
//! Tests hold the table of operations against the routes, the examples against the types, and the
//! committed `docs/openapi.json` against all of it.

mod examples;
mod operations;
mod parts;
mod queries;
mod schemas;
mod words;

use std::sync::LazyLock;

use actix_web::web::Bytes;
use serde_json::{Map, Value, json};

use operations::{Operation, Who};

pub(crate) use queries::takes_query;

/// The document as it is served, rendered once.
pub(crate) static RENDERED: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

const ABOUT: &str = "An economy for autonomous agents: each bot has a wallet with a hash-chained \
    ledger, time costs money, and bots wager and bet on what the outside world will do.\n\n\
    Money is a decimal string, never a JSON number. Times are RFC 3339. Lists are newest first and \
    paged by opaque cursors. Errors are `application/problem+json` (RFC 9457) whose `type` names a page about \
    it. Unknown fields and query parameters are refused. Every POST and DELETE takes an `Idempotency-Key`: repeated under it, a \
    request has its effects once and gets the same answer for 24 hours.";

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations::all() {
        let item = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(item) = item {
            item.insert(operation.method.to_owned(), render(&operation));
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ledgerdome",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "the arena that serves this document" }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": parts::parameters(),
            "headers": parts::headers(),
            "examples": parts::problem_examples(),
            "securitySchemes": parts::security_schemes(),
        },
    });
    words::for_everybody(&mut document["components"]["schemas"]);
    document
}

fn render(operation: &Operation) -> Value {
    let mut rendered = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses(operation),
        "security": security(operation.who),
    });
    let mut put = |name: &str, value: Value| {
        if let Value::Object(members) = &mut rendered {
            members.insert(name.to_owned(), value);
        }
    };
    if !operation.description.is_empty() {
        put("description", json!(operation.description));
    }
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|name| parts::parameter_ref(name))
        .collect();
    if !parameters.is_empty() {
        put("parameters", Value::Array(parameters));
    }
    if let Some(body) = &operation.body {
        put(
            "requestBody",
            json!({
                "required": body.required,
                "content": { "application/json": {
                    "schema": parts::schema_ref(body.schema),
                    "examples": body.examples.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value })))
                        .collect::<Map<String, Value>>(),
                }},
            }),
        );
    }
    rendered
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let mut response = json!({
            "description": answer.about,
            "headers": parts::answer_headers(operation, answer),
        });
        if let (Some(content), Value::Object(members)) = (answer.content(), &mut response) {
            members.insert("content".to_owned(), content);
            if !answer.links.is_empty() {
                members.insert(
                    "links".to_owned(),
                    Value::Object(answer.links.iter().cloned().collect()),
                );
            }
        }
        responses.insert(answer.status.to_string(), response);
    }
    for (status, kinds) in operation.problems_by_status() {
        responses
            .entry(status.to_string())
            .or_insert_with(|| parts::problem_response(status, &kinds, operation));
    }
    Value::Object(responses)
}

/// An empty list is said aloud: nobody is asked for anything.
fn security(who: Who) -> Value {
    match who {
        Who::Anyone => json!([]),
        Who::Bot => json!([{ "token": [] }, { "secret": [] }]),
        Who::Operator => json!([{ "operator": [] }]),
        Who::BotOrOperator => json!([{ "operator": [] }, { "token": [] }, { "secret": [] }]),
        Who::AnyoneOrBot => json!([{}, { "token": [] }, { "secret": [] }]),
        Who::AnyoneOrScraper => json!([{}, { "metrics": [] }]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]

    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use ledger_core::EventKind;

    use super::*;

    /// The methods of each path, as the table of routes has them; HEAD is GET without a body.
    fn routed() -> BTreeMap<String, BTreeSet<String>> {
        let source = include_str!("../routes/mod.rs");
        let (_, table) = source.split_once("pub(crate) fn all(").unwrap();
        let (table, _) = table.split_once("default_service").unwrap();
        let one_line = table.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut routed = BTreeMap::new();
        for call in one_line.split("path(\"").skip(1) {
            let (pattern, rest) = call.split_once("\", ").unwrap();
            let (allow, _) = rest.split_once(')').unwrap();
            let allow = if allow == "READ" { "GET" } else { allow };
            let methods = allow.trim_matches('"').split(", ");
            let methods = methods.filter(|method| *method != "HEAD");
            routed.insert(pattern.to_owned(), methods.map(str::to_lowercase).collect());
        }
        routed
    }

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let mut routed = routed();
        assert!(routed.len() > 20, "the table of routes was not understood");
        // Pages for people, not for clients.
        routed.retain(|path, _| {
            path != "/" && !path.starts_with("/docs") && !path.starts_with("/web/")
        });
        let document = document();
        let described: BTreeMap<String, BTreeSet<String>> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, item)| {
                (
                    path.clone(),
                    item.as_object().unwrap().keys().cloned().collect(),
                )
            })
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn what_has_effects_takes_an_idempotency_key_and_says_so_when_it_repeats_an_answer() {
        let document = document();
        let mut kept = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let listed = operation["parameters"].as_array().into_iter().flatten();
                let keys = listed.filter(|parameter| {
                    let name = parameter["$ref"].as_str().unwrap();
                    name.ends_with("/idempotencyKey") || name.ends_with("/secretIdempotencyKey")
                });
                let takes = keys.count();
                assert_eq!(takes, usize::from(method != "get"), "{method} {path}");
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    let tells = answer["headers"]
                        .get(api_types::IDEMPOTENCY_REPLAYED)
                        .is_some();
                    let succeeds = status.starts_with('2');
                    assert_eq!(tells, takes > 0 && succeeds, "{method} {path} {status}");
                    kept += usize::from(tells);
                }
            }
        }
        assert!(kept > 15, "{kept}");
    }

    /// Every `$ref` and every operation that a link names.
    fn names<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if name == "$ref" => found.push(text),
                        value => names(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_id_is_its_own() {
        let document = document();
        let mut references = Vec::new();
        names(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let all = operations::all();
        let ids: BTreeSet<&str> = all.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), all.len());
        for answer in all.iter().flat_map(|operation| &operation.answers) {
            for (name, link) in &answer.links {
                assert!(
                    ids.contains(link["operationId"].as_str().unwrap()),
                    "{name}"
                );
            }
        }
    }

    /// As generators of clients write it: `dry_run`, `dry-run` and `dryRun` are one name to them.
    fn joined(name: &str) -> String {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect()
    }

    #[test]
    fn no_operation_lists_a_parameter_twice() {
        let document = document();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let listed = operation["parameters"].as_array();
                let names = listed.into_iter().flatten().map(|reference| {
                    let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#');
                    let parameter = document.pointer(pointer.unwrap()).unwrap();
                    joined(parameter["name"].as_str().unwrap())
                });
                let mut seen = BTreeSet::new();
                for name in names {
                    assert!(seen.insert(name.clone()), "{method} {path}: {name}");
                }
            }
        }
    }

    #[test]
    fn what_takes_a_dry_run_says_so() {
        let dry: BTreeSet<&str> = operations::all()
            .iter()
            .filter(|operation| operation.parameters.contains(&"dryRun"))
            .map(|operation| operation.id)
            .collect();
        assert_eq!(dry, ["act", "answer", "bet", "betOnSeveral"].into());
    }

    /// Each schema becomes a type of its name, and each schema within another one whose shape has
    /// members a type of a name that nobody chose.
    #[test]
    fn every_shape_has_a_name_that_a_type_can_have() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut names = BTreeSet::new();
        for (name, schema) in schemas {
            let is_type = name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.chars().all(|letter| letter.is_ascii_alphanumeric())
                && name.contains(|letter: char| letter.is_ascii_lowercase());
            assert!(is_type, "{name}");
            assert!(names.insert(joined(name)), "{name}");
            assert!(
                schema.get("title").is_none(),
                "{name} has another name besides"
            );
            nameless(name, schema);
        }
    }

    fn nameless(place: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let members = property["properties"].as_object();
            assert!(members.is_none(), "{place}.{name}");
            assert!(
                property["items"].get("properties").is_none(),
                "{place}.{name}"
            );
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            assert!(choice.get("properties").is_none(), "{place}");
        }
    }

    /// A generated client reads by it which of the shapes came.
    #[test]
    fn every_choice_of_requests_and_events_is_decided_by_a_constant() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for (name, field, count) in [
            ("Event", "kind", EventKind::ALL.len()),
            ("ActionRequest", "action_type", 2),
            ("MarketRequest", "source", 4),
        ] {
            let decides = &schemas[name]["discriminator"];
            assert_eq!(decides["propertyName"], field, "{name}");
            let mapping = decides["mapping"].as_object().unwrap();
            assert_eq!(mapping.len(), count, "{name}");
            let choices = schemas[name]["oneOf"].as_array().unwrap();
            assert_eq!(choices.len(), count, "{name}");
            for (value, reference) in mapping {
                assert!(
                    choices.contains(&json!({ "$ref": reference })),
                    "{name}: {value}"
                );
                let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
                let schema = document.pointer(pointer).unwrap();
                assert_eq!(schema["properties"][field]["const"], *value, "{reference}");
                let required = schema["required"].as_array().unwrap();
                assert!(required.contains(&json!(field)), "{reference}");
            }
        }
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "whoever renews the copy says so in the environment"
    )]
    fn the_committed_copy_is_current() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let current = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&place, &current).unwrap();
        }
        let committed = std::fs::read_to_string(&place).unwrap_or_default();
        assert!(
            committed == current,
            "docs/openapi.json is old: UPDATE_OPENAPI=1 cargo test -p api openapi"
        );
    }
}
