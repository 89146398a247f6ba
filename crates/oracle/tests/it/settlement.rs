//! How predictions end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use ledger_core::economy::Enforcement;
use ledger_core::prediction::Direction::{self, Down, Up};
use ledger_core::prediction::PredictionStatus::{Forfeit, Lost, Open, Void, Won};
use ledger_core::prediction::PriceSource::{self, Coingecko, Kraken, Simulated};
use ledger_core::{BotId, PredictionId, Timestamp};
use oracle::cycle::SETTLE_BATCH_MAX;
use oracle::sources::{FeedError, PriceFeed, Quote};
use test_kit::{Arena, TestBot};

use crate::support::{
    age, bus, cycle_at, cycle_now, entries, oracle_of, past_wager, prediction, settler, status_of,
    wager,
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
        let report = cycle_now(&arena, &settler(&arena).await).await;
        assert_eq!(report.started, Some(1));
        let settled = report.settlement.unwrap().settled;
        assert_eq!(settled.len(), 1);
        assert_eq!((settled[0].id, settled[0].status), (id, status));
        let prediction = prediction(&arena, id).await;
        assert_eq!(prediction.status, status);
        assert_eq!(prediction.brier.unwrap().to_string(), brier);
        assert_eq!(
            prediction.start_price.unwrap().to_string(),
            "60000.00000000"
        );
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
    cycle_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!((prediction.status, prediction.brier), (Void, None));
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("REFUND", "1.00000000")
    );
    arena.assert_sound().await;
}

#[tokio::test]
async fn another_source_at_the_end_decides_nothing() {
    let (arena, bot, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("59000", Coingecko, -90).await;
    // The same source again, if not first.
    arena.price("70000", Simulated, -80).await;
    cycle_now(&arena, &settler(&arena).await).await;
    assert_eq!(prediction(&arena, id).await.status, Won);
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("PAYOUT", "2.00000000")
    );
    arena.assert_sound().await;
}

/// A feed with a history, which counts how often it is asked for it.
struct Told {
    source: PriceSource,
    history: Vec<(&'static str, Timestamp)>,
    refusals: AtomicUsize,
    asked: AtomicUsize,
}

impl Told {
    fn new(source: PriceSource, history: Vec<(&'static str, Timestamp)>) -> Arc<Told> {
        Arc::new(Told {
            source,
            history,
            refusals: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        })
    }

    fn refusing(self: Arc<Told>, refusals: usize) -> Arc<Told> {
        self.refusals.store(refusals, Ordering::SeqCst);
        self
    }
}

impl PriceFeed for Told {
    fn source(&self) -> PriceSource {
        self.source
    }

    /// Silent about the present.
    fn quote(&self, _: Timestamp) -> BoxFuture<'_, Result<Quote, FeedError>> {
        Box::pin(std::future::ready(Err(FeedError::Timeout)))
    }

