mod history;

use db::predictions::MissingPrices::{Await, Void};
use db::predictions::{self, PredictionFilter};
use db::{DbError, actions, bots, prices};
use ledger_core::prediction::{PredictionStatus, PriceSource};
use ledger_core::{BotStatus, EconomyRules, EntryType, Money, PredictionId};
use test_kit::Arena;

const COINGECKO: PriceSource = PriceSource::Coingecko;

/// A horizon and a grace of one second, so that samples a few seconds ahead decide.
fn quick() -> EconomyRules {
    EconomyRules { prediction_horizon_seconds: 10, ..test_kit::rules() }
}

async fn place(arena: &Arena, stake: &str) -> (ledger_core::BotId, PredictionId) {
    let bot = arena.bot().balance("10.00").create().await.id;
    let wager = crate::wager(bot, stake);
    let accepted =
        actions::place(&mut *arena.conn().await, &wager, arena.rules(), None).await.unwrap();
    (bot, accepted.prediction_id.unwrap())
}

async fn settle(arena: &Arena, id: PredictionId) -> Vec<predictions::Settled> {
    predictions::settle(&mut *arena.conn().await, &[id], arena.rules(), Void).await.unwrap().settled
}

async fn settled(
    arena: &Arena,
    id: PredictionId,
    bot: ledger_core::BotId,
) -> (PredictionStatus, Money) {
    let ends = settle(arena, id).await;
    assert_eq!(ends.len(), 1);
    assert_eq!(settle(arena, id).await.len(), 0, "a second call pays nothing");
    let profile = bots::find(&mut *arena.conn().await, &bots::BotRef::Id(bot)).await.unwrap();
    assert_eq!((profile.open_predictions, profile.open_stake), (0, Money::ZERO));
    arena.assert_sound().await;
    (ends[0].status, profile.balance)
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_right_prediction_pays_twice_its_wager() {
    let arena = Arena::new().await.with_rules(quick());
    // Seen before the wager: it must not count as the start.
    arena.price("1.00", COINGECKO, -5).await;
    let (bot, id) = place(&arena, "2.00").await;
    assert_eq!(settle(&arena, id).await.len(), 0, "no sample has come");
    arena.price("100.00", COINGECKO, 1).await;
    assert_eq!(
        predictions::assign_start_prices(&mut *arena.conn().await, arena.rules()).await.unwrap(),
        1
    );
    assert_eq!(settle(&arena, id).await.len(), 0, "the end has not come");
    arena.price("100.00000001", COINGECKO, 12).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Won, money("12.00")));
    let page = predictions::page(&mut *arena.conn().await, PredictionFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page[0].start_price, Some(money("100.00")));
    assert_eq!(page[0].payout, Some(money("4.00")));
    // (0.60 − 1)²
    assert_eq!(page[0].brier, Some("0.16".parse().unwrap()));
}

#[tokio::test]
async fn a_wrong_prediction_is_slashed_and_an_equal_price_refunded() {
    let arena = Arena::new().await.with_rules(quick());
    let (loser, lost) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("99.99", COINGECKO, 12).await;
    assert_eq!(settled(&arena, lost, loser).await, (PredictionStatus::Lost, money("8.00")));
    let entries = db::ledger::page(&mut *arena.conn().await, loser, None, 1).await.unwrap();
    assert_eq!(entries[0].entry_type, EntryType::Slash);
    assert_eq!(entries[0].reference.as_str(), format!("PREDICTION:{lost}"));

    let arena = Arena::new().await.with_rules(quick());
    let (even, void) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("100.00", COINGECKO, 12).await;
    assert_eq!(settled(&arena, void, even).await, (PredictionStatus::Void, money("10.00")));
}

/// Moves a prediction so many seconds into the past.
async fn age(arena: &Arena, id: PredictionId, seconds: i64) {
    let sql = format!(
        "UPDATE predictions SET created_at = created_at - interval '{seconds} seconds', \
                settles_at = settles_at - interval '{seconds} seconds' WHERE id = {id}"
    );
    arena.owner_client().await.batch_execute(&sql).await.unwrap();
}

async fn outcome(arena: &Arena, id: PredictionId) -> predictions::Outcome {
    predictions::settle(&mut *arena.conn().await, &[id], arena.rules(), Void).await.unwrap()
}

/// Stores a source's history: prices at seconds from now, of the span between two others.
async fn told(
    arena: &Arena,
    source: PriceSource,
    span: (i64, i64),
    prices: &[(&str, i64)],
) -> bool {
    let now = arena.now().await;
    let prices: Vec<_> =
        prices.iter().map(|(price, at)| (price.parse().unwrap(), now.plus_seconds(*at))).collect();
    let span =
        prices::Span { begins_at: now.plus_seconds(span.0), ends_at: now.plus_seconds(span.1) };
    prices::record_history(&mut *arena.conn().await, source, span, &prices).await.unwrap()
}

