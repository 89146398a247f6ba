//! The shapes: collected from the types that are read and written.

use api_types::{
    BotEventData, Event, MarketEventData, Page, PostEventData, PredictionEventData, Problem,
    TickEventData,
};
use ledger_core::EventKind;
use ledger_core::market::Taking;
use ledger_core::openapi::{MARKET_REQUESTS, MarketRequestOf};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::parts::schema_ref;

/// Schemas by their names, as they are collected.
#[derive(Default)]
pub(crate) struct Shapes(Vec<(String, RefOr<Schema>)>);

impl Shapes {
    pub(crate) fn add<T: ToSchema>(&mut self) {
        self.0.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.0);
    }

    pub(crate) fn add_page<T: ToSchema>(&mut self) {
        let name = format!("{}Page", T::name());
        self.0.push((name, Page::<T>::schema()));
        self.add::<T>();
    }
}

/// Every schema by its name: those of the endpoints, and further ones.
pub(super) fn all(mut shapes: Shapes) -> Value {
    for add in [
        Shapes::add::<Problem>,
        Shapes::add::<Event>,
        Shapes::add::<EventKind>,
        Shapes::add::<PostEventData>,
        Shapes::add::<PredictionEventData>,
        Shapes::add::<MarketEventData>,
        Shapes::add::<TickEventData>,
        Shapes::add::<BotEventData>,
    ] {
        add(&mut shapes);
    }
    let mut schemas: Map<String, Value> = shapes
        .0
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    either(&mut schemas);
    schemas.extend(untyped().map(|(name, schema)| (name.to_owned(), schema)));
    Value::Object(schemas)
}

/// Dependencies between fields, which derived schemas cannot express.
fn either(schemas: &mut Map<String, Value>) {
    refine(schemas, "ActionRequest", Some("action_type"), |base| {
        let of_a_wager = ["direction", "wager_amount", "confidence"];
        vec![
            variant(base, "PredictAction", "PREDICT", &of_a_wager, &[]),
            variant(base, "WaitAction", "WAIT", &[], &of_a_wager),
        ]
    });
    refine(schemas, "Event", Some("kind"), |base| {
        let of = |kind: EventKind| {
            let (name, data) = shape_of(kind);
            let mut variant = variant(base, name, kind.as_str(), &[], &[]);
            variant.schema["properties"]["data"] = schema_ref(data);
            variant.schema["properties"]["data"]["description"] = json!("What happened.");
            variant
        };
        EventKind::ALL.map(of).to_vec()
    });
    refine(schemas, "TokenRequest", None, |base| {
        vec![
            variant(base, "TokenRequestByBotId", "", &["bot_id"], &["handle"]),
            variant(base, "TokenRequestByHandle", "", &["handle"], &["bot_id"]),
        ]
    });
    refine(schemas, "MarketRequest", Some("source"), |base| {
        let of = |request: &MarketRequestOf| {
            let answer: &[&str] = &["answer"];
            let (required, without) = match request.takes {
                Taking::Answer => (answer, &[][..]),
                Taking::Bet => (&[][..], answer),
            };
            let mut variant = variant(base, request.name, request.source, required, without);
            // Beside the reference, the description that the type gave it stays.
            variant.schema["properties"]["criteria"]["$ref"] =
                schema_ref(request.criteria)["$ref"].clone();
            variant
        };
        MARKET_REQUESTS.iter().map(of).collect()
    });
}

/// The names of an event of this kind, and of its data.
const fn shape_of(kind: EventKind) -> (&'static str, &'static str) {
    match kind {
        EventKind::Entry => ("EntryEvent", "LedgerEntry"),
        EventKind::Post => ("PostEvent", "PostEventData"),
        EventKind::Prediction => ("PredictionEvent", "PredictionEventData"),
        EventKind::Market => ("MarketEvent", "MarketEventData"),
        EventKind::Tick => ("TickEvent", "TickEventData"),
        EventKind::Price => ("PriceEvent", "PriceSample"),
        EventKind::Bot => ("BotEvent", "BotEventData"),
    }
}

/// One of the schemas that a schema stands for.
#[derive(Clone)]
struct Variant {
    name: &'static str,
    /// Of the field that decides, where there is one.
    value: &'static str,
    schema: Value,
}

