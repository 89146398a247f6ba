//! A turn against a stub arena: what is sent, and what a failure costs.

use std::time::Duration;

use arena_client::IdempotencyKey;
use bot_runner::turn::{HostedBot, Loss, Outcome};
use ledger_core::{BotStatus, PredictionId};
use llm::LlmError;
use serde_json::json;

use crate::arena::{Scripted, State, StubArena, WAGER, WAIT};

/// When the turns of these tests were due.
const DUE: &str = "2026-11-01T00:05:00.000000Z";

pub(crate) async fn take(bot: &HostedBot) -> Outcome {
    let key = IdempotencyKey::named("turn-1").unwrap();
    bot.take_turn(&key, DUE.parse().unwrap()).await
}

pub(crate) fn usage_of_one_call() -> serde_json::Value {
    json!({
        "provider": "scripted", "model": "script-1", "input_tokens": 100, "output_tokens": 20,
        "cached_input_tokens": 10, "reasoning_tokens": 5, "llm_calls": 1,
    })
}

#[tokio::test]
async fn a_wager_is_sent_with_its_usage_under_the_turns_key() {
    let arena = StubArena::start(7).await;
    let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
    let id = Some(PredictionId(2));
    assert!(matches!(outcome, Outcome::Wagered { prediction_id } if prediction_id == id));
    let sent = &arena.action_requests()[0];
    assert_eq!(sent.header("idempotency-key"), Some("turn-1"));
    let mut body = sent.json();
    assert!(body["observation_id"].take().is_string());
    assert_eq!(
        body,
        json!({
            "observation_id": null, "action_type": "PREDICT", "direction": "UP",
            "wager_amount": "5.00000000", "confidence": "0.70000000", "reasoning": "because",
            "usage": usage_of_one_call(),
        })
    );
}

#[tokio::test]
async fn the_ticket_is_taken_after_thinking() {
    let arena = StubArena::start(7).await;
    let (model, gate) = Scripted::saying(WAGER).gated();
    let bot = arena.hosted(model.clone());
    let turn = tokio::spawn(async move { take(&bot).await });
    test_kit::eventually("the model is asked", || async { model.prompts().pop() }).await;
    assert_eq!(arena.stub.count("GET", "/arena/observation"), 0);
    gate.add_permits(1);
    assert!(matches!(turn.await.unwrap(), Outcome::Wagered { .. }));
}

#[tokio::test]
async fn a_wait_is_sent_with_its_usage() {
    let arena = StubArena::start(7).await;
    let outcome = take(&arena.hosted(Scripted::saying(WAIT))).await;
    assert!(matches!(outcome, Outcome::Waited), "{outcome:?}");
    let action = &arena.actions()[0];
    assert_eq!(action["action_type"], "WAIT");
    assert_eq!(action["reasoning"], "too quiet");
    assert_eq!(action["usage"], usage_of_one_call());
    assert!(action.get("wager_amount").is_none());
}

#[tokio::test]
async fn rubbish_costs_the_turn_and_is_still_accounted_for() {
    for text in ["", "I'm sorry, I can't.", "{\"action\":", "{\"action\":\"SELL\"}"] {
        let arena = StubArena::start(7).await;
        let outcome = take(&arena.hosted(Scripted::saying(text))).await;
        assert!(matches!(outcome, Outcome::Lost(Loss::Unusable(_))), "{text:?}: {outcome:?}");
        let actions = arena.actions();
        assert_eq!(actions.len(), 1, "{text:?}");
        assert_eq!(actions[0]["action_type"], "WAIT");
        assert_eq!(actions[0]["usage"], usage_of_one_call());
    }
}

#[tokio::test]
async fn a_model_that_fails_costs_the_turn_only() {
    let arena = StubArena::start(7).await;
    let outcome = take(&arena.hosted(Scripted::new(|_| Err(LlmError::Timeout)))).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::Model(LlmError::Timeout))), "{outcome:?}");
    assert_eq!(arena.actions().len(), 0, "nothing was used, so there is nothing to say");
}

