//! A page about each problem, at the path that is its `type`.

use actix_web::http::header::ContentType;
use api_types::ProblemKind;

use super::prelude::*;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/problems/{name}", page)
            .named("showProblem", "service", "A page about a kind of problem")
            .counted(Class::Local)
            .with(&["problem"])
            .touches_nothing()
            .answers_text("text/html", "The page."),
    ]
}

async fn page(name: Path<String>) -> ApiResult {
    let kind = ProblemKind::from_name(&name).ok_or_else(|| ApiError::not_found("such problem"))?;
    let facts = kind.facts();
    let (title, about) = (escaped(facts.title), escaped(facts.about));
    let (status, name) = (facts.status, facts.name);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <title>{title}</title></head>\n\
         <body><h1>{title}</h1>\n<p><code>{name}</code>, HTTP status {status}</p>\n\
         <p>{about}</p></body></html>\n"
    );
    Ok(HttpResponse::Ok().content_type(ContentType::html()).body(html))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
