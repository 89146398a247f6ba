//! The house's hourly budget for price predictions.

use db::actions::{self, Placed, Placing};
use db::predictions::{self, MissingPrices};
use db::{DbError, dry_run, house};
use ledger_core::prediction::PriceSource;
use ledger_core::{BotId, EconomyRules, Money, PredictionId, Refusal, Timestamp};
use test_kit::Arena;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn budget(text: &str) -> EconomyRules {
    EconomyRules {
        prediction_horizon_seconds: 10,
        house_loss_budget_per_hour: money(text),
        ..test_kit::rules()
    }
}

async fn place(arena: &Arena, bot: BotId, stake: &str) -> Result<PredictionId, DbError> {
    let mut conn = arena.conn().await;
    let wager = crate::wager(bot, stake);
    let placed = actions::place(&mut conn, &wager, arena.rules(), None).await?;
    Ok(placed.prediction_id.unwrap())
}

/// When wagers open again, by a refusal.
fn refused(outcome: Result<PredictionId, DbError>) -> Timestamp {
    match outcome {
        Err(DbError::Refused(Refusal::HouseBudget { opens_at, .. })) => opens_at,
        other => panic!("{other:?}"),
    }
}

async fn exposure(arena: &Arena) -> (String, String) {
    let seen = house::look(&*arena.conn().await).await.unwrap();
    let text = ledger_core::supply::units_text;
    (text(seen.reserved), text(seen.minted))
}

async fn settle(arena: &Arena, ids: &[PredictionId]) {
    let mut conn = arena.conn().await;
    let void = MissingPrices::Void;
    predictions::settle(&mut conn, ids, arena.rules(), void).await.unwrap();
}

