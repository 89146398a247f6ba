//! Columns of COPY's rows, as the audit reads them: whatever is stored, reading never panics.

use futures_util::TryStreamExt;
use tokio_postgres::Client;

use crate::copy::CopyReader;
pub(super) use crate::copy::{decimal, int4, int8, money};
use crate::error::{DbError, DbResult};

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
