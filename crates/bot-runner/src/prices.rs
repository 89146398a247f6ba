//! The price book's file: the one that was built in, or the operator's own.

use std::path::Path;

use ledger_core::price_book::PriceBook;
use personas::{one_line, read_text};

/// The default if `PRICE_BOOK` names no file.
const BUILT_IN: &str = include_str!("../../../deploy/price-book.yaml");
const BUILT_IN_NAME: &str = "deploy/price-book.yaml (built in)";
/// A book of a thousand models is smaller.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A price book that cannot be used: its file, the line if it is known, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {problem}", line_of(*.line))]
pub struct PriceBookFault {
    pub file: String,
    /// Counted from 1; 0 when the place is unknown.
    pub line: u64,
    pub problem: String,
}

fn line_of(line: u64) -> String {
    match line {
        0 => String::new(),
        line => format!(", line {line}"),
    }
}

/// # Errors
/// When the file cannot be read or is no price book.
pub fn load(file: Option<&Path>) -> Result<PriceBook, PriceBookFault> {
    match file {
        None => parse(BUILT_IN_NAME, BUILT_IN),
        Some(path) => {
            let name = path.display().to_string();
            let text = read_text(path, FILE_BYTES_MAX).map_err(|problem| PriceBookFault {
                file: name.clone(),
                line: 0,
                problem,
            })?;
            parse(&name, &text)
        }
    }
}

/// Reads a price book from the text of that file.
///
/// # Errors
/// The first fault, by its line.
pub fn parse(file: &str, text: &str) -> Result<PriceBook, PriceBookFault> {
    serde_saphyr::from_str(text).map_err(|error| PriceBookFault {
        file: file.to_owned(),
        line: error.location().map_or(0, |at| at.line()),
        problem: one_line(&error.without_snippet().to_string()),
    })
}
