//! Access to streams: for all clients; in enforce mode outside of development only for bots and
//! operators.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use api_types::AGENT_SECRET;
use api_types::ProblemKind::Unauthorized;

use crate::auth::Auth;
use crate::error::{ApiError, ApiResult};
use crate::headers::Origins;

/// Whether the request is authenticated. A header, never the address: addresses end up in logs.
pub(super) async fn prove(auth: &Auth, req: &HttpRequest) -> ApiResult<()> {
    let nobody = match auth.bot(req).await {
        Ok(_) => return Ok(()),
        Err(error @ ApiError::Told(Unauthorized, _)) => error,
        Err(other) => return Err(other),
    };
    match auth.operator(req.headers()) {
        Ok(_) => Ok(()),
        Err(ApiError::Told(Unauthorized, _)) => Err(nobody),
        Err(other) => Err(other),
    }
}

/// Whether the request has any credential.
pub(super) fn offers_proof(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(AGENT_SECRET)
}

/// Whether a page of that origin may open a WebSocket: browsers send no preflight for WebSockets,
/// only the page's origin.
pub(super) fn origin_allowed(headers: &HeaderMap, allowed: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        // No browser.
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // A proxy in front of the API may add TLS: the scheme is not compared.
    let same = origin.split_once("://").is_some_and(|(_, authority)| {
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    });
    same || allowed.include(origin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn allowed(origin: Option<&'static str>, list: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("arena.example:8000"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let list: Origins = list.join(",").parse().unwrap();
        origin_allowed(&headers, &list)
    }

    #[test]
    fn a_page_of_the_arena_or_of_the_list_may_connect_and_no_other() {
        assert!(allowed(None, &[]));
        assert!(allowed(Some("http://arena.example:8000"), &[]));
        assert!(allowed(Some("https://arena.example:8000"), &[]));
        assert!(allowed(Some("https://board.example"), &["https://board.example"]));
        assert!(allowed(Some("https://board.example"), &["*"]));
        assert!(!allowed(Some("https://board.example"), &[]));
        assert!(!allowed(Some("http://board.example"), &["https://board.example"]));
        assert!(!allowed(Some("http://arena.example"), &[]));
        assert!(!allowed(Some("http://arena.example:8000.evil.example"), &[]));
        assert!(!allowed(Some("null"), &[]));
    }
}
