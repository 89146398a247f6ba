//! The price history.

use actix_web::HttpRequest;
use actix_web::web::Data;
use ledger_core::ids::PriceId;

use crate::app::App;
use crate::cursor::{List, Parameters};
use crate::error::ApiResult;
use crate::{routes, views};

pub(super) async fn list(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Prices, &app.secrets.now().keys.cursor)?;
    let before = page.after.map(|[id]| PriceId(id));
    let mut conn = app.database.get().await?;
    let rows = db::prices::page(&mut conn, before, page.limit()).await?;
    routes::ok(&page.answer(
        rows,
        &app.secrets.now().keys.cursor,
        |row| [row.sample.id.0],
        views::price,
    ))
}
