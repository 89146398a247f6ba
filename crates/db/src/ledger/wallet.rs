//! A wallet's row, decoded in one place for both ways of locking it: by diesel, and by the ticker's own
//! client. Read straight from Postgres' binary form, without an allocation a column.

use diesel::deserialize::{self, FromSqlRow};
use diesel::pg::Pg;
use diesel::row::Field as _;
use diesel::sql_types::Untyped;
use ledger_core::chain::Head;
use ledger_core::economy::{BotStatus, Wallet};
use ledger_core::{BotId, Hash, TickNumber};

use super::Locked;
use crate::copy::{self, Raw, timestamp_of};
use crate::pauses::check::pause_in;

/// The columns of [`Columns::locked`], in its order. The outer query reads the clock, so after the
/// lock was granted and not before the wait for it.
macro_rules! wallet_columns {
    () => {
        "bot_id, status, balance, sequence, head_hash, head_at, idle_streak, productive, phantom_fees, \
         shadow_died_in, open_predictions, open_stake, open_bets, bet_stake, last_tick, paused_at, \
         pause_reason, clock_timestamp(), minted, burned"
    };
}
pub(crate) use wallet_columns;

/// The unreadable column.
type Broken = String;

/// A row in Postgres' binary form, whichever driver brought it.
pub(crate) trait BinaryRow {
    /// The result of `read` for a column, which gets `None` for NULL.
    fn column<T>(&self, index: usize, read: impl FnOnce(Option<&[u8]>) -> Option<T>) -> Option<T>;
}

impl BinaryRow for tokio_postgres::Row {
    fn column<T>(&self, index: usize, read: impl FnOnce(Option<&[u8]>) -> Option<T>) -> Option<T> {
        let raw: Option<Raw<'_>> = self.get(index);
        read(raw.map(|Raw(bytes)| bytes))
    }
}

/// A row as diesel brings it.
pub(crate) struct DieselRow<'r, R>(pub(crate) &'r R);

impl<'a, R: diesel::row::Row<'a, Pg>> BinaryRow for DieselRow<'_, R> {
    fn column<T>(&self, index: usize, read: impl FnOnce(Option<&[u8]>) -> Option<T>) -> Option<T> {
        let field = self.0.get(index)?;
        read(field.value().as_ref().map(|value| value.as_bytes()))
    }
}

impl FromSqlRow<Untyped, Pg> for Locked {
    fn build_from_row<'a>(row: &impl diesel::row::Row<'a, Pg>) -> deserialize::Result<Locked> {
        Ok(Columns::of(&DieselRow(row)).locked()?)
    }
}

/// Reads one column after the other.
pub(crate) struct Columns<'r, R> {
    row: &'r R,
    next: usize,
}

impl<'r, R: BinaryRow> Columns<'r, R> {
    pub(crate) fn of(row: &'r R) -> Columns<'r, R> {
        Columns { row, next: 0 }
    }

    pub(crate) fn read<T>(
        &mut self,
        read: impl FnOnce(Option<&[u8]>) -> Option<T>,
    ) -> Result<T, Broken> {
        let index = self.next;
        self.next += 1;
        let read = self.row.column(index, read);
        read.ok_or_else(|| {
            let name = wallet_columns!().split(", ").nth(index);
            format!("{} of a locked wallet", name.unwrap_or("a column"))
        })
    }

    /// A column that may be NULL.
    pub(crate) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Broken> {
        self.read(|raw| raw.map_or(Some(None), |raw| read(raw).map(Some)))
    }
}

impl<R: BinaryRow> Columns<'_, R> {
    /// Reads [`wallet_columns`], of a row that may have more behind them.
    pub(crate) fn locked(&mut self) -> Result<Locked, Broken> {
        let bot_id = BotId(self.read(copy::int8)?);
        let rest = self.locked_of(bot_id);
        rest.map_err(|broken| format!("bot {bot_id}: {broken}"))
    }

    fn locked_of(&mut self, bot_id: BotId) -> Result<Locked, Broken> {
        let status = self.read(status_of)?;
        let head = Head {
            bot_id,
            balance: self.read(copy::money)?,
            sequence: self.read(copy::int8)?,
            hash: self.read(|raw| Hash::from_slice(raw?))?,
            recorded_at: self.maybe(timestamp_of)?,
        };
        let wallet = Wallet {
            head,
            status,
            idle_streak: self.read(copy::int4)?,
            productive: self.read(copy::bool)?,
            phantom_fees: self.read(copy::money)?,
            shadow_died_in: self.maybe(|raw| copy::int8(Some(raw)))?.map(TickNumber),
            open_predictions: self.read(copy::int4)?,
            open_stake: self.read(copy::money)?,
            open_bets: self.read(copy::int4)?,
            bet_stake: self.read(copy::money)?,
            last_tick: TickNumber(self.read(copy::int8)?),
            pause: {
                let since = self.maybe(timestamp_of)?;
                let reason = self.maybe(copy::text)?;
                pause_in(since, reason)
            },
        };
        Ok(Locked {
            wallet,
            now: self.read(|raw| timestamp_of(raw?))?,
            minted: self.read(|raw| copy::numeric_units(raw?))?,
            burned: self.read(|raw| copy::numeric_units(raw?))?,
        })
    }
}

fn status_of(raw: Option<&[u8]>) -> Option<BotStatus> {
    let label = raw?;
    let mut all = BotStatus::ALL.into_iter();
    all.find(|status| status.as_str().as_bytes() == label)
}
