//! In which encoding a feed is.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How far an XML declaration may reach.
const DECLARATION_MAX_BYTES: usize = 256;

/// The text of an answer. A byte order mark counts first, then UTF-8 that could be nothing else, then what the
/// answer's header declares, then what the document does. Unreadable bytes become U+FFFD, which no completely
/// read title contains.
pub(super) fn decode<'a>(body: &'a [u8], charset: Option<&str>) -> Cow<'a, str> {
    let (text, _, _) = encoding(body, charset).decode(body);
    text
}

fn encoding(body: &[u8], charset: Option<&str>) -> &'static Encoding {
    if let Some((marked, _)) = Encoding::for_bom(body) {
        return marked;
    }
    match body {
        [b'<', 0, ..] => return UTF_16LE,
        [0, b'<', ..] => return UTF_16BE,
        _ => {}
    }
    // Other encodings give such bytes by accident once in a blue moon, and servers and templates name
    // wrong ones every day.
    if !body.is_ascii() && std::str::from_utf8(body).is_ok() {
        return UTF_8;
    }
    let known = |label: &str| Encoding::for_label(label.trim().as_bytes());
    let found = charset.and_then(known).or_else(|| known(&declared(body)?));
    // The text so far has one byte for each letter.
    found.filter(|it| *it != UTF_16LE && *it != UTF_16BE).unwrap_or(UTF_8)
}

/// The encoding in `<?xml … encoding="…"?>`.
fn declared(body: &[u8]) -> Option<String> {
    let head = body.get(..DECLARATION_MAX_BYTES).unwrap_or(body);
    let head = String::from_utf8_lossy(head);
    let (_, declaration) = head.split_once("<?xml")?;
    let (declaration, _) = declaration.split_once("?>")?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (label, _) = rest.get(1..)?.split_once(quote)?;
    Some(label.to_owned())
}
