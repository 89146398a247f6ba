//! Metrics of hosted bots and of their models' costs.

use std::time::Duration;

use daemon::metrics::{
    self, CounterVec, Declared, HistogramVec, IntCounterVec, IntGauge, LONG, counters, durations,
    gauge, sums,
};
use db::Database;
use ledger_core::Money;
use llm::LlmError;
use llm::usage::TurnUsage;

use crate::turn::Outcome;

static HOSTED: Declared<IntGauge> =
    gauge("arena_hosted_bots", "Bots that this runner keeps going.");
static TURNS: Declared<IntCounterVec> =
    counters("arena_turns_total", "Turns of hosted bots, by result.", &["outcome"]);
static CALL_DURATION: Declared<HistogramVec> = durations(
    "gen_ai_client_operation_duration_seconds",
    "How long a language model takes to answer.",
    LONG,
    &["gen_ai_request_model", "outcome"],
);
static CALLS: Declared<IntCounterVec> =
    counters("arena_llm_calls_total", "Calls of language models.", &["model", "outcome"]);
static TOKENS: Declared<IntCounterVec> = counters(
    "arena_llm_tokens_total",
    "Tokens that language models read (input) and wrote (output).",
    &["model", "direction"],
);
static COST: Declared<CounterVec> = sums(
    "arena_llm_cost_usd_total",
    "The cost of calls by the price book, in US dollars. Calls without a price add nothing.",
    &["model"],
);

static UNPRICED: Declared<IntCounterVec> = counters(
    "arena_llm_unpriced_calls_total",
    "Calls with unknown cost: of a model without a price, without reported usage, or without an answer.",
    &["model"],
);

/// Sets at each scrape the values that depend on the moment.
pub(crate) fn watch(database: &Database) {
    service::metrics::watch_pool(database);
    TURNS.begin_with(&["acted", "waited", "refused", "failed"]);
}

pub(crate) fn hosted(bots: usize) {
    HOSTED.set(metrics::whole(bots));
}

pub(crate) fn turn(outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Wagered { .. } | Outcome::Answered { .. } | Outcome::Bet { .. } => "acted",
        Outcome::Waited => "waited",
        Outcome::Lost(loss) if loss.is_passing() => "refused",
        Outcome::NotAlive(_) | Outcome::KeyRefused => "refused",
        Outcome::Lost(_) => "failed",
    };
    TURNS.with_label_values(&[outcome]).inc();
}

/// One call, with its usage and cost, if known. `model` is the requested one; tokens and cost are
/// those of the answering one.
pub(crate) fn call(
    model: &str,
    failure: Option<&LlmError>,
    took: Duration,
    used: &TurnUsage,
    cost: Option<Money>,
) {
    let outcome = failure.map_or("ok", LlmError::kind);
    CALL_DURATION.with_label_values(&[model, outcome]).observe(took.as_secs_f64());
    CALLS.with_label_values(&[model, outcome]).inc();
    let is_unserved = failure.is_some_and(LlmError::is_unserved);
    let is_unpriced = cost.is_none() && !is_unserved;
    UNPRICED.with_label_values(&[model]).inc_by(u64::from(is_unpriced));
    let model = used.model.as_deref().unwrap_or(model);
    TOKENS.with_label_values(&[model, "input"]).inc_by(used.tokens.input);
    TOKENS.with_label_values(&[model, "output"]).inc_by(used.tokens.output);
    let cost = cost.and_then(|cost| cost.to_string().parse().ok());
    COST.with_label_values(&[model]).inc_by(cost.unwrap_or_default());
}