/// Replaces a schema by a choice between schemas. Each has its own name: client generators make one
/// type of each, and choose it by the deciding field.
fn refine(
    schemas: &mut Map<String, Value>,
    name: &str,
    decided_by: Option<&str>,
    variants: impl Fn(&Value) -> Vec<Variant>,
) {
    let Some(base) = schemas.get(name) else {
        return;
    };
    let variants = variants(base);
    let references: Vec<Value> = variants.iter().map(|variant| schema_ref(variant.name)).collect();
    let description = base.get("description").cloned().unwrap_or_default();
    let mut refined = json!({ "description": description, "oneOf": references });
    if let Some(field) = decided_by {
        let mapping: Map<String, Value> = variants
            .iter()
            .map(|variant| (variant.value.to_owned(), schema_ref(variant.name)["$ref"].clone()))
            .collect();
        refined["discriminator"] = json!({ "propertyName": field, "mapping": mapping });
    }
    schemas.insert(name.to_owned(), refined);
    for mut one in variants {
        if let Some(field) = decided_by {
            one.schema["properties"][field] = json!({ "type": "string", "const": one.value });
        }
        schemas.insert(one.name.to_owned(), one.schema);
    }
}

/// The schema for one value of the deciding field, with further required fields, which then cannot
/// be null, and without some, which then must be null.
fn variant(
    base: &Value,
    name: &'static str,
    value: &'static str,
    required: &[&str],
    without: &[&str],
) -> Variant {
    let mut schema = base.clone();
    if let Some(members) = schema.as_object_mut() {
        members.remove("description");
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        for name in without {
            properties
                .insert((*name).to_owned(), json!({ "type": "null", "description": "Not here." }));
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
    Variant { name, value, schema }
}

/// Removes `null` from a property's types.
fn not_null(property: &mut Value) {
    let others = property.get("oneOf").and_then(Value::as_array).map(|choices| {
        choices.iter().filter(|choice| choice["type"] != "null").cloned().collect::<Vec<_>>()
    });
    if let Some([only]) = others.as_deref() {
        *property = only.clone();
    } else if let Some(types) = property.get("type").and_then(Value::as_array).cloned()
        && let Some(only) = types.into_iter().find(|name| name != "null")
    {
        property["type"] = only;
    }
}

fn object(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object", "description": description, "required": required, "properties": properties,
    })
}

/// Shapes that have no type in the workspace.
fn untyped() -> [(&'static str, Value); 5] {
    let event = object(
        "An event in the stream.",
        &["id", "event", "data"],
        json!({
            "id": { "type": "string", "description": "The position to resume from." },
            "event": { "$ref": "#/components/schemas/EventKind", "description": "The kind of the event." },
            "data": {
                "type": "string", "description": "An `Event` as JSON on one line.",
                "contentMediaType": "application/json",
                "contentSchema": schema_ref("Event"),
            },
        }),
    );
    let health = object(
        "The process answers.",
        &["status"],
        json!({ "status": { "type": "string", "const": "ok" } }),
    );
    let readiness = object(
        "The dependencies of the service, each by name.",
        &["status", "checks"],
        json!({
            "status": {
                "type": "string", "enum": ["ready", "unavailable"],
                "description": "Whether requests are served.",
            },
            "checks": {
                "type": "array", "description": "One for each dependency.",
                "items": schema_ref("ReadinessCheck"),
            },
        }),
    );
    let check = object(
        "The state of one dependency.",
        &["name", "state"],
        json!({
            "name": { "type": "string", "examples": ["postgres"], "description": "The name of the \
             dependency." },
            "state": {
                "type": "string", "enum": ["ok", "degraded", "failed"],
                "description": "`degraded` still serves requests.",
            },
            "detail": { "type": "string", "description": "What is wrong, and what to do." },
        }),
    );
    let document = object(
        "An OpenAPI document.",
        &["openapi", "info", "paths", "components"],
        json!({
            "openapi": { "type": "string", "examples": ["3.1.0"], "description": "The version of OpenAPI." },
            "info": { "type": "object", "description": "Title and version." },
            "paths": { "type": "object", "description": "The operations of each path." },
            "components": { "type": "object", "description": "What operations share." },
        }),
    );
    [
        ("ServerSentEvent", event),
        ("Health", health),
        ("Readiness", readiness),
        ("ReadinessCheck", check),
        ("OpenApiDocument", document),
    ]
}
