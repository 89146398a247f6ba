//! The ledger: everybody's entries, one bot's chain, and the server's word that it is sound.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use api_types::{ChainVerification, LedgerEntry};
use db::ledger::JournalPosition;
use ledger_core::{BotId, Timestamp};

use crate::app::App;
use crate::cursor::{List, Parameters};
use crate::error::{ApiError, ApiResult};
use crate::routes;

pub(super) async fn journal(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Journal, &app.secrets.now().keys.cursor)?;
    let after = page.after.map(journal_position).transpose()?;
    let mut conn = app.database.get().await?;
    let entries = db::ledger::journal(&mut conn, after, page.limit()).await?;
    let position = |entry: &ledger_core::Entry| {
        let JournalPosition {
            recorded_at,
            bot_id,
            sequence,
        } = JournalPosition::of(entry);
        [recorded_at.micros(), bot_id.0, sequence]
    };
    routes::ok(&page.answer(
        entries,
        &app.secrets.now().keys.cursor,
        position,
        LedgerEntry::from,
    ))
}

fn journal_position([micros, bot_id, sequence]: [i64; 3]) -> Result<JournalPosition, ApiError> {
    let recorded_at = Timestamp::from_micros(micros)
        .ok_or_else(|| ApiError::invalid("cursor", "must be a next_cursor of this same list"))?;
    Ok(JournalPosition {
        recorded_at,
        bot_id: BotId(bot_id),
        sequence,
    })
}

pub(super) async fn chain(req: HttpRequest, bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = routes::bot_of(&bot)?;
    let page = Parameters::of(&req)?.page(List::Chain, &app.secrets.now().keys.cursor)?;
    let before = page.after.map(|[sequence]| sequence);
    let mut conn = app.database.get().await?;
    let id = db::bots::find(&mut conn, &bot).await?.id;
    let entries = db::ledger::page(&mut conn, id, before, page.limit()).await?;
    routes::ok(&page.answer(
        entries,
        &app.secrets.now().keys.cursor,
        |e| [e.sequence],
        LedgerEntry::from,
    ))
}

/// Recomputes what came since the last time. One run a bot at a time: whoever waits for it finds
/// the work done. A fault is never remembered, so that it is found anew each time, from the start.
pub(super) async fn verify(bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = routes::bot_of(&bot)?;
    let id = {
        let mut conn = app.database.get().await?;
        db::bots::find(&mut conn, &bot).await?.id
    };
    let _turn = app.verifying.lock(id).await;
    let mut conn = app.database.get().await?;
    let known = app.verified.get(id);
    let verification = db::ledger::verify(&mut conn, id, known).await?;
    match verification.first_fault {
        None => app.verified.put(verification.head),
        Some(_) => app.verified.forget(id),
    }
    routes::ok(&ChainVerification {
        bot_id: id,
        entries: verification.head.sequence,
        head_hash: verification.head.hash,
        valid: verification.first_fault.is_none(),
        first_fault: verification.first_fault.map(Into::into),
    })
}
