//! What ticks did, and how a bot fared over them.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use api_types::{HISTORY_POINTS_DEFAULT, HISTORY_POINTS_MAX, HISTORY_POINTS_MIN};
use ledger_core::CycleNumber;

use crate::app::App;
use crate::cursor::{List, Parameters};
use crate::error::{ApiError, ApiResult};
use crate::{routes, views};

pub(super) async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let secrets = app.secrets.now();
    let page = Parameters::of(&req)?.page(List::Ticks, &secrets.keys.cursor)?;
    let before = page.after.map(|[number]| CycleNumber(number));
    let mut conn = app.database.get().await?;
    let rows = db::history::ticks(&mut conn, before, page.limit()).await?;
    routes::ok(&page.answer(
        rows,
        &secrets.keys.cursor,
        |row| [row.number.0],
        views::tick,
    ))
}

pub(super) async fn history(req: HttpRequest, bot: Path<String>, app: Data<App>) -> ApiResult {
    let points = match Parameters::of(&req)?.get("points") {
        None => HISTORY_POINTS_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|points| (HISTORY_POINTS_MIN..=HISTORY_POINTS_MAX).contains(points))
            .ok_or_else(|| {
                let rule = format!(
                    "must be a whole number from {HISTORY_POINTS_MIN} to {HISTORY_POINTS_MAX}"
                );
                ApiError::invalid("points", rule)
            })?,
    };
    let bot = routes::bot_of(&bot)?;
    let mut conn = app.database.get().await?;
    let history = db::history::of(&mut conn, &bot, points).await?;
    routes::ok(&views::history(history))
}
