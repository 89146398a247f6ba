//! Markets whose source does not answer.

use super::*;

/// A locked market about a repository, whose source fails.
async fn with_a_silent_source(rules: EconomyRules) -> (Arena, Outside, Market) {
    let arena = Arena::new().await.with_rules(rules);
    let outside = Outside::start().await;
    round(&desk_of(&arena, &outside).await).await;
    let market = all(&arena).await.remove(0);
    let bot = arena.bot().create().await.id;
    arena.bet(bot, market.id, Side::Yes, "5.00").await;
    pass_deadline(&arena, &market).await;
    outside.fault(MarketSource::Github, Some(Played::status(500)));
    (arena, outside, market)
}

/// So many seconds later, a round of an oracle that was just started.
async fn later(arena: &Arena, outside: &Outside, market: &Market, seconds: i64) -> MarketStatus {
    arena.age_market(market.id, seconds).await;
    round(&desk_of(arena, outside).await).await;
    find(arena, market.id).await.status
}

async fn fetches(arena: &Arena, market: &Market) -> usize {
    let kept = db::markets::evidence_of(&mut *arena.conn().await, market.id).await;
    kept.unwrap().len()
}

#[tokio::test]
async fn after_a_gap_its_source_is_asked_before_a_market_is_given_up() {
    let (arena, outside, market) = with_a_silent_source(only(&[MarketSource::Github])).await;
    for _ in 0..10 {
        let status = later(&arena, &outside, &market, 900).await;
        assert_eq!(status, MarketStatus::Locked);
    }
    let before = fetches(&arena, &market).await;
    // No request for five hours; six have passed since the first one.
    let status = later(&arena, &outside, &market, 5 * 3_600).await;
    assert_eq!(status, MarketStatus::Locked, "it was asked for three hours");
    assert_eq!(fetches(&arena, &market).await, before + 1);
    outside.fault(MarketSource::Github, None);
    let status = later(&arena, &outside, &market, 5 * 3_600).await;
    assert_eq!(status, MarketStatus::Resolved);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_market_is_given_up_by_its_own_patience() {
    let rules = only(&[MarketSource::Github]);
    let short = EconomyRules {
        markets: MarketRules { settle_patience_seconds: 3_600, ..rules.markets.clone() },
        ..rules.clone()
    };
    let (arena, outside, market) = with_a_silent_source(short).await;
    // From now on other rules are in force.
    let arena = arena.with_rules(rules);
    let mut asked = 0;
    while later(&arena, &outside, &market, 900).await == MarketStatus::Locked {
        asked += 1;
        assert!(asked < 10, "an hour is long over, and it was asked ten times");
    }
    let void = find(&arena, market.id).await;
    assert_eq!(void.status, MarketStatus::Void);
    let reason = void.void_reason.unwrap();
    assert!(reason.contains("10 requests") && reason.contains("3600 seconds"), "{reason}");
    arena.assert_sound().await;
}

#[tokio::test]
async fn answers_of_one_moment_are_one_strike_and_one_answer_is_fetched_once() {
    let arena = Arena::new().await.with_rules(only(&[MarketSource::Github]));
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    round(&desk).await;
    for market in all(&arena).await {
        pass_deadline(&arena, &market).await;
    }
    outside.fault(MarketSource::Github, Some(Played::status(429)));
    let resolved = round(&desk).await.resolved.unwrap();
    assert_eq!(resolved.waiting.len(), 6);
    let cooldown = db::leases::cooldown(&mut *arena.conn().await, "github").await;
    assert_eq!(cooldown.unwrap().unwrap().strikes, 1);

    let arena = Arena::new().await.with_rules(only(&[MarketSource::News]));
    let desk = desk_of(&arena, &outside).await;
    round(&desk).await;
    let board = all(&arena).await;
    assert_eq!(board.len(), 6);
    for market in &board {
        pass_deadline(&arena, market).await;
    }
    outside.fault(MarketSource::News, Some(Played::status(500)));
    let before = outside.asked(MarketSource::News);
    let resolved = round(&desk).await.resolved.unwrap();
    assert_eq!(resolved.waiting.len(), 6);
    assert_eq!(outside.asked(MarketSource::News), before + 1);
    for market in &board {
        // In addition to the fetch at its opening; each was queried.
        assert_eq!(fetches(&arena, market).await, 2);
    }
}
