//! The totals of ticks, and a bot's state after them.

use api_types::{HISTORY_POINTS_DEFAULT, HISTORY_POINTS_MAX, HISTORY_POINTS_MIN};
use ledger_core::TickNumber;

use super::prelude::*;
use crate::routes::common::{bot_of, ok};
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/bots/{bot}/history", history)
            .named("showHistory", "bots", "How a bot stood after past ticks")
            .about("Evenly spaced over its ticks, as far back as they are kept; the latest is among them.")
            .with(&["bot", "points"])
            .answers::<api_types::History>(200, "The oldest first."),
        get("/ticks", list)
            .named("listTicks", "arena", "The totals of ticks, newest first")
        .listed::<api_types::Tick>(&[]),
    ]
}

async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Ticks, &app.secrets)?;
    let before = page.after.map(|[number]| TickNumber(number));
    let mut conn = app.database.get().await?;
    let rows = db::history::ticks(&mut conn, before, page.limit()).await?;
    ok(&page.answer(rows, |row| [row.number.0], views::tick))
}

async fn history(req: HttpRequest, bot: Path<String>, app: Data<App>) -> ApiResult {
    let bounds = (HISTORY_POINTS_MIN, HISTORY_POINTS_MAX);
    let points = Parameters::of(&req)?.number("points", bounds, HISTORY_POINTS_DEFAULT)?;
    let bot = bot_of(&bot)?;
    let mut conn = app.database.get().await?;
    let history = db::history::of(&mut conn, &bot, points).await?;
    ok(&views::history(history))
}
