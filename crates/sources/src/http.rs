//! One GET: a time-out, a contact, no redirects, a limited answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ledger_core::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::played::Played;
use crate::{BODY_MAX_BYTES, Evidence, Fetched, SetupError, SourceError};

/// How long one answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Query parameters with secret values, by the ends of their names.
const SECRET_PARAMETERS: [&str; 8] =
    ["key", "token", "secret", "auth", "sig", "signature", "pass", "password"];

/// Characters that are percent-encoded in a segment of a path: all except RFC 3986's unreserved ones.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parameters of requests to services.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where the operator can be found: part of the `User-Agent`.
    pub contact: String,
    /// For one whole answer; [`TIMEOUT`] in production.
    pub timeout: Duration,
}

/// The HTTP client that all services share; clones share its connections.
#[derive(Clone)]
pub struct Http(Transport);

/// How a world without a network answers.
type World = dyn Fn(&Url, Timestamp) -> Played + Send + Sync;

#[derive(Clone)]
enum Transport {
    Network {
        outward: Client,
        /// Never by way of a proxy, which could not reach our loopback.
        loopback: Client,
    },
    Played(Arc<World>),
}

impl Http {
    /// # Errors
    /// When the contact cannot be used, or HTTPS cannot.
    pub fn new(config: &HttpConfig) -> Result<Http, SetupError> {
        if config.contact.trim().is_empty() {
            return Err(SetupError::Contact);
        }
        let version = env!("CARGO_PKG_VERSION");
        let agent = format!("ledgerdome/{version} (+{})", config.contact);
        let agent = HeaderValue::from_str(&agent).map_err(|_| SetupError::Contact)?;
        let builder = || {
            Client::builder()
                .user_agent(agent.clone())
                .timeout(config.timeout)
                .redirect(reqwest::redirect::Policy::none())
        };
        Ok(Http(Transport::Network {
            outward: builder().build().map_err(|_| SetupError::Client)?,
            loopback: builder().no_proxy().build().map_err(|_| SetupError::Client)?,
        }))
    }

    /// For simulations: answers come from `world` at once, and nothing goes over a network.
    pub fn played(world: Arc<World>) -> Http {
        Http(Transport::Played(world))
    }

    /// Sends one request, for an answer of storable size.
    pub(crate) async fn get(&self, url: &Url, headers: HeaderMap, now: Timestamp) -> Answer {
        self.get_up_to(BODY_MAX_BYTES, url, headers, now).await
    }

    /// Asks once, and reads so many bytes at most.
    pub(crate) async fn get_up_to(
        &self,
        most: usize,
        url: &Url,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Answer {
        let evidence = Evidence::unanswered(without_secrets(url), now);
        let client = match &self.0 {
            Transport::Played(world) => return played(world(url, now), evidence),
            Transport::Network { loopback, .. } if http_client::is_loopback(url) => loopback,
            Transport::Network { outward, .. } => outward,
        };
        match client.get(url.clone()).headers(headers).send().await {
            Ok(response) => read(response, evidence, most).await,
            Err(error) => Answer { evidence, headers: HeaderMap::new(), outcome: Err(lost(error)) },
        }
    }
}

/// The answer of a request, not parsed yet.
pub(crate) struct Answer {
    pub(crate) evidence: Evidence,
    pub(crate) headers: HeaderMap,
    /// Whether the answer is complete and successful.
    pub(crate) outcome: Result<(), SourceError>,
}

impl Answer {
    pub(crate) fn understand<T>(
        self,
        parse: impl FnOnce(&[u8]) -> Result<T, SourceError>,
    ) -> Fetched<T> {
        let value = self.outcome.and_then(|()| parse(&self.evidence.body));
        Fetched { evidence: self.evidence, value }
    }

    /// The target of a redirect, relative to `asked`.
    pub(crate) fn redirect(&self, asked: &Url) -> Option<Url> {
        if !matches!(self.outcome, Err(SourceError::Redirected(_))) {
            return None;
        }
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        asked.join(location).ok()
    }
}

/// The headers of a request that accepts `kind`.
pub(crate) fn accepting(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(kind));
    headers
}

/// The charset that an answer's headers name.
pub(crate) fn charset(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let named = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Some(named.trim().trim_matches(['"', '\'']).to_owned())
}

/// A header value that is never shown.
pub(crate) fn secret_header(prefix: &str, key: &SecretString) -> Result<HeaderValue, SetupError> {
    let key = key.expose_secret();
    if key.is_empty() {
        return Err(SetupError::Key);
    }
    let text = format!("{prefix}{key}");
    http_client::sensitive(&text).map_err(|_| SetupError::Key)
}

/// The URL of a service.
pub(crate) fn checked(url: Url) -> Result<Url, SetupError> {
    if http_client::is_plain(&url) { Ok(url) } else { Err(SetupError::Url) }
}

/// A URL that endpoints are put onto.
pub(crate) fn checked_base(url: Url) -> Result<Url, SetupError> {
    if url.query().is_some() {
        return Err(SetupError::Url);
    }
    checked(url)
}

