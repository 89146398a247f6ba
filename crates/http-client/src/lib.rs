//! Shared by the arena's HTTP clients: no redirects, no proxy to this machine, bounded answers, and
//! `Retry-After`.
//!
//! It has nothing about the requests themselves. The callers retry, because they know what may be repeated.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderValue, InvalidHeaderValue, RETRY_AFTER};
use reqwest::{ClientBuilder, Response};
use url::{Host, Url};

/// The longest accepted wait: a wrong `Retry-After` must not disable a source forever.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A client that follows no redirects, because one could send a key to another host. Where `url` leads to
/// this machine it uses no proxy, which could not reach our loopback.
pub fn builder(url: &Url) -> ClientBuilder {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) { builder.no_proxy() } else { builder }
}

/// Whether it is an HTTP URL without user and password, which belong into headers, and without a fragment.
pub fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// A header value that no `Debug` shows.
///
/// # Errors
/// When the text does not fit a header.
pub fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The wait that an answer requests: in seconds, rounded up, or until a date by the server's clock, or by `now`
/// if the answer has no `Date`. At most [`RETRY_AFTER_MAX`]; other values are ignored.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |name| httpdate::parse_http_date(text(name)?).ok();
    let wait = match date(RETRY_AFTER) {
        Some(until) => until.duration_since(date(DATE).unwrap_or(now)).unwrap_or_default(),
        None => seconds(text(RETRY_AFTER)?)?,
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The standard has whole seconds; some providers send fractions.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    // More digits than a u64 holds exceed the longest accepted wait.
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let round_up = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    Some(Duration::from_secs(whole.saturating_add(round_up)))
}

/// Why the body of an answer was not read.
#[derive(Debug)]
pub enum Unread {
    Broken(reqwest::Error),
    TooLarge,
}

/// The body of an answer, if it has no more than so many bytes.
///
/// # Errors
/// When the connection breaks, or more bytes come.
pub async fn read_up_to(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error with its causes and without the URL, which may contain a key.
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing into a String cannot fail.
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_comes_in_two_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_771_200_000);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(read("90"), Some(90));
        assert_eq!(read(" 90 "), Some(90));
        assert_eq!(read("1.5"), Some(2));
        assert_eq!(read("3.0"), Some(3));
        let most = RETRY_AFTER_MAX.as_secs();
        assert_eq!(read("99999999999999999999"), Some(most));
        assert_eq!(read("Mon, 16 Feb 2026 00:15:00 GMT"), Some(900));
        assert_eq!(read("Sun, 15 Feb 2026 00:00:00 GMT"), Some(0));
        for text in ["", "soon", "-5", "+5", ".5", "Mon, 99 Feb 2026 00:15:00 GMT"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_server_that_tells_its_time_is_read_by_it() {
        let mut headers = HeaderMap::new();
        let mut insert = |name, text| headers.insert(name, HeaderValue::from_static(text));
        insert(DATE, "Wed, 21 Oct 2026 07:27:30 GMT");
        insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT");
        let wait = retry_after(&headers, SystemTime::UNIX_EPOCH);
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }

    #[test]
    fn this_machine_has_many_names() {
        for (url, expected) in [
            ("http://localhost:1/x", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:1", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
            ("data:,x", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
