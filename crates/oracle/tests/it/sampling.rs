//! The sources that a round queries, when, and where the price is stored.

mod cooldowns;

use std::sync::Arc;

use cache::Cache;
use db::leases::Cooldown;
use db::prices::PriceRow;
use http_stub::Stub;
use ledger_core::prediction::PriceSource::{self, Coingecko, Kraken, Simulated};
use ledger_core::{BotId, Timestamp};
use oracle::sampling::Sampled;
use oracle::sources::{CoinGecko, FeedError, PriceFeed, SourceConfig};
use test_kit::Arena;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{
    self, RHYTHM, Scripted, cache, cache_at, oracle, oracle_of, past_wager, prediction, round_at,
    round_now,
};

const LIMITED: FeedError = FeedError::RateLimited { retry_after_seconds: None };

async fn history(arena: &Arena) -> Vec<PriceRow> {
    db::prices::page(&mut *arena.conn().await, None, 100).await.unwrap()
}

async fn cooldown(arena: &Arena, source: PriceSource) -> Option<Cooldown> {
    db::leases::cooldown(&mut *arena.conn().await, source.as_str()).await.unwrap()
}

/// Strikes, and seconds until the cooldown ends.
async fn strikes_and_rest(arena: &Arena) -> (i32, i64) {
    let cooldown = cooldown(arena, Coingecko).await.expect("a cooldown");
    assert!(cooldown.active);
    (cooldown.strikes, cooldown.until.seconds_since(arena.now().await))
}

async fn end_cooldown(arena: &Arena) {
    let sql = "UPDATE source_cooldowns SET until = clock_timestamp() - interval '1 second'";
    arena.owner_client().await.batch_execute(sql).await.unwrap();
}

fn assert_about(seconds: i64, wanted: i64) {
    assert!((wanted - 20..=wanted).contains(&seconds), "{seconds} s is not about {wanted} s");
}

#[tokio::test]
async fn a_price_goes_to_postgres_and_redis() {
    let arena = Arena::new().await;
    let stub_now = arena.now().await;
    let stub = support::coingecko("67187.3358936566", stub_now.micros() / 1_000_000 - 20).await;
    let config = SourceConfig {
        base_url: format!("http://{}", stub.address).parse().unwrap(),
        api_key: None,
        contact: "ops@arena.example".to_owned(),
        timeout: std::time::Duration::from_secs(10),
    };
    let feed = Arc::new(CoinGecko::new(config).unwrap());
    let oracle = oracle_of(&arena, cache(&arena).await, vec![feed]);

    let report = round_now(&arena, &oracle).await;

    let Some(Sampled::Recorded { source: Coingecko, quote }) = report.sampled else {
        panic!("{report:?}");
    };
    let rows = history(&arena).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].price.to_string(), "67187.33589366");
    assert_eq!(rows[0].provider_at, quote.provider_at);
    let fresh = cache(&arena).await.price().await.unwrap().expect("a fresh price");
    assert_eq!(fresh.price, rows[0].price);
    assert_eq!(fresh.source, Coingecko);
    assert_eq!(fresh.provider_at, rows[0].provider_at);
    assert_eq!(fresh.sampled_at, rows[0].sampled_at);
}

#[tokio::test]
async fn a_price_is_sampled_once_an_interval_whoever_asks() {
    let arena = Arena::new().await;
    let feed = Scripted::new(Simulated, [Ok("60000"), Ok("60001")]);
    let first = oracle(&arena, &[Arc::clone(&feed)]).await;
    let now = arena.now().await;
    assert!(matches!(round_at(&first, now).await.sampled, Some(Sampled::Recorded { .. })));
    assert_eq!(round_at(&first, now.plus_seconds(5)).await.sampled, Some(Sampled::NotDue));
    // Another oracle takes over, or this one was restarted.
    let second = oracle(&arena, &[Arc::clone(&feed)]).await;
    assert_eq!(round_at(&second, now.plus_seconds(55)).await.sampled, Some(Sampled::NotDue));
    assert_eq!(feed.asked(), 1);
    let sampled = round_at(&second, now.plus_seconds(61)).await.sampled;
    assert!(matches!(sampled, Some(Sampled::Recorded { .. })), "{sampled:?}");
    assert_eq!(feed.asked(), 2);
}

