//! The ledger: all entries, one bot's chain, and the server's verification of it.

use std::time::Duration;

use api_types::{ChainVerification, LedgerEntry};
use db::ledger::{JournalPosition, Verification};
use ledger_core::{BotId, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::prelude::*;
use crate::routes::common::{bot_of, ok};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/bots/{bot}/ledger", chain)
            .named("showChain", "ledger", "One bot's chain")
            .listed::<LedgerEntry>(&["bot"]),
        get("/bots/{bot}/ledger/verify", verify)
            .named("verifyChain", "ledger", "The server's word on a chain")
            .about("Recomputes every hash, after the part that was verified within the last day. A long \
                chain takes several requests: repeat until `complete` is true. To check without trusting the \
                server, recompute the hashes from the entries.")
            .with(&["bot"])
            .answers::<ChainVerification>(200, "Length, head and the first fault, if there is one."),
        get("/ledger", journal)
            .named("showJournal", "ledger", "Everybody's entries")
            .listed::<LedgerEntry>(&[]),
    ]
}

async fn journal(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Journal, &app.secrets)?;
    let after = page.after.map(journal_position).transpose()?;
    let mut conn = app.database.get().await?;
    let entries = db::ledger::journal(&mut conn, after, page.limit()).await?;
    let position = |entry: &ledger_core::Entry| {
        let at = JournalPosition::of(entry);
        [at.recorded_at.micros(), at.bot_id.0, at.sequence]
    };
    ok(&page.answer(entries, position, LedgerEntry::from))
}

fn journal_position([micros, bot_id, sequence]: [i64; 3]) -> Result<JournalPosition, ApiError> {
    let recorded_at = Timestamp::from_micros(micros)
        .ok_or_else(|| ApiError::invalid("cursor", "must be a next_cursor of this same list"))?;
    Ok(JournalPosition { recorded_at, bot_id: BotId(bot_id), sequence })
}

async fn chain(req: HttpRequest, bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = bot_of(&bot)?;
    let page = Parameters::of(&req)?.page(List::Chain, &app.secrets)?;
    let before = page.after.map(|[sequence]| sequence);
    let mut conn = app.database.get().await?;
    let id = db::bots::find(&mut conn, &bot).await?.id;
    let entries = db::ledger::page(&mut conn, id, before, page.limit()).await?;
    ok(&page.answer(entries, |e| [e.sequence], LedgerEntry::from))
}

/// The longest verification of a request, and its longest wait: well below the server's time limit. The next run
/// does the rest.
const VERIFY_TIME: Duration = Duration::from_secs(6);

/// Recomputes the entries since the last run, in batches, each on its own connection. One run for
/// each bot, and few in total: a caller that waits for a run on the same bot finds the work done.
async fn verify(bot: Path<String>, app: Data<App>) -> ApiResult {
    let deadline = Instant::now() + VERIFY_TIME;
    let bot = bot_of(&bot)?;
    let id = {
        let mut conn = app.database.get().await?;
        db::bots::find(&mut conn, &bot).await?.id
    };
    let turn = timeout_at(deadline, async {
        let alone = app.verifying.lock(id).await;
        (alone, app.verifications.acquire().await)
    })
    .await;
    if turn.is_err() {
        let mut conn = app.database.get().await?;
        return answer(db::ledger::verified(&mut conn, id).await?);
    }
    let mut reached = None;
    loop {
        let verification = {
            let mut conn = app.database.get().await?;
            db::ledger::verify_on(&mut conn, id).await?
        };
        // A run that gets no further must not keep its place from others.
        let head = Some(verification.head.sequence);
        if verification.complete || head == reached || Instant::now() >= deadline {
            return answer(verification);
        }
        reached = head;
    }
}

fn answer(verification: Verification) -> ApiResult {
    ok(&ChainVerification {
        bot_id: verification.head.bot_id,
        entries: verification.head.sequence,
        length: verification.length,
        complete: verification.complete,
        head_hash: verification.head.hash,
        valid: verification.first_fault.is_none(),
        first_fault: verification.first_fault.map(Into::into),
    })
}
