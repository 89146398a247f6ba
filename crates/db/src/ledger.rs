//! The ledger: lock, decide, append.
//!
//! Every movement of money goes through this file. [`lock`] takes a bot's wallet row for the rest
//! of the caller's transaction and hands out a [`Locked`] wallet; a pure rule decides on it; and
//! [`append`] consumes it: it seals the movements into the bot's chain, inserts the entries, and
//! moves the wallet's cached head, all in that same transaction. (Wagers, which write more in the
//! same round trip, call its two halves, [`seal`] and [`Sealed::write`].) There is no other way to a
//! [`Locked`] and no other way to write an entry, so nobody can append to a chain that somebody
//! else may be appending to.
//!
//! The ticker's bulk form ([`crate::ticks`]) locks and seals with the same code and differs only in
//! how the sealed rows travel: by COPY instead of by INSERT.

mod reading;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Integer, Numeric, Text, Timestamptz, Untyped};
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use ledger_core::NewEvent;
use ledger_core::chain::{Head, seal_onto};
use ledger_core::economy::{Movement, Wallet};
use ledger_core::event::BotEvent;
use ledger_core::{BotId, CycleNumber, Entry, Hash, Timestamp};
pub use reading::{
    JournalPosition, VERIFY_BATCH, Verification, journal, page, verified, verify_on,
};

use crate::error::{DbError, DbResult, first_cause};
use crate::events;
use crate::pauses::{WhilePaused, pause_in};
use crate::pool::Connection;
use crate::schema::sql_types;
use crate::sql::{SqlBotStatus, SqlEntryType, SqlMoney, SqlTotal, statement};

/// A wallet whose row this transaction holds. Made by [`lock`] alone and consumed by [`append`].
#[derive(Debug)]
pub struct Locked {
    pub wallet: Wallet,
    /// Postgres' clock, read after the lock was granted.
    pub now: Timestamp,
    minted: i128,
    burned: i128,
}

/// The columns of a locked wallet, in the order in which they are selected below.
pub(crate) type WalletRow = (
    (
        i64,
        SqlBotStatus,
        SqlMoney,
        i64,
        Vec<u8>,
        Option<DateTime<Utc>>,
        i32,
        bool,
    ),
    (
        SqlMoney,
        Option<i64>,
        i32,
        SqlMoney,
        SqlTotal,
        SqlTotal,
        i64,
        DateTime<Utc>,
    ),
    (i32, SqlMoney, Option<DateTime<Utc>>, Option<String>),
);
type WalletSql = (
    (
        BigInt,
        sql_types::BotStatus,
        Numeric,
        BigInt,
        Bytea,
        diesel::sql_types::Nullable<Timestamptz>,
        Integer,
        Bool,
    ),
    (
        Numeric,
        diesel::sql_types::Nullable<BigInt>,
        Integer,
        Numeric,
        Numeric,
        Numeric,
        BigInt,
        Timestamptz,
    ),
    (
        Integer,
        Numeric,
        diesel::sql_types::Nullable<Timestamptz>,
        diesel::sql_types::Nullable<Text>,
    ),
);

/// The clock is read by the outer query, so after the lock was granted and not before the wait for
/// it. A row that changed during the wait is read anew.
macro_rules! lock_wallets {
    ($lock:literal) => {
        concat!(
            "SELECT bot_id, status, balance, sequence, head_hash, head_at, idle_streak, \
                    productive, phantom_fees, shadow_died_in, open_predictions, open_stake, \
                    minted, burned, last_cycle, clock_timestamp(), open_bets, bet_stake, \
                    paused_at, pause_reason \
               FROM (SELECT * FROM wallets WHERE bot_id = ANY({}) ORDER BY bot_id ",
            $lock,
            ") w"
        )
    };
}

statement! {
    struct LookAtWallets { bots: Vec<i64> as Array<BigInt> } returns WalletSql =
    lock_wallets!("")
}

statement! {
    struct LockWallets { bots: Vec<i64> as Array<BigInt> } returns WalletSql =
    lock_wallets!("FOR UPDATE")
}