#[tokio::test]
async fn a_source_that_fails_or_repeats_itself_is_not_pressed() {
    let arena = Arena::new().await;
    let feed = Scripted::new(Simulated, [Err(FeedError::Timeout), Ok("60000")]);
    let oracle = oracle(&arena, &[Arc::clone(&feed)]).await;
    let now = arena.now().await;
    assert_eq!(round_at(&oracle, now).await.sampled, Some(Sampled::NoAnswer));
    for seconds in [5, 30, 57] {
        let sampled = round_at(&oracle, now.plus_seconds(seconds)).await.sampled;
        assert_eq!(sampled, Some(Sampled::NotDue), "{seconds}");
    }
    assert!(history(&arena).await.is_empty());
    let sampled = round_at(&oracle, now.plus_seconds(60)).await.sampled;
    assert!(matches!(sampled, Some(Sampled::Recorded { .. })), "{sampled:?}");
}

#[tokio::test]
async fn a_repeated_quote_adds_nothing_to_the_history_and_renews_nothing() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    let (stub, feed) = coingecko(now, 5).await;
    let oracle = oracle_of(&arena, cache(&arena).await, vec![feed]);
    round_at(&oracle, now).await;
    let later = now.plus_seconds(60);
    let sampled = round_at(&oracle, later).await.sampled;
    assert!(matches!(sampled, Some(Sampled::Repeated { .. })), "{sampled:?}");
    assert_eq!(history(&arena).await.len(), 1);
    let cache = cache(&arena).await;
    let fresh = cache.price().await.unwrap().unwrap();
    assert_eq!(fresh.sampled_at, history(&arena).await[0].sampled_at);
    // And it is not queried again five seconds later, although Postgres has no new sample.
    assert_eq!(round_at(&oracle, now.plus_seconds(65)).await.sampled, Some(Sampled::NotDue));
    assert_eq!(stub.requests().len(), 2);

    // A Redis that lost the price gets it back with its real age, and not when it is too old.
    forget_price(&cache).await;
    let sampled = round_at(&oracle, now.plus_seconds(110)).await.sampled;
    assert_eq!(sampled, Some(Sampled::NotDue));
    let put_back = cache.price().await.unwrap().unwrap();
    assert_eq!(put_back.sampled_at, fresh.sampled_at);
    forget_price(&cache).await;
    // 125 s old by the provider's time, though it came 120 s ago.
    let sampled = round_at(&oracle, now.plus_seconds(120)).await.sampled;
    assert_eq!(sampled, Some(Sampled::NoAnswer));
    assert_eq!(cache.price().await.unwrap(), None, "the arena halts");
}

/// CoinGecko with a price of this age in seconds.
async fn coingecko(now: Timestamp, age_seconds: i64) -> (Stub, Arc<CoinGecko>) {
    let stub = support::coingecko("67000", now.micros() / 1_000_000 - age_seconds).await;
    let config = SourceConfig {
        base_url: format!("http://{}", stub.address).parse().unwrap(),
        api_key: None,
        contact: "ops@arena.example".to_owned(),
        timeout: std::time::Duration::from_secs(10),
    };
    (stub, Arc::new(CoinGecko::new(config).unwrap()))
}

#[tokio::test]
async fn behind_a_source_that_repeats_itself_the_next_real_one_is_asked() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    let (_stub, first) = coingecko(now, 5).await;
    let invented = Scripted::new(Simulated, []);
    let second = Scripted::new(Kraken, [Ok("67001")]);
    let feeds: Vec<Arc<dyn PriceFeed>> =
        vec![first, Arc::clone(&invented) as _, Arc::clone(&second) as _];
    let oracle = oracle_of(&arena, cache(&arena).await, feeds);
    let is_of = |sampled: Option<Sampled>, wanted: PriceSource| {
        let is_it = matches!(sampled, Some(Sampled::Recorded { source, .. }) if source == wanted);
        assert!(is_it, "{wanted}: {sampled:?}");
    };
    is_of(round_at(&oracle, now).await.sampled, Coingecko);
    assert_eq!(second.asked(), 0, "the first will do until the next sample");
    is_of(round_at(&oracle, now.plus_seconds(60)).await.sampled, Kraken);
    assert_eq!((invented.asked(), second.asked()), (0, 1));
    let fresh = cache(&arena).await.price().await.unwrap().unwrap();
    assert_eq!(fresh.source, Kraken);
}

