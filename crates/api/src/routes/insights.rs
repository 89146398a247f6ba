//! A bot's cost, results, and future if nothing changes.

use super::prelude::*;
use crate::routes::common::{bot_of, ok};
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/insights/{bot}", show)
            .named("showInsights", "bots", "A bot's cost, results, and future if nothing changes")
            .with(&["bot"])
            .answers::<api_types::Insights>(200, "The insights."),
    ]
}

async fn show(bot: Path<String>, app: Data<App>) -> ApiResult {
    let bot = bot_of(&bot)?;
    let mut conn = app.database.get().await?;
    let found = db::insights::find(&mut conn, &bot).await?;
    ok(&views::insights(found, &app.rules))
}
