//! The report: one HTML file that needs nothing else.

use crate::accounts::Outcome;

/// # Errors
/// When a plot cannot be drawn.
pub fn html(outcome: &Outcome) -> anyhow::Result<String> {
    Ok(format!("<pre>{}</pre>", crate::table::text(outcome)))
}