#[tokio::test]
async fn behind_a_price_that_will_soon_be_too_old_the_next_real_one_is_asked() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    // Good for 50 s more, and the next sample is 60 s away.
    let (_stub, first) = coingecko(now, 70).await;
    let second = Scripted::new(Kraken, [Ok("67001")]);
    let feeds: Vec<Arc<dyn PriceFeed>> = vec![first, Arc::clone(&second) as _];
    let oracle = oracle_of(&arena, cache(&arena).await, feeds);
    round_at(&oracle, now).await;
    // Both are kept: positions of either end on it.
    let rows = history(&arena).await;
    let sources: Vec<PriceSource> = rows.iter().map(|row| row.source).collect();
    assert_eq!(sources, [Kraken, Coingecko]);
    let fresh = cache(&arena).await.price().await.unwrap().unwrap();
    assert_eq!(fresh.source, Kraken);
    // A price that is no newer than what there is opens nothing and is not kept.
    let (_stub, older) = coingecko(now, 80).await;
    let (_other, first) = coingecko(now, 70).await;
    let arena = Arena::new().await;
    let feeds: Vec<Arc<dyn PriceFeed>> = vec![first, older];
    let oracle = oracle_of(&arena, cache(&arena).await, feeds);
    round_at(&oracle, now).await;
    assert_eq!(history(&arena).await.len(), 1);
}

#[tokio::test]
async fn samples_keep_to_their_interval_whenever_rounds_begin() {
    let arena = Arena::new().await;
    let feed = Scripted::new(Simulated, [Ok("60000"), Ok("60001")]);
    let oracle = oracle(&arena, &[Arc::clone(&feed)]).await;
    round_now(&arena, &oracle).await;
    let sampled_at = history(&arena).await[0].sampled_at;
    // Rounds that come a little early: the one nearest to the minute takes the sample.
    for seconds in [53, 57] {
        let sampled = round_at(&oracle, sampled_at.plus_seconds(seconds)).await.sampled;
        assert_eq!(sampled, Some(Sampled::NotDue), "{seconds}");
    }
    let sampled = round_at(&oracle, sampled_at.plus_seconds(58)).await.sampled;
    assert!(matches!(sampled, Some(Sampled::Recorded { .. })), "{sampled:?}");
}

#[tokio::test]
async fn metrics_get_their_places_without_a_ticker_once_an_hour() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'agent_metrics'::regclass";
    let before: i64 = owner.query_one(count, &[]).await.unwrap().get(0);
    let newest: String = owner
        .query_one(
            "SELECT max(inhrelid::regclass::text) FROM pg_inherits \
              WHERE inhparent = 'agent_metrics'::regclass",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    owner.batch_execute(&format!("DROP TABLE {newest}")).await.unwrap();
    let oracle = oracle(&arena, &[]).await;
    let now = arena.now().await;
    for (seconds, partitioned) in [(0, true), (5, false), (3_599, false), (3_600, true)] {
        let report = round_at(&oracle, now.plus_seconds(seconds)).await;
        assert_eq!(report.partitioned, Some(partitioned), "{seconds}");
    }
    let after: i64 = owner.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(after, before);
}

#[tokio::test]
async fn no_sample_is_of_a_time_later_than_the_question() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    let (_stub, feed) = coingecko(now, -50).await;
    let oracle = oracle_of(&arena, cache(&arena).await, vec![feed]);
    round_at(&oracle, now).await;
    assert_eq!(history(&arena).await[0].provider_at, now);
}

