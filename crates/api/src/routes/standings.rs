//! The ranking by wealth.

use super::prelude::*;
use crate::routes::common::{labelled, ok};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/standings", list)
            .named("showStandings", "arena", "The ranking by wealth, with costs")
            .with(&["botStatus", "limit", "cursor"])
            .answers::<api_types::Standings>(200, "A page, the wealthiest first."),
    ]
}

/// `?status=` ranks those of one status among themselves.
async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let parameters = Parameters::of(&req)?;
    let page = parameters.page(List::Standings, &app.secrets)?;
    let status = labelled(&parameters, "status")?;
    let snapshot = app.standings.get(&app.database).await?;
    let after = page.after.map_or(0, |[rank]| rank);
    let rows = snapshot.page(status, after, page.limit());
    let page = page.answer(rows, |row| [row.rank], |row| row);
    ok(&api_types::Standings {
        items: page.items,
        next_cursor: page.next_cursor,
        as_of: snapshot.as_of,
    })
}
