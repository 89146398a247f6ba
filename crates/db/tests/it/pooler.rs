//! Everything through a real PgBouncer in transaction mode, with fewer servers than clients.

use db::bots::{self, BotRef};
use db::ticks::{self, Due, Selection, TickEngine};
use db::{Database, DatabaseConfig, actions, events, leases, markets};
use ledger_core::market::{MarketSource, Side};
use ledger_core::{BotId, Enforcement};
use test_kit::{Arena, PgBouncer, eventually};
use tokio::task::JoinSet;

/// Connections that PgBouncer opens to Postgres.
const SERVERS: usize = 4;

async fn pooler(arena: &Arena) -> Option<PgBouncer> {
    let bouncer = PgBouncer::before(&arena.database_url(), SERVERS).await;
    if bouncer.is_none() {
        eprintln!("SKIPPED: pgbouncer is not installed (apt-get install pgbouncer)");
    }
    bouncer
}

async fn database(bouncer: &PgBouncer) -> Database {
    let url = bouncer.url().to_owned();
    let connected = Database::connect(DatabaseConfig { url, pool_size: 8 }).await;
    connected.unwrap_or_else(|error| panic!("{error}\n{}", bouncer.log()))
}

/// One tick through the pooler; answers how many bots were charged.
async fn tick(database: &Database, arena: &Arena) -> usize {
    let mut engine = TickEngine::connect(database).await.unwrap();
    let rules = arena.rules_in(Enforcement::Enforce);
    let due = ticks::due(&mut database.get().await.unwrap(), &rules, 0).await;
    let (Due::Begun(tick) | Due::Open(tick)) = due.unwrap() else {
        unreachable!("a rate of zero is always due")
    };
    let mut after = BotId(i64::MIN);
    let mut bots = 0;
    loop {
        let selection = Selection::Waiting { after, limit: 7 };
        let report = engine.apply(&tick, arena.rules(), &selection).await.unwrap();
        bots += report.bots;
        match report.last {
            Some(last) => after = last,
            None => break,
        }
    }
    ticks::close(&mut database.get().await.unwrap(), &tick)
        .await
        .unwrap()
        .expect("everybody was ticked");
    bots
}

/// Wagers twice, and reads in between without a transaction.
async fn wager_and_look(database: Database, bot: BotId, rules: ledger_core::economy::EconomyRules) {
    for _ in 0..2 {
        let mut conn = database.get().await.unwrap();
        let wager = crate::wager(bot, "1.00");
        db::dry_run::wager(&mut conn, &wager, &rules).await.unwrap();
        actions::place(&mut conn, &wager, &rules, None).await.unwrap();
        bots::find(&mut conn, &BotRef::Id(bot)).await.unwrap();
        let name = format!("bot-{bot}");
        let lease = leases::acquire(&mut conn, &name, "a", 60).await.unwrap();
        assert!(lease.is_some());
        events::bounds(&mut conn).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arena_works_behind_a_pooler_with_fewer_servers_than_clients() {
    let arena = Arena::new().await;
    let Some(bouncer) = pooler(&arena).await else {
        return;
    };
    let mut bots = Vec::new();
    for _ in 0..20 {
        bots.push(arena.bot().balance("50.00").create().await.id);
    }
    // As many pools as there would be processes.
    let databases = [database(&bouncer).await, database(&bouncer).await, database(&bouncer).await];
    let mut working = JoinSet::new();
    for (index, bot) in bots.iter().enumerate() {
        let database = databases[index % databases.len()].clone();
        working.spawn(wager_and_look(database, *bot, arena.rules().clone()));
    }
    assert_eq!(tick(&databases[0], &arena).await, bots.len());
    working.join_all().await;
    let market = arena.market(MarketSource::News).await;
    arena.bet(bots[0], market.id, Side::Yes, "1.00").await;
    arena.bet(bots[1], market.id, Side::No, "1.00").await;
    arena.lock_market(market.id).await;
    arena.decide(market.id, Side::Yes).await;
    let mut conn = databases[1].get().await.unwrap();
    let settled = markets::settle(&mut conn, market.id).await.unwrap();
    assert_eq!(settled.unwrap().bets, 2);
    drop(conn);
    assert_eq!(tick(&databases[2], &arena).await, bots.len());
    let report = db::audit::audit(&databases[0], db::audit::Options::default()).await.unwrap();
    assert!(report.is_sound(), "{:#?}", report.faults);
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_behind_a_pooler_leaves_no_transaction_open() {
    let arena = Arena::new().await;
    let Some(bouncer) = pooler(&arena).await else {
        return;
    };
    let bot = arena.bot().create().await.id;
    let database = database(&bouncer).await;
    let locker = arena.owner_client().await;
    for _ in 0..2 * SERVERS {
        locker.batch_execute("BEGIN; LOCK TABLE bots IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut conn = database.get().await.unwrap();
        {
            let who = BotRef::Id(bot);
            let found = bots::find(&mut conn, &who);
            let mut found = std::pin::pin!(found);
            eventually("the look waits for the lock", || {
                let polled = answers_now(&mut found);
                let waits = locker.query_one(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = \
                        (SELECT oid FROM pg_database WHERE datname = current_database()))",
                    &[],
                );
                async move {
                    assert!(!polled, "it answered in spite of the lock");
                    waits.await.unwrap().get::<_, bool>(0).then_some(())
                }
            })
            .await;
        }
        drop(conn);
        locker.batch_execute("ROLLBACK").await.unwrap();
    }
    let mut conn = database.get().await.unwrap();
    bots::find(&mut conn, &BotRef::Id(bot)).await.unwrap();
}

/// Polls once; whether it is ready.
fn answers_now<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}

#[tokio::test]
async fn migrations_refuse_a_url_that_leads_through_a_pooler() {
    let arena = Arena::new().await;
    let url = format!("{}?pooler=transaction", arena.owner_url());
    let refused = db::migrations::run(&url).await.unwrap_err();
    assert!(refused.to_string().contains("direct connection"), "{refused}");
}
