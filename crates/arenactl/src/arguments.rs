//! Parses the values of arguments. Malformed arguments never reach a command.

use db::bots::BotRef;
use ledger_core::post::one_line;
use ledger_core::{BotId, Handle, MarketId, Money};
use uuid::Uuid;

/// The longest reason, in characters: with the rest of the sentence it must fit a post.
const REASON_MAX_CHARS: usize = 200;

/// A bot's handle or its numeric id; a handle begins with a letter, so they never mix.
pub(crate) fn bot_ref(text: &str) -> Result<BotRef, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(id) = text.parse::<i64>()
    {
        return Ok(BotRef::Id(BotId(id)));
    }
    text.parse::<Handle>()
        .map(BotRef::Handle)
        .map_err(|error| format!("neither an id nor a handle, which {error}"))
}

/// A market's id, as the API shows it.
pub(crate) fn market_id(text: &str) -> Result<MarketId, String> {
    Uuid::try_parse(text).map(MarketId).map_err(|_| {
        "must be a market's id, such as 0b9f4c7e-8a51-4a36-9d1e-2f6a1c3b5d70".to_owned()
    })
}

/// An amount above zero.
pub(crate) fn positive_amount(text: &str) -> Result<Money, String> {
    let amount: Money = text.parse().map_err(|error| format!("{error}"))?;
    if amount.is_positive() { Ok(amount) } else { Err("must be above zero".to_owned()) }
}

/// One non-empty line of plain text.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() > REASON_MAX_CHARS {
        return Err(format!("must have at most {REASON_MAX_CHARS} characters"));
    }
    let line = one_line(text);
    if line.is_empty() {
        return Err("must not be empty: it is kept in the audit log".to_owned());
    }
    Ok(line)
}
