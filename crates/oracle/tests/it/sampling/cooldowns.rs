//! The cooldown of a source that requests a wait, and the sources queried meanwhile.

use super::*;

#[tokio::test]
async fn cooldowns_double_survive_restarts_and_end_with_an_answer() {
    let arena = Arena::new().await;
    for (strike, seconds) in [(1, 120), (2, 240), (3, 480), (4, 480), (5, 480)] {
        let feed = Scripted::new(Coingecko, [Err(LIMITED)]);
        let before = oracle(&arena, &[Arc::clone(&feed)]).await;
        assert_eq!(round_now(&arena, &before).await.sampled, Some(Sampled::NoAnswer));
        let (strikes, rest) = strikes_and_rest(&arena).await;
        assert_eq!(strikes, strike);
        assert_about(rest, seconds);

        // A second oracle, or this one after a restart, leaves the source alone as well.
        let unasked = Scripted::new(Coingecko, []);
        let after = oracle(&arena, &[Arc::clone(&unasked)]).await;
        assert_eq!(round_now(&arena, &after).await.sampled, Some(Sampled::NoAnswer));
        assert_eq!((feed.asked(), unasked.asked()), (1, 0));
        end_cooldown(&arena).await;
    }
    let feed = Scripted::new(Coingecko, [Ok("60000")]);
    let oracle = oracle(&arena, &[feed]).await;
    assert!(matches!(round_now(&arena, &oracle).await.sampled, Some(Sampled::Recorded { .. })));
    assert_eq!(cooldown(&arena, Coingecko).await, None);
}

#[tokio::test]
async fn a_cooled_source_is_asked_as_soon_as_its_cooldown_ends() {
    let arena = Arena::new().await;
    let feed = Scripted::new(Coingecko, [Err(LIMITED), Ok("60000")]);
    let oracle = oracle(&arena, &[feed]).await;
    let now = arena.now().await;
    round_at(&oracle, now).await;
    // Rounds without a request do not count.
    assert_eq!(round_at(&oracle, now.plus_seconds(118)).await.sampled, Some(Sampled::NoAnswer));
    end_cooldown(&arena).await;
    let sampled = round_at(&oracle, now.plus_seconds(121)).await.sampled;
    assert!(matches!(sampled, Some(Sampled::Recorded { .. })), "{sampled:?}");
}

#[tokio::test]
async fn a_longer_retry_after_is_honoured_and_a_shorter_one_is_not() {
    for (retry_after_seconds, seconds) in [(Some(3_600), 3_600), (Some(5), 120)] {
        let arena = Arena::new().await;
        let error = FeedError::RateLimited { retry_after_seconds };
        let oracle = oracle(&arena, &[Scripted::new(Coingecko, [Err(error)])]).await;
        round_now(&arena, &oracle).await;
        let (strikes, rest) = strikes_and_rest(&arena).await;
        assert_eq!(strikes, 1);
        assert_about(rest, seconds);
    }
}

#[tokio::test]
async fn only_a_wish_for_peace_starts_a_cooldown() {
    let arena = Arena::new().await;
    for error in [FeedError::Timeout, FeedError::NotJson, FeedError::Stale { age_seconds: 700 }] {
        let oracle = oracle(&arena, &[Scripted::new(Coingecko, [Err(error.clone())])]).await;
        assert_eq!(round_now(&arena, &oracle).await.sampled, Some(Sampled::NoAnswer));
        assert_eq!(cooldown(&arena, Coingecko).await, None, "{error}");
    }
    let oracle = oracle(&arena, &[Scripted::new(Coingecko, [Err(FeedError::Forbidden)])]).await;
    round_now(&arena, &oracle).await;
    assert_eq!(strikes_and_rest(&arena).await.0, 1);
}

#[tokio::test]
async fn while_a_source_is_retried_no_invented_price_takes_its_place() {
    let arena = Arena::new().await;
    let first = Scripted::new(Coingecko, [Err(LIMITED), Err(LIMITED), Err(LIMITED)]);
    let second = Scripted::new(Simulated, []);
    let oracle = oracle(&arena, &[Arc::clone(&first), Arc::clone(&second)]).await;
    let mut now = arena.now().await;
    for strike in 1..=3 {
        // Neither right after the refusal nor while the first cools down.
        for seconds in [0, 60, 119] {
            let sampled = round_at(&oracle, now.plus_seconds(seconds)).await.sampled;
            assert_eq!(sampled, Some(Sampled::NoAnswer));
        }
        assert_eq!(strikes_and_rest(&arena).await.0, strike);
        end_cooldown(&arena).await;
        now = now.plus_seconds(480);
    }
    assert_eq!((first.asked(), second.asked()), (3, 0));
    assert!(history(&arena).await.is_empty());
    assert_eq!(cache(&arena).await.price().await.unwrap(), None);
}

#[tokio::test]
async fn a_source_that_wants_peace_is_followed_by_the_next_real_one_at_once() {
    let arena = Arena::new().await;
    let first = Scripted::new(Coingecko, [Err(LIMITED)]);
    let second = Scripted::new(Kraken, [Ok("60000"), Ok("60001"), Err(FeedError::Timeout)]);
    let third = Scripted::new(Simulated, []);
    let feeds = [Arc::clone(&first), Arc::clone(&second), Arc::clone(&third)];
    let oracle = oracle(&arena, &feeds).await;
    let now = arena.now().await;
    for seconds in [0, 60] {
        let sampled = round_at(&oracle, now.plus_seconds(seconds)).await.sampled;
        let is_second = matches!(sampled, Some(Sampled::Recorded { source: Kraken, .. }));
        assert!(is_second, "{sampled:?}");
    }
    // The first one's cooldown continues, and meanwhile no simulated price is used.
    let sampled = round_at(&oracle, now.plus_seconds(119)).await.sampled;
    assert_eq!(sampled, Some(Sampled::NoAnswer));
    assert_eq!(strikes_and_rest(&arena).await.0, 1);
    assert_eq!((first.asked(), second.asked(), third.asked()), (1, 3, 0));
}
