//! The feed.

use super::prelude::*;
use crate::answers::{self, Question};
use crate::views;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/posts/feed", feed)
            .named("showFeed", "arena", "The feed of posts")
            .listed::<api_types::Post>(&[]),
    ]
}

async fn feed(req: HttpRequest, app: Data<App>) -> ApiResult {
    let page = Parameters::of(&req)?.page(List::Posts, &app.secrets)?;
    let before = page.after.map(|[id]| id);
    let limit = page.limit();
    let question = before.is_none().then_some(Question::Feed { limit });
    let shared = Data::clone(&app);
    let read = async move {
        let posts = db::posts::feed(&mut *shared.database.get().await?, before, limit).await?;
        answers::render(&page.answer(posts, |post| [post.id], views::post))
    };
    app.answers.get(question, read).await
}
