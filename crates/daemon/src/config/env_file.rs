//! The `.env` syntax, read as text and never evaluated.
//!
//! Blank lines and lines that start with `#` are skipped; an `export ` prefix is stripped; the
//! line is split at its first `=`; key and value are trimmed of ASCII blanks; one pair of equal
//! quotes around the value is stripped. Everything else is literal: `!`, `$`, `#`, spaces and
//! backslashes inside a value mean themselves. There is no substitution, no escape and no inline
//! comment, because a password that a parser "interprets" is a password that does not work.
//!
//! A file is UTF-8 text whose lines end with LF or CR LF. Anything else is a [`Fault`], which names the line and
//! never shows its content.
//!
//! It is the only parser; `tests/env_cases.tsv` is the table of its test cases.

/// The settings of a file, and its faults.
#[derive(Default)]
pub struct EnvFile {
    /// The assignments, in their order. If a key occurs twice, the last one counts.
    pub pairs: Vec<(String, String)>,
    pub faults: Vec<Fault>,
}

/// A line that is not understood. Its text says what was expected, never what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {kind}")]
pub struct Fault {
    /// From 1.
    pub line: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error("begins like UTF-16: save the file as UTF-8")]
    Utf16,
    #[error("has a zero byte, like UTF-16: save the file as text in UTF-8")]
    ZeroByte,
    #[error("is not UTF-8: save the file as UTF-8")]
    NotUtf8,
    #[error("has a carriage return inside: end each line with a line feed")]
    CarriageReturn,
    #[error("has a colon for an equals sign: write NAME=value")]
    Colon,
    #[error("is not an assignment: write NAME=value, with letters, digits and _ in the name")]
    NoAssignment,
}

impl EnvFile {
    /// Reads the whole file. Nothing of one that is not text is taken.
    pub fn parse(bytes: &[u8]) -> EnvFile {
        if let Some(fault) = not_text(bytes) {
            return EnvFile { pairs: Vec::new(), faults: vec![fault] };
        }
        // Editors on Windows put a byte order mark before the first key.
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut file = EnvFile::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match read_line(line) {
                Ok(None) => {}
                Ok(Some((key, value))) => file.pairs.push((key.to_owned(), value.to_owned())),
                Err(kind) => file.faults.push(Fault { line: index + 1, kind }),
            }
        }
        file
    }
}

/// The assignments of a text; lines that are none are left out.
pub fn parse(text: &str) -> Vec<(String, String)> {
    EnvFile::parse(text.as_bytes()).pairs
}

fn not_text(bytes: &[u8]) -> Option<Fault> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let kind = Kind::Utf16;
        return Some(Fault { line: 1, kind });
    }
    let (before, _) = bytes.split_at(bytes.iter().position(|byte| *byte == 0)?);
    Some(Fault {
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        kind: Kind::ZeroByte,
    })
}

fn read_line(line: &[u8]) -> Result<Option<(&str, &str)>, Kind> {
    let line = std::str::from_utf8(line).map_err(|_| Kind::NotUtf8)?;
    let line = trim(line);
    // Before comments: where a file has no other line ends, its first comment would hide all of it.
    if line.contains('\r') {
        return Err(Kind::CarriageReturn);
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line =
        line.strip_prefix("export").filter(|rest| rest.starts_with(is_blank)).map_or(line, trim);
    if let Some((key, value)) = line.split_once('=')
        && is_name(trim(key))
    {
        return Ok(Some((trim(key), unquote(trim(value)))));
    }
    match line.split_once(':') {
        Some((key, _)) if is_name(trim(key)) => Err(Kind::Colon),
        _ => Err(Kind::NoAssignment),
    }
}

/// Blanks of ASCII alone: what counts as blank beyond it differs between languages and locales.
const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unquote(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}
