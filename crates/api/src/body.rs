//! Bodies: read up to a limit, and parsed so that an error names its field.

use actix_web::dev::Payload;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpMessage, HttpRequest};
use api_types::ProblemKind::{PayloadTooLarge, UnsupportedMediaType};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::ApiError;
use crate::keys;

/// The largest body, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = 64 * 1024;

/// The longest message about a field, and the longest name of one, in characters: both may contain
/// sent data.
const MESSAGE_MAX_CHARS: usize = 400;
const FIELD_MAX_CHARS: usize = 100;

/// A request's body, as it came; by default there is none.
#[derive(Default)]
pub(crate) struct Body(Bytes);

impl Body {
    /// Reads a body that must be JSON.
    pub(crate) async fn read(req: &HttpRequest, payload: &mut Payload) -> Result<Body, ApiError> {
        if !is_json(req.content_type()) {
            return Err(ApiError::Is(UnsupportedMediaType));
        }
        collect(payload).await
    }

    /// Reads a body that may be missing.
    pub(crate) async fn read_optional(
        req: &HttpRequest,
        payload: &mut Payload,
    ) -> Result<Body, ApiError> {
        let body = collect(payload).await?;
        if body.0.is_empty() || is_json(req.content_type()) {
            Ok(body)
        } else {
            Err(ApiError::Is(UnsupportedMediaType))
        }
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        keys::sha256(&self.0)
    }

    /// The value the body describes, or the default of one where there is none.
    pub(crate) fn parse_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.0.is_empty() { Ok(T::default()) } else { self.parse() }
    }

    /// The value the body describes.
    ///
    /// # Errors
    /// 400 for a body that is not JSON, 422 with the field for JSON that is not this value.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // Otherwise a list of a request's values, in their order, would pass for the request.
        if self.0.trim_ascii_start().starts_with(b"[") {
            return Err(match self.form() {
                Form::Json => ApiError::invalid("body", "must be a JSON object"),
                Form::Broken => ApiError::malformed("The body is no valid JSON, and no object."),
            });
        }
        let mut json = serde_json::Deserializer::from_slice(&self.0);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            refusal(&path, &error.into_inner(), self.form())
        })?;
        json.end().map_err(|error| refusal(".", &error, Form::Broken))?;
        Ok(value)
    }

    /// Whether the body is JSON. The parser calls some values of a wrong type a mistake of form,
    /// such as `null` where a word belongs.
    fn form(&self) -> Form {
        match serde_json::from_slice::<serde_json::Value>(&self.0) {
            Ok(_) => Form::Json,
            Err(_) => Form::Broken,
        }
    }
}

/// Reads a value within a body whose type depends on another field.
pub(crate) fn parse_value<T>(
    parent: &str,
    value: serde_json::Value,
    read: impl FnOnce(
        serde_path_to_error::Deserializer<'_, '_, serde_json::Value>,
    ) -> Result<T, serde_json::Error>,
) -> Result<T, ApiError> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    read(tracked).map_err(|error| {
        let message = error.to_string();
        let within = field(&track.path().to_string(), &message);
        let message = discreet(&message);
        let name = if within == "body" { parent.to_owned() } else { format!("{parent}.{within}") };
        ApiError::invalid(name, format!("is refused: {message}"))
    })
}

fn is_json(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case("application/json")
}