/// `base` with a path, each segment percent-encoded.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    let before = base.path().trim_end_matches('/');
    let encoded = segments.iter().map(|it| utf8_percent_encode(it, ESCAPED));
    let path = encoded.fold(before.to_owned(), |path, segment| format!("{path}/{segment}"));
    url.set_path(&path);
    url
}

/// The wait of a `Retry-After`, in seconds.
pub fn retry_after_seconds(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let since_1970 = Duration::from_micros(u64::try_from(now.micros()).ok()?);
    let wait = http_client::retry_after(headers, SystemTime::UNIX_EPOCH + since_1970)?;
    i64::try_from(wait.as_secs()).ok()
}

fn without_secrets(url: &Url) -> String {
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRET_PARAMETERS.iter().any(|end| name.ends_with(end))
    };
    if !url.query_pairs().any(|(name, _)| is_secret(&name)) {
        return url.to_string();
    }
    let mut shown = url.clone();
    let mut query = shown.query_pairs_mut();
    query.clear();
    for (name, value) in url.query_pairs() {
        let value = if is_secret(&name) { "REMOVED" } else { &value };
        query.append_pair(&name, value);
    }
    drop(query);
    shown.to_string()
}

fn played(played: Played, mut evidence: Evidence) -> Answer {
    let header = |(name, value): (&'static str, String)| {
        let name = HeaderName::from_static(name);
        HeaderValue::from_str(&value).ok().map(|value| (name, value))
    };
    let headers: HeaderMap = played.headers.into_iter().filter_map(header).collect();
    let status = StatusCode::from_u16(played.status).unwrap_or(StatusCode::NOT_FOUND);
    evidence.body = played.body;
    answered(evidence, status, headers, Ok(()))
}

async fn read(mut response: Response, mut evidence: Evidence, most: usize) -> Answer {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = read_capped(response, &mut evidence, most).await;
    answered(evidence, status, headers, body)
}

fn answered(
    mut evidence: Evidence,
    status: StatusCode,
    headers: HeaderMap,
    body: Result<(), SourceError>,
) -> Answer {
    evidence.status = Some(status.as_u16());
    evidence.sha256 = Some(Evidence::digest(&evidence.body));
    // The status comes first: the body of a refusal decides nothing.
    let outcome = check(status, &headers, evidence.fetched_at).and(body);
    Answer { evidence, headers, outcome }
}

async fn read_capped(
    mut response: Response,
    evidence: &mut Evidence,
    most: usize,
) -> Result<(), SourceError> {
    loop {
        // Until the end is seen.
        evidence.truncated = true;
        let Some(chunk) = response.chunk().await.map_err(lost)? else {
            evidence.truncated = false;
            return Ok(());
        };
        let room = most.saturating_sub(evidence.body.len());
        evidence.body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            return Err(SourceError::TooLarge);
        }
    }
}

fn check(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), SourceError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            Err(SourceError::RateLimited { retry_after_seconds: retry_after_seconds(headers, now) })
        }
        StatusCode::FORBIDDEN => Err(SourceError::Forbidden),
        StatusCode::NOT_FOUND => Err(SourceError::NotFound),
        _ if status.is_server_error() => Err(SourceError::Server(status.as_u16())),
        _ if status.is_redirection() => Err(SourceError::Redirected(status.as_u16())),
        _ => Err(SourceError::Status(status.as_u16())),
    }
}

fn lost(error: reqwest::Error) -> SourceError {
    if error.is_timeout() {
        return SourceError::Timeout;
    }
    SourceError::Unreachable(http_client::reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let base = url("https://example.org/w/");
        for (segment, path) in [
            ("AC/DC", "/w/AC%2FDC"),
            ("What?", "/w/What%3F"),
            ("C#", "/w/C%23"),
            ("100%", "/w/100%25"),
            ("Käse", "/w/K%C3%A4se"),
            ("../x", "/w/..%2Fx"),
            ("A_b-c.d~e", "/w/A_b-c.d~e"),
        ] {
            assert_eq!(below(&base, &[segment]).path(), path);
        }
    }

    #[test]
    fn urls_that_would_leak_or_lose_something_are_refused() {
        for text in [
            "ftp://example.org",
            "data:text/plain,x",
            "https://user@example.org",
            "https://:password@example.org",
            "https://example.org/#part",
        ] {
            assert_eq!(checked(url(text)), Err(SetupError::Url), "{text}");
        }
        assert!(checked(url("https://example.org/feed?x=1")).is_ok());
        assert!(checked_base(url("https://example.org/feed?x=1")).is_err());
    }

    #[test]
    fn secrets_in_a_query_are_not_shown() {
        let shown = without_secrets(&url("https://example.org/feed?a=1&apiKey=hunter2&b=2"));
        assert_eq!(shown, "https://example.org/feed?a=1&apiKey=REMOVED&b=2");
        let plain = "https://example.org/feed?a=x%20y&keyword=rust";
        assert_eq!(without_secrets(&url(plain)), plain);
    }
}
