//! Answers in JSON.

use serde::Deserialize;

use crate::SourceError;

/// Reads a JSON object; further members are ignored, as long as they are JSON.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SourceError> {
    // The whole text: serde_json does not check strings that it skips.
    let text = std::str::from_utf8(body).map_err(|_| SourceError::NotJson)?;
    // An array would do as well for a struct, field by field.
    if !text.trim_start().starts_with('{') {
        return Err(SourceError::NotJson);
    }
    serde_json::from_str(text).map_err(|_| SourceError::NotJson)
}
