//! Usage as agents report it: checked, and priced by the price book of the server.

use db::usage::Usage;
use ledger_core::price_book::PriceBook;

use crate::error::ApiError;
use crate::{clock, pricing};

/// Checks reported usage and adds its price at this moment, so that it is recorded with its action
/// and stays what it was when prices change.
pub(crate) fn read(reported: api_types::Usage, book: &PriceBook) -> Result<Usage, ApiError> {
    reported.check().map_err(|problem| ApiError::within("usage", problem))?;
    let unreported_calls = reported.unreported();
    let is_silent = reported.llm_calls > 0 && unreported_calls == reported.llm_calls;
    // What nobody says is not free.
    let priced_usd = if is_silent { None } else { pricing::cost(book, &reported, clock::now()) };
    Ok(Usage {
        provider: reported.provider,
        model: reported.model,
        llm_calls: reported.llm_calls,
        unreported_calls,
        input_tokens: reported.input_tokens,
        output_tokens: reported.output_tokens,
        cached_input_tokens: reported.cached_input_tokens,
        reasoning_tokens: reported.reasoning_tokens,
        cost_usd: reported.cost_usd,
        priced_usd,
    })
}

/// The same of usage that need not be reported.
pub(crate) fn read_any(
    reported: Option<api_types::Usage>,
    book: &PriceBook,
) -> Result<Option<Usage>, ApiError> {
    reported.map(|reported| read(reported, book)).transpose()
}
