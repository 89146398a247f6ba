//! The audit: recomputes every hash of every chain, and compares all cached and stored values with
//! the chains.
//!
//! It works on a live system from one consistent snapshot, several ranges of bots at once, and its
//! memory does not grow with the ledger. It proves what the chains prove: any change, loss or
//! insertion inside a chain. It cannot detect a whole chain that an owner rewrote or a whole bot
//! that an owner deleted; for that, keep the digest of all heads in another place.

pub(crate) mod columns;
pub(crate) mod entries;
mod expected;
mod markets;
mod range;
mod tally;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ledger_core::chain::{ChainFault, FaultyField, Head, HeadsDigest};
use ledger_core::criteria::{Criteria, Reading, Times};
use ledger_core::supply::{Supply, SupplyText};
use ledger_core::{BotId, Hash, MarketId, Money, Timestamp};
use serde::Serialize;
use tokio_postgres::Client;

use self::expected::Bounds;
use self::markets::MarketsReport;
use self::verdicts::Verdicts;
use crate::error::{DbError, DbResult};
use crate::pool::Database;

/// Bots in one range: small enough for memory, large enough to make the queries' cost vanish.
const BOTS_PER_RANGE: i64 = 4_000;
/// Faults that a report names one by one; the rest is counted.
pub const FAULTS_MAX: usize = 1_000;

/// How to audit.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Ranges audited at once, each on its own connection.
    pub workers: usize,
    /// How to read a market's evidence again; without it the stored bytes are only hashed.
    pub derive: Option<Derive>,
}

/// The outcome of a market with these criteria and times by an answer fetched at that time; an
/// error says why there is none.
pub type Derive = fn(&Criteria, &Times, Timestamp, &[u8]) -> Result<Reading, String>;

