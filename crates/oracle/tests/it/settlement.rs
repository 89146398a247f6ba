//! How predictions end.

mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::prediction::Direction::{self, Down, Up};
use ledger_core::prediction::PredictionStatus::{Forfeit, Lost, Open, Void, Won};
use ledger_core::prediction::PriceSource::{self, Coingecko, Kraken, Simulated};
use ledger_core::{BotId, PredictionId, Timestamp};
use oracle::round::SETTLE_BATCH_MAX;
use oracle::sampling::Sampled;
use oracle::sources::{FeedError, History, PriceFeed, Quote};
use test_kit::{Arena, TestBot};

use crate::support::{
    age, cache, entries, oracle_of, past_wager, prediction, round_at, round_now, settler,
    status_of, wager,
};

/// An arena with a bot and one prediction, placed 400 s ago with a stake of 1.00 of 10.00.
async fn with_wager(direction: Direction) -> (Arena, TestBot, PredictionId) {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    let id = past_wager(&arena, bot.id, "1.00", direction, 400).await;
    (arena, bot, id)
}

/// Type and amount of a bot's last entry.
async fn last_entry(arena: &Arena, bot: BotId) -> (String, String) {
    let (entry_type, amount, _) = entries(arena, bot).await.pop().unwrap();
    (entry_type, amount)
}

fn entry(entry_type: &str, amount: &str) -> (String, String) {
    (entry_type.to_owned(), amount.to_owned())
}

#[tokio::test]
async fn right_is_paid_double_wrong_is_lost() {
    for (direction, status, last, brier) in [
        (Up, Won, entry("PAYOUT", "2.00000000"), "0.09000000"),
        (Down, Lost, entry("SLASH", "0.00000000"), "0.49000000"),
    ] {
        let (arena, bot, id) = with_wager(direction).await;
        arena.price("60000", Simulated, -390).await;
        arena.price("60000.00000001", Simulated, -90).await;
        let report = round_now(&arena, &settler(&arena).await).await;
        assert_eq!(report.started, Some(1));
        let settled = report.settlement.unwrap().settled;
        assert_eq!(settled.len(), 1);
        assert_eq!((settled[0].id, settled[0].status), (id, status));
        let prediction = prediction(&arena, id).await;
        assert_eq!(prediction.status, status);
        assert_eq!(prediction.brier.unwrap().to_string(), brier);
        assert_eq!(prediction.start_price.unwrap().to_string(), "60000.00000000");
        assert_eq!(prediction.end_price.unwrap().to_string(), "60000.00000001");
        assert_eq!(last_entry(&arena, bot.id).await, last);
        let reference = format!("PREDICTION:{id}");
        assert_eq!(entries(&arena, bot.id).await.pop().unwrap().2, reference);
        arena.assert_sound().await;
    }
}

