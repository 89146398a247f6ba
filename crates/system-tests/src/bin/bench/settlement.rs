//! The settlement of a market with 10,000 bets, against a bulk insert of 10,000 entries with the
//! update of their wallets.

use std::sync::Arc;
use std::time::Instant;

use db::ledger::Prepared;
use ledger_core::economy::{EconomyRules, Enforcement, tick, tick_reference};
use ledger_core::market::{MarketSource, Side};
use ledger_core::{BotId, MarketId, TickNumber};
use system_tests::populate;
use test_kit::Arena;
use test_kit::market::{new_bet, slip};

use crate::table::Table;

const BETS: i64 = 10_000;
const PAIRS: usize = 5;
/// Bettors at once while the market fills.
const AT_ONCE: usize = 8;
/// A settlement may take three times as long.
const GOAL: f64 = 1.0 / 3.0;

pub(crate) async fn bench(table: &mut Table) {
    let arena = Arc::new(Arena::with_pool(AT_ONCE + 2).await);
    // The bettors, and as many others for the yardstick.
    populate::bots(&arena, 1, 2 * BETS).await;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let market = filled(&arena).await;
        checkpoint(&arena).await;
        limit.push(raw(&arena).await);
        checkpoint(&arena).await;
        let mut conn = arena.conn().await;
        let began = Instant::now();
        let settled = db::markets::settle(&mut conn, market).await.unwrap().unwrap();
        ours.push(per_second(began));
        assert_eq!(settled.bets, 10_000);
    }
    let what = "settlement of 10,000 bets / bulk insert of as many entries";
    table.ratio(what, &ours, &limit, "bets/s", GOAL);
    // The yardstick's bots were charged behind the backs of their totals.
    let audit = db::audit::audit(arena.database(), db::audit::Options::default()).await;
    let faults = audit.unwrap().faults;
    let ours = faults.iter().find(|fault| fault.bot_id.is_none_or(|bot| bot.0 <= BETS));
    assert!(ours.is_none(), "{ours:?}");
}

fn per_second(began: Instant) -> f64 {
    10_000.0 / began.elapsed().as_secs_f64()
}

async fn checkpoint(arena: &Arena) {
    arena.owner_client().await.batch_execute("CHECKPOINT").await.unwrap();
}

/// A locked and decided market on which every bettor has bet.
async fn filled(arena: &Arc<Arena>) -> MarketId {
    let market = arena.market(MarketSource::News).await.id;
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let arena = Arc::clone(arena);
        tasks.spawn(async move {
            let mut conn = arena.conn().await;
            for bot in (1..=BETS).skip(first).step_by(AT_ONCE) {
                let side = if bot % 3 == 0 { Side::No } else { Side::Yes };
                let stake = format!("1.{:02}", bot % 100);
                let slip = slip(BotId(bot), vec![new_bet(market, side, &stake)]);
                db::markets::place(&mut conn, &slip, arena.rules(), None).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    arena.lock_market(market).await;
    arena.decide(market, Side::Yes).await;
    market
}

/// The same number of entries and wallets, sealed beforehand, and nothing else.
async fn raw(arena: &Arena) -> f64 {
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    let bots: Vec<BotId> = (BETS + 1..=2 * BETS).map(BotId).collect();
    let mut conn = arena.conn().await;
    let number = TickNumber(1);
    let prepared = Prepared::seal(&mut conn, &bots, |wallet| {
        let mut outcome = tick(wallet, &rules, number, &tick_reference(number));
        outcome.movements.remove(0)
    })
    .await
    .unwrap();
    let began = Instant::now();
    prepared.write(&mut conn).await.unwrap();
    per_second(began)
}
