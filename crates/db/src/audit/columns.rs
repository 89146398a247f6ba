//! Columns of COPY's rows for the audit: reading never panics, whatever is stored.

use std::str::FromStr;

use futures_util::TryStreamExt;
use ledger_core::{Decimal8, Hash, Money, Timestamp};
use tokio_postgres::Client;

use crate::copy::{self, CopyReader, fields, numeric_units, timestamp_of};
use crate::error::{DbError, DbResult};

pub(super) fn malformed() -> DbError {
    DbError::Query("Postgres sent a row in an unknown form".to_owned())
}

/// A row's columns, read one after the other. NULL is `None`, and so is an unreadable value.
pub(super) struct Columns<'a, const N: usize>(std::array::IntoIter<Option<&'a [u8]>, N>);

impl<'a, const N: usize> Columns<'a, N> {
    pub(super) fn of(row: &'a [u8]) -> DbResult<Columns<'a, N>> {
        let fields = fields::<N>(row).ok_or_else(malformed)?;
        Ok(Columns(fields.into_iter()))
    }

    pub(super) fn skip(&mut self, columns: usize) {
        self.0.by_ref().take(columns).for_each(drop);
    }

    pub(super) fn raw(&mut self) -> Option<&'a [u8]> {
        self.0.next().flatten()
    }

    /// Whether the next column is NULL, which stays to be read.
    pub(super) fn begins_with_null(&self) -> bool {
        self.0.as_slice().first().is_none_or(Option::is_none)
    }

    /// A number that is never negative where it can be read.
    pub(super) fn count(&mut self) -> i64 {
        copy::int8(self.raw()).unwrap_or(-1)
    }

    /// An id, without which a row is useless.
    pub(super) fn id<T: From<i64>>(&mut self) -> DbResult<T> {
        copy::int8(self.raw()).map(T::from).ok_or_else(malformed)
    }

    pub(super) fn money(&mut self) -> Money {
        copy::money(self.raw()).unwrap_or_default()
    }

    pub(super) fn decimal(&mut self) -> Option<Decimal8> {
        copy::decimal(self.raw())
    }

    /// Units of 10⁻⁸, which may exceed one balance.
    pub(super) fn units(&mut self) -> Option<i128> {
        self.raw().and_then(numeric_units)
    }

    /// The same of a total, which is nothing where there is none.
    pub(super) fn total(&mut self) -> i128 {
        self.units().unwrap_or(0)
    }

    pub(super) fn instant(&mut self) -> Option<Timestamp> {
        self.raw().and_then(timestamp_of)
    }

    pub(super) fn hash(&mut self) -> Option<Hash> {
        self.raw().and_then(Hash::from_slice)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.raw().map(|flag| flag == [1])
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let text = self.raw().map(String::from_utf8_lossy);
        text.map(std::borrow::Cow::into_owned)
    }

    /// A text that stands for something.
    pub(super) fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }
}

/// A row, or a part of one: each field with its column in the statement and how it is read from [`Columns`].
macro_rules! row {
    ($(#[$meta:meta])* struct $name:ident($row:ident) {
        $($(#[$doc:meta])* $field:ident: $type:ty = $column:literal => $read:expr,)+
    }) => {
        $(#[$meta])*
        pub(super) struct $name {
            $($(#[$doc])* pub(super) $field: $type,)+
        }

        impl $name {
            pub(super) const COUNT: usize = [$($column),+].len();

            pub(super) fn columns() -> String {
                [$($column),+].join(", ")
            }

            pub(super) fn read<const N: usize>(
                $row: &mut $crate::audit::columns::Columns<'_, N>,
            ) -> $crate::error::DbResult<$name> {
                Ok($name { $($field: $read,)+ })
            }
        }
    };
}
pub(super) use row;

/// Streams the rows of a COPY to `row`, one at a time.
pub(crate) async fn copy_out<E: From<DbError>>(
    client: &Client,
    query: &str,
    mut row: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let stream = client.copy_out(query).await.map_err(DbError::from)?;
    let mut stream = std::pin::pin!(stream);
    let mut reader = CopyReader::default();
    while let Some(message) = stream.try_next().await.map_err(DbError::from)? {
        reader.feed(&message, &mut row)?;
    }
    Ok(())
}
