//! The market round with the real clients against services on loopback.

mod silence;

use std::sync::Arc;

use daemon::config::Sources;
use daemon::shutdown::Shutdown;
use db::markets::{Finding, Market, MarketFilter, Recorded};
use ledger_core::MarketId;
use ledger_core::criteria::Criteria;
use ledger_core::economy::{EconomyRules, MarketRules};
use ledger_core::market::{MarketSource, MarketStatus, Side};
use oracle::markets::{self, Dice, MarketDesk, MarketReport};
use oracle::{Config, MarketDesk as Desk};
use test_kit::Arena;
use test_kit::market::evidence;
use test_kit::outside::{Outside, Played};

use crate::support::cache;

/// Draws that walk through everything, the same in each run.
fn dice() -> Dice {
    let state = std::sync::Mutex::new(0x9e37_79b9_7f4a_7c15_u64);
    Arc::new(move || {
        let mut state = state.lock().unwrap();
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state ^ (*state >> 29)
    })
}

async fn desk_of(arena: &Arena, outside: &Outside) -> Desk {
    let text = format!(
        "DATABASE_URL={}\nREDIS_URL={}\nENV=development\nPRICE_SOURCES=simulated:000102030405060708090a0b0c0d0e0f\n{}",
        arena.database_url(),
        arena.redis_url(),
        outside.settings()
    );
    let config = Config::read(&Sources::from_parts(&text, [])).unwrap();
    MarketDesk::new(
        arena.database().clone(),
        cache(arena).await,
        config.market_feeds,
        arena.rules().clone(),
        Shutdown::manual(),
        dice(),
    )
}

async fn round(desk: &Desk) -> MarketReport {
    markets::run(desk, &|| true).await
}

async fn all(arena: &Arena) -> Vec<Market> {
    db::markets::page(&mut *arena.conn().await, MarketFilter::default(), None, 200).await.unwrap()
}

async fn find(arena: &Arena, id: MarketId) -> Market {
    db::markets::find(&mut *arena.conn().await, id).await.unwrap()
}

/// Rules under which only these sources are chosen.
fn only(sources: &[MarketSource]) -> EconomyRules {
    EconomyRules::from_settings(|name| {
        let source: MarketSource = name.strip_suffix("_WEIGHT")?.parse().ok()?;
        (!sources.contains(&source)).then(|| "0".to_owned())
    })
    .unwrap()
}

/// Lets a market's deadline pass, as far as the database's clock goes.
async fn pass_deadline(arena: &Arena, market: &Market) {
    let left = market.deadline.seconds_since(arena.now().await);
    arena.age_market(market.id, left + 2).await;
}

