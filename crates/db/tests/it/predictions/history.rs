//! Prices without a sample, read later from the history of a source.

use super::*;

#[tokio::test]
async fn what_a_silent_source_did_not_say_its_history_does() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, -1_999).await;
    age(&arena, id, 2_000).await;
    // The first sample after the end was due comes far too late: an attacker who can make a source fail must not
    // choose the deciding price.
    arena.price("101.00", COINGECKO, -1_400).await;
    let waits = outcome(&arena, id).await;
    assert!(waits.settled.is_empty(), "{waits:?}");
    let [want] = waits.wants[..] else { panic!("{waits:?}") };
    assert_eq!((want.source, want.elsewhere), (Some(COINGECKO), true));
    assert!(
        told(&arena, COINGECKO, (-2_000, -1_300), &[("99.00", -1_900), ("101.5", -1_600)]).await
    );
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Lost, money("8.00")));
}

#[tokio::test]
async fn where_the_own_history_is_silent_too_another_real_source_tells_both_prices() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, -3_999).await;
    age(&arena, id, 4_000).await;
    assert!(
        told(
            &arena,
            PriceSource::Simulated,
            (-4_010, -1_000),
            &[("1.00", -3_900), ("2.00", -3_880)]
        )
        .await
    );
    assert!(settle(&arena, id).await.is_empty(), "an invented price decides nothing");
    let kraken = PriceSource::Kraken;
    assert!(
        told(&arena, kraken, (-4_010, -1_000), &[("200.00", -3_990), ("150.00", -3_970)]).await
    );
    assert_eq!(
        settled(&arena, id, bot).await,
        (PredictionStatus::Lost, money("8.00")),
        "200 to 150, and not 100 to 150"
    );
    let mut conn = arena.conn().await;
    let shown = predictions::page(&mut conn, PredictionFilter::default(), None, 1).await;
    let shown = shown.unwrap().remove(0);
    assert_eq!(shown.price_source, Some(kraken));
    assert_eq!(shown.start_price, Some(money("200.00")));
}

#[tokio::test]
async fn a_start_that_nobody_sampled_is_told_by_history() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    age(&arena, id, 2_000).await;
    let waits = outcome(&arena, id).await;
    assert_eq!(waits.wants[0].source, None);
    let prices = [("100.00", -1_940), ("101.00", -1_880), ("99.00", -1_800)];
    assert!(told(&arena, COINGECKO, (-2_010, -1_000), &prices).await);
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Won, money("12.00")));
}

#[tokio::test]
async fn a_history_is_read_once_and_only_of_what_is_settled() {
    let arena = Arena::new().await;
    assert!(!told(&arena, COINGECKO, (-900, -500), &[]).await, "a sample may still come");
    assert!(told(&arena, COINGECKO, (-1_200, -700), &[("1.00", -1_000)]).await);
    assert!(!told(&arena, COINGECKO, (-1_100, -650), &[("2.00", -1_050)]).await, "overlaps");
    assert!(told(&arena, PriceSource::Kraken, (-1_100, -650), &[("3.00", -1_050)]).await);
    let now = arena.now().await;
    let span =
        prices::Span { begins_at: now.plus_seconds(-2_000), ends_at: now.plus_seconds(-700) };
    let mut conn = arena.conn().await;
    let left = prices::unread(&mut conn, COINGECKO, span).await.unwrap().unwrap();
    assert_eq!(left.begins_at, span.begins_at);
    assert!(left.ends_at.seconds_since(now.plus_seconds(-1_200)).abs() <= 5, "{left:?}");
    // A late sample of a time that was read is not kept: nothing that decided may change.
    let late = now.plus_seconds(-800);
    let kept = prices::record(&mut conn, COINGECKO, "4.00".parse().unwrap(), late).await;
    assert_eq!(kept.unwrap(), None);
}

#[tokio::test]
async fn only_when_nobody_tells_the_price_for_six_hours_is_a_prediction_void() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, -22_499).await;
    age(&arena, id, 22_500).await;
    assert!(settle(&arena, id).await.is_empty(), "six hours and a quarter are not over");
    age(&arena, id, 20).await;
    arena.price("90.00", PriceSource::Kraken, -20_000).await;
    let mut conn = arena.conn().await;
    let waits = predictions::settle(&mut conn, &[id], arena.rules(), Await).await;
    assert_eq!(waits.unwrap().wants.len(), 1, "nobody was asked yet");
    let ends = settle(&arena, id).await;
    assert_eq!(ends[0].status, PredictionStatus::Void);
    let unpriced = ends[0].unpriced.unwrap();
    assert_eq!(unpriced.would_have, Some(PredictionStatus::Lost));
    let profile = bots::find(&mut *arena.conn().await, &bots::BotRef::Id(bot)).await.unwrap();
    assert_eq!(profile.balance, money("10.00"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_price_that_came_late_is_better_than_none_once_nobody_tells_more() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    age(&arena, id, 22_600).await;
    arena.price("100.00", COINGECKO, -22_599).await;
    // 600 s after it was due; the source's history was never to be had.
    arena.price("99.00", COINGECKO, -21_989).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Lost, money("8.00")));
}

#[tokio::test]
async fn a_late_pair_of_another_real_source_is_better_than_none() {
    let kraken = PriceSource::Kraken;
    // Whether the own source has a start in time or nothing.
    for own in [true, false] {
        let arena = Arena::new().await.with_rules(quick());
        let (bot, id) = place(&arena, "2.00").await;
        age(&arena, id, 22_600).await;
        let start = if own { -22_599 } else { -22_400 };
        arena.price("100.00", COINGECKO, start).await;
        // The end is missing there, a simulated source began earlier, and these came too late to count.
        arena.price("10.00", PriceSource::Simulated, -22_300).await;
        arena.price("11.00", PriceSource::Simulated, -21_500).await;
        arena.price("200.00", kraken, -22_000).await;
        arena.price("150.00", kraken, -21_400).await;
        assert_eq!(
            settled(&arena, id, bot).await,
            (PredictionStatus::Lost, money("8.00")),
            "own: {own}"
        );
        let mut conn = arena.conn().await;
        let shown = predictions::page(&mut conn, PredictionFilter::default(), None, 1).await;
        assert_eq!(shown.unwrap()[0].price_source, Some(kraken), "own: {own}");
    }
}

#[tokio::test]
async fn an_invented_pair_is_no_way_out_of_a_real_start() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    age(&arena, id, 22_600).await;
    arena.price("100.00", COINGECKO, -22_599).await;
    arena.price("10.00", PriceSource::Simulated, -22_300).await;
    arena.price("11.00", PriceSource::Simulated, -21_500).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Void, money("10.00")));
}
