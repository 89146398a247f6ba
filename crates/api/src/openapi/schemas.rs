//! The shapes: collected from the types that are read and written.

use api_types::{
    Acceptance, ActionRequest, AnswerJudged, AnswerRequest, ArenaState, AuditEntry, Bet,
    BetRequest, BetsPlaced, BetsRequest, Bot, BotEvent, ChainVerification, DryRun, Economy, Event,
    Evidence, History, Insights, LedgerEntry, Market, MarketEvent, MarketRequest, MyProfile,
    Observation, Page, PauseRequest, Post, PostEvent, Prediction, PredictionEvent, PriceSample,
    Problem, RegisterRequest, Registration, ResumeRequest, RetireRequest, ReviveRequest,
    RotateRequest, RotatedKeys, Standings, Tick, TickEvent, TokenAnswer, TokenRequest,
    UsageReceipt, UsageReport, VoidRequest,
};
use ledger_core::EventKind;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

#[derive(Default)]
struct Collected(Vec<(String, RefOr<Schema>)>);

impl Collected {
    fn with<T: ToSchema>(mut self) -> Collected {
        self.0.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.0);
        self
    }

    fn page_of<T: ToSchema>(mut self) -> Collected {
        self.0
            .push((format!("{}Page", T::name()), Page::<T>::schema()));
        T::schemas(&mut self.0);
        self.with::<T>()
    }
}

/// Every schema by its name.
pub(super) fn all() -> Value {
    let collected = Collected::default()
        .with::<Problem>()
        .with::<RegisterRequest>()
        .with::<Registration>()
        .with::<MyProfile>()
        .with::<RetireRequest>()
        .with::<RotateRequest>()
        .with::<RotatedKeys>()
        .with::<ReviveRequest>()
        .with::<TokenRequest>()
        .with::<TokenAnswer>()
        .with::<Observation>()
        .with::<ActionRequest>()
        .with::<Acceptance>()
        .with::<MarketRequest>()
        .with::<VoidRequest>()
        .with::<PauseRequest>()
        .with::<ResumeRequest>()
        .with::<ArenaState>()
        .with::<BetRequest>()
        .with::<BetsRequest>()
        .with::<BetsPlaced>()
        .with::<AnswerRequest>()
        .with::<AnswerJudged>()
        .with::<ChainVerification>()
        .with::<Insights>()
        .with::<Standings>()
        .with::<Economy>()
        .with::<UsageReport>()
        .with::<UsageReceipt>()
        .with::<DryRun>()
        .with::<Event>()
        .with::<PostEvent>()
        .with::<PredictionEvent>()
        .with::<MarketEvent>()
        .with::<TickEvent>()
        .with::<BotEvent>()
        .page_of::<AuditEntry>()
        .page_of::<Bot>()
        .page_of::<Market>()
        .page_of::<Bet>()
        .page_of::<Evidence>()
        .page_of::<Prediction>()
        .page_of::<PriceSample>()
        .page_of::<Tick>()
        .with::<History>()
        .page_of::<Post>()
        .page_of::<LedgerEntry>();
    let mut schemas: Map<String, Value> = collected
        .0
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    either(&mut schemas);
    schemas.insert("ServerSentEvent".to_owned(), server_sent_event());
    schemas.insert("Health".to_owned(), health());
    schemas.insert("Readiness".to_owned(), readiness());
    Value::Object(schemas)
}

/// Where one field decides what another one must be, which no derived schema says.
fn either(schemas: &mut Map<String, Value>) {
    refine(schemas, "ActionRequest", |base| {
        vec![
            variant(
                base,
                "action_type",
                "PREDICT",
                &["direction", "wager_amount", "confidence"],
                &[],
            ),
            variant(
                base,
                "action_type",
                "WAIT",
                &[],
                &["direction", "wager_amount", "confidence"],
            ),
        ]
    });
    refine(schemas, "Event", |base| {
        EventKind::ALL
            .into_iter()
            .map(|kind| {
                let mut schema = variant(base, "kind", kind.as_str(), &[], &[]);
                schema["properties"]["data"] = json!({
                    "$ref": format!("#/components/schemas/{}", data_of(kind)),
                    "description": "What happened.",
                });
                schema
            })
            .collect()
    });
    refine(schemas, "TokenRequest", |base| {
        vec![
            narrowed(base, &["bot_id"], &["handle"]),
            narrowed(base, &["handle"], &["bot_id"]),
        ]
    });
    refine(schemas, "MarketRequest", |base| {
        let of = |source: &str, criteria: &str, required: &[&str], without: &[&str]| {
            let mut schema = variant(base, "source", source, required, without);
            // Beside the reference, the description that the type gave it stays.
            schema["properties"]["criteria"]["$ref"] =
                json!(format!("#/components/schemas/{criteria}"));
            schema
        };
        vec![
            of("GITHUB", "StarCriteria", &[], &["answer"]),
            of("NEWS", "HeadlineCriteria", &[], &["answer"]),
            of("WEATHER", "TemperatureCriteria", &[], &["answer"]),
            of("RESEARCH", "ArticleCriteria", &["answer"], &[]),
        ]
    });
}

