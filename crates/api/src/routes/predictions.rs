//! Predictions, filtered by bot and status.

use db::predictions::PredictionFilter;
use ledger_core::PredictionId;

use super::prelude::*;
use crate::routes::common::{filtered_by, labelled, nothing, ok};
use crate::views;

const A_BOT: &str = "must be the id or the handle of a bot";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/predictions", list)
            .named("listPredictions", "arena", "Predictions, open and settled")
            .listed::<api_types::Prediction>(&["ofBot", "botId", "predictionStatus"]),
    ]
}

/// `?bot=` takes an id or a handle (`bot_id` is the same by another name; both at once are refused),
/// `?status=` a status.
async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Predictions, &app.secrets)?;
    let status = labelled(&parameters, "status")?;
    let named = match (parameters.get("bot"), parameters.get("bot_id")) {
        (Some(_), Some(_)) => {
            let rule = "means the same as `bot`: give one of them";
            return Err(ApiError::invalid("bot_id", rule));
        }
        (Some(text), None) => Some(("bot", text)),
        (None, Some(text)) => Some(("bot_id", text)),
        (None, None) => None,
    };
    let mut conn = app.database.get().await?;
    let bot_id = match named {
        None => None,
        Some((parameter, text)) => match filtered_by(&mut conn, parameter, text, A_BOT).await? {
            Some(id) => Some(id),
            // Nobody by this name has made a prediction.
            None => return nothing(),
        },
    };
    let before = page.after.map(|[id]| PredictionId(id));
    let filter = PredictionFilter { bot_id, status };
    let rows = db::predictions::page(&mut conn, filter, before, page.limit()).await?;
    ok(&page.answer(rows, |row| [row.id.0], views::prediction))
}
