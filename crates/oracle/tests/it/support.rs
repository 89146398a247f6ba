//! Scripted feeds, a scripted web server, and predictions with a past.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cache::{Cache, CacheConfig};
use daemon::shutdown::Shutdown;
use db::actions::Wager;
use db::predictions::{Prediction, PredictionFilter};
use http_stub::Stub;
use ledger_core::economy::EconomyRules;
use ledger_core::prediction::{Direction, PriceSource};
use ledger_core::{BotId, ObservationId, PredictionId, Timestamp};
use oracle::Oracle;
use oracle::round::{self, Report, Rhythm};
use oracle::sources::{FeedError, PriceFeed, Quote};
use test_kit::Arena;

/// The answer of a scripted feed: a present price, or an error.
type Line = Result<&'static str, FeedError>;

/// Returns the scripted answers, in order, and panics after the last.
pub(crate) struct Scripted {
    source: PriceSource,
    lines: Mutex<VecDeque<Line>>,
    asked: Mutex<usize>,
}

impl Scripted {
    pub(crate) fn new(source: PriceSource, lines: impl IntoIterator<Item = Line>) -> Arc<Self> {
        let lines = Mutex::new(lines.into_iter().collect());
        Arc::new(Self { source, lines, asked: Mutex::new(0) })
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

#[async_trait]
impl PriceFeed for Scripted {
    fn source(&self) -> PriceSource {
        self.source
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        *self.asked.lock().unwrap() += 1;
        let line = self.lines.lock().unwrap().pop_front().expect("a line for each question");
        line.map(|price| Quote { price: price.parse().unwrap(), provider_at: now })
    }
}

pub(crate) async fn cache(arena: &Arena) -> Cache {
    cache_at(arena, arena.redis_url()).await
}

pub(crate) async fn cache_at(arena: &Arena, url: String) -> Cache {
    Cache::connect(CacheConfig { url, namespace: arena.redis_prefix() }).await.unwrap()
}

/// An oracle that has just been started, sampling each 60 s.
pub(crate) async fn oracle(arena: &Arena, feeds: &[Arc<Scripted>]) -> Oracle {
    let feeds = feeds.iter().map(|feed| Arc::clone(feed) as Arc<dyn PriceFeed>).collect();
    oracle_of(arena, cache(arena).await, feeds)
}

/// That of the defaults.
pub(crate) const RHYTHM: Rhythm = Rhythm { sample_seconds: 60, round: Duration::from_secs(5) };

pub(crate) fn oracle_of(arena: &Arena, cache: Cache, feeds: Vec<Arc<dyn PriceFeed>>) -> Oracle {
    let database = arena.database().clone();
    Oracle::new(database, cache, feeds, arena.rules().clone(), RHYTHM, Shutdown::manual())
}

/// An oracle without sources: prices are arranged by the test.
pub(crate) async fn settler(arena: &Arena) -> Oracle {
    oracle(arena, &[]).await
}

pub(crate) async fn round_at(oracle: &Oracle, now: Timestamp) -> Report {
    round::run(oracle, now, &|| true).await
}

pub(crate) async fn round_now(arena: &Arena, oracle: &Oracle) -> Report {
    round_at(oracle, arena.now().await).await
}

pub(crate) fn enforcing() -> EconomyRules {
    let enforcement = ledger_core::economy::Enforcement::Enforce;
    EconomyRules { enforcement, ..test_kit::rules() }
}

/// Wagers now, through the function that the API uses.
pub(crate) async fn wager(
    arena: &Arena,
    bot_id: BotId,
    stake: &str,
    direction: Direction,
) -> PredictionId {
    let wager = Wager {
        bot_id,
        observation_id: ObservationId(uuid::Uuid::new_v4()),
        direction,
        stake: arena.rules().stake(stake.parse().unwrap()).unwrap(),
        confidence: "0.70".parse().unwrap(),
        reasoning: "a test".to_owned(),
        usage: None,
    };
    let placed = db::actions::place(&mut *arena.conn().await, &wager, arena.rules(), None).await;
    placed.unwrap().prediction_id.unwrap()
}

/// Moves predictions into the past, as if they had been placed then.
pub(crate) async fn age(arena: &Arena, ids: &[PredictionId], seconds: i64) {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let changed = arena
        .owner_client()
        .await
        .execute(
            "UPDATE predictions SET created_at = created_at - make_interval(secs => $2::bigint::float8), \
                    settles_at = settles_at - make_interval(secs => $2::bigint::float8) \
              WHERE id = ANY($1)",
            &[&ids, &seconds],
        )
        .await
        .unwrap();
    assert_eq!(changed, ids.len() as u64);
}

/// A wager that was placed so many seconds ago.
pub(crate) async fn past_wager(
    arena: &Arena,
    bot_id: BotId,
    stake: &str,
    direction: Direction,
    seconds_ago: i64,
) -> PredictionId {
    let id = wager(arena, bot_id, stake, direction).await;
    age(arena, &[id], seconds_ago).await;
    id
}

pub(crate) async fn prediction(arena: &Arena, id: PredictionId) -> Prediction {
    let before = Some(PredictionId(id.0 + 1));
    let filter = PredictionFilter::default();
    let page = db::predictions::page(&mut *arena.conn().await, filter, before, 1).await.unwrap();
    page.into_iter().find(|prediction| prediction.id == id).expect("the prediction")
}

/// Type, amount and reference of a bot's entries, oldest first.
pub(crate) async fn entries(arena: &Arena, bot_id: BotId) -> Vec<(String, String, String)> {
    let rows = arena
        .owner_client()
        .await
        .query(
            "SELECT entry_type::text, amount::text, reference FROM ledger \
              WHERE bot_id = $1 ORDER BY sequence",
            &[&bot_id.0],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

pub(crate) async fn status_of(arena: &Arena, bot_id: BotId) -> String {
    let row = arena
        .owner_client()
        .await
        .query_one("SELECT status::text FROM wallets WHERE bot_id = $1", &[&bot_id.0])
        .await
        .unwrap();
    row.get(0)
}

/// CoinGecko's own answer, its headers included.
pub(crate) async fn coingecko(usd: &str, updated: i64) -> Stub {
    let headers = "Content-Type: application/json; charset=utf-8\r\n\
                   Cache-Control: max-age=30, public, must-revalidate\r\n";
    let body = format!(r#"{{"bitcoin":{{"usd":{usd},"last_updated_at":{updated}}}}}"#);
    Stub::answering("200 OK", headers, &body).await
}