/// The shape of what an event of this kind tells.
const fn data_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Entry => "LedgerEntry",
        EventKind::Post => "PostEvent",
        EventKind::Prediction => "PredictionEvent",
        EventKind::Market => "MarketEvent",
        EventKind::Tick => "TickEvent",
        EventKind::Price => "PriceSample",
        EventKind::Bot => "BotEvent",
    }
}

fn refine(schemas: &mut Map<String, Value>, name: &str, variants: impl Fn(&Value) -> Vec<Value>) {
    if let Some(base) = schemas.get(name) {
        let description = base.get("description").cloned().unwrap_or_default();
        let refined = json!({ "description": description, "oneOf": variants(base) });
        schemas.insert(name.to_owned(), refined);
    }
}

/// The schema for one value of the field that decides.
fn variant(base: &Value, field: &str, value: &str, required: &[&str], without: &[&str]) -> Value {
    let mut schema = narrowed(base, required, without);
    schema["title"] = json!(value);
    schema["properties"][field] = json!({ "type": "string", "const": value });
    schema
}

/// The schema with more required fields, which then cannot be null, and without some, which can be
/// nothing else.
fn narrowed(base: &Value, required: &[&str], without: &[&str]) -> Value {
    let mut schema = base.clone();
    if let Some(members) = schema.as_object_mut() {
        members.remove("description");
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        for name in without {
            properties.insert(
                (*name).to_owned(),
                json!({ "type": "null", "description": "Not here." }),
            );
        }
        for name in required {
            if let Some(property) = properties.get_mut(*name) {
                not_null(property);
            }
        }
    }
    if let Some(names) = schema["required"].as_array_mut() {
        names.extend(required.iter().map(|name| json!(name)));
    }
    schema
}

/// Takes `null` out of what a property may be.
fn not_null(property: &mut Value) {
    let others = property
        .get("oneOf")
        .and_then(Value::as_array)
        .map(|choices| {
            choices
                .iter()
                .filter(|choice| choice["type"] != "null")
                .cloned()
                .collect::<Vec<_>>()
        });
    if let Some([only]) = others.as_deref() {
        *property = only.clone();
    } else if let Some(types) = property.get("type").and_then(Value::as_array).cloned()
        && let Some(only) = types.into_iter().find(|name| name != "null")
    {
        property["type"] = only;
    }
}

fn server_sent_event() -> Value {
    let kinds = EventKind::ALL.map(EventKind::as_str);
    json!({
        "type": "object",
        "description": "An event as it stands in the stream.",
        "required": ["id", "event", "data"],
        "properties": {
            "id": { "type": "string", "description": "The position to resume from." },
            "event": { "type": "string", "enum": kinds, "description": "The kind of the event." },
            "data": {
                "type": "string", "description": "An `Event` as JSON on one line.",
                "contentMediaType": "application/json",
                "contentSchema": super::parts::schema_ref("Event"),
            },
        },
    })
}

fn health() -> Value {
    json!({
        "type": "object",
        "description": "The process answers.",
        "required": ["status"],
        "properties": { "status": { "type": "string", "const": "ok" } },
    })
}

fn readiness() -> Value {
    json!({
        "type": "object",
        "description": "What the service depends on, each by name.",
        "required": ["status", "checks"],
        "properties": {
            "status": {
                "type": "string", "enum": ["ready", "unavailable"],
                "description": "Whether requests are served.",
            },
            "checks": { "type": "array", "description": "One for each dependency.", "items": {
                "type": "object",
                "required": ["name", "state"],
                "properties": {
                    "name": {
                        "type": "string", "examples": ["postgres"], "description": "What was looked at.",
                    },
                    "state": {
                        "type": "string", "enum": ["ok", "degraded", "failed"],
                        "description": "`degraded` is served all the same.",
                    },
                    "detail": { "type": "string", "description": "What is wrong with it." },
                },
            }},
        },
    })
}
