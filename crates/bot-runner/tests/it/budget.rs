//! The cap on what thinking may cost, on a real Postgres: no call passes it by.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bot_runner::budget::{DailyCap, Mind, MindError, OVERHEAD_TOKENS, Spending};
use bot_runner::turn::Outcome;
use db::schedules;
use ledger_core::price_book::PriceBook;
use ledger_core::{BotId, Money};
use llm::{
    CallUsage, Completion, Finish, LlmError, Model, Prompt, Provider, ProviderFuture, Tokens,
};
use serde_json::json;
use test_kit::Arena;
use tokio::sync::Semaphore;

use crate::arena::{RESEARCH, Scripted, Shelf, StubArena, WAGER, article};
use crate::turn::take;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A dollar for a million tokens that go in, and two for one that come out, so that figures are
/// easy: cached ones cost nothing.
fn prices() -> Arc<PriceBook> {
    let book = json!({"models": [{
        "provider": "scripted", "model": "script-1",
        "prices": [{"from": "2020-01-01", "input": "1", "cached_input": "0", "output": "2"}],
    }, {
        "provider": "scripted", "model": "script-2",
        "prices": [{"from": "2020-01-01", "input": "10", "cached_input": "0", "output": "20"}],
    }]});
    Arc::new(serde_json::from_value(book).unwrap())
}

/// A bot in the schedule and what its thinking may cost.
async fn capped(arena: &Arena, usd: &str) -> (BotId, Spending) {
    let bot = arena.bot().hosted().create().await.id;
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot, 3_600).await.unwrap();
    let cap = DailyCap { usd: money(usd), database: arena.database().clone() };
    (bot, Spending::Capped(cap))
}

async fn spent(arena: &Arena, bot: BotId) -> Option<Money> {
    let ask = "SELECT llm_usd::text FROM bot_schedules WHERE bot_id = $1 AND llm_day IS NOT NULL";
    let row = arena.owner_client().await.query_opt(ask, &[&bot.0]).await.unwrap();
    row.map(|row| money(row.get(0)))
}

/// With texts of 500 bytes and 500 tokens of answer: 1,000 in and 500 out cost 0.002 at most.
fn prompt() -> Prompt {
    assert_eq!(OVERHEAD_TOKENS, 500);
    Prompt {
        system: "s".repeat(100),
        user: "ü".repeat(200),
        max_output_tokens: 500,
        temperature: None,
    }
}
const MOST: &str = "0.002";

/// The cost of each call of a [`Till`].
type Verdict = Result<(Finish, Option<Tokens>), LlmError>;
const USED: Option<Tokens> = Some(Tokens { input: 100, output: 20, cached: 40, reasoning: 5 });

/// A provider that counts its calls and answers each with 100 tokens in, 40 of them cached, and 20
/// out: 0.0001.
#[derive(Debug)]
struct Till {
    verdict: Verdict,
    /// Who answers.
    served: &'static str,
    calls: AtomicUsize,
    gate: Option<Semaphore>,
}
const REAL: &str = "0.0001";

impl Till {
    fn new(verdict: Verdict) -> Arc<Till> {
        Arc::new(Till { verdict, served: "script-1", calls: AtomicUsize::new(0), gate: None })
    }

    fn answering() -> Arc<Till> {
        Till::new(Ok((Finish::Complete, USED)))
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn mind(self: &Arc<Till>, spending: &Spending) -> Mind {
        let provider: Arc<dyn Provider> = Arc::<Till>::clone(self);
        Mind::new(Model::new(provider), spending.clone(), prices())
    }
}

impl Provider for Till {
    fn name(&self) -> &str {
        "scripted"
    }

    fn model(&self) -> &str {
        "script-1"
    }

    fn complete<'a>(&'a self, _: &'a Prompt) -> ProviderFuture<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let (finish, tokens) = self.verdict?;
            let usage =
                CallUsage { provider: "scripted".into(), model: self.served.into(), tokens };
            let text = "hello".to_owned();
            Ok(Completion { text, finish, usage })
        })
    }
}