impl Default for Options {
    fn default() -> Options {
        Options { workers: 2, derive: None }
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub bot_id: Option<BotId>,
    /// The market, where one was not shared out as it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market_id: Option<MarketId>,
    /// The entry, where one is at fault.
    pub sequence: Option<i64>,
    /// The column, or `wallet.…`, `bot.…`, `predictions.…`, `supply` for values outside of chains.
    pub field: String,
    pub expected: String,
    pub found: String,
}

impl Fault {
    /// One that is in no entry of a bot's chain.
    fn beside(
        bot_id: impl Into<Option<BotId>>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Fault {
        Fault {
            bot_id: bot_id.into(),
            market_id: None,
            sequence: None,
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl From<ChainFault> for Fault {
    fn from(fault: ChainFault) -> Fault {
        let field = fault.field.to_string();
        Fault {
            sequence: Some(fault.sequence),
            ..Fault::beside(fault.bot_id, field, fault.expected, fault.found)
        }
    }
}

/// Which database was audited: a report of another one proves nothing of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub name: String,
    /// The cluster's identifier, drawn at its creation; absent if the role may not read it.
    pub system_identifier: Option<String>,
    /// Which arena it is, by its own identity.
    pub arena: uuid::Uuid,
    /// The digest of the rules of its newest tick; absent before the first, and where it named none.
    pub rules: Option<Hash>,
}

/// The result of an audit.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub database: Place,
    /// The moment of the snapshot.
    pub as_of: Timestamp,
    pub bots: u64,
    pub entries: u64,
    pub markets: u64,
    /// SHA-256 over a line `<bot_id> <sequence> <hash>\n` for each chain's head, in order of bots.
    pub heads_digest: Hash,
    pub supply: SupplyText,
    /// `minted − burned − escrow − circulating` as recomputed; must be `0.00000000`.
    pub drift: String,
    pub faults_total: u64,
    /// The first [`FAULTS_MAX`], in order of bots.
    pub faults: Vec<Fault>,
}

impl Report {
    pub const fn is_sound(&self) -> bool {
        self.faults_total == 0
    }
}

/// The result of one range of bots.
#[derive(Default)]
struct RangeReport {
    bots: u64,
    entries: u64,
    /// The lines of the digest.
    heads: Vec<u8>,
    supply: Supply,
    faults: Faults,
}

/// Faults: all are counted, and the first [`FAULTS_MAX`] kept.
#[derive(Default)]
struct Faults {
    total: u64,
    first: Vec<Fault>,
}

impl Faults {
    fn push(&mut self, fault: impl Into<Fault>) {
        self.total += 1;
        if self.first.len() < FAULTS_MAX {
            self.first.push(fault.into());
        }
    }

    fn append(&mut self, more: Faults) {
        self.total += more.total;
        let room = FAULTS_MAX.saturating_sub(self.first.len());
        self.first.extend(more.first.into_iter().take(room));
    }
}

/// Audits everything.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn audit(database: &Database, options: Options) -> DbResult<Report> {
    let snapshot = Snapshot::take(database).await?;
    audit_of(&snapshot, database, options).await
}

/// [`audit`], and at the same time `beside` with the same snapshot: by the snapshot's session, or
/// by its name.
pub(crate) async fn audit_beside<T>(
    database: &Database,
    options: Options,
    beside: impl AsyncFnOnce(&Client, &str) -> T,
) -> DbResult<(Report, T)> {
    let snapshot = Snapshot::take(database).await?;
    let report = audit_of(&snapshot, database, options).await?;
    let done = beside(&snapshot.client, &snapshot.id).await;
    Ok((report, done))
}

async fn audit_of(snapshot: &Snapshot, database: &Database, options: Options) -> DbResult<Report> {
    let ranges = Arc::new(snapshot.ranges().await?);
    let verdicts = Arc::new(Verdicts::load(&snapshot.client).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(options.workers.max(1) * 2);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..options.workers.clamp(1, ranges.len()) {
        let client = snapshot.share(database).await?;
        let (ranges, next, sender) = (Arc::clone(&ranges), Arc::clone(&next), sender.clone());
        let verdicts = Arc::clone(&verdicts);
        workers.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(bounds) = ranges.get(index) else {
                    return DbResult::Ok(());
                };
                let report = range::audit(&client, *bounds, &verdicts).await?;
                if sender.send((index, report)).await.is_err() {
                    return Ok(());
                }
            }
        });
    }
    drop(sender);
    let mut sum = Sum::default();
    // Ranges end out of order; the digest wants them in order.
    let mut early = BTreeMap::new();
    while let Some((index, report)) = receiver.recv().await {
        early.insert(index, report);
        while let Some(report) = early.remove(&sum.ranges) {
            sum.add(report);
        }
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|error| DbError::Query(format!("an auditor panicked: {error}")))??;
    }
    let markets = markets::audit(&snapshot.client, &verdicts, options.derive).await?;
    Ok(sum.finish(snapshot.as_of, snapshot.place().await?, markets))
}

/// The running total over ranges.
#[derive(Default)]
struct Sum {
    ranges: usize,
    whole: RangeReport,
    digest: HeadsDigest,
}

impl Sum {
    fn add(&mut self, range: RangeReport) {
        self.ranges += 1;
        self.digest.add_lines(&range.heads);
        let whole = &mut self.whole;
        whole.bots += range.bots;
        whole.entries += range.entries;
        whole.supply.minted += range.supply.minted;
        whole.supply.burned += range.supply.burned;
        whole.supply.escrow += range.supply.escrow;
        whole.supply.circulating += range.supply.circulating;
        whole.faults.append(range.faults);
    }

    fn finish(mut self, as_of: Timestamp, database: Place, markets: MarketsReport) -> Report {
        self.whole.faults.append(markets.faults);
        let drift = ledger_core::supply::units_text(self.whole.supply.drift());
        if self.whole.supply.drift() != 0 {
            let expected = "minted − burned − escrow = circulating";
            let found = format!("a drift of {drift}");
            let fault = Fault::beside(None, "supply", expected, found);
            self.whole.faults.push(fault);
        }
        Report {
            database,
            as_of,
            bots: self.whole.bots,
            entries: self.whole.entries,
            markets: markets.markets,
            heads_digest: self.digest.finish(),
            supply: self.whole.supply.text(),
            drift,
            faults_total: self.whole.faults.total,
            faults: self.whole.faults.first,
        }
    }
}

