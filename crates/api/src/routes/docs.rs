//! The contract, and a page to try it at: Swagger UI as it comes, from the binary.

use std::sync::{Arc, LazyLock, OnceLock};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION,
};
use actix_web::web::Bytes;
use utoipa_swagger_ui::Config;

use super::prelude::*;
use crate::keys::{hex, sha256};
use crate::openapi;
use crate::table::Table;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/openapi.json", document)
            .named("openapi", "service", "This document")
            .counted(Class::Local)
            .touches_nothing()
            .answers_text("application/json", "An OpenAPI 3.1 document.")
            .shaped("OpenApiDocument"),
        get("/docs", start).counted(Class::Local),
        get("/docs/{file:.*}", file).counted(Class::Local),
    ]
}

/// Swagger UI sets `style` attributes and draws its icons from data URLs; it runs no inline script
/// and contacts no other host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The document as it is served, and its entity tag.
static DOCUMENT: OnceLock<(Bytes, String)> = OnceLock::new();

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).validator_url("none")));

async fn document(req: HttpRequest, table: Data<Table>) -> HttpResponse {
    let (text, tag) = DOCUMENT.get_or_init(|| {
        let text = Bytes::from(openapi::document(table.rows()).to_string());
        let tag = format!("\"{}\"", &hex(&sha256(&text))[..32]);
        (text, tag)
    });
    let tag = tag.as_str();
    let known = req.headers().get(IF_NONE_MATCH);
    if known.and_then(|known| known.to_str().ok()).is_some_and(|known| names(known, tag)) {
        return HttpResponse::NotModified().insert_header((ETAG, tag)).finish();
    }
    HttpResponse::Ok()
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(text.clone())
}

/// Whether a list of entity tags names this one; weakly compared (RFC 9110, 13.1.2).
fn names(list: &str, tag: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The page's files are next to it.
async fn start() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

async fn file(path: Path<String>) -> ApiResult {
    let found = utoipa_swagger_ui::serve(&path, Arc::clone(&CONFIG))
        .map_err(|error| ApiError::Internal(error.to_string()))?
        .ok_or_else(|| ApiError::not_found("such file"))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type(found.content_type)
        .body(found.bytes.into_owned()))
}