#[tokio::test]
async fn a_change_of_source_decides_nothing_and_the_own_source_does() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("101.00", PriceSource::Simulated, 12).await;
    assert_eq!(settle(&arena, id).await.len(), 0);
    arena.price("99.00", COINGECKO, 13).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Lost, money("8.00")));
}

#[tokio::test]
async fn the_start_is_the_first_price_after_the_lag() {
    let rules = EconomyRules { sample_lag_seconds: 60, ..quick() };
    let arena = Arena::new().await.with_rules(rules);
    let (bot, id) = place(&arena, "2.00").await;
    // The provider's average follows prices that were already public: not the start.
    arena.price("90.00", COINGECKO, 5).await;
    arena.price("95.00", COINGECKO, 58).await;
    assert_eq!(
        predictions::assign_start_prices(&mut *arena.conn().await, arena.rules()).await.unwrap(),
        0
    );
    arena.price("100.00", COINGECKO, 65).await;
    assert_eq!(
        predictions::assign_start_prices(&mut *arena.conn().await, arena.rules()).await.unwrap(),
        1
    );
    arena.price("99.00", COINGECKO, 76).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Lost, money("8.00")));
}

#[tokio::test]
async fn a_start_price_once_given_stays() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, 2).await;
    predictions::assign_start_prices(&mut *arena.conn().await, arena.rules()).await.unwrap();
    // Late, and earlier at its provider: with this as the start the prediction would be wrong.
    arena.price("500.00", COINGECKO, 1).await;
    arena.price("101.00", COINGECKO, 13).await;
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Won, money("12.00")));
}

#[tokio::test]
async fn the_dead_forfeit_and_the_revived_are_paid() {
    let arena = Arena::new().await.with_rules(quick());
    let mut conn = arena.conn().await;
    let who = "ops".parse().unwrap();
    let bot = arena.bot().balance("2.10").create().await.id;
    let wager = crate::wager(bot, "1.00");
    let first = actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    let wager = crate::wager(bot, "1.00");
    let second = actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    arena.tick(ledger_core::Enforcement::Enforce).await;
    let by_id = bots::BotRef::Id(bot);
    let profile = bots::find(&mut conn, &by_id).await.unwrap();
    assert_eq!((profile.status, profile.balance), (BotStatus::Dead, Money::ZERO));
    arena.assert_sound().await;
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("101.00", COINGECKO, 12).await;

    let ends = settle(&arena, first.prediction_id.unwrap()).await;
    assert_eq!(ends[0].status, PredictionStatus::Forfeit);
    bots::revive(&mut conn, &by_id, money("1.00"), &who, "why not", None).await.unwrap();
    let ends = settle(&arena, second.prediction_id.unwrap()).await;
    assert_eq!((ends[0].status, ends[0].payout), (PredictionStatus::Won, money("2.00")));
    let profile = bots::find(&mut conn, &by_id).await.unwrap();
    assert_eq!((profile.balance, profile.open_predictions), (money("3.00"), 0));
    arena.assert_sound().await;
}

#[tokio::test]
async fn many_oracles_pay_once() {
    let arena = Arena::with_pool(16).await.with_rules(quick());
    let mut ids = Vec::new();
    for _ in 0..4 {
        let bot = arena.bot().balance("10.00").create().await.id;
        for _ in 0..4 {
            let wager = crate::wager(bot, "1.00");
            let mut conn = arena.conn().await;
            let accepted = actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
            ids.push(accepted.prediction_id.unwrap());
        }
    }
    arena.price("100.00", COINGECKO, 5).await;
    arena.price("101.00", COINGECKO, 16).await;
    let mut oracles = tokio::task::JoinSet::new();
    for turn in 0..8 {
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        let mut ids = ids.clone();
        ids.rotate_left(turn * 2);
        oracles.spawn(async move {
            let mut conn = database.get().await.unwrap();
            predictions::settle(&mut conn, &ids, &rules, Void).await.unwrap().settled.len()
        });
    }
    let mut paid = 0;
    while let Some(count) = oracles.join_next().await {
        paid += count.unwrap();
    }
    assert_eq!(paid, ids.len());
    arena.assert_sound().await;
}

