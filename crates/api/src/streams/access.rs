//! Who may listen: anybody, but where the arena is enforced in earnest bots and operators alone.

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use actix_web::{FromRequest, HttpRequest};
use api_types::AGENT_SECRET;
use db::credentials::Refused;

use crate::app::App;
use crate::auth::{AuthenticatedBot, AuthenticatedOperator, Tokens, is_good, is_operators};
use crate::error::ApiError;
use crate::headers::Origins;

/// Whether the request proves who asks. A header, never the address: addresses end up in logs.
pub(super) async fn prove(req: &HttpRequest) -> Result<(), ApiError> {
    let nobody = match AuthenticatedBot::from_request(req, &mut Payload::None).await {
        Ok(_) => return Ok(()),
        Err(error @ ApiError::Unauthorized { .. }) => error,
        Err(other) => return Err(other),
    };
    match AuthenticatedOperator::from_request(req, &mut Payload::None).await {
        Ok(_) => Ok(()),
        Err(ApiError::Unauthorized { .. }) => Err(nobody),
        Err(other) => Err(other),
    }
}

/// Whether there is anything that could prove who asks.
pub(super) fn offers_proof(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(AGENT_SECRET)
}

/// Whether a token that came in a message is a bot's or the operator's.
pub(super) fn is_known(app: &App, token: &str) -> bool {
    let known = is_operators(app, token) || is_good(app, token);
    // A bot's token that is over is no attempt on the operator's.
    if !known && !Tokens::is_of_their_form(token) {
        app.refusals.note(Refused::Operator);
    }
    known
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
        assert!(allowed(
            Some("https://board.example"),
            &["https://board.example"]
        ));
        assert!(allowed(Some("https://board.example"), &["*"]));
        assert!(!allowed(Some("https://board.example"), &[]));
        assert!(!allowed(
            Some("http://board.example"),
            &["https://board.example"]
        ));
        assert!(!allowed(Some("http://arena.example"), &[]));
        assert!(!allowed(
            Some("http://arena.example:8000.evil.example"),
            &[]
        ));
        assert!(!allowed(Some("null"), &[]));
    }
}