#[tokio::test]
async fn a_price_that_is_old_when_it_arrives_opens_nothing() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    let stub = support::coingecko("67000", now.micros() / 1_000_000 - 122).await;
    let config = SourceConfig {
        base_url: format!("http://{}", stub.address).parse().unwrap(),
        api_key: None,
        contact: "ops@arena.example".to_owned(),
        timeout: std::time::Duration::from_secs(10),
    };
    let old: Arc<dyn oracle::sources::PriceFeed> = Arc::new(CoinGecko::new(config).unwrap());
    let alone = oracle_of(&arena, cache(&arena).await, vec![Arc::clone(&old)]);
    assert_eq!(round_at(&alone, now).await.sampled, Some(Sampled::NoAnswer));
    assert_eq!(cache(&arena).await.price().await.unwrap(), None);
    // The next source is queried instead.
    let second = Scripted::new(Kraken, [Ok("60000")]);
    let two = oracle_of(&arena, cache(&arena).await, vec![old, second]);
    let sampled = round_at(&two, now).await.sampled;
    let is_second = matches!(sampled, Some(Sampled::Recorded { source: Kraken, .. }));
    assert!(is_second, "{sampled:?}");

    // Nor does one from Postgres: it was taken a moment ago, and is 130 s old.
    let arena = Arena::new().await;
    arena.price("60000", Coingecko, -130).await;
    let idle = oracle(&arena, &[]).await;
    round_now(&arena, &idle).await;
    assert_eq!(cache(&arena).await.price().await.unwrap(), None);
}

#[tokio::test]
async fn a_source_that_merely_fails_is_followed_by_the_next_at_once() {
    let arena = Arena::new().await;
    for error in
        [FeedError::Timeout, FeedError::Unreachable("refused".to_owned()), FeedError::NotJson]
    {
        let first = Scripted::new(Coingecko, [Err(error.clone())]);
        let second = Scripted::new(Simulated, [Ok("60000")]);
        let oracle = oracle(&arena, &[first, second]).await;
        let later = arena.now().await.plus_seconds(60);
        let sampled = round_at(&oracle, later).await.sampled;
        let is_second = matches!(sampled, Some(Sampled::Recorded { source: Simulated, .. }));
        assert!(is_second, "{error}: {sampled:?}");
    }
}

#[tokio::test]
async fn the_next_source_steps_in_after_the_retries_and_the_first_comes_back() {
    let arena = Arena::new().await;
    // Three refusals before this process was started; its retry is the third and last.
    db::leases::cool_down(&mut *arena.conn().await, "coingecko", 3, 480).await.unwrap();
    end_cooldown(&arena).await;
    let first = Scripted::new(Coingecko, [Err(LIMITED), Ok("60002")]);
    let second = Scripted::new(Simulated, [Ok("60000"), Ok("60001")]);
    let oracle = oracle(&arena, &[Arc::clone(&first), Arc::clone(&second)]).await;
    let now = arena.now().await;
    round_at(&oracle, now).await;
    // The first is in a cooldown: it is not queried.
    round_at(&oracle, now.plus_seconds(60)).await;
    assert_eq!((first.asked(), second.asked()), (1, 2));
    end_cooldown(&arena).await;
    round_at(&oracle, now.plus_seconds(125)).await;
    assert_eq!((first.asked(), second.asked()), (2, 2));
    let rows = history(&arena).await;
    let sources: Vec<PriceSource> = rows.iter().map(|row| row.source).collect();
    assert_eq!(sources, [Coingecko, Simulated, Simulated]);
    let fresh = cache(&arena).await.price().await.unwrap().unwrap();
    assert_eq!((fresh.source, fresh.price.to_string().as_str()), (Coingecko, "60002.00000000"));
}

