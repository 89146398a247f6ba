//! The feed.

use actix_web::HttpRequest;
use actix_web::web::Data;

use crate::app::App;
use crate::cursor::{List, Parameters};
use crate::error::ApiResult;
use crate::{routes, views};

pub(super) async fn feed(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Posts, &app.keys.cursor)?;
    let before = page.after.map(|[id]| id);
    let mut conn = app.database.get().await?;
    let posts = db::posts::feed(&mut conn, before, page.limit()).await?;
    routes::ok(&page.answer(posts, &app.keys.cursor, |post| [post.id], views::post))
}
