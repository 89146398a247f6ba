//! The ledger: lock, decide, append.
//!
//! Every movement of money goes through this file. [`lock`] locks a bot's wallet row for the rest
//! of the caller's transaction and returns a [`Locked`] wallet. A pure rule decides on it.
//! [`append`] consumes it: it seals the movements into the bot's chain, inserts the entries, and
//! moves the wallet's cached head, all in that transaction. (Wagers, which write more in the same
//! round trip, call its two halves, [`seal`] and [`Sealed::write`].) There is no other way to a
//! [`Locked`] and no other way to write an entry, so two transactions cannot append to one chain at
//! the same time.
//!
//! The ticker's bulk form ([`crate::ticks`]) locks and seals with the same code, but writes the
//! sealed rows by COPY instead of INSERT.

mod journal;
mod reading;
mod wallet;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::join;
pub use journal::{JournalPosition, journal};
use ledger_core::NewEvent;
use ledger_core::chain::seal_onto;
use ledger_core::economy::{Movement, Wallet};
use ledger_core::event::BotEvent;
use ledger_core::{BotId, Entry, Timestamp};
pub use reading::{VERIFY_BATCH, Verification, page, verified, verify_on};
pub(crate) use wallet::{Columns, DieselRow, wallet_columns};

use crate::error::{DbError, DbResult, first_cause};
use crate::events;
use crate::pauses::check::WhilePaused;
use crate::pool::Connection;
use crate::schema::sql_types::{
    self, Array, BigInt, Bool, Bytea, Instant, Integer, Nullable, Text, Units, Untyped,
};
use crate::sql::{Prepare, Sql, column, reached, statement};
use crate::tx;

/// A wallet whose row this transaction has locked. Made by [`lock`] alone and consumed by [`append`].
#[derive(Debug)]
pub struct Locked {
    pub wallet: Wallet,
    /// Postgres' clock, read after the lock was granted.
    pub now: Timestamp,
    minted: i128,
    burned: i128,
}

macro_rules! lock_wallets {
    ($lock:literal) => {
        concat!(
            "SELECT ",
            wallet_columns!(),
            // A row that changed during the wait is read again.
            " FROM (SELECT * FROM wallets WHERE bot_id = ANY({}) ORDER BY bot_id ",
            $lock,
            ") w"
        )
    };
}

statement! {
    struct LockWallets { bots: Vec<i64> as Array<BigInt> } returns Untyped =
    lock_wallets!("FOR UPDATE")
}

statement! {
    struct LockFreeWallets { bots: Vec<i64> as Array<BigInt> } returns Untyped =
    lock_wallets!("FOR UPDATE SKIP LOCKED")
}

/// Locks one bot's wallet until the transaction ends, waiting for the present holder.
///
/// # Errors
/// [`ledger_core::Refusal::ArenaPaused`], if the caller requested this check.
#[crate::boxed]
pub async fn lock(conn: &Connection, while_paused: WhilePaused, bot_id: BotId) -> DbResult<Locked> {
    let mut locked = lock_all(conn, while_paused, &[bot_id]).await?;
    locked.pop().ok_or(DbError::NotFound("bot"))
}

/// Locks several wallets in ascending order of their bots, the global lock order. Answers them in
/// that order; a bot that does not exist is left out.
pub(crate) async fn lock_all(
    conn: &Connection,
    while_paused: WhilePaused,
    bots: &[BotId],
) -> DbResult<Vec<Locked>> {
    let bots = bots.iter().map(|bot| bot.0).collect();
    let mut on = conn;
    unless_paused(conn, while_paused, LockWallets { bots }.load(&mut on)).await
}

/// The arena's pause first, wallets after it, in one round trip: a holder of a wallet never waits
/// for a pause.
async fn unless_paused(
    conn: &Connection,
    while_paused: WhilePaused,
    locked: impl Future<Output = diesel::QueryResult<Vec<Locked>>>,
) -> DbResult<Vec<Locked>> {
    let (running, locked) = join(while_paused.check(conn), locked).await;
    running?;
    Ok(locked?)
}

/// [`lock_all`] without waiting: locked wallets are left out too.
pub(crate) async fn lock_free(
    conn: &Connection,
    while_paused: WhilePaused,
    bots: &[BotId],
) -> DbResult<Vec<Locked>> {
    let bots = bots.iter().map(|bot| bot.0).collect();
    let mut on = conn;
    unless_paused(conn, while_paused, LockFreeWallets { bots }.load(&mut on)).await
}

