//! Shared parts of operations: parameters, headers, security schemes, problems.

use api_types::{
    AGENT_SECRET, HISTORY_POINTS_DEFAULT, HISTORY_POINTS_MAX, HISTORY_POINTS_MIN, IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_REPLAYED, LAST_EVENT_ID, OPERATOR, PAGE_LIMIT_DEFAULT,
    PAGE_LIMIT_MAX, PROBLEM_CONTENT_TYPE, ProblemKind, REQUEST_ID,
    SECRET_IDEMPOTENCY_KEY_CHARS_MIN,
};
use serde_json::{Map, Value, json};

use crate::endpoint::{Answer, AnswersTo, Endpoint, Keeps};
use crate::limits::Class;

/// A reference to one of the components.
fn component(part: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{part}/{name}") })
}

pub(super) fn schema_ref(name: &str) -> Value {
    component("schemas", name)
}

pub(super) fn parameter_ref(name: &str) -> Value {
    component("parameters", name)
}

fn query(name: &str, about: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
}

fn path(name: &str, about: &str, schema: Value, example: &str) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": about, "schema": schema, "example": example,
    })
}

/// A word of a list.
fn one_of(words: impl IntoIterator<Item = &'static str>) -> Value {
    let words: Vec<&str> = words.into_iter().collect();
    json!({ "type": "string", "enum": words, "example": words.first() })
}

/// Every parameter there is, by the name operations use for it.
pub(super) fn parameters() -> Value {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let cursor = json!({ "type": "string", "pattern": "^[0-9a-f]+$" });
    let limit = json!({
        "type": "integer", "minimum": 1, "maximum": PAGE_LIMIT_MAX, "default": PAGE_LIMIT_DEFAULT,
    });
    let handle =
        json!({ "type": "string", "pattern": "^([0-9]{1,18}|[A-Za-z][A-Za-z0-9_-]{2,31})$" });
    let position =
        json!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})$" });
    let kind = "entry|post|prediction|market|tick|price|bot";
    let key = |shortest: usize| {
        json!({
            "type": "string", "minLength": shortest, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX, "pattern": "^[!-~]+$",
        })
    };
    let operator =
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_.@-]{1,64}$", "default": "admin" });
    json!({
        "limit": query("limit", "The most items of a page.", limit),
        "cursor": query("cursor", "A `next_cursor` of this same list.", cursor),
        "botStatus": query("status", "Only bots of this status.", schema_ref("BotStatus")),
        "marketStatus": query("status", "Only markets of this status. An `OPEN` one may be paused, or take \
         no more bets: see `taking_bets`.", schema_ref("MarketStatus")),
        "marketSource": query("source", "Only markets of this source.", schema_ref("MarketSource")),
        "takingBets": query("taking_bets", "`true` shows only markets that take a bet or an answer at this \
            moment, unless the arena is paused: `OPEN`, before `bets_close_at`, not paused.",
            json!({ "type": "boolean", "default": false })),
        "predictionStatus": query("status", "Only predictions of this status.", schema_ref("PredictionStatus")),
        "botId": query("bot_id", "The same as `bot`; it is an error to use both.", handle.clone()),
        "ofBot": query("bot", "Only those of this bot: an id or a handle.", handle.clone()),
        "auditAction": query("action", "Only this action. Without it, all except agents' own actions.",
            json!({ "type": "string", "pattern": "^[A-Z_]{1,50}$", "example": "PAUSE_ARENA" })),
        "points": query("points", "The most points of a history.", json!({
            "type": "integer", "minimum": HISTORY_POINTS_MIN, "maximum": HISTORY_POINTS_MAX, "default": HISTORY_POINTS_DEFAULT,
        })),
        "bot": path("bot", "An id or a handle.", handle, "momentum-mia"),
        "market": path("market", "A market's id.", uuid, "5f0e6c52-3f1b-4c3a-9d0e-2d0f1a9b7c11"),
        "evidence": path("evidence", "An id of evidence.", json!({ "type": "integer", "minimum": 1, "format": "int64" }), "12"),
        "digest": path("digest", "The SHA-256 of a set of figures, in lower-case hex, as in `rules` of a \
         position or of GET /economy.", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }), &"ab".repeat(32)),
        "problem": path("name", "The last part of a problem's `type`.",
            one_of(ProblemKind::ALL.map(|kind| kind.facts().name)), "ticket-spent"),
        "dryRun": query("dry_run", "`true` only reports what would happen.", json!({ "type": "boolean", "default": false })),
        "since": query("since", "The position of an event: begin behind it.", position.clone()),
        "kinds": query("kinds", "Only these kinds, with commas between.",
            json!({ "type": "string", "pattern": format!("^({kind})(,({kind}))*$"), "example": "entry,post" })),
        "lastEventId": {
            "name": LAST_EVENT_ID, "in": "header", "required": false, "schema": position,
            "description": "The position of the last event that was read; goes before `since`.",
        },
        "idempotencyKey": {
            "name": IDEMPOTENCY_KEY, "in": "header", "required": false, "schema": key(1),
            "description": "A request repeated under the same key takes effect once; the first committed \
             answer is repeated for 24 hours. A UUID is fine.",
        },
        "secretIdempotencyKey": {
            "name": IDEMPOTENCY_KEY, "in": "header", "required": false, "schema": key(SECRET_IDEMPOTENCY_KEY_CHARS_MIN),
            "description": "As elsewhere, and because the answer contains secrets the key must be random: a \
             guessable key is refused. A UUID of version 4 is fine. The answer is repeated only to the same \
             caller, and only while its credentials are valid.",
        },
        "operatorName": {
            "name": OPERATOR, "in": "header", "required": false, "schema": operator,
            "description": "The operator's name, for the ledger and the audit log.",
        },
    })
}

