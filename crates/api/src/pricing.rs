//! The origin of the price book, and the cost of reported usage by it.

use std::path::Path;

use api_types::Usage;
use daemon::config::{Reader, workspace_root};
use ledger_core::price_book::PriceBook;
use ledger_core::{Money, Timestamp};

/// The setting that names another book.
const SETTING: &str = "PRICE_BOOK";
/// The book that comes with the arena, as it was when this was built.
const SHIPPED: &str = include_str!("../../../deploy/price-book.yaml");

/// The book that the settings name, or the one that comes with the arena. Problems go to the reader.
pub(crate) fn read(reader: &mut Reader<'_>) -> PriceBook {
    let book = match reader.raw(SETTING) {
        None => parse(SHIPPED),
        Some(path) => load(&workspace_root().join(path)),
    };
    book.map_err(|problem| reader.problem(SETTING, problem)).unwrap_or_default()
}

fn load(path: &Path) -> Result<PriceBook, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("must name a file that can be read: {error}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<PriceBook, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("must name a price book: {error}"))
}

/// The cost of usage at that moment; `None` for a model without a price.
pub(crate) fn cost(book: &PriceBook, usage: &Usage, at: Timestamp) -> Option<Money> {
    // Counts below zero were refused.
    let count = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
    book.cost(
        &usage.provider,
        &usage.model,
        at,
        count(usage.input_tokens),
        count(usage.cached_input_tokens.unwrap_or(0)),
        count(usage.output_tokens),
    )
}
