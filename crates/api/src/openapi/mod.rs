//! The contract as an OpenAPI 3.1 document.
//!
//! Shapes come from the types of requests and answers ([`schemas`]), problems from
//! [`ProblemKind`](api_types::ProblemKind), and an operation's requests and answers from its row in
//! the table of endpoints. Tests check the examples against the types, and the committed
//! `docs/openapi.json` against the generated one.

pub(crate) mod examples;
mod parts;
mod schemas;
mod words;

use serde_json::{Map, Value, json};

use crate::auth::Who;
use crate::endpoint::Endpoint;
pub(crate) use parts::queries;
pub(crate) use schemas::Shapes;

const ABOUT: &str = "An economy for autonomous agents: each bot has a wallet with a hash-chained \
    ledger, time costs money, and bots wager and bet on what the outside world will do.\n\n\
    Money is a decimal string, never a JSON number. Times are RFC 3339. Lists are newest first and \
    paged by opaque cursors. Errors are `application/problem+json` (RFC 9457) whose `type` names a page about \
    it. Unknown fields and query parameters are refused. Every POST and DELETE takes an `Idempotency-Key`: repeated under it, a \
    request has its effects once and gets the same answer for 24 hours.";

const TAGS: [(&str, &str); 8] = [
    ("agents", "An agent's operations: observe, wager, report usage."),
    ("markets", "Questions about the outside world, and bets on them."),
    ("bots", "Registered bots, registration, revival and retirement."),
    ("ledger", "Every entry, with all fields that its hash covers."),
    ("arena", "Figures in force, prices, standings, the feed."),
    ("streams", "Live events."),
    ("operators", "Only for operators; each act is recorded in the audit log."),
    ("service", "Health, and explanations of errors."),
];

/// The document of these endpoints.
pub(crate) fn document<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Value {
    let (mut paths, mut shapes) = (Map::<String, Value>::new(), Shapes::default());
    for endpoint in endpoints.filter(|endpoint| endpoint.is_in_contract()) {
        let item = paths.entry(endpoint.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(item) = item {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            item.insert(method, render(endpoint));
        }
        for add in &endpoint.shapes {
            add(&mut shapes);
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
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas::all(shapes),
            "parameters": parts::parameters(),
            "headers": parts::headers(),
            "examples": parts::problem_examples(),
            "securitySchemes": parts::security_schemes(),
        },
    });
    words::for_everybody(&mut document["components"]["schemas"]);
    document
}

fn render(endpoint: &Endpoint) -> Value {
    let mut rendered = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "responses": responses(endpoint),
        "security": security(endpoint.who),
    });
    let mut put = |name: &str, value: Value| {
        if let Value::Object(members) = &mut rendered {
            members.insert(name.to_owned(), value);
        }
    };
    if !endpoint.description.is_empty() {
        put("description", json!(endpoint.description));
    }
    let parameters: Vec<Value> =
        endpoint.parameters.iter().map(|name| parts::parameter_ref(name)).collect();
    if !parameters.is_empty() {
        put("parameters", Value::Array(parameters));
    }
    if let Some(body) = &endpoint.body {
        put(
            "requestBody",
            json!({
                "required": body.required,
                "content": { "application/json": {
                    "schema": parts::schema_ref(&body.schema),
                    "examples": body.examples.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value })))
                        .collect::<Map<String, Value>>(),
                }},
            }),
        );
    }
    rendered
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    for answer in &endpoint.answers {
        let mut response = json!({
            "description": answer.about,
            "headers": parts::answer_headers(endpoint, answer),
        });
        if let (Some(content), Value::Object(members)) = (parts::content(answer), &mut response) {
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
    for (status, kinds) in endpoint.problems_by_status() {
        responses
            .entry(status.to_string())
            .or_insert_with(|| parts::problem_response(status, &kinds, endpoint));
    }
    Value::Object(responses)
}

/// An empty list is written out: no credential is required.
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

    use std::collections::BTreeSet;
    use std::path::Path;

    use ledger_core::EventKind;
    use ledger_core::market::MarketSource;

    use super::*;

    /// The whole document of this build.
    pub(super) fn whole() -> Value {
        document(crate::routes::endpoints().iter())
    }

    #[test]
    fn what_has_effects_takes_an_idempotency_key_and_says_so_when_it_repeats_an_answer() {
        let document = whole();
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
                    let tells = answer["headers"].get(api_types::IDEMPOTENCY_REPLAYED).is_some();
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
        let document = whole();
        let mut references = Vec::new();
        names(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut all = crate::routes::endpoints();
        all.retain(Endpoint::is_in_contract);
        let ids: BTreeSet<&str> = all.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), all.len());
        for answer in all.iter().flat_map(|operation| &operation.answers) {
            for (name, link) in &answer.links {
                assert!(ids.contains(link["operationId"].as_str().unwrap()), "{name}");
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
        let document = whole();
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
        let dry: BTreeSet<&str> = crate::routes::endpoints()
            .iter()
            .filter(|operation| operation.parameters.contains(&"dryRun"))
            .map(|operation| operation.id)
            .collect();
        assert_eq!(dry, ["act", "answer", "bet", "betOnSeveral"].into());
    }

    /// Each schema becomes a type of its name, and each nested schema with members becomes a type
    /// with a generated name.
    #[test]
    fn every_shape_has_a_name_that_a_type_can_have() {
        let document = whole();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut names = BTreeSet::new();
        for (name, schema) in schemas {
            let is_type = name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.chars().all(|letter| letter.is_ascii_alphanumeric())
                && name.contains(|letter: char| letter.is_ascii_lowercase());
            assert!(is_type, "{name}");
            assert!(names.insert(joined(name)), "{name}");
            assert!(schema.get("title").is_none(), "{name} has another name besides");
            nameless(name, schema);
        }
    }

    /// A Rust macro can easily hide `rename` from a derive, and then the contract has the names of
    /// variants.
    #[test]
    fn labels_are_those_on_the_wire_and_not_rust_names() {
        let document = whole();
        let mut labels = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for label in schema["enum"].as_array().into_iter().flatten() {
                labels.push((name, label.as_str().unwrap()));
            }
        }
        assert!(labels.len() > 50, "{labels:?}");
        for (name, label) in labels {
            let is_one_case = label == label.to_uppercase() || label == label.to_lowercase();
            assert!(is_one_case, "{name} has {label}");
        }
    }

    fn nameless(place: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let members = property["properties"].as_object();
            assert!(members.is_none(), "{place}.{name}");
            assert!(property["items"].get("properties").is_none(), "{place}.{name}");
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            assert!(choice.get("properties").is_none(), "{place}");
        }
    }

    /// A generated client reads by it which of the shapes came.
    #[test]
    fn every_choice_of_requests_and_events_is_decided_by_a_constant() {
        let document = whole();
        let schemas = &document["components"]["schemas"];
        for (name, field, count) in [
            ("Event", "kind", EventKind::ALL.len()),
            ("ActionRequest", "action_type", 2),
            ("MarketRequest", "source", MarketSource::ALL.len()),
        ] {
            let decides = &schemas[name]["discriminator"];
            assert_eq!(decides["propertyName"], field, "{name}");
            let mapping = decides["mapping"].as_object().unwrap();
            assert_eq!(mapping.len(), count, "{name}");
            let choices = schemas[name]["oneOf"].as_array().unwrap();
            assert_eq!(choices.len(), count, "{name}");
            for (value, reference) in mapping {
                assert!(choices.contains(&json!({ "$ref": reference })), "{name}: {value}");
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
        let current = serde_json::to_string_pretty(&whole()).unwrap() + "\n";
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
