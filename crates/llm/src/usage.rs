//! The usage of a turn's calls, added up by a task-local collector.
//!
//! Inside [`collect`] every call of a [`crate::Model`] adds its tokens; outside, recording only checks a
//! thread-local. The collector belongs to the task: calls in joined futures are seen, calls in tasks that were
//! spawned are not, unless those collect for themselves. A future that is dropped takes its usage along, so a
//! time-out belongs inside: `collect(timeout(limit, turn))`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use crate::{CallUsage, Tokens};

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
    pub tokens: Tokens,
    /// Calls that were answered, refusals included.
    pub llm_calls: u32,
    /// Those of `llm_calls` whose provider did not report usage: the true counts are higher.
    pub unreported_calls: u32,
}

/// The name for a turn with more than one model: such a turn has no single price, and must not get a wrong one.
pub const MIXED: &str = "mixed";

impl From<&CallUsage> for TurnUsage {
    fn from(call: &CallUsage) -> Self {
        Self {
            provider: Some(Arc::clone(&call.provider)),
            model: Some(Arc::clone(&call.model)),
            tokens: call.tokens.unwrap_or_default(),
            llm_calls: 1,
            unreported_calls: u32::from(call.tokens.is_none()),
        }
    }
}

impl TurnUsage {
    /// Adds the calls of another turn, or of a part of this one. Counts come from outside and may be
    /// absurd: they saturate, they never wrap or panic.
    pub fn merge(&mut self, other: &Self) {
        merge_name(&mut self.provider, other.provider.as_ref());
        merge_name(&mut self.model, other.model.as_ref());
        let (tokens, more) = (&mut self.tokens, &other.tokens);
        for (count, more) in [
            (&mut tokens.input, more.input),
            (&mut tokens.output, more.output),
            (&mut tokens.cached, more.cached),
            (&mut tokens.reasoning, more.reasoning),
        ] {
            *count = count.saturating_add(more);
        }
        self.llm_calls = self.llm_calls.saturating_add(other.llm_calls);
        self.unreported_calls = self.unreported_calls.saturating_add(other.unreported_calls);
    }
}

fn merge_name(name: &mut Option<Arc<str>>, other: Option<&Arc<str>>) {
    match (&*name, other) {
        (_, None) => {}
        (None, Some(other)) => *name = Some(Arc::clone(other)),
        (Some(known), Some(other)) if known == other => {}
        (Some(_), Some(_)) => *name = Some(Arc::from(MIXED)),
    }
}

/// Runs the future and adds up the usage of its calls. A scope inside another one counts in both.
pub async fn collect<F: Future>(future: F) -> (F::Output, TurnUsage) {
    let mut scope = pin!(COLLECTOR.scope(RefCell::default(), future));
    let output = scope.as_mut().await;
    let usage = scope.as_mut().take_value().map(RefCell::into_inner).unwrap_or_default();
    change(|outer| outer.merge(&usage));
    (output, usage)
}

pub(crate) fn record(call: &CallUsage) {
    change(|usage| usage.merge(&call.into()));
}

fn change(how: impl FnOnce(&mut TurnUsage)) {
    // Outside of a scope there is no collector, which is not an error.
    let _ = COLLECTOR.try_with(|usage| how(&mut usage.borrow_mut()));
}
