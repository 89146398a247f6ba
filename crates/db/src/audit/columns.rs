//! Columns of COPY's rows, as the audit reads them: whatever is stored, reading never panics.

use futures_util::TryStreamExt;
use ledger_core::Money;
use tokio_postgres::Client;

use crate::copy::{CopyReader, numeric_units};
use crate::error::{DbError, DbResult};

pub(super) fn money(raw: Option<&[u8]>) -> Option<Money> {
    let units = raw.and_then(numeric_units)?;
    Money::from_units(i64::try_from(units).ok()?)
}

pub(super) fn int8(raw: Option<&[u8]>) -> Option<i64> {
    Some(i64::from_be_bytes(raw?.try_into().ok()?))
}

pub(super) fn int4(raw: Option<&[u8]>) -> Option<i32> {
    Some(i32::from_be_bytes(raw?.try_into().ok()?))
}

pub(super) fn malformed() -> DbError {
    DbError::Query("Postgres sent a row in an unknown form".to_owned())
}

/// Streams the rows of a COPY to `row`, one at a time.
pub(super) async fn copy_out(
    client: &Client,
    query: &str,
    mut row: impl FnMut(&[u8]) -> DbResult<()>,
) -> DbResult<()> {
    let stream = client.copy_out(query).await?;
    let mut stream = std::pin::pin!(stream);
    let mut reader = CopyReader::default();
    while let Some(message) = stream.try_next().await? {
        reader.feed(&message, &mut row)?;
    }
    Ok(())
}
