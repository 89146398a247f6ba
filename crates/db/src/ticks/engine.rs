//! One chunk of a tick in one transaction, on its own connection.

use futures_util::future::{join, join3};
use futures_util::{SinkExt, TryStreamExt};
use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::{BotId, Pause, Refusal};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, RowStream, Statement};

use super::chunk::{Chunk, Deciding};
use super::statements::Statements;
use super::{ChunkError, ChunkReport, Selection, Tick};
use crate::copy::{Instant, Raw, timestamp_of};
use crate::error::{DbError, DbResult};
use crate::opening;
use crate::pool::Database;
use crate::sql::SqlTotal;

/// The ticker's own connection, with its statements prepared.
///
/// After any error the connection is discarded: a COPY refused inside a pipeline leaves it out of
/// sync with the server.
pub struct TickEngine {
    database: Database,
    session: Option<Session>,
}

struct Session {
    client: Client,
    /// Behind a pooler they belong to the present transaction.
    statements: Statements,
    pooled: bool,
}

/// With custom plans the bulk update turns into a scan of all wallets for larger chunks.
const GENERIC_PLANS: &str = "plan_cache_mode = force_generic_plan";

fn pooled_begin() -> String {
    opening::begin(&format!("BEGIN; SET LOCAL {GENERIC_PLANS}"))
}

type Param<'a> = &'a (dyn ToSql + Sync);

impl TickEngine {
    /// # Errors
    /// [`DbError::Unavailable`] when Postgres cannot be reached in time.
    #[crate::boxed]
    pub async fn connect(database: &Database) -> DbResult<TickEngine> {
        let session = Session::open(database).await?;
        Ok(TickEngine { database: database.clone(), session: Some(session) })
    }

    /// Ticks one chunk in one transaction. On an error nothing was written.
    ///
    /// # Errors
    /// [`ChunkError`] names the bots that were locked. [`Refusal::ArenaPaused`] while the arena is paused.
    #[crate::boxed]
    pub async fn apply(
        &mut self,
        tick: &Tick,
        rules: &EconomyRules,
        selection: &Selection,
    ) -> Result<ChunkReport, ChunkError> {
        let mut session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            Some(_) | None => Session::open(&self.database).await.map_err(before_any_bot)?,
        };
        session.renew().await.map_err(before_any_bot)?;
        let mut taken = Vec::new();
        match session.transaction(tick, rules, selection, &mut taken).await {
            Ok(report) => {
                self.session = Some(session);
                Ok(report)
            }
            Err(error) => {
                // Lets go of the locks at once. In any case the session ends here and Postgres rolls back an open
                // transaction.
                let _ = session.client.batch_execute("ROLLBACK").await;
                Err(ChunkError { bots: taken, error })
            }
        }
    }
}

fn before_any_bot(error: DbError) -> ChunkError {
    ChunkError { bots: Vec::new(), error }
}

/// Decides on each wallet as it comes, while Postgres locks the next one. After an error all that were
/// locked are in `taken`.
async fn decide(
    rows: RowStream,
    tick: &Tick,
    rules: &EconomyRules,
    selection: &Selection,
    taken: &mut Vec<BotId>,
) -> DbResult<Chunk> {
    let mut rows = std::pin::pin!(rows);
    let mut deciding = Deciding::new(tick, rules, selection.size());
    let mut failed = Ok(());
    while let Some(row) = rows.try_next().await? {
        taken.push(BotId(row.get(0)));
        if failed.is_ok() {
            failed = deciding.add(&row);
        }
    }
    failed.map(|()| deciding.finish())
}

impl Session {
    async fn open(database: &Database) -> DbResult<Session> {
        let client = database.dedicated().await?;
        let pooled = database.is_pooled();
        if pooled {
            client.batch_execute(&pooled_begin()).await?;
        } else {
            let setting = format!("SET {GENERIC_PLANS}");
            client.batch_execute(&setting).await?;
        }
        let statements = Statements::prepare(&client).await?;
        if pooled {
            // An engine may wait long for its first chunk, and must not hold a server meanwhile.
            client.batch_execute("ROLLBACK").await?;
        }
        Ok(Session { client, statements, pooled })
    }

    /// Makes ready for the next transaction; behind a pooler that means to begin it.
    async fn renew(&mut self) -> DbResult<()> {
        if self.pooled {
            self.client.batch_execute(&pooled_begin()).await?;
            self.statements = Statements::prepare(&self.client).await?;
        }
        Ok(())
    }

    async fn begin(&self) -> DbResult<()> {
        if !self.pooled {
            self.client.batch_execute("BEGIN").await?;
        }
        Ok(())
    }

