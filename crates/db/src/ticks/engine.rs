//! One chunk of a cycle in one transaction, on a connection of its own.

use futures_util::SinkExt;
use futures_util::future::{join, join3};
use ledger_core::chain::{Head, seal_onto};
use ledger_core::economy::{self, EconomyRules, Enforcement, Fate, Wallet};
use ledger_core::post::Draft;
use ledger_core::{
    BotId, BotStatus, CycleNumber, Entry, Hash, Money, Pause, Reference, Refusal, Timestamp,
};
use serde_json::json;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::{ChunkError, ChunkReport, Cycle, Selection};
use crate::copy::{CopyWriter, Instant, Raw, Units, numeric_units, timestamp_of};
use crate::error::{DbError, DbResult};
use crate::events::{EventDraft, EventKind};
use crate::ledger::entry_event;
use crate::pool::{self, Database};
use crate::posts::NewPost;

/// The ticker's own connection, with its statements prepared.
///
/// After any error the connection is thrown away: a COPY that was refused in the middle of a
/// pipeline leaves it out of step with the server.
pub struct TickEngine {
    database: Database,
    session: Option<Session>,
}

struct Session {
    client: Client,
    /// Behind a pooler they are those of the present transaction.
    statements: Statements,
    pooled: bool,
}

/// With custom plans the bulk update turns into a scan of all wallets for larger chunks.
const GENERIC_PLANS: &str = "plan_cache_mode = force_generic_plan";

fn pooled_begin() -> String {
    pool::begin(&format!("BEGIN; SET LOCAL {GENERIC_PLANS}"))
}

type Param<'a> = &'a (dyn ToSql + Sync);

struct Statements {
    hold_arena_pause: Statement,
    lock_free: Statement,
    lock_waiting: Statement,
    lock_exactly: Statement,
    copy_ledger: Statement,
    copy_metrics: Statement,
    update_enforced: Statement,
    update_observed: Statement,
    update_cycle: Statement,
    kill: Statement,
    insert_posts: Statement,
    insert_events: Statement,
}

const LOCKED_COLUMNS: &str = "bot_id, balance, sequence, head_hash, head_at, idle_streak, \
    productive, phantom_fees, shadow_died_in, open_predictions, open_stake, last_cycle, \
    clock_timestamp() AS now, open_bets, bet_stake";
const PENDING: &str = "status = 'ALIVE' AND paused_at IS NULL AND last_cycle < $1 AND NOT EXISTS \
    (SELECT FROM tick_failures f WHERE f.cycle = $1 AND f.bot_id = wallets.bot_id)";

impl TickEngine {
    pub async fn connect(database: &Database) -> DbResult<TickEngine> {
        let session = Session::open(database).await?;
        Ok(TickEngine {
            database: database.clone(),
            session: Some(session),
        })
    }

    /// Ticks one chunk in one transaction. On an error nothing was written.
    pub async fn apply(
        &mut self,
        cycle: &Cycle,
        rules: &EconomyRules,
        selection: &Selection,
    ) -> Result<ChunkReport, ChunkError> {
        let mut session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            Some(_) | None => Session::open(&self.database)
                .await
                .map_err(before_any_bot)?,
        };
        session.renew().await.map_err(before_any_bot)?;
        let mut taken = Vec::new();
        match session
            .transaction(cycle, rules, selection, &mut taken)
            .await
        {
            Ok(report) => {
                self.session = Some(session);
                Ok(report)
            }
            Err(error) => {
                // Lets go of the locks at once. Whether it works or not, the session ends here and
                // Postgres rolls back what it left open.
                let _ = session.client.batch_execute("ROLLBACK").await;
                Err(ChunkError { bots: taken, error })
            }
        }
    }
}

