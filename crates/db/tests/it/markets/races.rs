//! Bets, oracles and operators at the same moment.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_bets_at_once_on_one_balance_exactly_what_fits_is_taken() {
    let arena = Arena::with_pool(16).await;
    let bot = arena.bot().balance("3.50").create().await.id;
    let rules = EconomyRules {
        markets: MarketRules {
            bounty_budget_per_hour: "100000.00".parse().unwrap(),
            places: 1_000,
            ..MarketRules::default()
        },
        ..EconomyRules::default()
    };
    let arena = arena.with_rules(rules);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let market = arena.market(MarketSource::News).await.id;
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        tasks.spawn(async move {
            let slip = slip(bot, vec![new_bet(market, Side::Yes, "1.00")]);
            markets::place(&mut database.get().await.unwrap(), &slip, &rules, None).await
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(
            matches!(refused, DbError::Refused(Refusal::InsufficientFunds { .. })),
            "{refused}"
        );
    }
    assert_eq!(balance(&arena, bot).await, "0.50000000");
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bot_gets_one_bet_on_a_market_however_many_it_sends_at_once() {
    let arena = Arena::with_pool(16).await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        tasks.spawn(async move {
            let slip = slip(bot, vec![new_bet(market, Side::Yes, "1.00")]);
            markets::place(&mut database.get().await.unwrap(), &slip, &rules, None).await
        });
    }
    let taken = tasks.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!(taken, 1);
    assert_eq!(balance(&arena, bot).await, "999.00000000");
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_oracles_and_an_operator_at_once_settle_a_market_once() {
    let arena = Arena::with_pool(24).await;
    let operator: ledger_core::economy::Operator = "ops".parse().unwrap();
    for round in 0..4 {
        let bots = [arena.bot().create().await.id, arena.bot().create().await.id];
        let market = arena.market(MarketSource::News).await.id;
        arena.bet(bots[0], market, Side::Yes, "10.00").await;
        arena.bet(bots[1], market, Side::No, "10.00").await;
        arena.lock_market(market).await;
        arena.decide(market, Side::Yes).await;
        let mut tasks = tokio::task::JoinSet::new();
        for place in 0..8 {
            let (database, operator) = (arena.database().clone(), operator.clone());
            tasks.spawn(async move {
                let mut conn = database.get().await.unwrap();
                if place % 4 == 3 {
                    markets::void(&mut conn, market, "race", VoidBy::Operator(&operator), None)
                        .await
                        .is_ok()
                } else {
                    markets::settle(&mut conn, market).await.unwrap().is_some()
                }
            });
        }
        let ended = tasks.join_all().await.into_iter().filter(|did| *did).count();
        assert_eq!(ended, 1, "round {round}");
        let closing = "SELECT count(*) FROM ledger WHERE entry_type IN \
            ('MARKET_PAYOUT', 'REFUND', 'SLASH', 'FORFEIT')";
        assert_eq!(count(&arena, closing).await, 2 * (round + 1));
    }
    arena.assert_sound().await;
}
