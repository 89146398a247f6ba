//! Dry runs: report what a request would do, without doing it.

use ledger_core::Money;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The query parameter; `true` requests a dry run.
pub const DRY_RUN: &str = "dry_run";

/// The answer to a wager, a bet or a research answer with `?dry_run=true`: true of the moment it was
/// given, and nothing was written for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DryRun {
    /// Always `true`, to distinguish it from the answer to the real request.
    pub dry_run: bool,
    /// Whether the request would be done.
    pub would: Verdict,
    /// The amount subtracted from the balance at once: stakes, and the fee for a lookup.
    pub cost: Money,
    /// The balance it would leave; where it would be refused, the balance there is. For a research
    /// answer it is the balance before the answer is judged.
    pub balance_after: Money,
    /// The problem that the request would be answered with.
    #[schema(required = true)]
    pub refusal: Option<Problem>,
}

/// The result that a request would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Accept,
    Refuse,
}