/// One consistent view, shared by several connections.
pub(crate) struct Snapshot {
    /// Keeps the snapshot alive.
    client: Client,
    id: String,
    pub(crate) as_of: Timestamp,
}

/// Only for the transaction: behind a pooler the session goes to another client next.
const UNBOUNDED: &str = "SET LOCAL statement_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL timezone = 'UTC'";

impl Snapshot {
    pub(crate) async fn take(database: &Database) -> DbResult<Snapshot> {
        let client = database.dedicated().await?;
        client
            .batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {UNBOUNDED}"))
            .await?;
        let row = client
            .query_one(
                "SELECT pg_export_snapshot(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
                &[],
            )
            .await?;
        let as_of = Timestamp::from_micros(row.get(1))
            .ok_or_else(|| DbError::corrupt("Postgres' clock is beyond the calendar"))?;
        Ok(Snapshot { client, id: row.get(0), as_of })
    }

    async fn place(&self) -> DbResult<Place> {
        let ask = "SELECT current_database()::text, (SELECT id FROM arena_identity), \
            has_function_privilege('pg_control_system()', 'EXECUTE'), \
            (SELECT rules FROM ticks ORDER BY number DESC LIMIT 1)";
        let row = self.client.query_one(ask, &[]).await?;
        let system_identifier = if row.get(2) {
            let ask = "SELECT system_identifier::text FROM pg_control_system()";
            Some(self.client.query_one(ask, &[]).await?.get(0))
        } else {
            None
        };
        Ok(Place {
            name: row.get(0),
            arena: row.get(1),
            system_identifier,
            rules: row.get::<_, Option<Vec<u8>>>(3).and_then(|digest| Hash::from_slice(&digest)),
        })
    }

    /// A connection that uses this snapshot.
    pub(crate) async fn share(&self, database: &Database) -> DbResult<Client> {
        let client = database.dedicated().await?;
        // Chain order is the key's order. Held to the index, the planner neither sorts nor reads
        // everything for each range.
        client
            .batch_execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                 SET TRANSACTION SNAPSHOT '{}'; {UNBOUNDED}; \
                 SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; \
                 SET LOCAL enable_bitmapscan = off",
                self.id
            ))
            .await?;
        Ok(client)
    }

    /// Ranges of bots that together cover every possible id, also those without a wallet.
    async fn ranges(&self) -> DbResult<Vec<Bounds>> {
        let rows = self
            .client
            .query(
                "SELECT bot_id FROM (SELECT bot_id, row_number() OVER (ORDER BY bot_id) AS place \
                                       FROM wallets) w \
                  WHERE place % $1 = 0 ORDER BY bot_id",
                &[&BOTS_PER_RANGE],
            )
            .await?;
        let mut ranges = Vec::with_capacity(rows.len() + 1);
        let mut after = None;
        for row in rows {
            let up_to = BotId(row.get(0));
            ranges.push(Bounds { after, up_to: Some(up_to) });
            after = Some(up_to);
        }
        ranges.push(Bounds { after, up_to: None });
        Ok(ranges)
    }
}

/// Where a wallet's cached head differs from the end of its chain.
pub(crate) fn wallet_fault(
    head: &Head,
    sequence: i64,
    balance: Money,
    hash: &[u8],
) -> Option<ChainFault> {
    let fault = |field, expected: String, found: String| {
        Some(ChainFault { bot_id: head.bot_id, sequence: head.sequence, field, expected, found })
    };
    if head.sequence != sequence {
        let expected = format!("{sequence} entries by the wallet");
        return fault(FaultyField::Sequence, expected, head.sequence.to_string());
    }
    if head.balance != balance {
        let expected = format!("{balance} by the wallet");
        let found = head.balance.to_string();
        return fault(FaultyField::BalanceAfter, expected, found);
    }
    if head.hash.0[..] != *hash {
        let expected = "the wallet's cached hash".to_owned();
        return fault(FaultyField::Hash, expected, head.hash.to_string());
    }
    None
}