#[tokio::test]
async fn the_real_cost_takes_the_place_of_the_greatest() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.002").await;
    let till = Till::answering();
    let mind = till.mind(&spending);
    mind.complete(bot, &prompt()).await.unwrap();
    assert_eq!(spent(&arena, bot).await, Some(money(REAL)));
    // The greatest cost of a second call no longer fits, though its real one would.
    let refused = mind.complete(bot, &prompt()).await.unwrap_err();
    assert!(matches!(refused, MindError::Spent), "{refused}");
    assert_eq!(till.calls(), 1, "the model was not asked");
    assert_eq!(spent(&arena, bot).await, Some(money(REAL)));
}

#[tokio::test]
async fn what_became_of_a_call_decides_what_it_cost() {
    for (verdict, cost) in [
        (Ok((Finish::CutOff, USED)), REAL),
        (Ok((Finish::Refused, USED)), REAL),
        (Ok((Finish::Complete, None)), MOST),
        (Ok((Finish::Failed, USED)), REAL),
        (Err(LlmError::Timeout), MOST),
        (Err(LlmError::Failed), MOST),
        (Err(LlmError::Unavailable), MOST),
        (Err(LlmError::Status(500)), MOST),
        (Err(LlmError::Malformed), MOST),
        (Err(LlmError::Unreachable), "0"),
        (Err(LlmError::RateLimited { retry_after: None }), "0"),
        (Err(LlmError::Status(401)), "0"),
        (Err(LlmError::Overloaded { retry_after: None }), "0"),
        (Err(LlmError::Filtered), "0"),
        (Ok((Finish::Failed, None)), MOST),
    ] {
        let arena = Arena::new().await;
        let (bot, spending) = capped(&arena, "1.00").await;
        let _ = Till::new(verdict).mind(&spending).complete(bot, &prompt()).await;
        assert_eq!(spent(&arena, bot).await, Some(money(cost)), "{verdict:?}");
    }
}

#[tokio::test]
async fn the_model_that_answered_decides_the_price() {
    // Ten times as expensive; and one without a price, which is not taken for cheap.
    for (served, cost) in [("script-2", "0.001"), ("script-3", MOST)] {
        let arena = Arena::new().await;
        let (bot, spending) = capped(&arena, "1.00").await;
        let till = Arc::new(Till {
            verdict: Ok((Finish::Complete, USED)),
            served,
            calls: AtomicUsize::new(0),
            gate: None,
        });
        let mind = till.mind(&spending);
        mind.complete(bot, &prompt()).await.unwrap();
        assert_eq!(spent(&arena, bot).await, Some(money(cost)), "{served}");
    }
}

#[tokio::test]
async fn of_two_runners_that_reach_for_the_last_cent_one_asks() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.0039").await;
    let till = Arc::new(Till {
        verdict: Ok((Finish::Complete, USED)),
        served: "script-1",
        calls: AtomicUsize::new(0),
        gate: Some(Semaphore::new(0)),
    });
    let (one, other) = (till.mind(&spending), till.mind(&spending));
    let question = prompt();
    // The granted one waits in the model until the other was refused.
    let race = async {
        let (first, second) = (one.complete(bot, &question), other.complete(bot, &question));
        tokio::pin!(first, second);
        let refused = tokio::select! { it = &mut first => it, it = &mut second => it };
        assert!(matches!(refused, Err(MindError::Spent)), "{refused:?}");
        assert_eq!(spent(&arena, bot).await, Some(money(MOST)));
    };
    race.await;
    assert_eq!(till.calls(), 1);
}

#[tokio::test]
async fn a_crash_between_reservation_and_real_cost_leaves_the_reservation() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.003").await;
    let till = Arc::new(Till {
        verdict: Ok((Finish::Complete, USED)),
        served: "script-1",
        calls: AtomicUsize::new(0),
        gate: Some(Semaphore::new(0)),
    });
    let mind = till.mind(&spending);
    let call = tokio::spawn(async move { mind.complete(bot, &prompt()).await.map(drop) });
    test_kit::eventually("the model is asked", || async { (till.calls() == 1).then_some(()) })
        .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(spent(&arena, bot).await, Some(money(MOST)));
    let next = Till::answering();
    let refused = next.mind(&spending).complete(bot, &prompt()).await;
    assert!(matches!(refused, Err(MindError::Spent)), "{refused:?}");
    assert_eq!(next.calls(), 0);
}

