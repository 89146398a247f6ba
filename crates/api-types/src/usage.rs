//! Usage and cost of an agent's language models.

use ledger_core::Money;
use serde::{Deserialize, Serialize};

/// The longest name of a provider or a model, in characters.
pub const USAGE_NAME_MAX_CHARS: usize = 100;
/// The longest note on usage, in characters.
pub const NOTE_MAX_CHARS: usize = 280;
/// The most tokens of one report. Far beyond any turn, and so far below a total's range that no number of reports
/// can exceed it.
const TOKENS_MAX: i64 = 1_000_000_000;
/// The highest reported cost of one report, in US dollars: the server cannot check it, so it is at
/// least bounded.
const COST_USD_MAX: Money = Money::cents(1_000_000);

/// Token usage of one turn, summed over its calls. `cost_usd` is kept as reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The provider of the model, as in the price book, such as `openai`; no control characters.
    #[schema(min_length = 1, max_length = 100)]
    pub provider: String,
    /// The model's name at its provider; no control characters.
    #[schema(min_length = 1, max_length = 100)]
    pub model: String,
    /// Tokens that the model read.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub input_tokens: i64,
    /// Tokens that the model wrote.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub output_tokens: i64,
    /// The part of `input_tokens` that was read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000000000)]
    pub cached_input_tokens: Option<i64>,
    /// The part of `output_tokens` that was reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000000000)]
    pub reasoning_tokens: Option<i64>,
    /// The agent's own figure of the cost in US dollars, at most 10000; shown beside the server's
    /// figure, with no other effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ledger_core::openapi::Amount>)]
    pub cost_usd: Option<Money>,
    /// Calls of language models.
    #[schema(minimum = 0)]
    pub llm_calls: i32,
    /// Those of `llm_calls` whose provider did not report usage: the counts do not include their
    /// tokens, and they count as unpriced. If there are calls but no tokens at all, these are all
    /// of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub unreported_calls: Option<i32>,
}

/// `POST /metrics/usage`: usage outside of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageReport {
    /// The usage.
    pub usage: Usage,
    /// The purpose, at most 280 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 280)]
    pub note: Option<String>,
}

/// The answer to a usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageReceipt {
    /// The report in the arena's records.
    pub action_id: i64,
    /// By the server's price book; `None` for a model without a price, and for unknown usage.
    #[schema(required = true)]
    pub cost_usd: Option<Money>,
    /// The agent's own figure; `None` if it reported none.
    #[schema(required = true)]
    pub reported_usd: Option<Money>,
}

/// A field whose value is well-formed and still wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field's name within its object.
    pub field: &'static str,
    /// What it must be, as the rest of a sentence; never the value.
    pub problem: &'static str,
}

impl Usage {
    /// Calls whose usage is unknown.
    pub fn unreported(&self) -> i32 {
        match (self.input_tokens, self.output_tokens) {
            // No call uses nothing.
            (0, 0) => self.llm_calls,
            _ => self.unreported_calls.unwrap_or(0),
        }
    }

    /// The first field that makes no sense.
    ///
    /// # Errors
    /// Names the field: counts below zero or beyond all measure, empty or overlong names, a negative
    /// cost.
    pub fn check(&self) -> Result<(), FieldProblem> {
        let named = |name: &str| {
            (1..=USAGE_NAME_MAX_CHARS).contains(&name.chars().count())
                && !name.chars().any(char::is_control)
        };
        let name_rule = "must have 1 to 100 characters, none of them control characters";
        let count_rule = "must not be negative";
        let token_rule = "must be from 0 to 1000000000";
        let tokens = |count: i64| (0..=TOKENS_MAX).contains(&count);
        let fields = [
            ("provider", named(&self.provider), name_rule),
            ("model", named(&self.model), name_rule),
            ("input_tokens", tokens(self.input_tokens), token_rule),
            ("output_tokens", tokens(self.output_tokens), token_rule),
            ("cached_input_tokens", self.cached_input_tokens.is_none_or(tokens), token_rule),
            ("reasoning_tokens", self.reasoning_tokens.is_none_or(tokens), token_rule),
            (
                "cost_usd",
                self.cost_usd.is_none_or(|cost| !cost.is_negative() && cost <= COST_USD_MAX),
                "must be from 0 to 10000",
            ),
            ("llm_calls", self.llm_calls >= 0, count_rule),
            (
                "unreported_calls",
                self.unreported_calls.is_none_or(|calls| (0..=self.llm_calls).contains(&calls)),
                "must be from 0 to llm_calls, of which they are a part",
            ),
            (
                "cached_input_tokens",
                self.cached_input_tokens.unwrap_or(0) <= self.input_tokens,
                "must not exceed input_tokens, of which they are a part",
            ),
            (
                "reasoning_tokens",
                self.reasoning_tokens.unwrap_or(0) <= self.output_tokens,
                "must not exceed output_tokens, of which they are a part",
            ),
        ];
        match fields.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((field, _, problem)) => Err(FieldProblem { field, problem }),
        }
    }
}