/// A longer announced body was refused before ([`crate::shape`]).
async fn collect(payload: &mut Payload) -> Result<Body, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| ApiError::malformed("The body ended early, or its framing is broken."))?;
        if body.len() + chunk.len() > BODY_MAX_BYTES {
            return Err(ApiError::Is(PayloadTooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Body(body.freeze()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Broken,
}

fn refusal(path: &str, error: &serde_json::Error, form: Form) -> ApiError {
    let full = error.to_string();
    // A number beyond every type is still well-formed JSON.
    let out_of_range = full.starts_with("number out of range");
    if error.classify() != Category::Data && !out_of_range && form == Form::Broken {
        return ApiError::malformed(format!("The body is no valid JSON: {full}."));
    }
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    ApiError::invalid(field(path, message), format!("is refused: {}", discreet(message)))
}

/// The parser quotes what it was given, which may be long or secret, and calls an object by the name
/// that it has in here.
fn discreet(message: &str) -> String {
    const QUOTING: [&str; 5] = [
        "invalid length ",
        "invalid type: ",
        "invalid value: ",
        "unknown variant ",
        "unknown field ",
    ];
    let quotes = QUOTING.iter().any(|start| message.starts_with(start));
    // The expectation is our own text, and comes last.
    let parts = message.rsplit_once(", expected ").filter(|_| quotes);
    let Some((found, expected)) = parts else {
        return cut(message, MESSAGE_MAX_CHARS);
    };
    let quote = found.find(['"', '`']).unwrap_or(found.len());
    let found = found.get(..quote).unwrap_or_default().trim_end();
    let expected = match expected.strip_prefix("struct ") {
        None => expected.to_owned(),
        Some(named) => {
            let rest = named.split_once(' ').map(|(_, rest)| format!(" {rest}"));
            format!("an object{}", rest.unwrap_or_default())
        }
    };
    cut(&format!("{found}, expected {expected}"), MESSAGE_MAX_CHARS)
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The field that is wrong. Missing, unknown and repeated fields are named by the message alone,
/// and the path is that of the object around them.
fn field(path: &str, message: &str) -> String {
    let parent = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split('`').next());
    let name = match named {
        None if parent.is_empty() => "body".to_owned(),
        None => parent.to_owned(),
        Some(name) if parent.is_empty() => name.to_owned(),
        Some(name) if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some(name) => format!("{parent}.{name}"),
    };
    cut(&name, FIELD_MAX_CHARS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use api_types::{
        ActionRequest, AnswerRequest, BetRequest, BetsRequest, MarketRequest, Problem,
        RegisterRequest, RetireRequest, ReviveRequest, TokenRequest, UsageReport, VoidRequest,
    };
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseError;

    use super::*;

    fn refused<T: DeserializeOwned>(json: &str) -> (u16, Option<String>, String) {
        let error = Body(Bytes::copy_from_slice(json.as_bytes())).parse::<T>().err().unwrap();
        let status = error.kind().facts().status;
        let field = match &error {
            ApiError::InvalidField { field, .. } => Some(field.clone()),
            _ => None,
        };
        (status, field, error.to_string())
    }

    fn field_of<T: DeserializeOwned>(json: &str) -> String {
        let (status, field, text) = refused::<T>(json);
        assert_eq!(status, 422, "{json}: {text}");
        assert!(!text.contains(" at line "), "{text}");
        field.unwrap()
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let named = field_of::<RegisterRequest>;
        assert_eq!(named(r#"{}"#), "handle");
        assert_eq!(named(r#"{"handle": 7}"#), "handle");
        assert_eq!(named(r#"{"handle": "x"}"#), "handle");
        assert_eq!(named(r#"{"handle": "Mia", "admin": true}"#), "admin");
        assert_eq!(named(r#"{"handle": "Mia", "handle": "Mia"}"#), "handle");
        assert_eq!(named(r#"[]"#), "body");
        assert_eq!(named(r#"7"#), "body");
        assert_eq!(named(r#"{"handle": 1e999}"#), "handle");
    }

    #[test]
    fn a_field_within_a_field_is_named_by_its_path() {
        let start = r#"{"observation_id": "6f2a3c6e-0c3e-4a8e-9c55-2d6d8f1c8b11", "action_type": "WAIT", "usage": "#;
        let named = |usage: &str| field_of::<ActionRequest>(&format!("{start}{usage}}}"));
        let sound = r#""provider": "p", "model": "m", "input_tokens": 1, "output_tokens": 1"#;
        assert_eq!(named(&format!(r#"{{{sound}}}"#)), "usage.llm_calls");
        assert_eq!(named(&format!(r#"{{{sound}, "llm_calls": "1"}}"#)), "usage.llm_calls");
        assert_eq!(named(&format!(r#"{{{sound}, "llm_calls": 1, "x": 1}}"#)), "usage.x");
        assert_eq!(
            named(&format!(r#"{{{sound}, "llm_calls": 1, "cost_usd": 0.5}}"#)),
            "usage.cost_usd"
        );
        assert_eq!(named("7"), "usage");
    }

    #[test]
    fn what_was_sent_is_not_said_again() {
        let secret = "lds_secret\\\", expected `x";
        for json in [
            format!(r#"{{"handle": "Mia", "bot_id": "{secret}", "api_key": "k"}}"#),
            format!(r#"{{"handle": ["{secret}"], "api_key": "k"}}"#),
            format!(r#"{{"handle": "Mia", "api_key": ["{secret}"]}}"#),
        ] {
            let (status, _, text) = refused::<TokenRequest>(&json);
            assert_eq!(status, 422);
            assert!(!text.contains("secret"), "{text}");
        }
        let long = "x".repeat(5_000);
        for json in [
            format!(r#"{{"handle": "Mia", "api_key": "k", "{long}": 1}}"#),
            format!(r#"{{"handle": "{long}", "api_key": "k"}}"#),
        ] {
            let (_, field, text) = refused::<TokenRequest>(&json);
            assert!(field.unwrap().len() + text.len() < 700, "{text}");
        }
        let (.., text) = refused::<TokenRequest>(r#"{"bot_id": "7"}"#);
        assert_eq!(text, "`bot_id` is refused: invalid type: string, expected i64.");
        let (.., text) = refused::<BetsRequest>(r#"{"bets": [[]]}"#);
        assert!(text.contains("length 0, expected an object with"), "{text}");
        let (.., text) = refused::<BetsRequest>(r#"{"bets": [7]}"#);
        assert!(text.ends_with("invalid type: integer, expected an object."), "{text}");
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for json in ["", "{", "{\"handle\": NaN}", "{\"handle\": \"Mia\"} x", "nul", "\u{feff}{}"] {
            let (status, field, text) = refused::<RegisterRequest>(json);
            assert_eq!((status, field), (400, None), "{json}: {text}");
        }
        assert_eq!(refused::<Problem>("{\"type\": \"\\ud800\"}").0, 400);
    }

    /// Any bytes are either a value or a client's mistake, described without our types.
    fn is_read_or_refused<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Err(error) = Body(Bytes::copy_from_slice(bytes)).parse::<T>() {
            let problem = error.problem("/", "");
            prop_assert!([400, 422].contains(&problem.status), "{problem:?}");
            prop_assert!(!problem.detail.contains("struct "), "{problem:?}");
        }
        Ok(())
    }

    fn is_read_or_refused_as_any_request(bytes: &[u8]) -> Result<(), TestCaseError> {
        is_read_or_refused::<RegisterRequest>(bytes)?;
        is_read_or_refused::<TokenRequest>(bytes)?;
        is_read_or_refused::<ActionRequest>(bytes)?;
        is_read_or_refused::<BetRequest>(bytes)?;
        is_read_or_refused::<BetsRequest>(bytes)?;
        is_read_or_refused::<AnswerRequest>(bytes)?;
        is_read_or_refused::<MarketRequest>(bytes)?;
        is_read_or_refused::<VoidRequest>(bytes)?;
        is_read_or_refused::<ReviveRequest>(bytes)?;
        is_read_or_refused::<RetireRequest>(bytes)?;
        is_read_or_refused::<UsageReport>(bytes)
    }

    /// JSON that has the names of our fields in all the wrong places.
    fn json() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            "[a-z_]{0,12}",
            proptest::sample::select(
                &[
                    "handle",
                    "usage",
                    "criteria",
                    "bets",
                    "stake",
                    "amount",
                    "answer",
                    "reason",
                    "observation_id",
                    "confidence",
                    "deadline",
                    "source",
                    "model",
                    "bot_id",
                ][..]
            )
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|bool| bool.to_string()),
            any::<f64>().prop_map(|number| number.to_string()),
            "-?[0-9]{1,30}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,9})?",
            any::<String>().prop_map(|text| serde_json::Value::String(text).to_string()),
            "\"\\\\u[0-9a-fd]{4}\"",
        ];
        leaf.prop_recursive(6, 48, 6, move |inner| {
            let member = (name.clone(), inner.clone())
                .prop_map(|(name, value)| format!("\"{name}\":{value}"));
            prop_oneof![
                proptest::collection::vec(inner, 0..6)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec(member, 0..6)
                    .prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            is_read_or_refused_as_any_request(&bytes)?;
        }

        #[test]
        fn any_json_is_read_or_refused(json in json(), cut in any::<prop::sample::Index>()) {
            is_read_or_refused_as_any_request(json.as_bytes())?;
            is_read_or_refused_as_any_request(&json.as_bytes()[..cut.index(json.len())])?;
        }
    }
}