/// Whether an append is the bot's own doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An action of the bot: `last_action_at` moves.
    Action,
    /// Somebody else's: the house, the clock, an operator.
    House,
}

/// Seals `movement` into the locked wallet's chain and moves the wallet's head.
pub(crate) async fn append(
    conn: &Connection,
    locked: Locked,
    movement: Movement,
    cause: Cause,
) -> DbResult<Sealed> {
    append_all(conn, vec![(locked, vec![movement])], cause).await
}

/// [`append`] for any number of wallets and movements, with the statements of one.
pub(crate) async fn append_all(
    conn: &Connection,
    work: Vec<(Locked, Vec<Movement>)>,
    cause: Cause,
) -> DbResult<Sealed> {
    let sealed = seal(work)?;
    sealed.write(conn, cause).await?;
    Ok(sealed)
}

/// Entries sealed into their chains, and the wallets after them. Nothing until it is written, in the
/// transaction that locked the wallets.
#[derive(Debug, Default)]
#[must_use = "sealed entries exist once they are written"]
pub(crate) struct Sealed {
    /// In the order of the wallets, and of each wallet's movements.
    pub(crate) entries: Vec<Entry>,
    /// Each with its running totals of minted and burned.
    wallets: Vec<(Wallet, i128, i128)>,
    /// Statuses before the movements, of those that changed.
    statuses: Vec<(BotId, ledger_core::BotStatus)>,
}

/// Seals movements into the chains of their locked wallets, for a caller that writes more in the
/// same round trip; others call [`append`].
pub(crate) fn seal(work: Vec<(Locked, Vec<Movement>)>) -> DbResult<Sealed> {
    let mut scratch = Vec::with_capacity(512);
    let mut sealed = Sealed::default();
    for (locked, movements) in work {
        let Locked { mut wallet, now, mut minted, mut burned } = locked;
        let before = wallet.status;
        for movement in movements {
            minted += i128::from(movement.minted().units());
            burned += i128::from(movement.burned().units());
            sealed.entries.push(seal_onto(&mut wallet, movement, now, &mut scratch)?);
        }
        if wallet.status != before {
            sealed.statuses.push((wallet.head.bot_id, before));
        }
        sealed.wallets.push((wallet, minted, burned));
    }
    Ok(sealed)
}

impl Sealed {
    /// The wallets after their movements.
    pub(crate) fn wallets(&self) -> impl Iterator<Item = &Wallet> {
        self.wallets.iter().map(|(wallet, _, _)| wallet)
    }

    /// One `entry` event for each entry.
    pub(crate) fn events(&self) -> Vec<NewEvent> {
        self.entries.iter().map(entry_event).collect()
    }

    /// Inserts the entries and moves the wallets' heads: two statements for any number, sent as one
    /// pipeline.
    pub(crate) async fn write(&self, conn: &Connection, cause: Cause) -> DbResult<()> {
        let (inserted, updated) =
            join(insert_entries(conn, &self.entries), update_wallets(conn, &self.wallets, cause))
                .await;
        first_cause([inserted, updated])?;
        for (bot_id, before) in &self.statuses {
            if let Some(wallet) = self.wallets().find(|wallet| wallet.head.bot_id == *bot_id) {
                set_status(conn, wallet, *before).await?;
            }
        }
        Ok(())
    }
}

/// The yardstick of the settlement's benchmark: entries and wallets, sealed beforehand.
#[doc(hidden)]
pub struct Prepared(Sealed);

#[doc(hidden)]
impl Prepared {
    /// Seals one movement for each bot onto chains that no other transaction changes meanwhile.
    ///
    /// # Errors
    /// [`DbError::Refused`] while the arena is paused. Otherwise see [`DbError`].
    pub async fn seal(
        conn: &mut Connection,
        bots: &[BotId],
        decide: impl Fn(&Wallet) -> Movement,
    ) -> DbResult<Prepared> {
        let locked = lock_all(conn, WhilePaused::Refuse, bots).await?;
        let work = locked.into_iter().map(|locked| {
            let movement = decide(&locked.wallet);
            (locked, vec![movement])
        });
        seal(work.collect()).map(Prepared)
    }

    /// Inserts the entries and updates the wallets in one transaction, and nothing else.
    ///
    /// # Errors
    /// Nothing was written, except that it is unknown after [`DbError::OutcomeUnknown`]. See [`DbError`].
    #[crate::boxed]
    pub async fn write(&self, conn: &mut Connection) -> DbResult<()> {
        tx::run(conn, None, async |conn| self.0.write(conn, Cause::House).await).await
    }
}