#[tokio::test]
async fn an_equal_price_gives_the_stake_back() {
    let (arena, bot, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60000", Simulated, -90).await;
    round_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!((prediction.status, prediction.brier), (Void, None));
    assert_eq!(last_entry(&arena, bot.id).await, entry("REFUND", "1.00000000"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn another_source_at_the_end_decides_nothing() {
    let (arena, bot, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("59000", Coingecko, -90).await;
    // The same source again, if not first.
    arena.price("70000", Simulated, -80).await;
    round_now(&arena, &settler(&arena).await).await;
    assert_eq!(prediction(&arena, id).await.status, Won);
    assert_eq!(last_entry(&arena, bot.id).await, entry("PAYOUT", "2.00000000"));
    arena.assert_sound().await;
}

/// A feed with a history, which counts the requests for it.
struct Told {
    source: PriceSource,
    history: Vec<(&'static str, Timestamp)>,
    refusals: AtomicUsize,
    asked: AtomicUsize,
    /// Of the present; silent about it without one.
    price: Option<&'static str>,
    refusal: FeedError,
    /// A moment that its history does not cover.
    leaves_out: Option<Timestamp>,
    reaches_back: Option<i64>,
}

impl Told {
    fn plain(source: PriceSource, history: Vec<(&'static str, Timestamp)>) -> Told {
        Told {
            source,
            history,
            refusals: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            price: None,
            refusal: FeedError::RateLimited { retry_after_seconds: None },
            leaves_out: None,
            reaches_back: None,
        }
    }

    fn new(source: PriceSource, history: Vec<(&'static str, Timestamp)>) -> Arc<Told> {
        Arc::new(Told::plain(source, history))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn refusing(self: Arc<Told>, refusals: usize) -> Arc<Told> {
        self.refusals.store(refusals, Ordering::SeqCst);
        self
    }
}

#[async_trait]
impl PriceFeed for Told {
    fn source(&self) -> PriceSource {
        self.source
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let quote =
            self.price.map(|price| Quote { price: price.parse().unwrap(), provider_at: now });
        quote.ok_or(FeedError::Timeout)
    }

    fn reaches_back_seconds(&self) -> Option<i64> {
        self.reaches_back
    }

    async fn history(&self, asked: Span, _: Timestamp) -> Result<History, FeedError> {
        let Span { begins_at, ends_at } = asked;
        self.asked.fetch_add(1, Ordering::SeqCst);
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() {
            Err(self.refusal.clone())
        } else {
            let within = |at: &Timestamp| begins_at <= *at && *at < ends_at;
            let quote = |(price, at): &(&str, Timestamp)| Quote {
                price: price.parse().unwrap(),
                provider_at: *at,
            };
            let told = self.history.iter().filter(|(_, at)| within(at));
            let mut history = History::whole(told.map(quote).collect(), asked);
            if let Some(left_out) = self.leaves_out.filter(within) {
                let behind = Timestamp::from_micros(left_out.micros() + 1).unwrap();
                let span = |begins_at, ends_at| Span { begins_at, ends_at };
                history.told = vec![span(begins_at, left_out), span(behind, ends_at)];
                history.told.retain(|told| told.begins_at < told.ends_at);
                history.problem = Some(FeedError::NoPrices);
            }
            Ok(history)
        }
    }
}

/// Predictions that were put off are looked at again at once.
async fn look_again(arena: &Arena) {
    let sql = "UPDATE predictions SET settles_at = created_at WHERE status = 'OPEN'";
    arena.owner_client().await.batch_execute(sql).await.unwrap();
}

async fn end_cooldowns(arena: &Arena) {
    let over = "UPDATE source_cooldowns SET until = clock_timestamp()";
    arena.owner_client().await.batch_execute(over).await.unwrap();
}

/// Strikes of a source, or of its history; 0 where there is no cooldown.
async fn strikes(arena: &Arena, name: &str) -> i32 {
    let cooldown = db::leases::cooldown(&mut *arena.conn().await, name).await;
    cooldown.unwrap().map_or(0, |cooldown| cooldown.strikes)
}

/// How many on UP were void because no source had their prices.
fn unpriced() -> u64 {
    let text = daemon::metrics::text().unwrap();
    let series = r#"arena_predictions_unpriced_total{direction="UP",would_have="unknown"} "#;
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn void_is_the_last_resort() {
    let rules = EconomyRules { sample_patience_seconds: 3_600, ..test_kit::rules() };
    let arena = Arena::new().await.with_rules(rules);
    let bot = arena.bot().balance("10.00").create().await;
    let id = past_wager(&arena, bot.id, "1.00", Up, 30_000).await;
    let now = arena.now().await;
    let ask = async |seconds: i64| {
        look_again(&arena).await;
        // Restarted each time, which is no interruption.
        round_at(&settler(&arena).await, now.plus_seconds(seconds)).await;
        prediction(&arena, id).await.status
    };
    // Its time is long over, but oracles have only just begun their requests.
    for seconds in (0..=3_300).step_by(300) {
        assert_eq!(ask(seconds).await, Open, "{seconds}");
    }
    assert_eq!(ask(3_601).await, Open, "nobody asked for too long");
    assert_eq!(ask(3_900).await, Open);
    let who = "ada".parse().unwrap();
    let mut conn = arena.conn().await;
    let paused = db::pauses::pause_arena(&mut conn, &who, "a look", None).await;
    paused.unwrap();
    assert_eq!(ask(4_000).await, Open);
    let resumed = db::pauses::resume_arena(&mut conn, &who, "", None).await;
    resumed.unwrap();
    for seconds in (4_100..=7_400).step_by(300) {
        assert_eq!(ask(seconds).await, Open, "{seconds}");
    }
    assert_eq!(ask(7_300).await, Open, "the clock was set back");
    for seconds in (7_600..=10_600).step_by(300) {
        assert_eq!(ask(seconds).await, Open, "{seconds}");
    }
    let counted = unpriced();
    assert_eq!(ask(10_900).await, Void);
    assert_eq!(unpriced(), counted + 1, "whoever watches is told");
    assert_eq!(last_entry(&arena, bot.id).await, entry("REFUND", "1.00000000"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_start_is_never_a_price_from_before_the_wager() {
    let (arena, _, id) = with_wager(Up).await;
    arena.price("90000", Simulated, -401).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    round_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!(prediction.status, Won, "60000 → 60001, not 90000 → 60001");
}

#[tokio::test]
async fn a_prediction_waits_for_its_horizon() {
    let (arena, _, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    // Due at -90: this one is ten seconds early.
    arena.price("60001", Simulated, -100).await;
    let report = round_now(&arena, &settler(&arena).await).await;
    assert!(report.settlement.unwrap().settled.is_empty());
    assert_eq!(prediction(&arena, id).await.status, Open);
}

#[tokio::test]
async fn the_positions_of_the_dead_are_forfeit() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("1.00").create().await;
    let id = past_wager(&arena, bot.id, "0.60", Up, 400).await;
    arena.tick(Enforcement::Enforce).await;
    assert_eq!(status_of(&arena, bot.id).await, "DEAD");
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    round_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!((prediction.status, prediction.brier), (Forfeit, None));
    assert_eq!(last_entry(&arena, bot.id).await, entry("FORFEIT", "0.00000000"));
    arena.assert_sound().await;
}

#[tokio::test]
async fn more_than_a_batch_is_settled_in_one_round() {
    let arena = Arena::new().await;
    let ids = many_wagers(&arena, SETTLE_BATCH_MAX + 11).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    let report = round_now(&arena, &settler(&arena).await).await;
    let settlement = report.settlement.unwrap();
    assert_eq!(settlement.settled.len(), ids.len());
    assert!(settlement.failed.is_empty());
    arena.assert_sound().await;
}

#[tokio::test]
async fn two_oracles_at_once_settle_everything_exactly_once() {
    let arena = Arena::with_pool(12).await;
    let ids = many_wagers(&arena, 120).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    let (first, second) = (settler(&arena).await, settler(&arena).await);
    let now = arena.now().await;
    let (one, two) = tokio::join!(round_at(&first, now), round_at(&second, now));
    let by_one = one.settlement.unwrap();
    let by_two = two.settlement.unwrap();
    assert!(by_one.failed.is_empty() && by_two.failed.is_empty());
    let mut settled: Vec<PredictionId> =
        by_one.settled.iter().chain(&by_two.settled).map(|settled| settled.id).collect();
    settled.sort_unstable();
    assert_eq!(settled, ids, "each by exactly one of the two");
    let row = arena
        .owner_client()
        .await
        .query_one(
            "SELECT count(*), count(DISTINCT reference) FROM ledger WHERE entry_type = 'PAYOUT'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (120, 120));
    arena.assert_sound().await;
}

#[tokio::test]
async fn one_bad_prediction_never_stops_the_others() {
    let arena = Arena::new().await;
    let ids = many_wagers(&arena, 5).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    // Its owner does not exist: no state that the services can bring about.
    let bad: i64 = arena
        .owner_client()
        .await
        .query_one(
            "INSERT INTO predictions (bot_id, observation_id, direction, wager_amount, confidence, \
                                      created_at, settles_at) \
             SELECT 424242, gen_random_uuid(), direction, wager_amount, confidence, \
                    created_at - interval '1 second', settles_at - interval '1 second' \
               FROM predictions ORDER BY id LIMIT 1 RETURNING id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let oracle = settler(&arena).await;
    let now = arena.now().await;

    let settlement = round_at(&oracle, now).await.settlement.unwrap();
    let settled: Vec<PredictionId> = settlement.settled.iter().map(|settled| settled.id).collect();
    assert_eq!(settled, ids);
    assert_eq!(settlement.failed, [PredictionId(bad)]);

    // It is skipped for a while, and then retried alone.
    let settlement = round_at(&oracle, now.plus_seconds(4)).await.settlement.unwrap();
    assert!(settlement.failed.is_empty());
    let settlement = round_at(&oracle, now.plus_seconds(5)).await.settlement.unwrap();
    assert_eq!(settlement.failed, [PredictionId(bad)]);
}

#[tokio::test]
async fn an_oracle_that_lost_its_lease_stops_between_transactions() {
    let arena = Arena::new().await;
    many_wagers(&arena, 3).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    let oracle = settler(&arena).await;
    let report = oracle::round::run(&oracle, arena.now().await, &|| false).await;
    assert!(report.settlement.unwrap().settled.is_empty());
}

/// Wagers of 0.10 on UP, placed 400 s ago by bots that hold ten each; ascending ids.
async fn many_wagers(arena: &Arena, count: usize) -> Vec<PredictionId> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let bot = arena.bot().create().await;
        for _ in 0..10.min(count - ids.len()) {
            ids.push(wager(arena, bot.id, "0.10", Up).await);
        }
    }
    age(arena, &ids, 400).await;
    ids
}

#[tokio::test]
async fn while_the_arena_is_paused_prices_are_kept_and_nothing_is_paid() {
    let (arena, bot, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("61000", Simulated, -90).await;
    let who = "ada".parse().unwrap();
    let mut conn = arena.conn().await;
    db::pauses::pause_arena(&mut conn, &who, "a look", None).await.unwrap();
    let report = round_now(&arena, &settler(&arena).await).await;
    assert_eq!(report.started, Some(1));
    let settlement = report.settlement.unwrap();
    assert!(settlement.settled.is_empty() && settlement.failed.is_empty());
    assert_eq!(report.reaped.unwrap().len(), 0);
    assert_eq!(prediction(&arena, id).await.status, Open);
    db::pauses::resume_arena(&mut conn, &who, "", None).await.unwrap();
    let report = round_now(&arena, &settler(&arena).await).await;
    assert_eq!(report.settlement.unwrap().settled.len(), 1);
    assert_eq!(last_entry(&arena, bot.id).await, entry("PAYOUT", "2.00000000"));
    arena.assert_sound().await;
}
