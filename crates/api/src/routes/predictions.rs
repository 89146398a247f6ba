//! Predictions, filtered by bot and status.

use actix_web::HttpRequest;
use actix_web::web::Data;
use api_types::Page;
use db::bots::BotRef;
use db::predictions::PredictionFilter;
use ledger_core::prediction::PredictionStatus;
use ledger_core::{BotId, PredictionId};

use crate::app::App;
use crate::cursor::{List, Parameters};
use crate::error::{ApiError, ApiResult};
use crate::{routes, views};

/// `?bot=` takes an id or a handle (`bot_id` is the same by another name; both at once are refused),
/// `?status=` a status.
pub(super) async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Predictions, &app.secrets.now().keys.cursor)?;
    let status = parameters.get("status").map(status).transpose()?;
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
        Some((parameter, text)) => match find(&mut conn, parameter, text).await? {
            Some(id) => Some(id),
            // Nobody by this name has made a prediction.
            None => {
                let empty: Page<api_types::Prediction> = Page {
                    items: Vec::new(),
                    next_cursor: None,
                };
                return routes::ok(&empty);
            }
        },
    };
    let before = page.after.map(|[id]| PredictionId(id));
    let filter = PredictionFilter { bot_id, status };
    let rows = db::predictions::page(&mut conn, filter, before, page.limit()).await?;
    routes::ok(&page.answer(
        rows,
        &app.secrets.now().keys.cursor,
        |row| [row.id.0],
        views::prediction,
    ))
}

fn status(text: &str) -> Result<PredictionStatus, ApiError> {
    PredictionStatus::ALL
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| ApiError::invalid("status", "must be OPEN, WON, LOST, VOID or FORFEIT"))
}

async fn find(
    conn: &mut db::Connection,
    parameter: &str,
    text: &str,
) -> Result<Option<BotId>, ApiError> {
    let bot = routes::bot_ref(text)
        .ok_or_else(|| ApiError::invalid(parameter, "must be the id or the handle of a bot"))?;
    match bot {
        BotRef::Id(id) => Ok(Some(id)),
        BotRef::Handle(_) => match db::bots::find(conn, &bot).await {
            Ok(profile) => Ok(Some(profile.id)),
            Err(db::DbError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        },
    }
}