fn before_any_bot(error: DbError) -> ChunkError {
    ChunkError {
        bots: Vec::new(),
        error,
    }
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
        Ok(Session {
            client,
            statements,
            pooled,
        })
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
        cycle: &Cycle,
        rules: &EconomyRules,
        selection: &Selection,
        taken: &mut Vec<BotId>,
    ) -> DbResult<ChunkReport> {
        let (begun, running, rows) = join3(
            self.begin(),
            self.unless_paused(),
            self.lock(cycle, selection),
        )
        .await;
        begun?;
        running?;
        let rows = rows?;
        taken.extend(rows.iter().map(|row| BotId(row.get(0))));
        if rows.is_empty() {
            self.client.batch_execute("COMMIT").await?;
            return Ok(ChunkReport::default());
        }
        let chunk = Chunk::decide(&rows, cycle, rules)?;
        self.write(cycle, &chunk).await?;
        self.conclude(cycle, &chunk).await?;
        // Not in the pipeline: behind a failed statement a COMMIT succeeds, as a rollback.
        self.client.batch_execute("COMMIT").await?;
        Ok(chunk.report)
    }

    /// [`crate::pauses::Brake::Heeded`], on this connection.
    async fn unless_paused(&self) -> DbResult<()> {
        let row = self
            .client
            .query_opt(&self.statements.hold_arena_pause, &[])
            .await?;
        let Some(row) = row else { return Ok(()) };
        let Raw(since) = row.get(0);
        let pause = Pause {
            since: timestamp_of(since).ok_or_else(|| DbError::corrupt("arena_pause"))?,
            reason: row.get(1),
        };
        Err(Refusal::ArenaPaused { pause }.into())
    }

    async fn lock(&self, cycle: &Cycle, selection: &Selection) -> DbResult<Vec<Row>> {
        let number = cycle.number.0;
        let statements = &self.statements;
        Ok(match selection {
            Selection::Free { after, limit } => {
                self.client
                    .query(&statements.lock_free, &[&number, &after.0, limit])
                    .await?
            }
            Selection::Waiting { after, limit } => {
                self.client
                    .query(&statements.lock_waiting, &[&number, &after.0, limit])
                    .await?
            }
            Selection::Exactly(bots) => {
                let bots: Vec<i64> = bots.iter().map(|bot| bot.0).collect();
                self.client
                    .query(&statements.lock_exactly, &[&number, &bots])
                    .await?
            }
        })
    }

    /// Writes a decided chunk as one pipeline and checks every row count.
    async fn write(&self, cycle: &Cycle, chunk: &Chunk) -> DbResult<()> {
        let (entries, metrics, wallets) = join3(
            self.copy_entries(chunk),
            self.copy(&self.statements.copy_metrics, &chunk.metrics),
            self.update_wallets(cycle, chunk),
        )
        .await;
        let bots = chunk.wallets.len() as u64;
        if entries? != chunk.entries_len || metrics? != bots || wallets? != bots {
            return Err(DbError::corrupt("a chunk did not reach all of its rows"));
        }
        Ok(())
    }

    /// The cycle's totals, and what there is to say of those who died.
    async fn conclude(&self, cycle: &Cycle, chunk: &Chunk) -> DbResult<()> {
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let ticked = count(chunk.report.bots);
        let liquidated = count(chunk.report.liquidated.len());
        let fees = Units(chunk.report.fees);
        let totals: [Param<'_>; 4] = [&cycle.number.0, &ticked, &fees, &liquidated];
        self.bury(chunk).await?;
        // Last, so that tickers that share a cycle wait for each other's commit and nothing else.
        let totals = self
            .client
            .execute(&self.statements.update_cycle, &totals)
            .await;
        // A cycle that was closed over our heads must not be charged any more.
        if totals? != 1 {
            return Err(DbError::corrupt(format!(
                "cycle {} is not open",
                cycle.number
            )));
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

    async fn update_wallets(&self, cycle: &Cycle, chunk: &Chunk) -> DbResult<u64> {
        let each = || chunk.wallets.iter();
        let bots: Vec<i64> = each().map(|w| w.head.bot_id.0).collect();
        let idle: Vec<i32> = each().map(|w| w.idle_streak).collect();
        let number = cycle.number.0;
        match cycle.enforcement {
            Enforcement::Enforce => {
                let balances: Vec<Units> =
                    each().map(|w| Units(w.balance().units().into())).collect();
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
                let phantom: Vec<Units> = each()
                    .map(|w| Units(w.phantom_fees.units().into()))
                    .collect();
                let died: Vec<Option<i64>> = each()
                    .map(|w| w.shadow_died_in.map(|cycle| cycle.0))
                    .collect();
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
        let event_kinds: Vec<&str> = chunk
            .events
            .iter()
            .map(|event| event.kind.as_str())
            .collect();
        let data: Vec<String> = chunk
            .events
            .iter()
            .map(|event| event.data.to_string())
            .collect();
        let events: [Param<'_>; 2] = [&event_kinds, &data];
        let events = self.client.execute(&self.statements.insert_events, &events);
        let (posts, events) = join(posts, events).await;
        if posts? != count || events? != chunk.events.len() as u64 {
            return Err(DbError::corrupt(
                "a liquidation did not reach all of its rows",
            ));
        }
        Ok(())
    }
}

impl Statements {
    async fn prepare(client: &Client) -> DbResult<Statements> {
        let locked = |rest: &str| {
            format!("SELECT {LOCKED_COLUMNS} FROM (SELECT * FROM wallets WHERE {PENDING} {rest}) w")
        };
        let next = "AND bot_id > $2 ORDER BY bot_id LIMIT $3 FOR UPDATE";
        Ok(Statements {
            hold_arena_pause: client
                .prepare("SELECT paused_at, reason FROM hold_arena_pause()")
                .await?,
            lock_free: client
                .prepare(&locked(&format!("{next} SKIP LOCKED")))
                .await?,
            lock_waiting: client.prepare(&locked(next)).await?,
            lock_exactly: client
                .prepare(&locked("AND bot_id = ANY($2) ORDER BY bot_id FOR UPDATE"))
                .await?,
            copy_ledger: client.prepare(COPY_LEDGER).await?,
            copy_metrics: client.prepare(COPY_METRICS).await?,
            update_enforced: client.prepare(UPDATE_ENFORCED).await?,
            update_observed: client.prepare(UPDATE_OBSERVED).await?,
            update_cycle: client
                .prepare(
                    "UPDATE cycles SET bots = bots + $2, fees = fees + $3, \
                            liquidated = liquidated + $4 \
                      WHERE number = $1 AND closed_at IS NULL",
                )
                .await?,
            kill: client
                .prepare("UPDATE bots SET status = 'DEAD' WHERE id = ANY($1) AND status = 'ALIVE'")
                .await?,
            insert_posts: client
                .prepare(
                    "INSERT INTO posts (bot_id, kind, content, reference, created_at) \
                     SELECT b, k::post_kind, c, r, t \
                       FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::text[], \
                                   $5::timestamptz[]) AS p (b, k, c, r, t)",
                )
                .await?,
            insert_events: client
                .prepare(
                    "INSERT INTO events (kind, data) \
                     SELECT k::event_kind, d::jsonb \
                       FROM UNNEST($1::text[], $2::text[]) AS e (k, d)",
                )
                .await?,
        })
    }
}

/// The yardstick of the tick's benchmark: the rows of a cycle, made beforehand.
#[doc(hidden)]
pub struct Prepared(Vec<Chunk>);

#[doc(hidden)]
impl TickEngine {
    /// Decides a whole cycle and keeps what it would write, writing nothing.
    pub async fn prepare(
        &mut self,
        cycle: &Cycle,
        rules: &EconomyRules,
        chunk_bots: i64,
    ) -> DbResult<Prepared> {
        let mut session = Session::open(&self.database).await?;
        session.renew().await?;
        let mut chunks = Vec::new();
        let mut after = BotId(i64::MIN);
        session.begin().await?;
        loop {
            let selection = Selection::Free {
                after,
                limit: chunk_bots,
            };
            let rows = session.lock(cycle, &selection).await?;
            let Some(last) = rows.last() else { break };
            after = BotId(last.get(0));
            chunks.push(Chunk::decide(&rows, cycle, rules)?);
        }
        session.client.batch_execute("ROLLBACK").await?;
        Ok(Prepared(chunks))
    }

    /// Writes prepared rows in the same chunks as a tick, pipelined as a tick does, but without
    /// locking, deciding, hashing and keeping the cycle's totals.
    pub async fn write_prepared(&mut self, cycle: &Cycle, prepared: &Prepared) -> DbResult<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.database).await?,
        };
        for chunk in &prepared.0 {
            session.renew().await?;
            session.begin().await?;
            session.write(cycle, chunk).await?;
            session.client.batch_execute("COMMIT").await?;
        }
        self.session = Some(session);
        Ok(())
    }
}

/// The COPY that carries a chunk's entries.
const COPY_LEDGER: &str = "COPY ledger (bot_id, sequence, entry_type, amount, balance_after, \
    reference, recorded_at, previous_hash, hash) FROM STDIN (FORMAT binary)";
/// The COPY that carries a chunk's metrics.
const COPY_METRICS: &str = "COPY agent_metrics (recorded_at, cycle, bot_id, kind, enforcement, \
    fee, balance, shadow_balance, idle_streak, liquidated, would_have_been_liquidated) \
    FROM STDIN (FORMAT binary)";
/// The bulk update of a chunk's wallets in enforce mode.
const UPDATE_ENFORCED: &str = "UPDATE wallets w \
    SET balance = n.balance, sequence = n.sequence, head_hash = n.head_hash, head_at = n.head_at, \
        idle_streak = n.idle_streak, productive = false, burned = w.burned + n.burned, \
        fees = w.fees + n.fee, ticks = w.ticks + 1, \
        idle_ticks = w.idle_ticks + (n.idle_streak > 0)::int, last_cycle = $1 \
    FROM UNNEST($2::bigint[], $3::numeric[], $4::bigint[], $5::bytea[], $6::timestamptz[], \
                $7::integer[], $8::numeric[], $9::numeric[]) \
      AS n (bot_id, balance, sequence, head_hash, head_at, idle_streak, burned, fee) \
    WHERE w.bot_id = n.bot_id";
const UPDATE_OBSERVED: &str = "UPDATE wallets w \
    SET idle_streak = n.idle_streak, productive = false, phantom_fees = n.phantom_fees, \
        shadow_died_in = n.shadow_died_in, ticks = w.ticks + 1, \
        idle_ticks = w.idle_ticks + (n.idle_streak > 0)::int, last_cycle = $1 \
    FROM UNNEST($2::bigint[], $3::integer[], $4::numeric[], $5::bigint[]) \
      AS n (bot_id, idle_streak, phantom_fees, shadow_died_in) \
    WHERE w.bot_id = n.bot_id";

/// A chunk that was decided on and is yet to be written.
struct Chunk {
    wallets: Vec<Wallet>,
    /// What fell to the house, a wallet each.
    burned: Vec<Units>,
    /// Entropy that was charged, a wallet each.
    fees: Vec<Units>,
    /// COPY data; `None` in observe mode, which writes no entry.
    entries: Option<bytes::Bytes>,
    entries_len: u64,
    metrics: bytes::Bytes,
    posts: Vec<NewPost>,
    events: Vec<EventDraft>,
    report: ChunkReport,
}

/// Rough sizes of a row in COPY's format, so that a buffer is allocated once.
const ENTRY_ROW_BYTES: usize = 220;
const METRIC_ROW_BYTES: usize = 140;

impl Chunk {
    fn decide(rows: &[Row], cycle: &Cycle, rules: &EconomyRules) -> DbResult<Chunk> {
        // The cycle's mode, should the configuration have changed since it began.
        let rules = EconomyRules {
            enforcement: cycle.enforcement,
            ..rules.clone()
        };
        let reference = economy::tick_reference(cycle.number);
        let mut entries = CopyWriter::with_capacity(rows.len() * ENTRY_ROW_BYTES);
        let mut metrics = CopyWriter::with_capacity(rows.len() * METRIC_ROW_BYTES);
        let mut scratch = Vec::with_capacity(512);
        let mut chunk = Chunk {
            wallets: Vec::with_capacity(rows.len()),
            burned: Vec::with_capacity(rows.len()),
            fees: Vec::with_capacity(rows.len()),
            entries: None,
            entries_len: 0,
            metrics: bytes::Bytes::new(),
            posts: Vec::new(),
            events: Vec::new(),
            report: ChunkReport {
                bots: rows.len(),
                ..ChunkReport::default()
            },
        };
        for row in rows {
            let (mut wallet, now) = wallet_of(row)?;
            let before = wallet.balance();
            let outcome = economy::tick(&wallet, &rules, cycle.number, &reference);
            chunk.report.last = Some(wallet.head.bot_id);
            let mut burned = Money::ZERO;
            if let Some(movement) = outcome.movement {
                burned = movement.burned;
                let entry = seal_onto(&mut wallet, movement, now, &mut scratch)?;
                copy_entry(&mut entries, &entry);
                chunk.entries_len += 1;
                if outcome.fate == Fate::Liquidated {
                    chunk.mourn(&entry, cycle.number, outcome.fee, before, &reference);
                }
            }
            let fee = match (cycle.enforcement, outcome.fate) {
                // What a liquidation takes is no fee.
                (Enforcement::Enforce, Fate::Liquidated) => 0,
                _ => i128::from(outcome.fee.units()),
            };
            chunk.report.fees += fee;
            chunk.fees.push(Units(fee));
            wallet.idle_streak = outcome.idle_streak;
            wallet.phantom_fees = outcome.phantom_fees;
            wallet.shadow_died_in = outcome.shadow_died_in;
            if outcome.fate == Fate::WouldHaveBeenLiquidated {
                chunk
                    .report
                    .would_have_been_liquidated
                    .push(wallet.head.bot_id);
            }
            copy_metric(&mut metrics, &wallet, cycle, outcome.fee, outcome.fate, now);
            chunk.burned.push(Units(burned.units().into()));
            chunk.wallets.push(wallet);
        }
        chunk.entries = (chunk.entries_len > 0).then(|| entries.finish());
        chunk.metrics = metrics.finish();
        Ok(chunk)
    }

    fn mourn(
        &mut self,
        entry: &Entry,
        cycle: CycleNumber,
        fee: Money,
        balance: Money,
        reference: &Reference,
    ) {
        let post = NewPost {
            bot_id: entry.bot_id,
            draft: Draft::liquidation(cycle, fee, balance),
            reference: reference.to_string(),
            created_at: entry.recorded_at,
        };
        let data = json!({ "bot_id": entry.bot_id, "status": BotStatus::Dead });
        self.events.push(entry_event(entry));
        self.events.push(post.event());
        self.events.push(EventDraft {
            kind: EventKind::Bot,
            data,
        });
        self.posts.push(post);
        self.report.liquidated.push(entry.bot_id);
    }
}

/// Reads a row of [`LOCKED_COLUMNS`] straight from its binary form.
fn wallet_of(row: &Row) -> DbResult<(Wallet, Timestamp)> {
    let bot_id = BotId(row.get(0));
    let broken = |column: &str| DbError::corrupt(format!("wallet of bot {bot_id}: {column}"));
    let money = |index: usize, column: &str| {
        let Raw(value) = row.get(index);
        numeric_units(value)
            .and_then(|units| i64::try_from(units).ok())
            .and_then(Money::from_units)
            .ok_or_else(|| broken(column))
    };
    let Raw(hash) = row.get(3);
    let head_at: Option<Raw<'_>> = row.get(4);
    let recorded_at = head_at
        .map(|Raw(value)| timestamp_of(value).ok_or_else(|| broken("head_at")))
        .transpose()?;
    let Raw(now) = row.get(12);
    let head = Head {
        bot_id,
        balance: money(1, "balance")?,
        sequence: row.get(2),
        hash: Hash::from_slice(hash).ok_or_else(|| broken("head_hash"))?,
        recorded_at,
    };
    let wallet = Wallet {
        head,
        // The lock takes nobody else, and nobody who is paused.
        status: BotStatus::Alive,
        idle_streak: row.get(5),
        productive: row.get(6),
        phantom_fees: money(7, "phantom_fees")?,
        shadow_died_in: row.get::<_, Option<i64>>(8).map(CycleNumber),
        open_predictions: row.get(9),
        open_stake: money(10, "open_stake")?,
        open_bets: row.get(13),
        bet_stake: money(14, "bet_stake")?,
        last_cycle: CycleNumber(row.get(11)),
        pause: None,
    };
    Ok((wallet, timestamp_of(now).ok_or_else(|| broken("clock"))?))
}

fn copy_entry(out: &mut CopyWriter, entry: &Entry) {
    out.row(9);
    out.int8(entry.bot_id.0);
    out.int8(entry.sequence);
    out.bytes(entry.entry_type.as_str().as_bytes());
    out.numeric(entry.amount.units().into());
    out.numeric(entry.balance_after.units().into());
    out.bytes(entry.reference.as_str().as_bytes());
    out.timestamp(entry.recorded_at);
    out.bytes(&entry.previous_hash.0);
    out.bytes(&entry.hash.0);
}

fn copy_metric(
    out: &mut CopyWriter,
    wallet: &Wallet,
    cycle: &Cycle,
    fee: Money,
    fate: Fate,
    now: Timestamp,
) {
    out.row(11);
    out.timestamp(now);
    out.int8(cycle.number.0);
    out.int8(wallet.head.bot_id.0);
    out.bytes(b"TICK");
    out.bytes(cycle.enforcement.as_str().as_bytes());
    out.numeric(fee.units().into());
    out.numeric(wallet.balance().units().into());
    out.numeric(wallet.shadow_balance().units().into());
    out.int4(wallet.idle_streak);
    out.bool(fate == Fate::Liquidated);
    out.bool(fate == Fate::WouldHaveBeenLiquidated);
}