#[tokio::test]
async fn an_observation_is_used_once_even_if_redis_forgot() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let mut conn = arena.conn().await;
    let wager = crate::wager(bot, "1.00");
    actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    for again in [
        actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap_err(),
        actions::wait(&mut conn, &crate::waiting(&wager), arena.rules(), None).await.unwrap_err(),
    ] {
        assert!(
            matches!(again, DbError::Conflict(db::error::Conflict::ObservationUsed)),
            "{again:?}"
        );
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_wager_tells_its_story_in_one_transaction() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let mut conn = arena.conn().await;
    let mut wager = crate::wager(bot, "1.00");
    wager.usage = Some(db::usage::Usage {
        provider: "mock".to_owned(),
        model: "mock-1".to_owned(),
        llm_calls: 2,
        unreported_calls: 0,
        input_tokens: 1200,
        output_tokens: 80,
        cached_input_tokens: Some(200),
        reasoning_tokens: None,
        cost_usd: Some("0.0012".parse().unwrap()),
        priced_usd: None,
    });
    let accepted = actions::place(&mut conn, &wager, arena.rules(), None).await.unwrap();
    assert_eq!(accepted.new_balance, money("999.00"));
    let owner = arena.owner_client().await;
    let count = |sql: &'static str| {
        let owner = &owner;
        async move { owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) }
    };
    assert_eq!(
        count("SELECT count(*) FROM posts WHERE kind = 'WAGER' AND reference LIKE 'OBS:%'").await,
        1
    );
    assert_eq!(count("SELECT count(*) FROM audit_log WHERE action = 'PREDICT'").await, 1);
    assert_eq!(count("SELECT input_tokens FROM agent_metrics WHERE kind = 'ACTION'").await, 1200);
    let kinds = "SELECT string_agg(kind::text, ' ' ORDER BY id) FROM events WHERE xid = (SELECT max(xid) FROM events)";
    let kinds: String = owner.query_one(kinds, &[]).await.unwrap().get(0);
    assert_eq!(kinds, "entry post prediction");
}

#[tokio::test]
async fn postgres_itself_keeps_what_is_settled() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    let owner = arena.owner_client().await;
    for forbidden in ["DELETE FROM predictions", "TRUNCATE predictions"] {
        assert!(owner.batch_execute(forbidden).await.is_err(), "{forbidden}");
    }
    arena.price("100.00", COINGECKO, 2).await;
    arena.price("101.00", COINGECKO, 13).await;
    assert_eq!(
        settled(&arena, id, bot).await.0,
        PredictionStatus::Won,
        "what is open is settled as before"
    );
    for forbidden in [
        "UPDATE predictions SET payout = 1000",
        "UPDATE predictions SET status = 'OPEN', resolved_at = NULL",
        "UPDATE predictions SET end_price_id = start_price_id",
    ] {
        let refused = owner.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "23001", "{forbidden}");
    }
}

#[tokio::test]
async fn a_sample_older_than_any_that_is_taken_is_not_kept() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    let mut conn = arena.conn().await;
    for (seconds, kept) in [(-615, false), (-585, true)] {
        let at = now.plus_seconds(seconds);
        let row = prices::record(&mut conn, COINGECKO, "1.00".parse().unwrap(), at).await;
        assert_eq!(row.unwrap().is_some(), kept, "{seconds}");
    }
}

#[tokio::test]
async fn a_clock_set_back_makes_no_fault_of_a_sound_verdict() {
    let arena = Arena::new().await.with_rules(quick());
    let (bot, id) = place(&arena, "2.00").await;
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("101.00", COINGECKO, 12).await;
    let owner = arena.owner_client().await;
    let ahead = "SET session_replication_role = replica; \
                 UPDATE prices SET sampled_at = sampled_at + interval '1 hour'";
    owner.batch_execute(ahead).await.unwrap();
    assert_eq!(settled(&arena, id, bot).await, (PredictionStatus::Won, money("12.00")));
}

#[tokio::test]
async fn rules_with_absurd_spans_stop_neither_settlement_nor_audit() {
    let arena = Arena::new().await.with_rules(quick());
    place(&arena, "1.00").await;
    let (bot, id) = place(&arena, "2.00").await;
    let absurd = EconomyRules {
        prediction_horizon_seconds: i64::MAX,
        sample_grace_seconds: i64::MAX,
        sample_patience_seconds: i64::MAX,
        ..quick()
    };
    let owner = arena.owner_client().await;
    let keep = "INSERT INTO economy_rules (digest, rules) VALUES ($1, $2)";
    let digest = absurd.digest().0.to_vec();
    owner.execute(keep, &[&digest, &absurd.canonical()]).await.unwrap();
    let name = "UPDATE predictions SET rules = $1 WHERE bot_id <> $2";
    owner.execute(name, &[&digest, &bot.0]).await.unwrap();
    arena.price("100.00", COINGECKO, 1).await;
    arena.price("101.00", COINGECKO, 12).await;
    let mut conn = arena.conn().await;
    let assigned = predictions::assign_start_prices(&mut conn, arena.rules()).await;
    assert_eq!(assigned.unwrap(), 2);
    let all: Vec<PredictionId> = vec![PredictionId(id.0 - 1), id];
    let outcome = predictions::settle(&mut conn, &all, arena.rules(), Void).await;
    assert_eq!(outcome.unwrap().settled.len(), 1);
    arena.assert_sound().await;
}