#[tokio::test]
async fn a_new_day_thinks_again() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.002").await;
    let till = Till::new(Err(LlmError::Timeout));
    let mind = till.mind(&spending);
    let _ = mind.complete(bot, &prompt()).await;
    assert!(matches!(mind.complete(bot, &prompt()).await, Err(MindError::Spent)));
    let owner = arena.owner_client().await;
    let sql = "UPDATE bot_schedules SET llm_day = llm_day - 1";
    owner.batch_execute(sql).await.unwrap();
    let _ = mind.complete(bot, &prompt()).await;
    assert_eq!(till.calls(), 2);
}

#[tokio::test]
async fn what_has_no_price_or_no_schedule_is_not_asked() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "1.00").await;
    let till = Till::answering();
    let provider: Arc<dyn Provider> = Arc::<Till>::clone(&till);
    let unpriced = Mind::new(Model::new(provider), spending.clone(), Arc::default());
    let refused = unpriced.complete(bot, &prompt()).await.unwrap_err();
    assert!(matches!(&refused, MindError::Unpriced { model } if model == "scripted/script-1"));
    let stranger = till.mind(&spending).complete(BotId(404), &prompt()).await;
    assert!(matches!(stranger, Err(MindError::Spent)));
    assert_eq!(till.calls(), 0);
    till.mind(&Spending::Unlimited).complete(BotId(404), &prompt()).await.unwrap();
    assert_eq!(till.calls(), 1);
}

#[tokio::test]
async fn without_postgres_nothing_is_thought() {
    let arena = Arena::with_pool(1).await;
    let (bot, spending) = capped(&arena, "1.00").await;
    let owner = arena.owner_client().await;
    owner.batch_execute("ALTER TABLE bot_schedules RENAME TO gone").await.unwrap();
    let till = Till::answering();
    let refused = till.mind(&spending).complete(bot, &prompt()).await;
    assert!(matches!(refused, Err(MindError::Database(_))), "{refused:?}");
    assert_eq!(till.calls(), 0);
}

#[tokio::test]
async fn a_turn_without_money_to_think_is_a_wait_and_the_bot_lives_on() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.001").await;
    let stub = StubArena::start(bot.0).await;
    let model = Scripted::saying(WAGER);
    let mut hosted = stub.hosted(model.clone());
    hosted.mind = Mind::new(Model::new(Arc::new(model.clone())), spending, prices());
    for turns in 1..=2 {
        let outcome = take(&hosted).await;
        assert!(matches!(outcome, Outcome::Waited), "{outcome:?}");
        let actions = stub.actions();
        assert_eq!(actions.len(), turns);
        assert_eq!(actions[turns - 1]["action_type"], "WAIT");
        assert!(actions[turns - 1].get("usage").is_none());
    }
    assert!(model.prompts().is_empty());

    stub.change(|state| state.halted = true);
    let outcome = take(&hosted).await;
    assert!(matches!(outcome, Outcome::Waited), "{outcome:?}");
    assert!(stub.reports().is_empty(), "there is nothing to report");
}

#[tokio::test]
async fn money_that_ends_in_the_middle_of_a_turn_ends_the_thinking() {
    let arena = Arena::new().await;
    let (bot, spending) = capped(&arena, "0.02").await;
    let stub = StubArena::start(bot.0).await;
    stub.open_markets();
    let (model, gate) = Scripted::saying(RESEARCH).gated();
    let mut hosted = stub.hosted(model.clone());
    hosted.lookup = Shelf::new(|_| Ok(article())).tool();
    hosted.mind = Mind::new(Model::new(Arc::new(model.clone())), spending, prices());
    let turn = tokio::spawn(async move { take(&hosted).await });
    test_kit::eventually("the model is asked", || async { model.prompts().pop() }).await;
    // Another runner's call takes more than was left: its provider kept to no limit.
    let owner = arena.owner_client().await;
    let sql = "UPDATE bot_schedules SET llm_usd = llm_usd + 5";
    owner.batch_execute(sql).await.unwrap();
    gate.add_permits(2);
    let outcome = turn.await.unwrap();
    assert!(matches!(outcome, Outcome::Waited), "{outcome:?}");
    assert_eq!(model.prompts().len(), 1);
    assert_eq!(stub.actions()[0]["usage"]["llm_calls"], 1);
}
