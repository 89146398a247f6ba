//! The contract, and a page to try it at: Swagger UI as it comes, from the binary.

use std::sync::{Arc, LazyLock};

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION,
};
use actix_web::web::Path;
use utoipa_swagger_ui::Config;

use crate::error::{ApiError, ApiResult};
use crate::keys::{hex, sha256};
use crate::openapi;

/// Swagger UI sets `style` attributes and draws its icons from data URLs; it runs no inline script
/// and asks nobody but us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

static ENTITY_TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", &hex(&sha256(&openapi::RENDERED))[..32]));

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).validator_url("none")));

pub(super) async fn document(req: HttpRequest) -> HttpResponse {
    let tag = ENTITY_TAG.as_str();
    let known = req.headers().get(IF_NONE_MATCH);
    if known
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| names(known, tag))
    {
        return HttpResponse::NotModified()
            .insert_header((ETAG, tag))
            .finish();
    }
    HttpResponse::Ok()
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type("application/json")
        .body(openapi::RENDERED.clone())
}

/// Whether a list of entity tags names this one; weakly compared (RFC 9110, 13.1.2).
fn names(list: &str, tag: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// The page finds its files beside it.
pub(super) async fn start() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

pub(super) async fn file(path: Path<String>) -> ApiResult {
    let found = utoipa_swagger_ui::serve(&path, Arc::clone(&CONFIG))
        .map_err(|error| ApiError::Internal(error.to_string()))?
        .ok_or_else(|| ApiError::not_found("such file"))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .content_type(found.content_type)
        .body(found.bytes.into_owned()))
}
