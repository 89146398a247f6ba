//! Answers in JSON.

use serde::Deserialize;

use crate::SourceError;

/// Reads a JSON object; whatever it holds besides does not matter, as long as it is JSON.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SourceError> {
    // The whole of it: serde_json passes over strings that nobody wants without a look.
    let text = std::str::from_utf8(body).map_err(|_| SourceError::NotJson)?;
    // An array would do as well for a struct, field by field.
    if !text.trim_start().starts_with('{') {
        return Err(SourceError::NotJson);
    }
    serde_json::from_str(text).map_err(|_| SourceError::NotJson)
}
