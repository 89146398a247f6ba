//! Descriptions are the types' comments, written for Rust; here they are adapted for all clients.

use serde_json::Value;

/// In every description below: `None` is `null` on the wire, and links of rustdoc lead nowhere.
pub(super) fn for_everybody(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "description" => *text = reworded(text),
                    value => for_everybody(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(for_everybody),
        _ => {}
    }
}

fn reworded(text: &str) -> String {
    text.replace("`None`", "`null`")
        .replace("[`", "`")
        .replace("`]", "`")
        // The lines of a comment are no paragraphs.
        .replace("\n\n", "\u{0}")
        .replace('\n', " ")
        .replace('\u{0}', "\n\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::openapi::tests::whole;

    #[test]
    fn a_comment_for_rust_becomes_a_description_for_everybody() {
        let mut schema =
            json!({ "items": [{ "description": "See [`Money`]; `None`\nfor none.\n\nMore." }] });
        for_everybody(&mut schema);
        let said = "See `Money`; `null` for none.\n\nMore.";
        assert_eq!(schema, json!({ "items": [{ "description": said }] }));
    }

    fn said(value: &Value) -> bool {
        value["description"].as_str().is_some_and(|text| !text.is_empty())
    }

    /// Its own description, or that of its only choice besides null. A constant needs none.
    fn described(property: &Value) -> bool {
        let of_a_choice = |choice: &Value| choice["type"] == "null" || said(choice);
        let choices = property["oneOf"].as_array();
        said(property)
            || property.get("const").is_some()
            || choices.is_some_and(|choices| choices.iter().all(of_a_choice))
    }

    fn properties<'a>(name: &str, schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
        if let Some(members) = schema["properties"].as_object() {
            for (field, property) in members {
                found.push((format!("{name}.{field}"), property));
                properties(&format!("{name}.{field}"), property, found);
            }
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            properties(name, choice, found);
        }
        if let Some(items) = schema.get("items") {
            properties(name, items, found);
        }
    }

    #[test]
    fn every_field_parameter_and_header_is_described() {
        let document = whole();
        let components = &document["components"];
        let mut found = Vec::new();
        for (name, schema) in components["schemas"].as_object().unwrap() {
            properties(name, schema, &mut found);
        }
        assert!(found.len() > 200, "{}", found.len());
        for part in ["parameters", "headers", "securitySchemes"] {
            for (name, value) in components[part].as_object().unwrap() {
                found.push((name.clone(), value));
            }
        }
        let silent: Vec<String> = found
            .into_iter()
            .filter(|(_, value)| !described(value))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(silent, Vec::<String>::new());
    }

    #[test]
    fn no_body_takes_a_field_that_it_does_not_name() {
        let document = whole();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut looked_at = 0;
        for (name, schema) in schemas {
            if !name.ends_with("Request") {
                continue;
            }
            let variants = schema["oneOf"].as_array();
            for variant in variants.map_or(std::slice::from_ref(schema), Vec::as_slice) {
                let pointer = variant["$ref"].as_str().map(|found| &found[1..]);
                let variant = pointer.map_or(Some(variant), |pointer| document.pointer(pointer));
                assert_eq!(variant.unwrap()["additionalProperties"], false, "{name}");
                looked_at += 1;
            }
        }
        assert!(looked_at > 8, "{looked_at}");
    }
}
