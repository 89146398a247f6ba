//! Prices without a sample, read later from the history of a source.

use super::*;

#[tokio::test]
async fn refusals_of_a_history_grow_though_samples_are_taken() {
    for (refusal, of_source) in
        [(FeedError::Forbidden, 0), (FeedError::RateLimited { retry_after_seconds: None }, 1)]
    {
        let arena = Arena::new().await;
        let bot = arena.bot().balance("10.00").create().await;
        past_wager(&arena, bot.id, "1.00", Up, 2_200).await;
        arena.price("60000", Coingecko, -2_190).await;
        let feed = Arc::new(Told {
            price: Some("60001"),
            refusal: refusal.clone(),
            ..Told::plain(Coingecko, Vec::new())
        })
        .refusing(usize::MAX);
        let oracle = oracle_of(&arena, cache(&arena).await, vec![Arc::clone(&feed) as _]);
        let now = arena.now().await;
        for round in 1..=3 {
            look_again(&arena).await;
            let report = round_at(&oracle, now.plus_seconds(i64::from(round) * 60)).await;
            let sampled = report.sampled;
            assert!(
                matches!(sampled, Some(Sampled::Recorded { .. })),
                "{refusal}, {round}: {sampled:?}"
            );
            assert_eq!(strikes(&arena, "coingecko history").await, round, "{refusal}");
            assert_eq!(strikes(&arena, "coingecko").await, of_source, "{refusal}");
            end_cooldowns(&arena).await;
        }
        assert_eq!(feed.asked(), 3);
    }
}

#[tokio::test]
async fn what_a_history_leaves_out_holds_up_nobody_else_and_is_no_time_without_prices() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    // Its end is due at -1,890, and the price that was due, at -1,800, cannot be read.
    let held = past_wager(&arena, bot.id, "1.00", Up, 2_200).await;
    arena.price("60000", Coingecko, -2_190).await;
    let other = past_wager(&arena, bot.id, "1.00", Up, 1_700).await;
    arena.price("60000", Coingecko, -1_690).await;
    let now = arena.now().await;
    let feed = Arc::new(Told {
        leaves_out: Some(now.plus_seconds(-1_800)),
        ..Told::plain(Coingecko, vec![("60001", now.plus_seconds(-1_350))])
    });
    let oracle = oracle_of(&arena, cache(&arena).await, vec![Arc::clone(&feed) as _]);
    // The part before it is stored at once; it is requested three times more.
    for (round, told) in [(1, true), (2, false), (3, false), (4, true), (5, false)] {
        look_again(&arena).await;
        let report = round_at(&oracle, now).await;
        assert_eq!(report.told.unwrap().len(), usize::from(told), "{round}");
        end_cooldowns(&arena).await;
    }
    assert_eq!(feed.asked(), 4);
    assert_eq!(prediction(&arena, other).await.status, Won);
    assert_eq!(prediction(&arena, held).await.status, Open);
    assert_eq!(strikes(&arena, "coingecko history").await, 0);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_history_without_prices_is_no_answer_and_one_that_is_too_short_is_not_asked() {
    for (reaches_back, asked) in [(None, 1), (Some(1_000), 0)] {
        let arena = Arena::new().await;
        let bot = arena.bot().balance("10.00").create().await;
        past_wager(&arena, bot.id, "1.00", Up, 2_200).await;
        arena.price("60000", Coingecko, -2_190).await;
        let feed = Arc::new(Told { reaches_back, ..Told::plain(Coingecko, Vec::new()) });
        let oracle = oracle_of(&arena, cache(&arena).await, vec![Arc::clone(&feed) as _]);
        let report = round_now(&arena, &oracle).await;
        assert_eq!(report.told, Some(Vec::new()));
        assert_eq!(feed.asked(), asked);
        let strikes = strikes(&arena, "coingecko history").await;
        assert_eq!(usize::try_from(strikes).unwrap(), asked);
        let reads = "SELECT count(*) FROM price_history_reads";
        let reads = arena.owner_client().await.query_one(reads, &[]).await;
        assert_eq!(reads.unwrap().get::<_, i64>(0), 0);
    }
}

/// A bot that causes refusals right before the due end must not get a lost stake back.
#[tokio::test]
async fn a_source_that_was_silenced_tells_afterwards_what_it_would_have_said() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    let id = past_wager(&arena, bot.id, "1.00", Up, 2_200).await;
    arena.price("60000", Coingecko, -2_190).await;
    let now = arena.now().await;
    let history = vec![("59990", now.plus_seconds(-1_800)), ("70000", now.plus_seconds(-1_500))];
    let feed = Told::new(Coingecko, history).refusing(1);
    let oracle = oracle_of(&arena, cache(&arena).await, vec![Arc::clone(&feed) as _]);
    // The end was due 1,890 s ago. The first question is refused, and peace is kept.
    let first = round_now(&arena, &oracle).await;
    assert_eq!(first.told, Some(Vec::new()));
    look_again(&arena).await;
    round_now(&arena, &oracle).await;
    assert_eq!(feed.asked.load(Ordering::SeqCst), 1);
    assert_eq!(prediction(&arena, id).await.status, Open);
    end_cooldowns(&arena).await;
    look_again(&arena).await;
    let read = round_now(&arena, &oracle).await;
    assert_eq!(read.told, Some(vec![Coingecko]));
    look_again(&arena).await;
    let last = round_now(&arena, &oracle).await;
    assert_eq!(last.settlement.unwrap().settled.len(), 1);
    assert_eq!(prediction(&arena, id).await.status, Lost);
    assert_eq!(last_entry(&arena, bot.id).await, entry("SLASH", "0.00000000"));
    assert_eq!(feed.asked.load(Ordering::SeqCst), 2, "a span is read once");
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_next_real_source_tells_what_the_first_one_never_does() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    let id = past_wager(&arena, bot.id, "1.00", Up, 4_200).await;
    arena.price("60000", Coingecko, -4_190).await;
    let now = arena.now().await;
    let silent = Told::new(Coingecko, Vec::new()).refusing(usize::MAX);
    let history = vec![("60010", now.plus_seconds(-4_160)), ("60020", now.plus_seconds(-3_830))];
    let kraken = Told::new(Kraken, history);
    let invented = Told::new(
        Simulated,
        vec![("1", now.plus_seconds(-4_160)), ("2", now.plus_seconds(-3_830))],
    );
    let feeds: Vec<Arc<dyn PriceFeed>> = vec![silent, kraken, Arc::clone(&invented) as _];
    let oracle = oracle_of(&arena, cache(&arena).await, feeds);
    assert_eq!(round_at(&oracle, now).await.told, Some(vec![Kraken]));
    look_again(&arena).await;
    round_at(&oracle, now.plus_seconds(30)).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!((prediction.status, prediction.price_source), (Won, Some(Kraken)));
    assert_eq!(prediction.start_price.unwrap().to_string(), "60010.00000000");
    assert_eq!(invented.asked.load(Ordering::SeqCst), 0);
    arena.assert_sound().await;
}
