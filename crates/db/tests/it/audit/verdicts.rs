//! Predictions and the prices that decided them.

use super::*;

/// One prediction that was right hours ago, by the older of two sources that both have its prices, and one that
/// is void because no source has its end: with rules with a lag, and long after an upgrade.
async fn with_a_lag() -> Arena {
    let rules = EconomyRules {
        sample_lag_seconds: 60,
        prediction_horizon_seconds: 10,
        ..test_kit::rules()
    };
    let arena = Arena::new().await.with_rules(rules);
    let owner = arena.owner_client().await;
    let mut conn = arena.conn().await;
    let (coingecko, kraken) = (PriceSource::Coingecko, PriceSource::Kraken);
    let mut ids = Vec::new();
    // Far from each other, so that no price of one is of the time of the other.
    for (stake, age) in [("1.00", 4_000), ("2.00", 40_000)] {
        let bot = arena.bot().create().await.id;
        let wager = crate::wager(bot, stake);
        let accepted = actions::place(&mut conn, &wager, arena.rules(), None).await;
        let id = accepted.unwrap().prediction_id.unwrap();
        let older = format!(
            "UPDATE predictions SET created_at = created_at - interval '{age} seconds', \
                    settles_at = settles_at - interval '{age} seconds' WHERE id = {id}"
        );
        owner.batch_execute(&older).await.unwrap();
        ids.push(id);
    }
    for (price, source, at) in [
        ("70.00", coingecko, -39_930),
        ("100.00", coingecko, -3_930),
        ("200.00", kraken, -3_925),
        ("101.00", coingecko, -3_915),
        ("150.00", kraken, -3_910),
    ] {
        arena.price(price, source, at).await;
    }
    let void = db::predictions::MissingPrices::Void;
    let ends = predictions::settle(&mut conn, &ids, arena.rules(), void).await.unwrap();
    let ends: Vec<&str> = ends.settled.iter().map(|end| end.status.as_str()).collect();
    assert_eq!(ends, ["WON", "VOID"]);
    owner
        .batch_execute(
            "SET session_replication_role = replica; \
             UPDATE __diesel_schema_migrations SET run_on = run_on - interval '3 days'; \
             UPDATE economy_rules SET first_used_at = first_used_at - interval '3 days'",
        )
        .await
        .unwrap();
    arena.assert_sound().await;
    arena
}

#[tokio::test]
async fn each_fault_of_a_prediction_is_named_for_what_it_is() {
    let taken = |price: i64, source: &str, seconds: i64| {
        format!(
            "INSERT INTO prices (id, source, price, provider_at, sampled_at) \
             SELECT -{price}, '{source}', {price}, at, at \
               FROM (SELECT provider_at + interval '{seconds} seconds' AS at FROM prices WHERE price = 70) s;"
        )
    };
    let cases = [
        // By the other source, although its own one has both prices.
        (
            "UPDATE predictions p SET status = 'LOST', payout = 0, price_source = 'kraken', \
                    start_price_id = s.id, start_price = s.price, end_price_id = e.id, end_price = e.price \
               FROM prices s, prices e WHERE p.status = 'WON' AND s.price = 200 AND e.price = 150"
                .to_owned(),
            "samples of its own source",
        ),
        // The same with a simulated own source, and a real one that stopped and was never the own one.
        (
            "UPDATE prices SET source = 'simulated' WHERE price IN (100, 101); \
             INSERT INTO prices (id, source, price, provider_at, sampled_at) \
             SELECT max_id + 1, 'coingecko', 74, at, at \
               FROM (SELECT provider_at + interval '1 second' AS at, (SELECT max(id) FROM prices) AS max_id \
                       FROM prices WHERE price = 100) s; \
             UPDATE predictions p SET status = 'LOST', payout = 0, price_source = 'kraken', \
                    start_price_id = s.id, start_price = s.price, end_price_id = e.id, end_price = e.price \
               FROM prices s, prices e WHERE p.status = 'WON' AND s.price = 200 AND e.price = 150"
                .to_owned(),
            "samples of its own source",
        ),
        (
            "UPDATE prices SET provider_at = provider_at - interval '30 seconds' WHERE price = 100".to_owned(),
            "a start sample at or after it was due",
        ),
        (
            "UPDATE prices SET provider_at = provider_at + interval '1 hour' WHERE price IN (100, 101)".to_owned(),
            "samples within the grace",
        ),
        (
            "UPDATE predictions SET start_price_id = NULL, start_price = NULL, price_source = NULL \
              WHERE status = 'VOID'"
                .to_owned(),
            "a verdict: its start sample was there",
        ),
        (
            taken(71, "coingecko", 700),
            "a verdict: its end sample was there",
        ),
        (
            taken(72, "kraken", 500) + &taken(73, "kraken", 600),
            "a verdict: the samples of another source were there",
        ),
        (
            "UPDATE predictions SET resolved_at = created_at + interval '22570 seconds' \
              WHERE status = 'VOID'"
                .to_owned(),
            "a wait for its samples",
        ),
        (
            "UPDATE predictions SET payout = payout + 1 WHERE status = 'VOID'".to_owned(),
            "its stake back",
        ),
        (
            "UPDATE predictions SET start_price_id = s.id, start_price = s.price \
               FROM prices s WHERE s.price = 100 AND status = 'VOID'"
                .to_owned(),
            "samples within the grace",
        ),
        (
            "UPDATE predictions SET rules = NULL WHERE status = 'WON'".to_owned(),
            "the digest of the rules it began under",
        ),
    ];
    for (change, expected) in cases {
        let arena = with_a_lag().await;
        let faults = tampered(&arena, &change).await;
        let is_named = |fault: &String| fault.contains("prediction ") && fault.contains(expected);
        assert!(faults.iter().any(is_named), "{change}: {faults:?}");
    }
}

#[tokio::test]
async fn another_source_may_take_the_place_of_a_silent_one_only() {
    let arena = with_a_lag().await;
    // The own source stopped after the start: then the other one's verdict is valid.
    let owner = arena.owner_client().await;
    owner
        .batch_execute(
            "SET session_replication_role = replica; \
             UPDATE prices SET sampled_at = clock_timestamp() WHERE price = 101",
        )
        .await
        .unwrap();
    let change = "UPDATE predictions p SET status = 'LOST', payout = 0, price_source = 'kraken', \
                    start_price_id = s.id, start_price = s.price, end_price_id = e.id, end_price = e.price \
               FROM prices s, prices e WHERE p.status = 'WON' AND s.price = 200 AND e.price = 150";
    let faults = tampered(&arena, change).await;
    // The payout for the other verdict is reported, but not the choice of the source.
    assert!(!faults.iter().any(|fault| fault.contains("own source")), "{faults:?}");
    // It must have been waited for all the same.
    let hasty = "UPDATE predictions SET resolved_at = created_at + interval '1800 seconds' WHERE status = 'LOST'; \
                 UPDATE prices SET sampled_at = provider_at WHERE price IN (150, 200)";
    let faults = tampered(&arena, hasty).await;
    assert!(faults.iter().any(|fault| fault.contains("own source")), "{faults:?}");
}

#[tokio::test]
async fn what_an_older_build_wrote_during_an_upgrade_is_no_fault() {
    let arena = with_everything().await;
    let owner = arena.owner_client().await;
    owner
        .batch_execute(
            "SET session_replication_role = replica; UPDATE predictions SET rules = NULL; \
             UPDATE bets SET rules = NULL; UPDATE markets SET rules = NULL",
        )
        .await
        .unwrap();
    arena.assert_sound().await;
}
