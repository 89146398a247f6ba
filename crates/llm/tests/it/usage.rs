use std::sync::Arc;

use llm::usage::{MIXED, TurnUsage, collect};
use llm::{
    CallUsage, Completion, Finish, LlmError, Model, Prompt, Provider, ProviderFuture, Tokens,
};

use crate::prompt;

/// Uses the given number of tokens, without the collector.
#[derive(Debug)]
struct Fixed {
    model: &'static str,
    result: Result<u64, LlmError>,
}

impl Provider for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn model(&self) -> &str {
        self.model
    }

    fn complete<'a>(&'a self, _: &'a Prompt) -> ProviderFuture<'a> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let tokens = self.result?;
            let used = Tokens {
                input: tokens,
                output: tokens / 10,
                cached: tokens / 2,
                reasoning: tokens / 20,
            };
            Ok(Completion {
                text: "hello".to_owned(),
                finish: Finish::Complete,
                usage: CallUsage {
                    provider: Arc::from("fixed"),
                    model: Arc::from(self.model),
                    tokens: (tokens > 0).then_some(used),
                },
            })
        })
    }
}

fn model(name: &'static str, result: Result<u64, LlmError>) -> Model {
    Model::new(Arc::new(Fixed { model: name, result }))
}

async fn ask(model: &Model) {
    let _ = model.complete(&prompt("", "hello")).await;
}

#[tokio::test]
async fn every_call_inside_adds_up() {
    let (small, silent) = (model("a", Ok(100)), model("a", Ok(0)));
    let failing = model("a", Err(LlmError::Timeout));
    let (output, usage) = collect(async {
        ask(&small).await;
        ask(&silent).await;
        ask(&failing).await;
        // Joined futures run in the same task, one in the other's pauses.
        tokio::join!(ask(&small), ask(&small));
        "done"
    })
    .await;
    assert_eq!(output, "done");
    assert_eq!(
        usage,
        TurnUsage {
            provider: Some(Arc::from("fixed")),
            model: Some(Arc::from("a")),
            tokens: Tokens { input: 300, output: 30, cached: 150, reasoning: 15 },
            llm_calls: 4,
            unreported_calls: 1,
        }
    );
}

#[tokio::test]
async fn a_turn_without_calls_used_nothing() {
    let ((), usage) = collect(async {}).await;
    assert_eq!(usage, TurnUsage::default());
}

#[tokio::test]
async fn outside_of_a_scope_nothing_is_kept() {
    let small = model("a", Ok(100));
    ask(&small).await;
    let ((), usage) = collect(async {}).await;
    assert_eq!(usage.llm_calls, 0, "an earlier call does not leak into a later turn");
    ask(&small).await;
}

#[tokio::test]
async fn turns_side_by_side_do_not_mix() {
    let turns = (1..=20_u32).map(|calls| {
        tokio::spawn(async move {
            let model = model("a", Ok(100));
            let ((), usage) = collect(async {
                for _ in 0..calls {
                    ask(&model).await;
                }
            })
            .await;
            (calls, usage.llm_calls)
        })
    });
    for turn in turns.collect::<Vec<_>>() {
        let (asked, counted) = turn.await.unwrap();
        assert_eq!(asked, counted);
    }
}

#[tokio::test]
async fn a_scope_inside_another_counts_in_both() {
    let small = model("a", Ok(100));
    let (inner, outer) = collect(async {
        ask(&small).await;
        let ((), inner) = collect(ask(&small)).await;
        inner
    })
    .await;
    assert_eq!((inner.llm_calls, inner.tokens.input), (1, 100));
    assert_eq!((outer.llm_calls, outer.tokens.input), (2, 200));
}

#[tokio::test]
async fn a_turn_that_asked_two_models_has_no_single_name() {
    let (a, b) = (model("a", Ok(1)), model("b", Ok(1)));
    let ((), usage) = collect(async {
        ask(&a).await;
        ask(&b).await;
        ask(&a).await;
    })
    .await;
    assert_eq!(usage.provider.as_deref(), Some("fixed"));
    assert_eq!(usage.model.as_deref(), Some(MIXED));
    assert_eq!(usage.llm_calls, 3);
}

#[tokio::test]
async fn absurd_counts_saturate() {
    let absurd = model("a", Ok(u64::MAX));
    let ((), usage) = collect(async {
        ask(&absurd).await;
        ask(&absurd).await;
    })
    .await;
    assert_eq!((usage.tokens.input, usage.llm_calls), (u64::MAX, 2));
}