    fn history(
        &self,
        begins_at: Timestamp,
        ends_at: Timestamp,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Quote>, FeedError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let answer = if refused.is_ok() {
            Err(FeedError::RateLimited {
                retry_after_seconds: None,
            })
        } else {
            let within = |at: &Timestamp| begins_at <= *at && *at < ends_at;
            let quote = |(price, at): &(&str, Timestamp)| Quote {
                price: price.parse().unwrap(),
                provider_at: *at,
            };
            let told = self.history.iter().filter(|(_, at)| within(at));
            Ok(told.map(quote).collect())
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Predictions that were put off are looked at again at once.
async fn look_again(arena: &Arena) {
    let sql = "UPDATE predictions SET settles_at = created_at WHERE status = 'OPEN'";
    arena.owner_client().await.batch_execute(sql).await.unwrap();
}

/// Who brings about refusals right before the end is due must not get a lost stake back.
#[tokio::test]
async fn a_source_that_was_silenced_tells_afterwards_what_it_would_have_said() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    let id = past_wager(&arena, bot.id, "1.00", Up, 2_200).await;
    arena.price("60000", Coingecko, -2_190).await;
    let now = arena.now().await;
    let history = vec![
        ("59990", now.plus_seconds(-1_800)),
        ("70000", now.plus_seconds(-1_500)),
    ];
    let feed = Told::new(Coingecko, history).refusing(1);
    let oracle = oracle_of(&arena, bus(&arena).await, vec![Arc::clone(&feed) as _]);
    // The end was due 1,890 s ago. The first question is refused, and peace is kept.
    let first = cycle_now(&arena, &oracle).await;
    assert_eq!(first.told, Some(Vec::new()));
    look_again(&arena).await;
    cycle_now(&arena, &oracle).await;
    assert_eq!(feed.asked.load(Ordering::SeqCst), 1);
    assert_eq!(prediction(&arena, id).await.status, Open);
    let over = "UPDATE source_cooldowns SET until = clock_timestamp()";
    arena
        .owner_client()
        .await
        .batch_execute(over)
        .await
        .unwrap();
    look_again(&arena).await;
    let read = cycle_now(&arena, &oracle).await;
    assert_eq!(read.told, Some(vec![Coingecko]));
    look_again(&arena).await;
    let last = cycle_now(&arena, &oracle).await;
    assert_eq!(last.settlement.unwrap().settled.len(), 1);
    assert_eq!(prediction(&arena, id).await.status, Lost);
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("SLASH", "0.00000000")
    );
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
    let history = vec![
        ("60010", now.plus_seconds(-4_160)),
        ("60020", now.plus_seconds(-3_830)),
    ];
    let kraken = Told::new(Kraken, history);
    let invented = Told::new(
        Simulated,
        vec![
            ("1", now.plus_seconds(-4_160)),
            ("2", now.plus_seconds(-3_830)),
        ],
    );
    let feeds: Vec<Arc<dyn PriceFeed>> = vec![silent, kraken, Arc::clone(&invented) as _];
    let oracle = oracle_of(&arena, bus(&arena).await, feeds);
    assert_eq!(cycle_at(&oracle, now).await.told, Some(vec![Kraken]));
    look_again(&arena).await;
    cycle_at(&oracle, now.plus_seconds(30)).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!(
        (prediction.status, prediction.price_source),
        (Won, Some(Kraken))
    );
    assert_eq!(
        prediction.start_price.unwrap().to_string(),
        "60010.00000000"
    );
    assert_eq!(invented.asked.load(Ordering::SeqCst), 0);
    arena.assert_sound().await;
}

#[tokio::test]
async fn void_is_the_last_resort() {
    let (arena, bot, id) = with_wager(Up).await;
    let oracle = settler(&arena).await;
    let now = arena.now().await;
    cycle_at(&oracle, now).await;
    age(&arena, &[id], 30_000).await;
    // Six hours are over, but this oracle has only just begun to ask.
    for step in 0..=9 {
        look_again(&arena).await;
        cycle_at(&oracle, now.plus_seconds(step * 200)).await;
        let status = if step < 9 { Open } else { Void };
        assert_eq!(prediction(&arena, id).await.status, status, "{step}");
    }
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("REFUND", "1.00000000")
    );
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_start_is_never_a_price_from_before_the_wager() {
    let (arena, _, id) = with_wager(Up).await;
    arena.price("90000", Simulated, -401).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    cycle_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!(prediction.status, Won, "60000 → 60001, not 90000 → 60001");
}

#[tokio::test]
async fn a_prediction_waits_for_its_horizon() {
    let (arena, _, id) = with_wager(Up).await;
    arena.price("60000", Simulated, -390).await;
    // Due at -90: this one is ten seconds early.
    arena.price("60001", Simulated, -100).await;
    let report = cycle_now(&arena, &settler(&arena).await).await;
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
    cycle_now(&arena, &settler(&arena).await).await;
    let prediction = prediction(&arena, id).await;
    assert_eq!((prediction.status, prediction.brier), (Forfeit, None));
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("FORFEIT", "0.00000000")
    );
    arena.assert_sound().await;
}

#[tokio::test]
async fn more_than_a_batch_is_settled_in_one_cycle() {
    let arena = Arena::new().await;
    let ids = many_wagers(&arena, SETTLE_BATCH_MAX + 11).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    let report = cycle_now(&arena, &settler(&arena).await).await;
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
    let (one, two) = tokio::join!(cycle_at(&first, now), cycle_at(&second, now));
    let by_one = one.settlement.unwrap();
    let by_two = two.settlement.unwrap();
    assert!(by_one.failed.is_empty() && by_two.failed.is_empty());
    let mut settled: Vec<PredictionId> = by_one
        .settled
        .iter()
        .chain(&by_two.settled)
        .map(|settled| settled.id)
        .collect();
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

    let settlement = cycle_at(&oracle, now).await.settlement.unwrap();
    let settled: Vec<PredictionId> = settlement
        .settled
        .iter()
        .map(|settled| settled.id)
        .collect();
    assert_eq!(settled, ids);
    assert_eq!(settlement.failed, [PredictionId(bad)]);

    // It is left alone for a while, and then tried again by itself.
    let settlement = cycle_at(&oracle, now.plus_seconds(4))
        .await
        .settlement
        .unwrap();
    assert!(settlement.failed.is_empty());
    let settlement = cycle_at(&oracle, now.plus_seconds(5))
        .await
        .settlement
        .unwrap();
    assert_eq!(settlement.failed, [PredictionId(bad)]);
}

#[tokio::test]
async fn an_oracle_that_lost_its_lease_stops_between_transactions() {
    let arena = Arena::new().await;
    many_wagers(&arena, 3).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -90).await;
    let oracle = settler(&arena).await;
    let report = oracle::cycle::run(&oracle, arena.now().await, &|| false).await;
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
    db::pauses::pause_arena(&mut conn, &who, "a look", None)
        .await
        .unwrap();
    let report = cycle_now(&arena, &settler(&arena).await).await;
    assert_eq!(report.started, Some(1));
    let settlement = report.settlement.unwrap();
    assert!(settlement.settled.is_empty() && settlement.failed.is_empty());
    assert_eq!(report.reaped.unwrap().len(), 0);
    assert_eq!(prediction(&arena, id).await.status, Open);
    db::pauses::resume_arena(&mut conn, &who, "", None)
        .await
        .unwrap();
    let report = cycle_now(&arena, &settler(&arena).await).await;
    assert_eq!(report.settlement.unwrap().settled.len(), 1);
    assert_eq!(
        last_entry(&arena, bot.id).await,
        entry("PAYOUT", "2.00000000")
    );
    arena.assert_sound().await;
}
