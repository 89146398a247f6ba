//! The price history.

use ledger_core::ids::PriceId;

use super::prelude::*;
use crate::routes::common::ok;
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/prices", list)
            .named("listPrices", "arena", "The price history: the samples that decide settlements")
            .listed::<api_types::PriceSample>(&[]),
    ]
}

async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Prices, &app.secrets)?;
    let before = page.after.map(|[id]| PriceId(id));
    let mut conn = app.database.get().await?;
    let rows = db::prices::page(&mut conn, before, page.limit()).await?;
    ok(&page.answer(rows, |row| [row.id.0], views::price))
}
