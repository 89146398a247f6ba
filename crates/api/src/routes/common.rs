//! Shared by handlers: names in paths and filters, texts, answers.

use std::fmt;
use std::str::FromStr;

use actix_web::HttpResponse;
use api_types::{Page, REASON_MAX_CHARS};
use db::DbError;
use db::bots::BotRef;
use ledger_core::post::one_line;
use ledger_core::{BotId, MarketId};
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::cursor::Parameters;
use crate::error::{ApiError, ApiResult};

pub(super) fn ok<T: Serialize>(answer: &T) -> ApiResult {
    Ok(HttpResponse::Ok().json(answer))
}

/// The page of a list in which there is nothing.
pub(super) fn nothing() -> ApiResult {
    ok(&Page::<()> { items: Vec::new(), next_cursor: None })
}

/// An id or a handle; digits alone are an id, since handles start with a letter.
fn bot_ref(text: &str) -> Option<BotRef> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(BotRef::Id);
    }
    text.parse().ok().map(BotRef::Handle)
}

/// The bot that a path names. An impossible name belongs to no bot.
pub(super) fn bot_of(path: &str) -> ApiResult<BotRef> {
    bot_ref(path).ok_or_else(|| ApiError::not_found("such bot"))
}

/// The id of the bot that a path names: whichever way it is spelt, it is one route to a key.
pub(super) async fn id_of(app: &App, path: &str) -> ApiResult<BotId> {
    match bot_of(path)? {
        BotRef::Id(id) => Ok(id),
        by_handle @ BotRef::Handle(_) => {
            let mut conn = app.database.get().await?;
            Ok(db::bots::find(&mut conn, &by_handle).await?.id)
        }
    }
}

/// The bot of a filter; `None` if there is none with this name, so the list is empty. Invalid names
/// are refused by the `rule`.
pub(super) async fn filtered_by(
    conn: &mut db::Connection,
    parameter: &str,
    text: &str,
    rule: &str,
) -> ApiResult<Option<BotId>> {
    match bot_ref(text).ok_or_else(|| ApiError::invalid(parameter, rule))? {
        BotRef::Id(id) => Ok(Some(id)),
        by_handle @ BotRef::Handle(_) => match db::bots::find(conn, &by_handle).await {
            Ok(found) => Ok(Some(found.id)),
            Err(DbError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
    }
}

/// The market that a path names. An impossible name belongs to no market.
pub(super) fn market_of(path: &str) -> ApiResult<MarketId> {
    let id = Uuid::try_parse(path).map_err(|_| ApiError::not_found("such market"))?;
    Ok(MarketId(id))
}

/// A field's value as one of the type's labels.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(field: &str, text: &str) -> ApiResult<T> {
    let parsed = text.parse();
    parsed.map_err(|rule: T::Err| ApiError::invalid(field, rule.to_string()))
}

/// The label in a filter, in any case.
pub(super) fn labelled<T: FromStr<Err: fmt::Display>>(
    parameters: &Parameters,
    name: &str,
) -> ApiResult<Option<T>> {
    let label = parameters.get(name).map(str::to_ascii_uppercase);
    label.map(|label| parsed(name, &label)).transpose()
}

/// A text of at most so many characters, in one clean line.
pub(super) fn line(field: &str, text: &str, chars_max: usize) -> ApiResult<String> {
    if text.chars().count() > chars_max {
        let rule = format!("must have at most {chars_max} characters");
        return Err(ApiError::invalid(field, rule));
    }
    Ok(one_line(text))
}

/// An operator's reason.
pub(super) fn reason(text: &str) -> ApiResult<String> {
    line("reason", text, REASON_MAX_CHARS)
}

/// The same of an act that must have one.
pub(super) fn required_reason(text: &str) -> ApiResult<String> {
    match reason(text)? {
        reason if reason.is_empty() => Err(ApiError::missing("reason")),
        reason => Ok(reason),
    }
}
