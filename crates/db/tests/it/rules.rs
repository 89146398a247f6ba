//! Positions are settled by the rules of their start, even after a change of settings.

use db::predictions::{self, PredictionFilter};
use db::ticks::{self, Due, Selection, TickEngine};
use db::{actions, bots, rules};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::prediction::{PredictionStatus, PriceSource};
use ledger_core::{BotId, EconomyRules, Money, PredictionId};
use test_kit::Arena;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn quick() -> EconomyRules {
    EconomyRules { prediction_horizon_seconds: 10, ..test_kit::rules() }
}

async fn place(arena: &Arena, rules: &EconomyRules) -> (BotId, PredictionId) {
    let bot = arena.bot().balance("10.00").create().await.id;
    let wager = crate::wager(bot, "2.00");
    let mut conn = arena.conn().await;
    let accepted = actions::place(&mut conn, &wager, rules, None).await;
    (bot, accepted.unwrap().prediction_id.unwrap())
}

async fn balance(arena: &Arena, bot: BotId) -> Money {
    let mut conn = arena.conn().await;
    let profile = bots::find(&mut conn, &bots::BotRef::Id(bot)).await.unwrap();
    profile.balance
}

#[tokio::test]
async fn a_changed_factor_touches_new_positions_alone() {
    let arena = Arena::new().await;
    let three = EconomyRules { payout_factor: 3, ..quick() };
    let (old_bot, old) = place(&arena, &quick()).await;
    let (new_bot, new) = place(&arena, &three).await;
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    let mut conn = arena.conn().await;
    predictions::settle(&mut conn, &[old, new], &three, db::predictions::MissingPrices::Void)
        .await
        .unwrap();
    assert_eq!(balance(&arena, old_bot).await, money("12.00"));
    assert_eq!(balance(&arena, new_bot).await, money("14.00"));
    arena.assert_sound().await;
    let shown = predictions::page(&mut conn, PredictionFilter::default(), None, 10).await.unwrap();
    let named: Vec<_> = shown.iter().map(|it| it.rules).collect();
    assert_eq!(named, [Some(three.digest()), Some(quick().digest())]);
    let kept = rules::find(&mut conn, three.digest()).await.unwrap().unwrap();
    assert_eq!(kept.text, three.canonical());
}

#[tokio::test]
async fn a_changed_horizon_and_grace_touch_new_positions_alone() {
    let arena = Arena::new().await;
    let (bot, id) = place(&arena, &quick()).await;
    let later =
        EconomyRules { prediction_horizon_seconds: 3_600, sample_grace_seconds: 1, ..quick() };
    arena.price("100.00", PriceSource::Coingecko, 5).await;
    let mut conn = arena.conn().await;
    assert_eq!(predictions::assign_start_prices(&mut conn, &later).await.unwrap(), 1);
    arena.price("101.00", PriceSource::Coingecko, 18).await;
    let ends = predictions::settle(&mut conn, &[id], &later, db::predictions::MissingPrices::Void)
        .await
        .unwrap();
    assert_eq!(ends.settled[0].status, PredictionStatus::Won);
    assert_eq!(balance(&arena, bot).await, money("12.00"));
    arena.assert_sound().await;
}

/// A row as the build before this one wrote it.
async fn forget_rules(arena: &Arena) {
    let owner = arena.owner_client().await;
    owner.batch_execute("UPDATE predictions SET rules = NULL, reserved = 0").await.unwrap();
}

#[tokio::test]
async fn what_was_open_before_an_upgrade_gets_the_rules_of_the_first_start_and_keeps_them() {
    let arena = Arena::new().await;
    let (bot, id) = place(&arena, &quick()).await;
    forget_rules(&arena).await;
    let mut conn = arena.conn().await;
    assert_eq!(rules::adopt(&mut conn, &quick()).await.unwrap(), 1);
    let three = EconomyRules { payout_factor: 3, ..quick() };
    assert_eq!(rules::adopt(&mut conn, &three).await.unwrap(), 0, "it has some");
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    predictions::settle(&mut conn, &[id], &three, db::predictions::MissingPrices::Void)
        .await
        .unwrap();
    assert_eq!(balance(&arena, bot).await, money("12.00"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn services_may_start_at_once_with_rules_that_nobody_has_kept() {
    let arena = Arena::with_pool(8).await;
    place(&arena, &quick()).await;
    forget_rules(&arena).await;
    let mut starts = tokio::task::JoinSet::new();
    for factor in [2, 2, 3, 3, 4, 4] {
        let database = arena.database().clone();
        starts.spawn(async move {
            let rules = EconomyRules { payout_factor: factor, ..test_kit::rules() };
            let mut conn = database.get().await.unwrap();
            rules::adopt(&mut conn, &rules).await.unwrap()
        });
    }
    let adopted: i64 = starts.join_all().await.into_iter().sum();
    assert_eq!(adopted, 1, "one of them names the rules, once");
}

#[tokio::test]
async fn a_tick_ends_with_the_fees_it_began_with() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let mut conn = arena.conn().await;
    let begun = arena.rules_in(Enforce);
    let Due::Begun(first) = ticks::due(&mut conn, &begun, 0).await.unwrap() else {
        panic!("not begun")
    };
    // The ticker died, and the next one was started with other settings.
    let dearer = EconomyRules { entropy_base: money("2.00"), ..begun.clone() };
    let Due::Open(open) = ticks::due(&mut conn, &dearer, 0).await.unwrap() else {
        panic!("not open")
    };
    assert_eq!(open, first);
    let kept = rules::of(&mut conn, open.rules, &dearer).await.unwrap();
    assert_eq!(*kept, begun);
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    let all = Selection::Waiting { after: BotId(i64::MIN), limit: 10 };
    engine.apply(&open, &kept, &all).await.unwrap();
    assert_eq!(balance(&arena, bot).await, money("9.50"));
}

#[tokio::test]
async fn what_is_adopted_counts_against_the_house_budget() {
    let arena = Arena::new().await;
    place(&arena, &quick()).await;
    let three = EconomyRules { payout_factor: 3, ..quick() };
    place(&arena, &three).await;
    // One as the build before rules wrote it, one as an earlier adoption left it.
    let owner = arena.owner_client().await;
    let older = format!(
        "UPDATE predictions SET reserved = 0; UPDATE house_exposure SET reserved = 0; \
         UPDATE predictions SET rules = NULL WHERE rules <> '\\x{}'",
        three.digest()
    );
    owner.batch_execute(&older).await.unwrap();
    let mut conn = arena.conn().await;
    assert_eq!(rules::adopt(&mut conn, &quick()).await.unwrap(), 1);
    // 2.00 × (2 − 1) and 2.00 × (3 − 1).
    let seen = db::house::look(&conn).await.unwrap();
    assert_eq!(seen.reserved, 600_000_000);
    assert_eq!(rules::adopt(&mut conn, &three).await.unwrap(), 0);
    let again = db::house::look(&conn).await.unwrap();
    assert_eq!(again, seen, "a second start changes nothing");
}
