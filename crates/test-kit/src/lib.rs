//! For tests: a separate arena for each, in a real Postgres and a real Redis.
//!
//! `scripts/with-test-services` starts both and names them in `TEST_DATABASE_URL` (a superuser's)
//! and `TEST_REDIS_URL`. Each [`Arena`] is a database cloned from a migrated template and a prefix
//! of Redis keys, so that tests run in parallel and never meet. The template's sequences start
//! 10,000 apart: an id of the wrong kind finds nothing.
//!
//! For tests and benchmarks only: everything here panics rather than answer an error.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bot;
pub mod chain;
pub mod market;
pub mod outside;
mod pooler;
pub mod servers;
mod template;

use std::future::Future;
use std::time::{Duration, Instant};

pub use bot::{BotBuilder, TestBot};
use db::{Database, DatabaseConfig};
use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{BotId, Timestamp};
pub use pooler::PgBouncer;
use tokio_postgres::NoTls;

/// How long [`eventually`] waits before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// An isolated arena.
pub struct Arena {
    name: String,
    database: Database,
    rules: EconomyRules,
}

impl Arena {
    /// A fresh arena with the default economy, in observe mode.
    pub async fn new() -> Arena {
        Arena::with_pool(8).await
    }

    /// The same with room for `pool_size` connections of the services' role.
    pub async fn with_pool(pool_size: usize) -> Arena {
        Arena::open(template::clone_database().await, pool_size).await
    }

    /// A fresh arena whose empty database was changed by `sql` before the migrations, with a superuser's rights,
    /// for example with another clock. Its sequences start at 1.
    pub async fn migrated_after(sql: &str, pool_size: usize) -> Arena {
        Arena::open(template::migrate_after(sql).await, pool_size).await
    }

    /// An arena whose database is what `dump`, a plain one of `pg_dump --no-owner`, makes as the schema's
    /// owner. No migration is run.
    pub async fn loaded_from(dump: &str) -> Arena {
        let name = template::empty_database().await;
        let owner = template::connect(&template::owner_url(&name)).await;
        owner.batch_execute(dump).await.unwrap();
        Arena::open(name, 8).await
    }

    async fn open(name: String, pool_size: usize) -> Arena {
        let url = template::app_url(&name);
        let database = Database::connect(DatabaseConfig { url, pool_size }).await.unwrap();
        Arena { name, database, rules: rules() }
    }

    /// The same arena under other rules.
    pub fn with_rules(mut self, rules: EconomyRules) -> Arena {
        self.rules = rules;
        self
    }

