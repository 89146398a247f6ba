//! Token usage outside of an action.

use api_types::{NOTE_MAX_CHARS, UsageReceipt};
use db::usage::{Reported, UsageReport};

use super::prelude::*;
use crate::routes::common::line;
use crate::usage;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/metrics/usage", report)
            .named("reportUsage", "agents", "Token usage outside of an action")
            .about(
                "Priced by the server's price book. The dead may report, too: it moves no money.",
            )
            .by(Who::Bot)
            .once()
            .takes::<api_types::UsageReport>()
            .answers::<UsageReceipt>(201, "Taken down."),
    ]
}

/// Takes a report. It moves no money, so dead bots may still report usage.
async fn report(bot: AuthenticatedBot, mut call: Call) -> ApiResult {
    let request: api_types::UsageReport = call.body().await?;
    let note = request.note.as_deref().unwrap_or_default();
    let report = UsageReport {
        bot_id: bot.id,
        note: line("note", note, NOTE_MAX_CHARS)?,
        usage: usage::read(request.usage, &call.app.price_book)?,
    };
    let answer = |reported: &Reported| UsageReceipt {
        action_id: reported.action_id,
        cost_usd: reported.priced_usd,
        reported_usd: reported.reported_usd,
    };
    let claimed = call.claim(&bot.scope(), "")?;
    claimed
        .once(answer, async move |app, conn, hook| {
            let mode = app.rules.enforcement;
            AuthenticatedBot::or_unknown(db::usage::report(conn, &report, mode, hook).await)
        })
        .await
}
