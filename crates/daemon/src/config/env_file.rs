//! The `.env` syntax, read as text and never evaluated.
//!
//! Blank lines and lines that start with `#` are skipped; an `export ` prefix is stripped; the
//! line is split at its first `=`; key and value are trimmed; one pair of equal quotes around the
//! value is stripped. Everything else is literal: `!`, `$`, `#`, spaces and backslashes inside a
//! value mean themselves. There is no substitution, no escape and no inline comment, because a
//! password that a parser "interprets" is a password that does not work. `run_system.sh` reads
//! the same files by the same rules.

use std::io;
use std::path::Path;

/// The assignments of the text, in its order. Of a key that comes twice the last one counts.
///
/// Lines that are no assignment are left out; [`malformed_lines`] names them.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    lines(text)
        .filter_map(|(_, line)| assignment(line))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Reads and parses a file.
///
/// # Errors
/// What the file system says; `InvalidData` when the file is not UTF-8.
pub fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
    std::fs::read_to_string(path).map(|text| parse(&text))
}

/// The numbers (from 1) of the lines that are neither blank, nor a comment, nor an assignment.
#[must_use]
pub fn malformed_lines(text: &str) -> Vec<usize> {
    lines(text)
        .filter(|(_, line)| assignment(line).is_none())
        .map(|(number, _)| number)
        .collect()
}

/// The lines that mean something, trimmed, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Editors on Windows put a byte order mark before the first key.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .map(str::trim)
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line
        .strip_prefix("export")
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .unwrap_or(line);
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    Some((key, unquote(value.trim())))
}

fn unquote(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}