#[tokio::test]
async fn an_emptied_redis_gets_a_fresh_price_back_and_no_stale_one() {
    let arena = Arena::new().await;
    let now = arena.now().await;
    arena.price("60000", Simulated, 0).await;
    let oracle = oracle(&arena, &[]).await;
    let cache = cache(&arena).await;
    assert_eq!(cache.price().await.unwrap(), None);
    // 30 s after the sample: not due, fresh, and missing in Redis.
    round_at(&oracle, now.plus_seconds(30)).await;
    let fresh = cache.price().await.unwrap().expect("it was put back");
    assert_eq!(fresh.price.to_string(), "60000.00000000");
    assert_eq!(fresh.sampled_at, history(&arena).await[0].sampled_at);

    forget_price(&cache).await;
    round_at(&oracle, now.plus_seconds(125)).await;
    assert_eq!(cache.price().await.unwrap(), None, "older than 120 s is not fresh");
}

async fn forget_price(cache: &Cache) {
    let fresh = cache.price().await.unwrap().unwrap();
    cache.put_price(&fresh, std::time::Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn neither_a_broken_source_nor_a_dead_redis_stops_settlement() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await;
    let up = ledger_core::prediction::Direction::Up;
    let id = past_wager(&arena, bot.id, "1.00", up, 400).await;
    arena.price("60000", Simulated, -390).await;
    arena.price("60001", Simulated, -80).await;
    let mut relay = Relay::start(&arena.redis_url()).await;
    let cache = cache_at(&arena, relay.url.clone()).await;
    relay.cut().await;
    let feed = Arc::new(Panicking);
    let oracle = oracle_of(&arena, cache, vec![feed]);

    let now = arena.now().await.plus_seconds(60);
    let report = round_at(&oracle, now).await;

    assert_eq!(report.sampled, None, "that step panicked");
    assert_eq!(report.settlement.unwrap().settled.len(), 1);
    assert_eq!(prediction(&arena, id).await.status.as_str(), "WON");
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_dead_redis_does_not_lose_a_sample() {
    let arena = Arena::new().await;
    let mut relay = Relay::start(&arena.redis_url()).await;
    let cache = cache_at(&arena, relay.url.clone()).await;
    relay.cut().await;
    let feed = Scripted::new(Simulated, [Ok("60000")]);
    let report = round_now(&arena, &oracle_of(&arena, cache, vec![feed])).await;
    assert!(matches!(report.sampled, Some(Sampled::Recorded { .. })), "{report:?}");
    assert_eq!(history(&arena).await.len(), 1);
    assert_eq!(report.number, Some(1));
    assert_eq!(report.pruned, Some(0));
    assert_eq!(report.events_pruned, Some(0));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_slow_source() {
    let arena = Arena::new().await;
    let shutdown = daemon::shutdown::Shutdown::manual();
    let oracle = oracle::Oracle::new(
        arena.database().clone(),
        cache(&arena).await,
        vec![Arc::new(Silent)],
        arena.rules().clone(),
        RHYTHM,
        shutdown.clone(),
    );
    let now = arena.now().await;
    shutdown.request();
    let report = round_at(&oracle, now).await;
    assert_eq!(report.sampled, Some(Sampled::NoAnswer));
    assert!(report.settlement.is_some(), "the round finished all the same");
}

struct Silent;

#[async_trait::async_trait]
impl oracle::sources::PriceFeed for Silent {
    fn source(&self) -> PriceSource {
        Coingecko
    }

    async fn quote(&self, _: Timestamp) -> Result<oracle::sources::Quote, FeedError> {
        std::future::pending().await
    }
}

struct Panicking;

#[async_trait::async_trait]
impl oracle::sources::PriceFeed for Panicking {
    fn source(&self) -> PriceSource {
        Coingecko
    }

    async fn quote(&self, _: Timestamp) -> Result<oracle::sources::Quote, FeedError> {
        panic!("a feed with a bug, asked about {}", BotId(0));
    }
}

/// A way to Redis that can be cut.
struct Relay {
    url: String,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(redis_url: &str) -> Relay {
        let (credentials, rest) = redis_url.rsplit_once('@').unwrap();
        let (target, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{credentials}@{}/{path}", listener.local_addr().unwrap());
        let target = target.to_owned();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(&target).await.unwrap();
                open.spawn(async move {
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Relay { url, task }
    }

    async fn cut(&mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}