#[tokio::test]
async fn a_model_that_hangs_is_given_up() {
    let arena = StubArena::start(7).await;
    let (model, _gate) = Scripted::saying(WAGER).gated();
    let mut bot = arena.hosted(model.clone());
    bot.thinking_limit = Duration::from_secs(1);
    let outcome = take(&bot).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::ThinkingTimeout)), "{outcome:?}");
    assert_eq!(arena.actions().len(), 0);
}

#[tokio::test]
async fn a_bot_that_is_not_alive_is_told_so_before_it_thinks() {
    for (status, expected) in [("DEAD", BotStatus::Dead), ("RETIRED", BotStatus::Retired)] {
        let arena = StubArena::start(7).await;
        arena.change(|state| state.status = status);
        let model = Scripted::saying(WAGER);
        let outcome = take(&arena.hosted(model.clone())).await;
        assert!(matches!(outcome, Outcome::NotAlive(found) if found == expected), "{outcome:?}");
        assert!(model.prompts().is_empty());
    }
}

#[tokio::test]
async fn a_bot_that_dies_while_it_thinks_learns_it_from_the_refusal() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.action_problem = Some((403, "bot-not-alive")));
    let (model, gate) = Scripted::saying(WAGER).gated();
    let bot = arena.hosted(model.clone());
    let turn = tokio::spawn(async move { take(&bot).await });
    test_kit::eventually("the model is asked", || async { model.prompts().pop() }).await;
    arena.change(|state| state.status = "RETIRED");
    gate.add_permits(1);
    let outcome = turn.await.unwrap();
    assert!(matches!(outcome, Outcome::NotAlive(BotStatus::Retired)), "{outcome:?}");
}

#[tokio::test]
async fn a_halted_arena_costs_no_thought() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.price = None);
    let model = Scripted::saying(WAGER);
    let outcome = take(&arena.hosted(model.clone())).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::Halted)), "{outcome:?}");
    assert!(model.prompts().is_empty());
}

#[tokio::test]
async fn a_paused_bot_does_not_think_and_pays_nothing() {
    let reason = Some("we look into a wrong price");
    let holds: [fn(&mut State, Option<&'static str>); 2] =
        [|state, reason| state.bot_paused = reason, |state, reason| state.arena_paused = reason];
    for hold in holds {
        let arena = StubArena::start(7).await;
        arena.open_markets();
        arena.change(|state| hold(state, reason));
        let model = Scripted::saying(WAGER);
        let outcome = take(&arena.hosted(model.clone())).await;
        let Outcome::Lost(Loss::Paused(why)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(Some(why.as_str()), reason);
        assert!(!Loss::Paused(why).is_passing());
        assert!(model.prompts().is_empty());
        assert_eq!((arena.performed(), arena.reports().len()), (0, 0));
        arena.change(|state| hold(state, None));
        let outcome = take(&arena.hosted(model.clone())).await;
        assert!(matches!(outcome, Outcome::Wagered { .. }), "{outcome:?}");
    }
}

type Refuse = fn(&mut State, (u16, &'static str));

#[tokio::test]
async fn a_pause_between_thought_and_ticket_is_no_failure_of_the_arena() {
    for (status, name) in [(403, "bot-paused"), (503, "arena-paused"), (503, "house-budget")] {
        let at_ticket: [Refuse; 2] = [
            |state, problem| state.ticket_problem = Some(problem),
            |state, problem| state.action_problem = Some(problem),
        ];
        for refuse in at_ticket {
            let arena = StubArena::start(7).await;
            arena.change(|state| refuse(state, (status, name)));
            let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
            let is_paused = matches!(outcome, Outcome::Lost(Loss::Paused(_)));
            assert!(is_paused, "{name}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_halt_between_thought_and_ticket_passes() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.halted = true);
    let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::Halted)), "{outcome:?}");
    assert_eq!(arena.actions().len(), 0);
    assert_eq!(arena.reports()[0]["usage"], usage_of_one_call());
}

#[tokio::test]
async fn it_takes_no_ticket_to_do_nothing() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.halted = true);
    let outcome = take(&arena.hosted(Scripted::saying(WAIT))).await;
    assert!(matches!(outcome, Outcome::Waited), "{outcome:?}");
    assert_eq!(arena.actions().len(), 0);
    assert_eq!(arena.reports().len(), 1);
    assert_eq!(arena.reports()[0]["usage"], usage_of_one_call());
}

#[tokio::test]
async fn a_turn_in_which_somebody_has_acted_is_taken() {
    let arena = StubArena::start(7).await;
    arena.open_markets();
    for (acted_at, is_taken) in
        [("2026-11-01T00:04:59.999999Z", false), (DUE, true), ("2026-11-01T00:05:03.000000Z", true)]
    {
        arena.change(|state| state.last_action_at = Some(acted_at));
        let (model, before) = (Scripted::saying(WAGER), arena.performed());
        let outcome = take(&arena.hosted(model.clone())).await;
        let found = matches!(outcome, Outcome::Lost(Loss::ActedBefore));
        assert_eq!(found, is_taken, "{acted_at}: {outcome:?}");
        assert_eq!(model.prompts().is_empty(), is_taken);
        assert_eq!(arena.performed() == before, is_taken);
    }
}

#[tokio::test]
async fn without_anything_to_stake_nobody_is_paid_to_think() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.open_stake = "100.00000000".to_owned());
    let model = Scripted::saying(WAGER);
    let outcome = take(&arena.hosted(model.clone())).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::NoRoom(_))), "{outcome:?}");
    assert!(model.prompts().is_empty());
}