const INCOMPLETE: &str = "an append did not reach all of its rows";

pub(crate) fn entry_event(entry: &Entry) -> NewEvent {
    NewEvent::Entry(entry.into())
}

async fn insert_entries(mut conn: &Connection, entries: &[Entry]) -> DbResult<()> {
    let inserted = diesel::sql_query(
        "INSERT INTO ledger (bot_id, sequence, entry_type, amount, balance_after, reference, \
                             recorded_at, previous_hash, hash) \
         SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind::<Array<BigInt>, _>(column(entries, |e| e.bot_id.0))
    .bind::<Array<BigInt>, _>(column(entries, |e| e.sequence))
    .bind::<Array<sql_types::EntryType>, _>(column(entries, |e| e.entry_type))
    .bind::<Array<Units>, _>(column(entries, |e| e.amount))
    .bind::<Array<Units>, _>(column(entries, |e| e.balance_after))
    .bind::<Array<Text>, _>(column(entries, |e| e.reference.as_str()))
    .bind::<Array<Instant>, _>(column(entries, |e| e.recorded_at))
    .bind::<Array<Bytea>, _>(column(entries, |e| &e.previous_hash.0[..]))
    .bind::<Array<Bytea>, _>(column(entries, |e| &e.hash.0[..]))
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(inserted, entries.len(), INCOMPLETE)
}

async fn update_wallets(
    mut conn: &Connection,
    wallets: &[(Wallet, i128, i128)],
    cause: Cause,
) -> DbResult<()> {
    let each = || wallets.iter().map(|(wallet, _, _)| wallet);
    let updated = diesel::sql_query(
        "UPDATE wallets w \
            SET last_action_at = CASE WHEN $1 THEN n.head_at ELSE w.last_action_at END, \
                balance = n.balance, sequence = n.sequence, head_hash = n.head_hash, \
                head_at = n.head_at, productive = n.productive, \
                open_predictions = n.open_predictions, open_stake = n.open_stake, \
                open_bets = n.open_bets, bet_stake = n.bet_stake, \
                minted = n.minted, burned = n.burned \
           FROM UNNEST($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             AS n (bot_id, balance, sequence, head_hash, head_at, productive, open_predictions, \
                   open_stake, open_bets, bet_stake, minted, burned) \
          WHERE w.bot_id = n.bot_id",
    )
    .bind::<Bool, _>(cause == Cause::Action)
    .bind::<Array<BigInt>, _>(column(each(), |w| w.head.bot_id.0))
    .bind::<Array<Units>, _>(column(each(), Wallet::balance))
    .bind::<Array<BigInt>, _>(column(each(), |w| w.head.sequence))
    .bind::<Array<Bytea>, _>(column(each(), |w| &w.head.hash.0[..]))
    .bind::<Array<Nullable<Instant>>, _>(column(each(), |w| w.head.recorded_at))
    .bind::<Array<Bool>, _>(column(each(), |w| w.productive))
    .bind::<Array<Integer>, _>(column(each(), |w| w.open_predictions))
    .bind::<Array<Units>, _>(column(each(), |w| w.open_stake))
    .bind::<Array<Integer>, _>(column(each(), |w| w.open_bets))
    .bind::<Array<Units>, _>(column(each(), |w| w.bet_stake))
    .bind::<Array<Units>, _>(column(wallets, |(_, minted, _)| *minted))
    .bind::<Array<Units>, _>(column(wallets, |(_, _, burned)| *burned))
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(updated, wallets.len(), INCOMPLETE)
}

/// Changes the status in `bots`; the foreign key copies it to the wallet.
async fn set_status(
    mut conn: &Connection,
    wallet: &Wallet,
    before: ledger_core::BotStatus,
) -> DbResult<()> {
    use crate::schema::bots::dsl;
    let changed = diesel::update(
        dsl::bots.filter(dsl::id.eq(wallet.head.bot_id.0)).filter(dsl::status.eq(Sql(before))),
    )
    .set(dsl::status.eq(Sql(wallet.status)))
    .execute(&mut conn)
    .await?;
    if changed != 1 {
        return Err(DbError::corrupt(format!(
            "bot {} is not {before} like its wallet",
            wallet.head.bot_id
        )));
    }
    let event =
        NewEvent::Bot(BotEvent { bot_id: wallet.head.bot_id, status: wallet.status, paused: None });
    events::write(conn, &[event]).await
}
