//! A chunk of bots between lock and write: what the rules decide, as the rows that will travel.

use ledger_core::NewEvent;
use ledger_core::chain::seal_onto;
use ledger_core::economy::{self, EconomyRules, Enforcement, Fate, Wallet};
use ledger_core::event::BotEvent;
use ledger_core::post::Draft;
use ledger_core::{BotStatus, Entry, Money, Reference, TickNumber, Timestamp};
use tokio_postgres::Row;

use super::{ChunkReport, Tick};
use crate::copy::CopyWriter;
use crate::error::{DbError, DbResult};
use crate::ledger::{Columns, Locked, entry_event};
use crate::posts::NewPost;
use crate::sql::SqlTotal;

/// A chunk that was decided on and is yet to be written.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) wallets: Vec<Wallet>,
    /// What fell to the house, a wallet each.
    pub(super) burned: Vec<SqlTotal>,
    /// Entropy that was charged, a wallet each.
    pub(super) fees: Vec<SqlTotal>,
    /// COPY data; `None` in observe mode, which writes no entry.
    pub(super) entries: Option<bytes::Bytes>,
    pub(super) entries_len: u64,
    pub(super) metrics: bytes::Bytes,
    pub(super) posts: Vec<NewPost>,
    pub(super) events: Vec<NewEvent>,
    pub(super) report: ChunkReport,
}

/// Rough sizes of a row in COPY's format, so that a buffer is allocated once.
const ENTRY_ROW_BYTES: usize = 220;
const METRIC_ROW_BYTES: usize = 140;

/// A chunk of which some rows were decided on. Rows are decided on while Postgres locks the next ones.
pub(super) struct Deciding<'a> {
    tick: &'a Tick,
    rules: EconomyRules,
    reference: Reference,
    entries: CopyWriter,
    metrics: CopyWriter,
    scratch: Vec<u8>,
    chunk: Chunk,
}

impl<'a> Deciding<'a> {
    /// Has room for `bots`; more may come.
    pub(super) fn new(tick: &'a Tick, rules: &EconomyRules, bots: usize) -> Deciding<'a> {
        Deciding {
            tick,
            // The tick's mode, should the configuration have changed since it began.
            rules: EconomyRules { enforcement: tick.enforcement, ..rules.clone() },
            reference: economy::tick_reference(tick.number),
            entries: CopyWriter::with_capacity(bots * ENTRY_ROW_BYTES),
            metrics: CopyWriter::with_capacity(bots * METRIC_ROW_BYTES),
            scratch: Vec::with_capacity(512),
            chunk: Chunk {
                wallets: Vec::with_capacity(bots),
                burned: Vec::with_capacity(bots),
                fees: Vec::with_capacity(bots),
                ..Chunk::default()
            },
        }
    }

    /// Decides on the next wallet that is locked.
    pub(super) fn add(&mut self, row: &Row) -> DbResult<()> {
        let Deciding { tick, chunk, .. } = self;
        let locked = Columns::of(row).locked().map_err(DbError::Corrupt)?;
        let Locked { mut wallet, now, .. } = locked;
        let before = wallet.balance();
        let outcome = economy::tick(&wallet, &self.rules, tick.number, &self.reference);
        chunk.report.bots += 1;
        chunk.report.last = Some(wallet.head.bot_id);
        let mut burned = 0_i128;
        for movement in outcome.movements {
            burned += i128::from(movement.burned().units());
            let entry = seal_onto(&mut wallet, movement, now, &mut self.scratch)?;
            copy_entry(&mut self.entries, &entry);
            chunk.entries_len += 1;
            if outcome.fate == Fate::Liquidated {
                chunk.mourn(&entry, tick.number, outcome.fee, before);
            }
        }
        let fee = match (tick.enforcement, outcome.fate) {
            // What a liquidation takes is no fee.
            (Enforcement::Enforce, Fate::Liquidated) => 0,
            _ => i128::from(outcome.fee.units()),
        };
        chunk.report.fees += fee;
        chunk.fees.push(SqlTotal(fee));
        wallet.idle_streak = outcome.idle_streak;
        wallet.phantom_fees = outcome.phantom_fees;
        wallet.shadow_died_in = outcome.shadow_died_in;
        if outcome.fate == Fate::WouldHaveBeenLiquidated {
            chunk.report.would_have_been_liquidated.push(wallet.head.bot_id);
        }
        copy_metric(&mut self.metrics, &wallet, tick, outcome.fee, outcome.fate, now);
        chunk.burned.push(SqlTotal(burned));
        chunk.wallets.push(wallet);
        Ok(())
    }

    pub(super) fn finish(self) -> Chunk {
        let mut chunk = self.chunk;
        chunk.entries = (chunk.entries_len > 0).then(|| self.entries.finish());
        chunk.metrics = self.metrics.finish();
        chunk
    }
}

impl Chunk {
    fn mourn(&mut self, entry: &Entry, tick: TickNumber, fee: Money, balance: Money) {
        let post = NewPost::about(entry, Draft::liquidation(tick, fee, balance));
        self.events.push(entry_event(entry));
        self.events.push(post.event());
        self.events.push(NewEvent::Bot(BotEvent {
            bot_id: entry.bot_id,
            status: BotStatus::Dead,
            paused: None,
        }));
        self.posts.push(post);
        self.report.liquidated.push(entry.bot_id);
    }
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
    tick: &Tick,
    fee: Money,
    fate: Fate,
    now: Timestamp,
) {
    out.row(11);
    out.timestamp(now);
    out.int8(tick.number.0);
    out.int8(wallet.head.bot_id.0);
    out.bytes(b"TICK");
    out.bytes(tick.enforcement.as_str().as_bytes());
    out.numeric(fee.units().into());
    out.numeric(wallet.balance().units().into());
    out.numeric(wallet.shadow_balance().units().into());
    out.int4(wallet.idle_streak);
    out.bool(fate == Fate::Liquidated);
    out.bool(fate == Fate::WouldHaveBeenLiquidated);
}