#[tokio::test]
async fn the_board_is_stocked_from_all_four_and_no_subject_twice() {
    let arena = Arena::new().await;
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    let report = round(&desk).await;
    assert_eq!(report.stocked.unwrap().opened.len(), 6);
    let full = round(&desk).await.stocked.unwrap();
    assert_eq!((full.opened.len(), full.free), (0, 0));
    let board = all(&arena).await;
    assert_eq!(board.len(), 6);
    let mut subjects: Vec<_> = board.iter().map(|m| (m.source, m.criteria.subject())).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 6);
    for market in &board {
        assert_eq!(market.description, market.criteria.question(&market.times()));
        let kept = db::markets::evidence_of(&mut *arena.conn().await, market.id).await.unwrap();
        assert_eq!(kept.len(), 1, "the fetch that it was made from");
        assert!(kept[0].fetch.url.contains(&outside.address.to_string()));
        assert_eq!(market.research.is_some(), market.source == MarketSource::Research);
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn each_kind_is_opened_bet_on_decided_by_its_evidence_and_paid() {
    for source in [MarketSource::Github, MarketSource::News, MarketSource::Weather] {
        let arena = Arena::new().await.with_rules(only(&[source]));
        let outside = Outside::start().await;
        let desk = desk_of(&arena, &outside).await;
        round(&desk).await;
        let market = all(&arena).await.remove(0);
        assert_eq!(market.source, source);
        let [yes, no] = [arena.bot().create().await.id, arena.bot().create().await.id];
        arena.bet(yes, market.id, Side::Yes, "5.00").await;
        arena.bet(no, market.id, Side::No, "5.00").await;
        pass_deadline(&arena, &market).await;
        let report = round(&desk).await.resolved.unwrap();
        assert_eq!(report.locked, [market.id], "{source}");
        assert_eq!(report.settled.len(), 1, "{source}: {report:?}");
        let settled = find(&arena, market.id).await;
        assert_eq!(settled.status, MarketStatus::Resolved);
        let kept = db::markets::evidence_of(&mut *arena.conn().await, market.id).await.unwrap();
        let deciding = &kept.last().unwrap().fetch;
        let Finding::Read { decides: Some(side), value } = &deciding.finding else {
            panic!("{deciding:?}");
        };
        assert_eq!(settled.outcome.as_deref(), Some(side.as_str()), "{value}");
        // The stored evidence gives the same result, without a network.
        let again = sources::derive(
            &settled.criteria,
            &settled.times(),
            deciding.fetched_at,
            &deciding.body,
        );
        assert_eq!(settled.criteria.decide(&again.unwrap()), Some(*side));
        let census = db::supply::census(&mut *arena.conn().await).await.unwrap();
        assert_eq!((census.supply.escrow, census.supply.drift()), (0, 0));
        arena.assert_sound().await;
    }
}

#[tokio::test]
async fn research_is_asked_of_a_random_article_and_expires_unsolved() {
    let arena = Arena::new().await.with_rules(only(&[MarketSource::Research]));
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    round(&desk).await;
    let board = all(&arena).await;
    assert_eq!(board.len(), 6);
    let market = &board[0];
    let research = market.research.as_ref().unwrap();
    assert!(research.answer.as_str().parse::<i64>().unwrap() > 0);
    assert_ne!(board[1].research.as_ref().unwrap().commitment, research.commitment);
    let bot = arena.bot().create().await.id;
    let right = test_kit::market::new_answer(bot, market.id, research.answer.as_str());
    let solved = db::markets::answer(&mut *arena.conn().await, &right, arena.rules(), None).await;
    assert_eq!(solved.unwrap().payout.to_string(), "26.00000000");
    // Solved early, its place stays taken.
    assert!(round(&desk).await.stocked.unwrap().opened.is_empty());
    pass_deadline(&arena, &board[1]).await;
    let report = round(&desk).await;
    assert_eq!(report.resolved.unwrap().expired, [board[1].id]);
    assert_eq!(report.stocked.unwrap().opened.len(), 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn with_sources_down_the_others_fill_in_and_nobody_is_hurried() {
    let four =
        [MarketSource::Research, MarketSource::Weather, MarketSource::Github, MarketSource::News];
    let arena = Arena::new().await.with_rules(only(&four));
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    for service in [MarketSource::Research, MarketSource::Weather, MarketSource::News] {
        outside.fault(service, Some(Played::status(500)));
    }
    let stocked = round(&desk).await.stocked.unwrap();
    assert_eq!(stocked.opened.len(), 6);
    assert!(stocked.opened.iter().all(|(source, _)| *source == MarketSource::Github));
    // All fail, and no market is open: each is queried once and then has a cooldown.
    let arena = Arena::new().await.with_rules(only(&four));
    let desk = desk_of(&arena, &outside).await;
    let slow_down =
        Played { headers: vec![("retry-after", "300".to_owned())], ..Played::status(429) };
    outside.fault(MarketSource::Github, Some(slow_down));
    let before = outside.asked(MarketSource::Github);
    let stocked = round(&desk).await.stocked.unwrap();
    assert_eq!((stocked.opened.len(), stocked.free), (0, 6));
    assert_eq!(stocked.failed.len(), 4);
    // One town may be to blame for its own answer; after three it is the source.
    for _ in 0..2 {
        let failed = round(&desk).await.stocked.unwrap().failed;
        assert_eq!(failed, ["open-meteo"]);
    }
    let asked = four.map(|service| outside.asked(service));
    for _ in 0..20 {
        assert_eq!(round(&desk).await.stocked.unwrap().failed, [""; 0]);
    }
    let later = four.map(|service| outside.asked(service));
    assert_eq!(asked, later, "nobody was asked again");
    assert_eq!(outside.asked(MarketSource::Github), before + 1);
    // A source's own wish outlives the process.
    let restarted = desk_of(&arena, &outside).await;
    outside.fault(MarketSource::Github, None);
    let stocked = round(&restarted).await.stocked.unwrap();
    assert!(!stocked.failed.contains(&"github") && stocked.opened.is_empty());
    assert_eq!(outside.asked(MarketSource::Github), before + 1);
}

#[tokio::test]
async fn nonsense_decides_nothing_is_kept_and_ends_in_void() {
    let nonsense: [(MarketSource, Vec<u8>); 6] = [
        (MarketSource::Github, b"<!DOCTYPE html><html></html>".to_vec()),
        (MarketSource::Github, vec![b' '; 5_000_000]),
        (MarketSource::Github, b"{\"full_name\":\"a/b\",\"stargazers_count\":-7}".to_vec()),
        (MarketSource::Weather, b"{\"minutely_15\":{\"temperature_2m\":[NaN]}}".to_vec()),
        (MarketSource::News, b"<rss version=\"2.0\"><channel></channel></rss>".to_vec()),
        (MarketSource::News, b"[]".to_vec()),
    ];
    for (source, body) in nonsense {
        let arena = Arena::new().await.with_rules(only(&[source]));
        let outside = Outside::start().await;
        let desk = desk_of(&arena, &outside).await;
        round(&desk).await;
        let market = all(&arena).await.remove(0);
        let bot = arena.bot().create().await.id;
        arena.bet(bot, market.id, Side::Yes, "5.00").await;
        pass_deadline(&arena, &market).await;
        outside.fault(source, Some(Played::body(body)));
        let resolved = round(&desk).await.resolved.unwrap();
        assert_eq!(resolved.waiting, [market.id], "{source}");
        let kept = db::markets::evidence_of(&mut *arena.conn().await, market.id).await.unwrap();
        assert_eq!(kept.len(), 2);
        assert!(matches!(kept[1].fetch.finding, Finding::Nothing { .. }), "{:?}", kept[1]);
        assert!(kept[1].fetch.body.len() <= 65_536);
        // Until it was queried for six hours; then the stake is returned.
        let mut rounds = 0;
        loop {
            arena.age_market(market.id, 2_300).await;
            // Another process: the failures are lost with the old one.
            let resolved = round(&desk_of(&arena, &outside).await).await.resolved;
            rounds += 1;
            if !resolved.unwrap().settled.is_empty() {
                break;
            }
            assert!(rounds < 20, "{source}");
        }
        let kept = db::markets::evidence_of(&mut *arena.conn().await, market.id).await.unwrap();
        // In addition to the fetch at its opening.
        assert!(kept.len() > 10, "{source}: {}", kept.len());
        let void = find(&arena, market.id).await;
        assert_eq!(void.status, MarketStatus::Void);
        assert!(void.void_reason.unwrap().contains("21600 seconds"));
        arena.assert_sound().await;
    }
}

#[tokio::test]
async fn an_oracle_that_died_between_evidence_and_payment_is_made_up_for() {
    let arena = Arena::new().await.with_rules(only(&[MarketSource::News]));
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    round(&desk).await;
    let market = all(&arena).await.remove(0);
    let bot = arena.bot().create().await.id;
    arena.bet(bot, market.id, Side::No, "5.00").await;
    pass_deadline(&arena, &market).await;
    let mut conn = arena.conn().await;
    db::markets::lock_due(&mut conn).await.unwrap();
    let fetch = evidence(arena.now().await, Some(Side::No));
    let recorded = db::markets::record(&mut conn, market.id, &fetch, None).await.unwrap();
    assert_eq!(recorded, Recorded::Decided);
    // Its successor sends no request: the stored evidence decides.
    outside.fault(MarketSource::News, Some(Played::status(500)));
    let successor = desk_of(&arena, &outside).await;
    let settled = round(&successor).await.resolved.unwrap().settled;
    assert_eq!(settled[0].market.outcome.as_deref(), Some("NO"));
    assert!(settled[0].paid);
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn oracles_at_once_open_no_place_twice_and_pay_nobody_twice() {
    let arena = Arena::with_pool(32).await;
    let outside = Outside::start().await;
    let mut desks = Vec::new();
    for _ in 0..3 {
        desks.push(Arc::new(desk_of(&arena, &outside).await));
    }
    let run = |desks: &[Arc<Desk>]| {
        let mut tasks = tokio::task::JoinSet::new();
        for desk in desks.iter().map(Arc::clone) {
            tasks.spawn(async move { drop(round(&desk).await) });
        }
        tasks.join_all()
    };
    run(&desks).await;
    let board = all(&arena).await;
    assert_eq!(board.len(), 6);
    let bot = arena.bot().create().await.id;
    let bettable: Vec<_> = board.iter().filter(|m| m.source != MarketSource::Research).collect();
    for market in &bettable {
        arena.bet(bot, market.id, Side::Yes, "2.00").await;
    }
    for market in &bettable {
        pass_deadline(&arena, market).await;
    }
    run(&desks).await;
    run(&desks).await;
    for market in bettable {
        assert_eq!(find(&arena, market.id).await.status, MarketStatus::Resolved);
    }
    arena.assert_sound().await;
}

fn repository_path(market: &Market) -> String {
    let Criteria::Github(criteria) = &market.criteria else {
        panic!("{market:?}");
    };
    format!("/repos/{}", criteria.repository)
}

/// GitHub's markets with one whose repository answers this, all past their deadlines.
async fn with_one_bad_repository(fault: Played) -> (Arena, Outside, Desk, Vec<Market>) {
    let arena = Arena::new().await.with_rules(only(&[MarketSource::Github]));
    let outside = Outside::start().await;
    let desk = desk_of(&arena, &outside).await;
    round(&desk).await;
    let board = all(&arena).await;
    assert_eq!(board.len(), 6);
    outside.fault_about(&repository_path(&board[0]), Some(fault));
    for market in &board {
        pass_deadline(&arena, market).await;
    }
    (arena, outside, desk, board)
}

#[tokio::test]
async fn what_is_wrong_with_one_subject_delays_no_other() {
    for fault in [
        Played {
            body: b"{\"message\":\"Repository access blocked\"}".to_vec(),
            ..Played::status(403)
        },
        Played::status(404),
        Played::status(451),
        Played::status(500),
        Played::body("<html>"),
        Played::body("{}"),
    ] {
        let told = format!("{fault:?}");
        let (arena, outside, desk, board) = with_one_bad_repository(fault).await;
        let report = round(&desk).await;
        let resolved = report.resolved.unwrap();
        assert_eq!(resolved.waiting, [board[0].id], "{told}");
        assert_eq!(resolved.settled.len(), 5, "{told}");
        // The source is still queried, and its other subjects get new questions at once.
        assert_eq!(report.stocked.unwrap().opened.len(), 6, "{told}");
        let cooldown = db::leases::cooldown(&mut *arena.conn().await, "github").await;
        assert!(cooldown.unwrap().is_none(), "{told}");
        // It answers again, and its market is decided.
        outside.fault_about(&repository_path(&board[0]), None);
        arena.age_market(board[0].id, 60).await;
        let settled = round(&desk).await.resolved.unwrap().settled;
        assert_eq!(settled.len(), 1, "{told}");
        arena.assert_sound().await;
    }
}

/// The destination of the log.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this process. A subscriber of one thread is not enough: if a thread without one writes a line
/// first, tracing caches that it is disabled.
static LOG: std::sync::LazyLock<Log> = std::sync::LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log
});

#[tokio::test]
async fn a_failure_names_its_subject_and_its_market() {
    let _ = &*LOG;
    let (_arena, _outside, desk, board) = with_one_bad_repository(Played::status(404)).await;
    round(&desk).await;
    let id = board[0].id.to_string();
    let log = String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("market source failed") && line.contains(&id));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&board[0].criteria.subject()), "{line}");
}

#[tokio::test]
async fn a_rate_limit_is_the_sources() {
    let limited = Played {
        headers: vec![("x-ratelimit-remaining", "0".to_owned())],
        body: b"{\"message\":\"API rate limit exceeded\"}".to_vec(),
        ..Played::status(403)
    };
    let (arena, _outside, desk, _) = with_one_bad_repository(limited).await;
    round(&desk).await;
    let cooldown = db::leases::cooldown(&mut *arena.conn().await, "github").await;
    assert!(cooldown.unwrap().is_some_and(|cooldown| cooldown.active));
}
