//! Actions that are sent again.

use super::*;

async fn act_with_key(
    service: &Service,
    bot: &test_kit::TestBot,
    body: &Value,
    key: &str,
) -> Answer {
    Answer::of(service.action(bot, body).header("Idempotency-Key", key)).await
}

#[tokio::test]
async fn a_retried_action_has_one_effect_and_one_answer() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let body = wager(&service.observe(&bot).await, "1");
    let first = act_with_key(&service, &bot, &body, "try-1").await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let before = service.footprint().await;
    for _ in 0..2 {
        let again = act_with_key(&service, &bot, &body, "try-1").await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    assert_eq!(service.footprint().await, before);
    // Under another key it is another request, and its observation is used up.
    act_with_key(&service, &bot, &body, "try-2").await.problem(ProblemKind::TicketSpent);
}

#[tokio::test]
async fn twins_at_the_same_time_have_one_effect() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let body = wager(&service.observe(&bot).await, "1");
    let answers = join_all((0..8).map(|_| act_with_key(&service, &bot, &body, "twin"))).await;
    for answer in &answers {
        assert_eq!(answer.json(), answers[0].json());
    }
    let replayed =
        answers.iter().filter(|answer| answer.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, 7);
    assert_eq!(service.get_as(&bot, "/bots/me").await.json()["balance"], "9.00000000");
}

#[tokio::test]
async fn a_key_stands_for_one_body_one_bot_and_no_refusal() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let other = service.arena.bot().balance("10").create().await;
    let body = wager(&service.observe(&bot).await, "1");
    act_with_key(&service, &bot, &body, "k").await.json();
    let changed = wager(&service.observe(&bot).await, "1");
    act_with_key(&service, &bot, &changed, "k").await.problem(ProblemKind::IdempotencyMismatch);
    // The mismatch left the new observation alone.
    act_with_key(&service, &bot, &changed, "k-2").await.json();
    let theirs = wager(&service.observe(&other).await, "1");
    assert_eq!(
        act_with_key(&service, &other, &theirs, "k").await.header("idempotency-replayed"),
        None
    );

    // A refusal is not stored: the same stake is accepted once the balance is higher.
    let too_much = wager(&service.observe(&bot).await, "50");
    act_with_key(&service, &bot, &too_much, "k-3").await.problem(ProblemKind::InsufficientFunds);
    let less = wager(&service.observe(&bot).await, "0.50");
    act_with_key(&service, &bot, &less, "k-3").await.json();
    for key in ["", "a b", "é", &"k".repeat(256)] {
        act_with_key(&service, &bot, &less, key).await.refuses_field("Idempotency-Key");
    }
}