statement! {
    struct LockFreeWallets { bots: Vec<i64> as Array<BigInt> } returns WalletSql =
    lock_wallets!("FOR UPDATE SKIP LOCKED")
}

/// Locks one bot's wallet until the transaction ends, waiting for whoever holds it.
///
/// # Errors
/// [`ledger_core::Refusal::ArenaPaused`], where the caller asked for it.
pub async fn lock(conn: &Connection, while_paused: WhilePaused, bot_id: BotId) -> DbResult<Locked> {
    let mut locked = lock_all(conn, while_paused, &[bot_id]).await?;
    locked.pop().ok_or(DbError::NotFound("bot"))
}

/// Locks several wallets in ascending order of their bots, which is the order everybody keeps.
/// Answers them in that order; a bot that does not exist is left out.
pub(crate) async fn lock_all(
    conn: &Connection,
    while_paused: WhilePaused,
    bots: &[BotId],
) -> DbResult<Vec<Locked>> {
    let bots = bots.iter().map(|bot| bot.0).collect();
    let locked = async {
        let mut conn = conn;
        LockWallets { bots }.load(&mut conn).await
    };
    unless_paused(conn, while_paused, locked).await
}

/// The arena's pause first, wallets after it, in one round trip: whoever holds a wallet waits for no pause.
async fn unless_paused(
    conn: &Connection,
    while_paused: WhilePaused,
    locked: impl Future<Output = diesel::QueryResult<Vec<WalletRow>>>,
) -> DbResult<Vec<Locked>> {
    let (running, rows) = join(while_paused.check(conn), locked).await;
    running?;
    rows?.into_iter().map(locked_of).collect()
}

/// A wallet as this transaction sees it, and Postgres' clock. It may be another one by now, so there
/// is nothing to append to.
pub(crate) async fn look(mut conn: &Connection, bot_id: BotId) -> DbResult<(Wallet, Timestamp)> {
    let bots = vec![bot_id.0];
    let rows: Vec<WalletRow> = LookAtWallets { bots }.load(&mut conn).await?;
    let row = rows.into_iter().next().ok_or(DbError::NotFound("bot"))?;
    let Locked { wallet, now, .. } = locked_of(row)?;
    Ok((wallet, now))
}

/// [`lock_all`] that waits for nobody: wallets that somebody else holds are left out too.
pub(crate) async fn lock_free(
    conn: &Connection,
    while_paused: WhilePaused,
    bots: &[BotId],
) -> DbResult<Vec<Locked>> {
    let bots = bots.iter().map(|bot| bot.0).collect();
    let locked = async {
        let mut conn = conn;
        LockFreeWallets { bots }.load(&mut conn).await
    };
    unless_paused(conn, while_paused, locked).await
}