#[tokio::test]
async fn an_action_that_was_performed_before_is_not_performed_again() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.action_problem = Some((422, "idempotency-mismatch")));
    let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
    assert!(matches!(outcome, Outcome::Lost(Loss::ActedBefore)), "{outcome:?}");
    assert_eq!(arena.actions().len(), 1);
}

#[tokio::test]
async fn a_refused_wager_costs_the_turn_and_its_usage_is_reported() {
    for (status, name) in [(402, "insufficient-funds"), (409, "limit-reached")] {
        let arena = StubArena::start(7).await;
        arena.change(|state| state.action_problem = Some((status, name)));
        let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
        assert!(matches!(outcome, Outcome::Lost(Loss::Arena(_))), "{outcome:?}");
        assert_eq!(arena.actions().len(), 1);
        assert_eq!(arena.reports()[0]["usage"], usage_of_one_call());
    }
}

#[tokio::test]
async fn what_the_arena_cannot_take_now_passes_and_a_no_does_not() {
    for (status, name, passes) in [
        (409, "ticket-spent", true),
        (503, "price-stale", true),
        (503, "unavailable", true),
        (402, "insufficient-funds", false),
        (409, "limit-reached", false),
        (422, "idempotency-mismatch", false),
        (403, "bot-paused", false),
        (503, "arena-paused", false),
        (503, "house-budget", false),
    ] {
        let arena = StubArena::start(7).await;
        arena.change(|state| state.action_problem = Some((status, name)));
        let outcome = take(&arena.hosted(Scripted::saying(WAGER))).await;
        let Outcome::Lost(loss) = outcome else {
            panic!("{name}: {outcome:?}");
        };
        assert_eq!(loss.is_passing(), passes, "{name}: {loss}");
    }
    assert!(!Loss::Model(LlmError::Timeout).is_passing());
    let wait = Some(std::time::Duration::from_secs(7));
    let asked = Loss::Model(LlmError::RateLimited { retry_after: wait });
    assert!(asked.is_passing());
    assert_eq!(asked.retry_after(), wait);
}

#[tokio::test]
async fn usage_that_the_arena_may_have_kept_is_not_reported_twice() {
    let arena = StubArena::start(7).await;
    arena.change(|state| state.action_problem = Some((503, "unavailable")));
    take(&arena.hosted(Scripted::saying(WAGER))).await;
    assert!(arena.reports().is_empty());
}
