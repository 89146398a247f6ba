//! Who may listen: anybody, but where the arena is enforced in earnest bots and operators alone.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use api_types::AGENT_SECRET;
use api_types::ProblemKind::Unauthorized;

use crate::auth::Auth;
use crate::error::{ApiError, ApiResult};
use crate::headers::Origins;

/// Whether the request proves who asks. A header, never the address: addresses end up in logs.
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

/// Whether there is anything that could prove who asks.
pub(super) fn offers_proof(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(AGENT_SECRET)
}

/// Whether a page of that origin may open a WebSocket: browsers do not ask before they connect, as
/// they do for other requests, and only say where the page is from.
pub(super) fn origin_allowed(headers: &HeaderMap, allowed: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        // No browser.
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // What stands before the API may add TLS: the scheme is not compared.
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
