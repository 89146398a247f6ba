//! Shared by price sources on the web.
//!
//! One request an answer: no retries, no redirects (a key would follow them), a time-out, and no more
//! of the answer than [`ANSWER_MAX_BYTES`].

use std::num::NonZeroU16;
use std::time::Duration;

use http_client::Unread;
use ledger_core::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::FeedError;

/// How long one answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read; twelve hours of minutes have about sixty thousand.
pub const ANSWER_MAX_BYTES: usize = 1_048_576;

/// How to reach a source.
#[derive(Clone)]
pub struct SourceConfig {
    /// Without the endpoint.
    pub base_url: Url,
    /// A key, if the source takes one and there is one.
    pub api_key: Option<SecretString>,
    /// Where the operator can be found: part of the `User-Agent`.
    pub contact: String,
    /// For the whole answer; [`TIMEOUT`] in production.
    pub timeout: Duration,
}

/// Why a feed cannot be set up. Messages hold no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("must be an http:// or https:// URL such as {0}")]
    Url(&'static str),
    #[error("must be printable ASCII, valid in an HTTP header")]
    ApiKey,
    #[error("must be printable ASCII such as an address or URL, valid in an HTTP header")]
    Contact,
    #[error("cannot be used: no HTTPS client could be made; are CA certificates installed?")]
    Client,
}

/// A client for one source.
pub(super) struct Http {
    client: Client,
    base: Url,
}

impl Http {
    /// `example` is a base URL that would do, `key_header` the header that a key goes into.
    pub(super) fn new(
        config: SourceConfig,
        example: &'static str,
        key_header: &'static str,
    ) -> Result<Http, SetupError> {
        let base = config.base_url;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(SetupError::Url(example));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = config.api_key {
            let value =
                http_client::sensitive(key.expose_secret()).map_err(|_| SetupError::ApiKey)?;
            headers.insert(key_header, value);
        }
        let version = env!("CARGO_PKG_VERSION");
        let agent = format!("ledgerdome-oracle/{version} (+{})", config.contact);
        let agent = HeaderValue::from_str(&agent).map_err(|_| SetupError::Contact)?;
        let client = http_client::builder(&base)
            .user_agent(agent)
            .default_headers(headers)
            .timeout(config.timeout)
            .build()
            .map_err(|_| SetupError::Client)?;
        Ok(Http { client, base })
    }

    /// The body of the answer at a path below the base.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Vec<u8>, FeedError> {
        let url = below(&self.base, path, query);
        let response = self.client.get(url).send().await.map_err(lost)?;
        check_status(&response, now)?;
        let body = http_client::read_up_to(response, ANSWER_MAX_BYTES).await;
        body.map_err(|unread| match unread {
            Unread::Broken(error) => lost(error),
            Unread::TooLarge => FeedError::TooLarge { limit_bytes: ANSWER_MAX_BYTES },
        })
    }
}

fn below(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    // Every http URL with a host has segments.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.query_pairs_mut().extend_pairs(query);
    url
}

fn lost(error: reqwest::Error) -> FeedError {
    if error.is_timeout() {
        return FeedError::Timeout;
    }
    FeedError::Unreachable(http_client::reason(error))
}

fn check_status(response: &Response, now: Timestamp) -> Result<(), FeedError> {
    let status = response.status();
    let number = NonZeroU16::new(status.as_u16()).unwrap_or(NonZeroU16::MIN);
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(FeedError::RateLimited {
            retry_after_seconds: sources::retry_after_seconds(response.headers(), now),
        }),
        StatusCode::FORBIDDEN => Err(FeedError::Forbidden),
        _ if status.is_server_error() => Err(FeedError::Server(number)),
        _ => Err(FeedError::Status(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_follows_the_base() {
        let query = [("ids", "bitcoin"), ("to", "2")];
        for base in ["https://example.org/api/v3", "https://example.org/api/v3/"] {
            let url = below(&base.parse().unwrap(), &["simple", "price"], &query);
            assert_eq!(url.as_str(), "https://example.org/api/v3/simple/price?ids=bitcoin&to=2");
        }
        let config = SourceConfig {
            base_url: "ftp://example.org".parse().unwrap(),
            api_key: None,
            contact: "ops@example.org".to_owned(),
            timeout: TIMEOUT,
        };
        let refused = Http::new(config, "https://example.com", "x-key").err();
        assert_eq!(refused, Some(SetupError::Url("https://example.com")));
    }
}
