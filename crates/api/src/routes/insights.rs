//! What a bot cost, what it produced, and what comes if nobody acts.

use actix_web::web::{Data, Path};

use crate::app::App;
use crate::error::ApiResult;
use crate::{routes, views};

pub(super) async fn show(bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = routes::bot_of(&bot)?;
    let mut conn = app.database.get().await?;
    let found = db::insights::find(&mut conn, &bot).await?;
    routes::ok(&views::insights(found, &app.rules, app.tick_rate_seconds))
}
