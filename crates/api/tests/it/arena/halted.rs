//! Bots that may not act, and times when none may.

use super::*;

#[tokio::test]
async fn the_dead_get_403_whatever_they_hold() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("0.10").create().await;
    let held = service.observe(&bot).await;
    service.arena.tick(Enforcement::Enforce).await;
    let before = service.footprint().await;
    let wait = json!({ "observation_id": held.observation_id, "action_type": "WAIT" });
    // With an observation from its lifetime, with the same one used up, and with one that never was.
    for body in [wait.clone(), wait, wager(&held, "0.05")] {
        let problem = service.act(&bot, &body).await.problem(ProblemKind::BotNotAlive);
        assert_eq!(problem.extra["bot_status"], "DEAD");
    }
    service.get_as(&bot, "/arena/observation").await.problem(ProblemKind::BotNotAlive);
    service.take_price_away().await;
    service.get_as(&bot, "/arena/observation").await.problem(ProblemKind::BotNotAlive);
    service.act(&bot, &wager(&held, "0.05")).await.problem(ProblemKind::BotNotAlive);
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn without_a_fresh_price_the_arena_is_halted() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let held = service.observe(&bot).await;
    service.take_price_away().await;
    let answer = service.get_as(&bot, "/arena/observation").await;
    answer.problem(ProblemKind::PriceStale);
    assert!(answer.header("retry-after").is_some());
    let before = service.footprint().await;
    service.act(&bot, &wager(&held, "1")).await.problem(ProblemKind::PriceStale);
    assert_eq!(service.footprint().await, before);
    service.put_price("50001").await;
    service.act(&bot, &wager(&held, "1")).await.json();
}

#[tokio::test]
async fn beyond_the_house_budget_wagers_are_refused_with_the_time_it_opens_again() {
    let budget = "2.00".parse().unwrap();
    let service = Service::with(|config| config.rules.house_loss_budget_per_hour = budget).await;
    let bot = service.arena.bot().create().await;
    service.wager(&bot, "2.00").await.json();
    let answer = service.wager(&bot, "0.01").await;
    let problem = answer.problem(ProblemKind::HouseBudget);
    assert_eq!(problem.extra["limit_value"], "2.00000000");
    assert!(problem.extra["opens_at"].is_string(), "{problem:?}");
    let seconds: i64 = answer.header("retry-after").unwrap().parse().unwrap();
    // Its one open position may be settled, and lost, after the horizon.
    assert!((1..=302).contains(&seconds), "{seconds}");
    service.arena.assert_sound().await;
}

/// Redis may keep a price longer than it is fresh, for example after a restore from a copy.
#[tokio::test]
async fn a_price_too_old_by_its_providers_time_opens_nothing() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let now = service.arena.now().await;
    let old = cache::prices::FreshPrice {
        price: "50000".parse().unwrap(),
        source: ledger_core::prediction::PriceSource::Kraken,
        provider_at: now.plus_seconds(-121),
        sampled_at: now,
    };
    service.cache.put_price(&old, std::time::Duration::from_secs(600)).await.unwrap();
    service.get_as(&bot, "/arena/observation").await.problem(ProblemKind::PriceStale);
    assert!(service.get("/economy").await.json()["price"].is_null());
    let ready = service.get("/ready").await.json();
    assert!(ready.to_string().contains("no fresh price"), "{ready}");
}
