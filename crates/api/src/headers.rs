//! Headers of every answer for browsers: what a browser may do with it, and which pages may request
//! it.

use std::str::FromStr;

use actix_cors::Cors;
use actix_web::http::Uri;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HeaderMap, HeaderName, HeaderValue,
    PERMISSIONS_POLICY, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use api_types::{AGENT_SECRET, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, OPERATOR, REQUEST_ID};

/// How long a browser may cache a preflight's answer, in seconds.
const PREFLIGHT_SECONDS: usize = 600;

/// From OWASP's REST Security Cheat Sheet. HSTS is the job of the proxy that adds TLS.
const DEFAULTS: [(HeaderName, &str); 9] = [
    // Balances, prices and tokens are old as soon as they are answered.
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // For browsers that do not know `frame-ancestors`.
    (X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
];

/// Adds headers that the handler did not set: an HTML page has its own policy.
pub(crate) fn complete(headers: &mut HeaderMap) {
    for (name, value) in DEFAULTS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// The origins whose pages may use the API from a browser, such as `https://arena.example`;
/// separated by commas, or `*` for all. There are no cookies: a page needs its own credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    None,
    Listed(Vec<String>),
    Any,
}

impl Origins {
    /// Whether pages of `origin` are meant.
    pub(crate) fn include(&self, origin: &str) -> bool {
        match self {
            Origins::None => false,
            Origins::Any => true,
            Origins::Listed(origins) => origins.iter().any(|known| known == origin),
        }
    }

    pub(crate) fn are_any(&self) -> bool {
        *self != Origins::None
    }

    pub(crate) fn cors(&self) -> Cors {
        let cors = Cors::default()
            .allowed_methods(["GET", "HEAD", "POST", "DELETE"])
            .allowed_headers([AUTHORIZATION, CONTENT_TYPE])
            .allowed_headers([AGENT_SECRET, IDEMPOTENCY_KEY, OPERATOR, "Last-Event-ID"])
            .expose_headers([RETRY_AFTER.as_str(), REQUEST_ID, IDEMPOTENCY_REPLAYED])
            .expose_headers(["RateLimit", "RateLimit-Policy"])
            // The browser hides the answer from the page; other clients can send any Origin.
            .block_on_origin_mismatch(false)
            .max_age(PREFLIGHT_SECONDS);
        match self {
            Origins::None => cors,
            Origins::Any => cors.allow_any_origin().send_wildcard(),
            Origins::Listed(origins) => {
                origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
            }
        }
    }
}

impl FromStr for Origins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Origins, Self::Err> {
        let listed: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect();
        match listed.as_slice() {
            [] => Ok(Origins::None),
            [any] if any == "*" => Ok(Origins::Any),
            all if all.iter().all(|origin| is_origin(origin)) => Ok(Origins::Listed(listed)),
            _ => Err(
                "must be origins such as https://arena.example, with commas in between, or * alone",
            ),
        }
    }
}

/// Exactly as browsers write it: lower case, no path, no slash at the end.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    matches!(scheme, "http" | "https")
        && !authority.as_str().contains(['@', '*'])
        && text == format!("{scheme}://{authority}").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let listed =
            |all: &[&str]| Ok(Origins::Listed(all.iter().map(|s| (*s).to_owned()).collect()));
        assert_eq!("".parse(), Ok(Origins::None));
        assert_eq!("*".parse(), Ok(Origins::Any));
        assert_eq!(
            "https://arena.example, http://127.0.0.1:3000".parse(),
            listed(&["https://arena.example", "http://127.0.0.1:3000"])
        );
        for bad in [
            "arena.example",
            "https://arena.example/",
            "https://arena.example/page",
            "https://Arena.example",
            "https://me@arena.example",
            "https://*.arena.example",
            "ftp://arena.example",
            "null",
            "https://arena.example, *",
        ] {
            // A star in a host is not a wildcard: it would silently match nothing.
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