    async fn transaction(
        &self,
        tick: &Tick,
        rules: &EconomyRules,
        selection: &Selection,
        taken: &mut Vec<BotId>,
    ) -> DbResult<ChunkReport> {
        let (begun, running, rows) =
            join3(self.begin(), self.unless_paused(), self.lock(tick, selection)).await;
        begun?;
        running?;
        let chunk = decide(rows?, tick, rules, selection, taken).await?;
        if chunk.wallets.is_empty() {
            self.client.batch_execute("COMMIT").await?;
            return Ok(ChunkReport::default());
        }
        self.write(tick, &chunk).await?;
        self.conclude(tick, &chunk).await?;
        // Not in the pipeline: behind a failed statement a COMMIT succeeds, as a rollback.
        self.client.batch_execute("COMMIT").await?;
        Ok(chunk.report)
    }

    /// [`crate::pauses::WhilePaused::Refuse`], on this connection.
    async fn unless_paused(&self) -> DbResult<()> {
        let row = self.client.query_opt(&self.statements.hold_arena_pause, &[]).await?;
        let Some(row) = row else { return Ok(()) };
        let Raw(since) = row.get(0);
        let pause = Pause {
            since: timestamp_of(since).ok_or_else(|| DbError::corrupt("arena_pause"))?,
            reason: row.get(1),
        };
        Err(Refusal::ArenaPaused { pause }.into())
    }

    /// Locks wallets, which come one by one.
    async fn lock(&self, tick: &Tick, selection: &Selection) -> DbResult<RowStream> {
        let number = tick.number.0;
        let named: Vec<i64>;
        let (statement, values): (_, Vec<Param<'_>>) = match selection {
            Selection::Free { after, limit } => {
                (&self.statements.lock_free, vec![&number, &after.0, limit])
            }
            Selection::Waiting { after, limit } => {
                (&self.statements.lock_waiting, vec![&number, &after.0, limit])
            }
            Selection::Exactly(bots) => {
                named = bots.iter().map(|bot| bot.0).collect();
                (&self.statements.lock_exactly, vec![&number, &named])
            }
        };
        Ok(self.client.query_raw(statement, values).await?)
    }

    /// Writes a decided chunk as one pipeline and checks every row count.
    async fn write(&self, tick: &Tick, chunk: &Chunk) -> DbResult<()> {
        let (entries, metrics, wallets) = join3(
            self.copy_entries(chunk),
            self.copy(&self.statements.copy_metrics, &chunk.metrics),
            self.update_wallets(tick, chunk),
        )
        .await;
        let bots = chunk.wallets.len() as u64;
        if entries? != chunk.entries_len || metrics? != bots || wallets? != bots {
            return Err(DbError::corrupt("a chunk did not reach all of its rows"));
        }
        Ok(())
    }

