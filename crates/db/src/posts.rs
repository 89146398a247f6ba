//! The feed: one line for each economic event, written in that event's transaction.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use ledger_core::NewEvent;
use ledger_core::event::PostEvent;
use ledger_core::post::{Draft, PostKind};
use ledger_core::{BotId, Entry, Timestamp};

use crate::PAGE_MAX;
use crate::error::DbResult;
use crate::pool::Connection;
use crate::schema::sql_types::{Array, BigInt, Instant, Text};
use crate::schema::{bots, posts};
use crate::sql::{Prepare, column, reached};

/// A post of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Post {
    pub id: i64,
    #[diesel(deserialize_as = i64)]
    pub bot_id: BotId,
    pub handle: String,
    pub kind: PostKind,
    pub content: String,
    pub reference: String,
    pub created_at: Timestamp,
}

/// A draft with its author, cause and time.
#[derive(Debug, Clone)]
pub(crate) struct NewPost {
    pub(crate) bot_id: BotId,
    pub(crate) draft: Draft,
    pub(crate) reference: String,
    pub(crate) created_at: Timestamp,
}

impl NewPost {
    /// A post about an entry.
    pub(crate) fn about(entry: &Entry, draft: Draft) -> NewPost {
        NewPost {
            bot_id: entry.bot_id,
            draft,
            reference: entry.reference.to_string(),
            created_at: entry.recorded_at,
        }
    }

    pub(crate) fn event(&self) -> NewEvent {
        NewEvent::Post(PostEvent {
            bot_id: self.bot_id,
            kind: self.draft.kind,
            content: self.draft.content.clone(),
            reference: self.reference.clone(),
            created_at: self.created_at,
        })
    }
}

/// Writes posts in the caller's transaction.
pub(crate) async fn write(mut conn: &Connection, new: &[NewPost]) -> DbResult<()> {
    if new.is_empty() {
        return Ok(());
    }
    let written = diesel::sql_query(
        "INSERT INTO posts (bot_id, kind, content, reference, created_at) \
         SELECT b, k::post_kind, c, r, t FROM UNNEST($1, $2, $3, $4, $5) AS p (b, k, c, r, t)",
    )
    .bind::<Array<BigInt>, _>(column(new, |post| post.bot_id.0))
    .bind::<Array<Text>, _>(column(new, |post| post.draft.kind.as_str()))
    .bind::<Array<Text>, _>(column(new, |post| post.draft.content.as_str()))
    .bind::<Array<Text>, _>(column(new, |post| post.reference.as_str()))
    .bind::<Array<Instant>, _>(column(new, |post| post.created_at))
    .prepared()
    .execute(&mut conn)
    .await?;
    reached(written, new.len(), "a post was not written")
}

/// The feed, newest first, below post `before` where given.
///
/// # Errors
/// If Postgres does not answer: see [`crate::DbError`].
#[crate::boxed]
pub async fn feed(conn: &mut Connection, before: Option<i64>, limit: i64) -> DbResult<Vec<Post>> {
    Ok(posts::table
        .inner_join(bots::table.on(bots::id.eq(posts::bot_id)))
        .filter(posts::id.lt(before.unwrap_or(i64::MAX)))
        .order(posts::id.desc())
        .limit(limit.clamp(1, PAGE_MAX))
        .select((
            posts::id,
            posts::bot_id,
            bots::handle,
            posts::kind,
            posts::content,
            posts::reference,
            posts::created_at,
        ))
        .load(conn)
        .await?)
}
