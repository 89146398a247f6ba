//! Usage as agents report it: checked, and priced by the price book of the server.

use api_types::told;
use db::usage::Usage;
use ledger_core::price_book::PriceBook;

use crate::error::ApiError;
use crate::{clock, pricing};

/// Checks reported usage and adds its price at this moment, so that it is recorded with its action and does not
/// change with prices.
pub(crate) fn read(reported: api_types::Usage, book: &PriceBook) -> Result<Usage, ApiError> {
    reported.check().map_err(|problem| ApiError::within("usage", problem))?;
    let unreported_calls = reported.unreported();
    let is_silent = reported.llm_calls > 0 && unreported_calls == reported.llm_calls;
    // Unreported usage is not free.
    let priced_usd = if is_silent { None } else { pricing::cost(book, &reported, clock::now()) };
    Ok(told!(Usage of reported {
        provider, model, llm_calls, input_tokens, output_tokens, cached_input_tokens,
        reasoning_tokens, cost_usd;
        unreported_calls,
        priced_usd,
    }))
}

/// The same of usage that need not be reported.
pub(crate) fn read_any(
    reported: Option<api_types::Usage>,
    book: &PriceBook,
) -> Result<Option<Usage>, ApiError> {
    reported.map(|reported| read(reported, book)).transpose()
}