    /// The tick's totals, and the posts about bots that died.
    async fn conclude(&self, tick: &Tick, chunk: &Chunk) -> DbResult<()> {
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let ticked = count(chunk.report.bots);
        let liquidated = count(chunk.report.liquidated.len());
        let fees = SqlTotal(chunk.report.fees);
        let totals: [Param<'_>; 4] = [&tick.number.0, &ticked, &fees, &liquidated];
        self.bury(chunk).await?;
        // Last, so that tickers that share a tick wait for each other's commit and nothing else.
        let totals = self.client.execute(&self.statements.update_tick, &totals).await;
        // A tick that was closed over our heads must not be charged any more.
        if totals? != 1 {
            return Err(DbError::corrupt(format!("tick {} is not open", tick.number)));
        }
        Ok(())
    }

    async fn copy_entries(&self, chunk: &Chunk) -> DbResult<u64> {
        match &chunk.entries {
            Some(entries) => self.copy(&self.statements.copy_ledger, entries).await,
            None => Ok(0),
        }
    }

    async fn copy(&self, statement: &Statement, rows: &bytes::Bytes) -> DbResult<u64> {
        let sink = self.client.copy_in(statement).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(rows.clone()).await?;
        Ok(sink.finish().await?)
    }

    async fn update_wallets(&self, tick: &Tick, chunk: &Chunk) -> DbResult<u64> {
        let each = || chunk.wallets.iter();
        let bots: Vec<i64> = each().map(|w| w.head.bot_id.0).collect();
        let idle: Vec<i32> = each().map(|w| w.idle_streak).collect();
        let number = tick.number.0;
        match tick.enforcement {
            Enforcement::Enforce => {
                let balances: Vec<SqlTotal> =
                    each().map(|w| SqlTotal(w.balance().units().into())).collect();
                let sequences: Vec<i64> = each().map(|w| w.head.sequence).collect();
                let hashes: Vec<&[u8]> = each().map(|w| &w.head.hash.0[..]).collect();
                let times: Vec<Option<Instant>> =
                    each().map(|w| w.head.recorded_at.map(Instant)).collect();
                let statement = &self.statements.update_enforced;
                Ok(self
                    .client
                    .execute(
                        statement,
                        &[
                            &number,
                            &bots,
                            &balances,
                            &sequences,
                            &hashes,
                            &times,
                            &idle,
                            &chunk.burned,
                            &chunk.fees,
                        ],
                    )
                    .await?)
            }
            Enforcement::Observe => {
                let phantom: Vec<SqlTotal> =
                    each().map(|w| SqlTotal(w.phantom_fees.units().into())).collect();
                let died: Vec<Option<i64>> =
                    each().map(|w| w.shadow_died_in.map(|tick| tick.0)).collect();
                let statement = &self.statements.update_observed;
                Ok(self
                    .client
                    .execute(statement, &[&number, &bots, &idle, &phantom, &died])
                    .await?)
            }
        }
    }

    /// Status, posts and events of those who died in this chunk.
    async fn bury(&self, chunk: &Chunk) -> DbResult<()> {
        if chunk.report.liquidated.is_empty() {
            return Ok(());
        }
        let dead: Vec<i64> = chunk.report.liquidated.iter().map(|bot| bot.0).collect();
        let count = dead.len() as u64;
        if self.client.execute(&self.statements.kill, &[&dead]).await? != count {
            return Err(DbError::corrupt("a liquidated bot was not alive"));
        }
        let each = || chunk.posts.iter();
        let bots: Vec<i64> = each().map(|post| post.bot_id.0).collect();
        let kinds: Vec<&str> = each().map(|post| post.draft.kind.as_str()).collect();
        let contents: Vec<&str> = each().map(|post| post.draft.content.as_str()).collect();
        let references: Vec<&str> = each().map(|post| post.reference.as_str()).collect();
        let times: Vec<Instant> = each().map(|post| Instant(post.created_at)).collect();
        let posts: [Param<'_>; 5] = [&bots, &kinds, &contents, &references, &times];
        let posts = self.client.execute(&self.statements.insert_posts, &posts);
        let event_kinds: Vec<&str> =
            chunk.events.iter().map(|event| event.kind().as_str()).collect();
        let data: Result<Vec<String>, _> = chunk.events.iter().map(serde_json::to_string).collect();
        let data = data.map_err(DbError::corrupt)?;
        let events: [Param<'_>; 2] = [&event_kinds, &data];
        let events = self.client.execute(&self.statements.insert_events, &events);
        let (posts, events) = join(posts, events).await;
        if posts? != count || events? != chunk.events.len() as u64 {
            return Err(DbError::corrupt("a liquidation did not reach all of its rows"));
        }
        Ok(())
    }
}

/// The yardstick of the tick's benchmark: the rows of a tick, made beforehand.
#[doc(hidden)]
pub struct Prepared(Vec<Chunk>);

#[doc(hidden)]
impl TickEngine {
    /// Decides a whole tick and returns the rows, without writing.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn prepare(
        &mut self,
        tick: &Tick,
        rules: &EconomyRules,
        chunk_bots: i64,
    ) -> DbResult<Prepared> {
        let mut session = Session::open(&self.database).await?;
        session.renew().await?;
        let mut chunks = Vec::new();
        let mut after = BotId(i64::MIN);
        session.begin().await?;
        loop {
            let selection = Selection::Free { after, limit: chunk_bots };
            let rows = session.lock(tick, &selection).await?;
            let chunk = decide(rows, tick, rules, &selection, &mut Vec::new()).await?;
            let Some(last) = chunk.report.last else { break };
            after = last;
            chunks.push(chunk);
        }
        session.client.batch_execute("ROLLBACK").await?;
        Ok(Prepared(chunks))
    }

    /// Writes prepared rows in the same chunks as a tick, pipelined as a tick does, but without
    /// locking, deciding, hashing and keeping the tick's totals.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn write_prepared(&mut self, tick: &Tick, prepared: &Prepared) -> DbResult<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.database).await?,
        };
        for chunk in &prepared.0 {
            session.renew().await?;
            session.begin().await?;
            session.write(tick, chunk).await?;
            session.client.batch_execute("COMMIT").await?;
        }
        self.session = Some(session);
        Ok(())
    }
}
