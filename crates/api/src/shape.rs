//! Checks of a request's form, before its content is read.
//!
//! The HTTP parser itself refuses invalid HTTP with an empty answer: control characters in a
//! header, a second `Host` or `Content-Length`, more than 96 headers or 128 KiB of them. Valid HTTP
//! beyond an agent's needs is refused here, with a problem.

use std::net::IpAddr;

use actix_web::dev::{Extensions, ServiceRequest};
use actix_web::http::Uri;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use actix_web::http::uri::Authority;
use actix_web::rt::net::TcpStream;
use api_types::ProblemKind::{HeadersTooLarge, PayloadTooLarge, UnknownHost, UriTooLong};
use api_types::{AGENT_SECRET, IDEMPOTENCY_KEY, OPERATOR};
use daemon::hosts::{Hosts, Stranger};

use crate::body::BODY_MAX_BYTES;
use crate::error::ApiError;

/// The longest path with its query, in bytes.
pub(crate) const URL_MAX_BYTES: usize = 4 * 1024;
/// Headers of a request, their number.
const HEADERS_MAX: usize = 64;
/// Headers of a request, names and values together, in bytes.
pub(crate) const HEADERS_MAX_BYTES: usize = 16 * 1024;

/// Refuses requests that are too large or ambiguous.
pub(crate) fn check(req: &ServiceRequest) -> Result<(), ApiError> {
    target(req.uri())?;
    headers(req.headers())
}

fn target(uri: &Uri) -> Result<(), ApiError> {
    let query = uri.query().map_or(0, |query| query.len() + 1);
    if uri.path().len() + query > URL_MAX_BYTES {
        return Err(ApiError::Is(UriTooLong));
    }
    // `OPTIONS *` and `CONNECT host:port` are for proxies.
    if uri.path().starts_with('/') {
        Ok(())
    } else {
        Err(ApiError::malformed("The request must name a path, beginning with `/`."))
    }
}

fn headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADERS_MAX_BYTES {
        return Err(ApiError::Is(HeadersTooLarge));
    }
    // With two, each parser might use a different one.
    if headers.len() != headers.len_keys() {
        let single = [AUTHORIZATION, CONTENT_TYPE, ORIGIN].map(|name: HeaderName| name.to_string());
        let ours = [AGENT_SECRET, IDEMPOTENCY_KEY, OPERATOR].map(str::to_owned);
        for name in single.iter().chain(&ours) {
            if headers.get_all(name.as_str()).count() > 1 {
                return Err(ApiError::malformed(format!("`{name}` may be sent only once.")));
            }
        }
    }
    if let Some(host) = headers.get(HOST)
        && !is_host(host.as_bytes())
    {
        return Err(ApiError::malformed("`Host` must be a host, with a port if need be."));
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_MAX_BYTES) {
        return Err(ApiError::Is(PayloadTooLarge));
    }
    Ok(())
}

/// The address of ours that a connection came to.
struct CameTo(IpAddr);

/// Keeps it for the requests of the connection.
pub(crate) fn note_address(connection: &TcpStream, extensions: &mut Extensions) {
    if let Ok(address) = connection.local_addr() {
        extensions.insert(CameTo(address.ip()));
    }
}

/// Refuses requests for another host (see [`daemon::hosts`]).
pub(crate) fn must_be_for_us(req: &ServiceRequest, hosts: &Hosts) -> Result<(), ApiError> {
    let target = req.uri().authority().map(Authority::as_str);
    let named = req.headers().get_all(HOST).map(HeaderValue::as_bytes);
    let came_to = req.request().conn_data::<CameTo>().map(|here| here.0);
    hosts.admit(target, named, came_to).map_err(|stranger| match stranger {
        Stranger::NoHost => ApiError::malformed("Send a `Host` header."),
        Stranger::Unknown => ApiError::Is(UnknownHost),
    })
}

/// Whether it is a valid host; whether it is ours is checked later.
fn is_host(host: &[u8]) -> bool {
    // RFC 9112 requires an empty one if the target has no authority.
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}
