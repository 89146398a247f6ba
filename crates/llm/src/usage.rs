//! What a turn's calls used, added up by a task-local collector.
//!
//! Inside [`collect`] every call of a [`crate::Model`] adds its tokens; outside, recording is one
//! look at a thread-local and nothing else. The collector belongs to the task: calls in joined
//! futures are seen, calls in tasks that were spawned are not, unless those collect for
//! themselves. A future that is dropped takes its usage along, so a time-out belongs inside:
//! `collect(timeout(limit, turn))`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use crate::{CallUsage, UsageReport};

tokio::task_local! {
    static COLLECTOR: RefCell<TurnUsage>;
}

/// The tokens of all calls of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnUsage {
    /// Of the calls that were answered; `None` before the first, [`MIXED`] when they differ.
    pub provider: Option<Arc<str>>,
    /// Of the calls that were answered; `None` before the first, [`MIXED`] when they differ.
    pub model: Option<Arc<str>>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The part of the input tokens that came from a cache.
    pub cached_input_tokens: u64,
    /// The part of the output tokens that was thinking.
    pub reasoning_tokens: u64,
    /// Calls that were answered, refusals included.
    pub llm_calls: u32,
    /// Those of `llm_calls` whose provider did not say what they used: the true counts are
    /// higher.
    pub unreported_calls: u32,
    /// Calls that brought an error in place of an answer; not part of `llm_calls`.
    pub failed_calls: u32,
}

/// Stands for the name when a turn asked more than one model: such a turn has no single price,
/// and must not be given a wrong one.
pub const MIXED: &str = "mixed";

impl TurnUsage {
    /// Adds one call.
    pub fn add(&mut self, call: &CallUsage) {
        merge_name(&mut self.provider, &call.provider);
        merge_name(&mut self.model, &call.model);
        self.add_tokens([
            call.input_tokens,
            call.output_tokens,
            call.cached_input_tokens,
            call.reasoning_tokens,
        ]);
        self.llm_calls = self.llm_calls.saturating_add(1);
        match call.report {
            UsageReport::Reported => {}
            UsageReport::Unreported => {
                self.unreported_calls = self.unreported_calls.saturating_add(1);
            }
        }
    }

    /// Adds the calls of another turn, or of a part of this one.
    pub fn merge(&mut self, other: &Self) {
        if let Some(provider) = &other.provider {
            merge_name(&mut self.provider, provider);
        }
        if let Some(model) = &other.model {
            merge_name(&mut self.model, model);
        }
        self.add_tokens([
            other.input_tokens,
            other.output_tokens,
            other.cached_input_tokens,
            other.reasoning_tokens,
        ]);
        self.llm_calls = self.llm_calls.saturating_add(other.llm_calls);
        self.unreported_calls = self.unreported_calls.saturating_add(other.unreported_calls);
        self.failed_calls = self.failed_calls.saturating_add(other.failed_calls);
    }

    /// Counts come from outside and may be absurd: they saturate, they never wrap or panic.
    fn add_tokens(&mut self, [input, output, cached, reasoning]: [u64; 4]) {
        self.input_tokens = self.input_tokens.saturating_add(input);
        self.output_tokens = self.output_tokens.saturating_add(output);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(cached);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(reasoning);
    }
}

fn merge_name(name: &mut Option<Arc<str>>, other: &Arc<str>) {
    match name {
        None => *name = Some(Arc::clone(other)),
        Some(known) if known == other => {}
        Some(known) => *known = Arc::from(MIXED),
    }
}

/// Runs the future and adds up what the calls inside it used. A scope inside another one counts
/// in both.
pub async fn collect<F: Future>(future: F) -> (F::Output, TurnUsage) {
    let mut scope = pin!(COLLECTOR.scope(RefCell::default(), future));
    let output = scope.as_mut().await;
    let usage = scope.as_mut().take_value().map(RefCell::into_inner).unwrap_or_default();
    change(|outer| outer.merge(&usage));
    (output, usage)
}

pub(crate) fn record(call: &CallUsage) {
    change(|usage| usage.add(call));
}

pub(crate) fn record_failure() {
    change(|usage| usage.failed_calls = usage.failed_calls.saturating_add(1));
}

fn change(how: impl FnOnce(&mut TurnUsage)) {
    // Outside of a scope there is nobody to tell, which is not an error.
    let _ = COLLECTOR.try_with(|usage| how(&mut usage.borrow_mut()));
}