    /// Connections under the services' role, `arena_app`.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub async fn conn(&self) -> db::PooledConnection {
        self.database.get().await.unwrap()
    }

    pub fn rules(&self) -> &EconomyRules {
        &self.rules
    }

    /// The arena's rules in this mode.
    pub fn rules_in(&self, enforcement: Enforcement) -> EconomyRules {
        EconomyRules { enforcement, ..self.rules.clone() }
    }

    /// URL of the services' role.
    pub fn database_url(&self) -> String {
        template::app_url(&self.name)
    }

    /// URL of the schema owner's role.
    pub fn owner_url(&self) -> String {
        template::owner_url(&self.name)
    }

    pub fn redis_url(&self) -> String {
        redis_url()
    }

    /// The prefix of this arena's keys in Redis.
    pub fn redis_prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// A superuser's connection to this arena's database, for arranging what no service may.
    pub async fn owner_client(&self) -> tokio_postgres::Client {
        template::connect(&template::superuser_url(&self.name)).await
    }

    /// How many entries the ledger has.
    pub async fn ledger_entries(&self) -> i64 {
        let client = self.owner_client().await;
        let row = client.query_one("SELECT count(*) FROM ledger", &[]).await;
        row.unwrap().get(0)
    }

    /// Has Postgres refuse, or take, writes to this arena: in new sessions, and the old ones end.
    pub async fn refuse_writes(&self, refuse: bool) {
        let name = &self.name;
        let mode = if refuse { "on" } else { "off" };
        let client = template::connect(&superuser_url()).await;
        let statement =
            format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = {mode}");
        client.batch_execute(&statement).await.unwrap();
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        client.query(ended, &[name]).await.unwrap();
    }

    /// Starts describing a bot.
    pub fn bot(&self) -> BotBuilder<'_> {
        BotBuilder::new(self)
    }

    /// Keeps a price; `seconds_from_now` places its time at the provider.
    pub async fn price(&self, price: &str, source: PriceSource, seconds_from_now: i64) {
        let at = self.now().await.plus_seconds(seconds_from_now);
        self.price_at(price, source, at).await;
    }

    /// Keeps a price of that time at the provider. One that is too old to be taken now counts as taken
    /// then.
    pub async fn price_at(&self, price: &str, source: PriceSource, at: Timestamp) {
        let parsed: Price = price.parse().unwrap();
        let kept = db::prices::record(&mut *self.conn().await, source, parsed, at).await;
        if kept.unwrap().is_some() || at > self.now().await.plus_seconds(-590) {
            return;
        }
        let keep = format!(
            "INSERT INTO prices (source, price, provider_at, sampled_at) \
             VALUES ('{source}', {price}, '{at}', '{at}') ON CONFLICT DO NOTHING"
        );
        self.owner_client().await.batch_execute(&keep).await.unwrap();
    }

    /// Postgres' clock.
    pub async fn now(&self) -> Timestamp {
        let row = self
            .owner_client()
            .await
            .query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[])
            .await
            .unwrap();
        Timestamp::from_micros(row.get(0)).unwrap()
    }

    /// Runs a whole tick for all bots, at any time since the last one.
    pub async fn tick(&self, enforcement: Enforcement) -> db::ticks::TickTotals {
        let mut conn = self.conn().await;
        let rules = self.rules_in(enforcement);
        let tick = match db::ticks::due(&mut conn, &rules, 0).await.unwrap() {
            db::ticks::Due::Begun(tick) | db::ticks::Due::Open(tick) => tick,
            due => unreachable!("a rate of zero is always due, not {due:?}"),
        };
        let mut engine = db::ticks::TickEngine::connect(&self.database).await.unwrap();
        let mut after = BotId(i64::MIN);
        loop {
            let selection = db::ticks::Selection::Waiting { after, limit: 1000 };
            let report = engine.apply(&tick, &rules, &selection).await.unwrap();
            match report.last {
                Some(last) => after = last,
                None => break,
            }
        }
        db::ticks::close(&mut conn, &tick).await.unwrap().expect("everybody was ticked")
    }

    /// Audits the arena and panics with every fault found.
    pub async fn assert_sound(&self) {
        let report = db::audit::audit(&self.database, db::audit::Options::default()).await.unwrap();
        assert!(report.is_sound(), "the audit found {:#?}", report.faults);
    }
}

/// The default economy, in observe mode, without rules that only their own tests need: a prediction starts at the
/// first price after its creation, and the house's budget is unlimited.
pub fn rules() -> EconomyRules {
    EconomyRules {
        sample_lag_seconds: 0,
        house_loss_budget_per_hour: ledger_core::Money::MAX,
        ..EconomyRules::default()
    }
}

/// The cluster's superuser, in no arena's database.
pub fn superuser_url() -> String {
    template::superuser_url("postgres")
}

/// An empty database in the tests' cluster, with an arena's roles: the owner's URL and the services'.
pub async fn empty_database() -> (String, String) {
    let name = template::empty_database().await;
    (template::owner_url(&name), template::app_url(&name))
}

/// The same in another encoding than UTF8.
pub async fn empty_database_in(encoding: &str) -> (String, String) {
    let options = format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    let name = template::empty_database_with(&options).await;
    (template::owner_url(&name), template::app_url(&name))
}

/// The Redis of this test run.
pub fn redis_url() -> String {
    template::variable("TEST_REDIS_URL")
}

/// Opens a bare client, driven in the background.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Polls `probe` until it answers something, at most for [`PATIENCE`].
pub async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} without success until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