#[tokio::test]
async fn what_is_open_and_what_was_paid_within_the_hour_stay_within_the_budget() {
    let arena = Arena::new().await.with_rules(budget("10.00"));
    let bot = arena.bot().balance("100.00").create().await.id;
    let first = place(&arena, bot, "4.00").await.unwrap();
    let second = place(&arena, bot, "5.00").await.unwrap();
    assert_eq!(exposure(&arena).await, ("9.00000000".to_owned(), "0.00000000".to_owned()));
    let now = arena.now().await;
    let opens_at = refused(place(&arena, bot, "1.01").await);
    // Positions are open that may lose, the first of them in ten seconds.
    assert!((0..=10).contains(&opens_at.seconds_since(now)), "{opens_at}");
    place(&arena, bot, "1.00").await.unwrap();

    // One is right, one is lost: a payout counts for an hour, a lost stake no more.
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    settle(&arena, &[first]).await;
    assert_eq!(exposure(&arena).await, ("6.00000000".to_owned(), "4.00000000".to_owned()));
    refused(place(&arena, bot, "0.01").await);
    let owner = arena.owner_client().await;
    let turn = format!("UPDATE predictions SET direction = 'DOWN' WHERE id = {second}");
    owner.batch_execute(&turn).await.unwrap();
    settle(&arena, &[second]).await;
    assert_eq!(exposure(&arena).await, ("1.00000000".to_owned(), "4.00000000".to_owned()));
    place(&arena, bot, "5.00").await.unwrap();

    // An hour later the payout no longer counts.
    refused(place(&arena, bot, "4.00").await);
    let later = "UPDATE house_minted SET minute = minute - interval '62 minutes'";
    owner.batch_execute(later).await.unwrap();
    place(&arena, bot, "4.00").await.unwrap();
    refused(place(&arena, bot, "0.01").await);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_writes_nothing_and_says_when_an_hour_is_over() {
    let arena = Arena::new().await.with_rules(budget("3.00"));
    let bot = arena.bot().balance("100.00").create().await.id;
    let id = place(&arena, bot, "3.00").await.unwrap();
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    settle(&arena, &[id]).await;
    let opens_at = refused(place(&arena, bot, "1.00").await);
    let minutes = opens_at.seconds_since(arena.now().await) / 60;
    assert!((59..=61).contains(&minutes), "{minutes}");
    let mut conn = arena.conn().await;
    let wager = crate::wager(bot, "1.00");
    let told = dry_run::wager(&mut conn, &wager, arena.rules()).await;
    let refusal = told.unwrap().refusal;
    let expected = matches!(refusal, Some(dry_run::DryRefusal::Rule(Refusal::HouseBudget { .. })));
    assert!(expected, "{refusal:?}");
    let owner = arena.owner_client().await;
    let count = "SELECT count(*) FROM predictions";
    assert_eq!(owner.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn wagers_of_one_batch_are_admitted_one_after_the_other() {
    let arena = Arena::new().await.with_rules(budget("5.00"));
    let mut wagers = Vec::new();
    for _ in 0..4 {
        let bot = arena.bot().balance("10.00").create().await.id;
        wagers.push(crate::wager(bot, "2.00"));
    }
    let placings: Vec<_> = wagers.iter().map(|wager| Placing { wager, hook: None }).collect();
    let mut conn = arena.conn().await;
    let placed = actions::place_all(&mut conn, &placings, arena.rules()).await;
    let placed = placed.unwrap();
    let accepted = placed.iter().filter(|it| matches!(it, Placed::Accepted(_)));
    assert_eq!(accepted.count(), 2);
    let refused =
        placed.iter().filter(|it| matches!(it, Placed::Refused(Refusal::HouseBudget { .. })));
    assert_eq!(refused.count(), 2);
    assert_eq!(exposure(&arena).await.0, "4.00000000");
    arena.assert_sound().await;
}

/// As many API processes, each with its own read of the remaining budget.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_never_overdraw() {
    let arena = Arena::with_pool(16).await.with_rules(budget("10.00"));
    let mut places = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let bot = arena.bot().balance("10.00").create().await.id;
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        places.spawn(async move {
            let mut conn = database.get().await.unwrap();
            let wager = crate::wager(bot, "1.00");
            match actions::place(&mut conn, &wager, &rules, None).await {
                Ok(_) => 1,
                Err(DbError::Refused(Refusal::HouseBudget { .. })) => 0,
                Err(error) => panic!("{error}"),
            }
        });
    }
    let accepted: i32 = places.join_all().await.into_iter().sum();
    assert_eq!(accepted, 10);
    assert_eq!(exposure(&arena).await.0, "10.00000000");
    arena.assert_sound().await;
}

#[tokio::test]
async fn what_an_older_build_did_not_give_back_is_counted_anew() {
    let arena = Arena::new().await.with_rules(budget("10.00"));
    let bot = arena.bot().balance("100.00").create().await.id;
    place(&arena, bot, "4.00").await.unwrap();
    let owner = arena.owner_client().await;
    owner.batch_execute("UPDATE house_exposure SET reserved = 9.5").await.unwrap();
    refused(place(&arena, bot, "1.00").await);
    db::rules::adopt(&mut *arena.conn().await, arena.rules()).await.unwrap();
    assert_eq!(exposure(&arena).await.0, "4.00000000");
    place(&arena, bot, "6.00").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_for_which_nothing_was_set_aside_waits_for_the_house_too() {
    let arena = Arena::new().await.with_rules(budget("10.00"));
    let bot = arena.bot().balance("100.00").create().await.id;
    let id = place(&arena, bot, "4.00").await.unwrap();
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    let owner = arena.owner_client().await;
    for step in
        ["UPDATE predictions SET reserved = 0", "BEGIN", "SELECT FROM house_exposure FOR UPDATE"]
    {
        owner.batch_execute(step).await.unwrap();
    }
    let (database, rules) = (arena.database().clone(), arena.rules().clone());
    let settling = tokio::spawn(async move {
        let mut conn = database.get().await.unwrap();
        let void = MissingPrices::Void;
        predictions::settle(&mut conn, &[id], &rules, void).await
    });
    let watcher = arena.owner_client().await;
    test_kit::eventually("the settlement waits for the house", || async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE '%house_exposure%'";
        let waits: i64 = watcher.query_one(waits, &[]).await.unwrap().get(0);
        (waits == 1).then_some(())
    })
    .await;
    owner.batch_execute("COMMIT").await.unwrap();
    assert_eq!(settling.await.unwrap().unwrap().settled.len(), 1);
    arena.assert_sound().await;
}