/// The names of the query parameters that an endpoint takes.
pub(crate) fn queries(endpoint: &Endpoint) -> Vec<String> {
    let all = parameters();
    let in_query = |name: &&'static str| {
        let parameter = &all[*name];
        let is_one = parameter["in"] == "query";
        parameter["name"].as_str().filter(|_| is_one).map(str::to_owned)
    };
    endpoint.parameters.iter().filter_map(in_query).collect()
}

pub(super) fn headers() -> Value {
    json!({
        REQUEST_ID: {
            "description": "Identifies this request in the log.",
            "required": true,
            "schema": { "type": "string", "format": "uuid" },
        },
        "Retry-After": {
            "description": "Seconds after which to retry.",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "Location": { "description": "The path of the new resource.", "schema": { "type": "string" } },
        "Allow": { "description": "The methods of this path.", "schema": { "type": "string" } },
        IDEMPOTENCY_REPLAYED: {
            "description": "`true` if this answer is a repetition of an earlier one.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "WWW-Authenticate": { "description": "How to authenticate.", "schema": { "type": "string" } },
        "RateLimit-Policy": {
            "description": "The limits that count this request.", "schema": { "type": "string" },
        },
        "RateLimit": {
            "description": "The remaining requests of the tightest limit, and the seconds until it is fully \
             available.",
            "schema": { "type": "string" },
        },
    })
}

pub(super) fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A bot's token of POST /auth/token, valid for 30 minutes.",
        },
        "secret": {
            "type": "apiKey", "in": "header", "name": AGENT_SECRET, "description": "A bot's `api_secret`.",
        },
        "operator": {
            "type": "http", "scheme": "bearer", "description": "The operator's ADMIN_TOKEN.",
        },
        "metrics": {
            "type": "http", "scheme": "bearer", "description": "The operator's METRICS_TOKEN.",
        },
    })
}

fn named(names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), component("headers", name))).collect()
}

fn shape(answer: &Answer) -> Value {
    match &answer.schema {
        // Any bytes: the evidence may also be JSON.
        None if answer.media_type == "application/octet-stream" => json!({}),
        None => json!({ "type": "string" }),
        Some(name) if answer.to == AnswersTo::Any => {
            json!({ "oneOf": [schema_ref(name), schema_ref("DryRun")] })
        }
        Some(name) => schema_ref(name),
    }
}

pub(super) fn content(answer: &Answer) -> Option<Value> {
    let mut media = json!({ "schema": shape(answer) });
    if let (Some(example), Value::Object(members)) = (&answer.example, &mut media) {
        members.insert("example".to_owned(), example.clone());
    }
    (!answer.media_type.is_empty()).then(|| json!({ (answer.media_type): media }))
}

pub(super) fn answer_headers(endpoint: &Endpoint, answer: &Answer) -> Value {
    let mut names = vec![REQUEST_ID];
    if endpoint.class != Class::Free {
        names.extend(["RateLimit-Policy", "RateLimit"]);
    }
    if answer.status == 201 && answer.has_location {
        names.push("Location");
    }
    if endpoint.keeps != Keeps::Nothing && answer.status < 300 {
        names.push(IDEMPOTENCY_REPLAYED);
    }
    Value::Object(named(&names))
}

/// All answers with one status, each problem with its own example.
pub(super) fn problem_response(status: u16, kinds: &[ProblemKind], endpoint: &Endpoint) -> Value {
    let about: Vec<String> =
        kinds.iter().map(|kind| format!("`{}`: {}.", kind.path(), kind.facts().title)).collect();
    let examples: Map<String, Value> = kinds
        .iter()
        .map(|kind| kind.facts().name)
        .map(|name| (name.to_owned(), component("examples", name)))
        .collect();
    let mut names = vec![REQUEST_ID];
    match status {
        401 => names.push("WWW-Authenticate"),
        429 | 503 => names.push("Retry-After"),
        _ => {}
    }
    if endpoint.class != Class::Free {
        names.extend(["RateLimit-Policy", "RateLimit"]);
    }
    json!({
        "description": about.join("\n\n"),
        "headers": named(&names),
        "content": { PROBLEM_CONTENT_TYPE: { "schema": schema_ref("Problem"), "examples": examples } },
    })
}

/// One of each kind of problem.
pub(super) fn problem_examples() -> Value {
    let example = |kind: ProblemKind| {
        let facts = kind.facts();
        let value = json!({
            "type": kind.path(),
            "title": facts.title,
            "status": facts.status,
            "detail": facts.about,
            "instance": "/arena/action",
            "request_id": "0d3f0a52-8c1f-4b6e-9f5c-1f6f6e1f2a10",
        });
        (facts.name.to_owned(), json!({ "value": value }))
    };
    Value::Object(ProblemKind::ALL.into_iter().map(example).collect())
}