fn locked_of(row: WalletRow) -> DbResult<Locked> {
    let (
        (bot_id, status, balance, sequence, hash, head_at, idle_streak, productive),
        (phantom, shadow_died_in, open_predictions, open_stake, minted, burned, last_cycle, now),
        (open_bets, bet_stake, paused_at, pause_reason),
    ) = row;
    let bot_id = BotId(bot_id);
    let hash = Hash::from_slice(&hash)
        .ok_or_else(|| DbError::corrupt(format!("head hash of bot {bot_id}")))?;
    let head = Head {
        bot_id,
        sequence,
        balance: balance.0,
        hash,
        recorded_at: head_at.map(Timestamp::from),
    };
    let wallet = Wallet {
        head,
        status: status.0,
        idle_streak,
        productive,
        phantom_fees: phantom.0,
        shadow_died_in: shadow_died_in.map(CycleNumber),
        open_predictions,
        open_stake: open_stake.0,
        open_bets,
        bet_stake: bet_stake.0,
        last_cycle: CycleNumber(last_cycle),
        pause: pause_in(paused_at, pause_reason),
    };
    Ok(Locked {
        wallet,
        now: now.into(),
        minted: minted.0,
        burned: burned.0,
    })
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
#[derive(Debug)]
#[must_use = "sealed entries exist once they are written"]
pub(crate) struct Sealed {
    /// In the order of the wallets, and of each wallet's movements.
    pub(crate) entries: Vec<Entry>,
    /// Each with its running totals of minted and burned.
    wallets: Vec<(Wallet, i128, i128)>,
    /// Statuses before the movements, of those that changed.
    statuses: Vec<(BotId, ledger_core::BotStatus)>,
}

/// Seals movements into the chains of their locked wallets, for a caller that has more to write in
/// the same round trip; everybody else calls [`append`].
pub(crate) fn seal(work: Vec<(Locked, Vec<Movement>)>) -> DbResult<Sealed> {
    let mut scratch = Vec::with_capacity(512);
    let mut sealed = Sealed {
        entries: Vec::with_capacity(work.len()),
        wallets: Vec::with_capacity(work.len()),
        statuses: Vec::new(),
    };
    for (locked, movements) in work {
        let Locked {
            mut wallet,
            now,
            mut minted,
            mut burned,
        } = locked;
        let before = wallet.status;
        for movement in movements {
            minted += i128::from(movement.minted().units());
            burned += i128::from(movement.burned().units());
            sealed
                .entries
                .push(seal_onto(&mut wallet, movement, now, &mut scratch)?);
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

    /// Inserts the entries and moves the wallets' heads: two statements, whatever the number, sent
    /// as one pipeline.
    pub(crate) async fn write(&self, conn: &Connection, cause: Cause) -> DbResult<()> {
        let entries = InsertEntries::of(&self.entries);
        let wallets = UpdateWallets::of(&self.wallets, cause);
        let (mut first, mut second) = (conn, conn);
        let inserted = entries.execute(&mut first);
        let updated = wallets.execute(&mut second);
        let (inserted, updated) = join(inserted, updated).await;
        first_cause([
            all_rows(inserted, self.entries.len()),
            all_rows(updated, self.wallets.len()),
        ])?;
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
    /// Seals one movement a bot onto chains that nobody else touches meanwhile.
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
    pub async fn write(&self, conn: &mut Connection) -> DbResult<()> {
        use diesel_async::AsyncConnection;
        conn.transaction(async |conn| self.0.write(conn, Cause::House).await)
            .await
    }
}

fn all_rows(written: diesel::QueryResult<usize>, expected: usize) -> DbResult<()> {
    if written? == expected {
        Ok(())
    } else {
        Err(DbError::corrupt("an append did not reach all of its rows"))
    }
}

pub(crate) fn entry_event(entry: &Entry) -> NewEvent {
    NewEvent::Entry(entry.into())
}

statement! {
    struct InsertEntries<'a> {
        bot_id: Vec<i64> as Array<BigInt>,
        sequence: Vec<i64> as Array<BigInt>,
        entry_type: Vec<SqlEntryType> as Array<sql_types::EntryType>,
        amount: Vec<SqlMoney> as Array<Numeric>,
        balance_after: Vec<SqlMoney> as Array<Numeric>,
        reference: Vec<&'a str> as Array<Text>,
        recorded_at: Vec<DateTime<Utc>> as Array<Timestamptz>,
        previous_hash: Vec<&'a [u8]> as Array<Bytea>,
        hash: Vec<&'a [u8]> as Array<Bytea>,
    } returns Untyped =
    "INSERT INTO ledger (bot_id, sequence, entry_type, amount, balance_after, reference, \
                         recorded_at, previous_hash, hash) \
     SELECT * FROM UNNEST({}, {}, {}, {}, {}, {}, {}, {}, {})"
}

impl<'a> InsertEntries<'a> {
    fn of(entries: &'a [Entry]) -> InsertEntries<'a> {
        InsertEntries {
            bot_id: entries.iter().map(|e| e.bot_id.0).collect(),
            sequence: entries.iter().map(|e| e.sequence).collect(),
            entry_type: entries.iter().map(|e| SqlEntryType(e.entry_type)).collect(),
            amount: entries.iter().map(|e| SqlMoney(e.amount)).collect(),
            balance_after: entries.iter().map(|e| SqlMoney(e.balance_after)).collect(),
            reference: entries.iter().map(|e| e.reference.as_str()).collect(),
            recorded_at: entries.iter().map(|e| e.recorded_at.datetime()).collect(),
            previous_hash: entries.iter().map(|e| &e.previous_hash.0[..]).collect(),
            hash: entries.iter().map(|e| &e.hash.0[..]).collect(),
        }
    }
}

statement! {
    struct UpdateWallets<'a> {
        by_action: bool as Bool,
        bot_id: Vec<i64> as Array<BigInt>,
        balance: Vec<SqlMoney> as Array<Numeric>,
        sequence: Vec<i64> as Array<BigInt>,
        head_hash: Vec<&'a [u8]> as Array<Bytea>,
        head_at: Vec<Option<DateTime<Utc>>> as Array<diesel::sql_types::Nullable<Timestamptz>>,
        productive: Vec<bool> as Array<Bool>,
        open_predictions: Vec<i32> as Array<Integer>,
        open_stake: Vec<SqlMoney> as Array<Numeric>,
        open_bets: Vec<i32> as Array<Integer>,
        bet_stake: Vec<SqlMoney> as Array<Numeric>,
        minted: Vec<SqlTotal> as Array<Numeric>,
        burned: Vec<SqlTotal> as Array<Numeric>,
    } returns Untyped =
    "UPDATE wallets w \
        SET last_action_at = CASE WHEN {} THEN n.head_at ELSE w.last_action_at END, \
            balance = n.balance, sequence = n.sequence, head_hash = n.head_hash, \
            head_at = n.head_at, productive = n.productive, \
            open_predictions = n.open_predictions, open_stake = n.open_stake, \
            open_bets = n.open_bets, bet_stake = n.bet_stake, \
            minted = n.minted, burned = n.burned \
       FROM UNNEST({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
         AS n (bot_id, balance, sequence, head_hash, head_at, productive, open_predictions, \
               open_stake, open_bets, bet_stake, minted, burned) \
      WHERE w.bot_id = n.bot_id"
}

impl<'a> UpdateWallets<'a> {
    fn of(wallets: &'a [(Wallet, i128, i128)], cause: Cause) -> UpdateWallets<'a> {
        let each = || wallets.iter().map(|(wallet, _, _)| wallet);
        UpdateWallets {
            by_action: cause == Cause::Action,
            bot_id: each().map(|w| w.head.bot_id.0).collect(),
            balance: each().map(|w| SqlMoney(w.balance())).collect(),
            sequence: each().map(|w| w.head.sequence).collect(),
            head_hash: each().map(|w| &w.head.hash.0[..]).collect(),
            head_at: each()
                .map(|w| w.head.recorded_at.map(Timestamp::datetime))
                .collect(),
            productive: each().map(|w| w.productive).collect(),
            open_predictions: each().map(|w| w.open_predictions).collect(),
            open_stake: each().map(|w| SqlMoney(w.open_stake)).collect(),
            open_bets: each().map(|w| w.open_bets).collect(),
            bet_stake: each().map(|w| SqlMoney(w.bet_stake)).collect(),
            minted: wallets
                .iter()
                .map(|(_, minted, _)| SqlTotal(*minted))
                .collect(),
            burned: wallets
                .iter()
                .map(|(_, _, burned)| SqlTotal(*burned))
                .collect(),
        }
    }
}

/// Changes the status where it lives; the foreign key carries it to the wallet.
async fn set_status(
    mut conn: &Connection,
    wallet: &Wallet,
    before: ledger_core::BotStatus,
) -> DbResult<()> {
    use crate::schema::bots::dsl;
    let changed = diesel::update(
        dsl::bots
            .filter(dsl::id.eq(wallet.head.bot_id.0))
            .filter(dsl::status.eq(SqlBotStatus(before))),
    )
    .set(dsl::status.eq(SqlBotStatus(wallet.status)))
    .execute(&mut conn)
    .await?;
    if changed != 1 {
        return Err(DbError::corrupt(format!(
            "bot {} is not {before} as its wallet says",
            wallet.head.bot_id
        )));
    }
    let event = NewEvent::Bot(BotEvent {
        bot_id: wallet.head.bot_id,
        status: wallet.status,
        paused: None,
    });
    events::write(conn, &[event]).await
}
