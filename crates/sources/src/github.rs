//! GitHub: how many stars a repository has.
//!
//! A renamed or moved repository is another one: neither its redirect nor its new name counts.

use ledger_core::Timestamp;
use ledger_core::subject::Repository;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::http::{self, Http};
use crate::{Fetched, SetupError, SourceError, json, number};

/// Where the public API is.
pub const DEFAULT_URL: &str = "https://api.github.com";
const API_VERSION: &str = "2022-11-28";
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");

/// The GitHub client.
#[derive(Clone)]
pub struct GitHub {
    http: Http,
    base: Url,
    headers: HeaderMap,
}

impl GitHub {
    /// `base_url` is [`DEFAULT_URL`] or the like. Without a token GitHub grants 60 requests an hour.
    ///
    /// # Errors
    /// When the URL or the token cannot be used.
    pub fn new(
        http: Http,
        base_url: Url,
        token: Option<SecretString>,
    ) -> Result<GitHub, SetupError> {
        let mut headers = http::accepting("application/vnd.github+json");
        headers.insert(API_VERSION_HEADER, HeaderValue::from_static(API_VERSION));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, http::secret_header("Bearer ", &token)?);
        }
        Ok(GitHub {
            http,
            base: http::checked_base(base_url)?,
            headers,
        })
    }

    /// The stars of a repository, now.
    pub async fn stars(&self, repository: &Repository, now: Timestamp) -> Fetched<i64> {
        let path = ["repos", repository.owner(), repository.name()];
        let url = http::below(&self.base, &path);
        let mut answer = self.http.get(&url, self.headers.clone(), now).await;
        answer.outcome = answer.outcome.map_err(|error| match error {
            SourceError::Forbidden | SourceError::RateLimited { .. } => {
                let seconds = limited_for(&answer.headers, now);
                let said = matches!(error, SourceError::RateLimited { .. })
                    || says_slower(&answer.evidence.body);
                if seconds.is_some() || said {
                    SourceError::RateLimited {
                        retry_after_seconds: seconds,
                    }
                } else {
                    // A repository that is blocked, disabled or closed.
                    SourceError::Refused(403)
                }
            }
            SourceError::Status(status @ (410 | 451)) => SourceError::Refused(status),
            other => other,
        });
        answer.understand(|body| parse_stars(body, repository))
    }
}

/// GitHub says both 403 and 429 for "slower", and how long in one of two ways.
fn limited_for(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(seconds) = http::retry_after_seconds(headers, now) {
        return Some(seconds);
    }
    if text("x-ratelimit-remaining")? != "0" {
        return None;
    }
    let reset_seconds: i64 = text("x-ratelimit-reset")?.parse().ok()?;
    let reset = Timestamp::from_micros(reset_seconds.checked_mul(1_000_000)?)?;
    Some(reset.seconds_since(now).max(0))
}

/// Whether a refusal without a header is about our pace ("You have exceeded a secondary rate
/// limit"), or about our address.
fn says_slower(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["rate limit", "abuse detection"]
        .iter()
        .any(|words| text.contains(words))
}

#[derive(Deserialize)]
struct Answer<'a> {
    full_name: Option<String>,
    #[serde(borrow)]
    stargazers_count: Option<&'a RawValue>,
}

/// Reads the answer about a repository.
///
/// # Errors
/// When the answer is no JSON, is about another repository or gives no number of stars.
pub fn parse_stars(body: &[u8], repository: &Repository) -> Result<i64, SourceError> {
    const FIELD: &str = "stargazers_count";
    let answer: Answer<'_> = json::object(body)?;
    let full_name = answer
        .full_name
        .ok_or(SourceError::MissingField("full_name"))?;
    if !full_name.eq_ignore_ascii_case(&repository.to_string()) {
        return Err(SourceError::Nonsense {
            field: "full_name",
            problem: "is another repository's",
        });
    }
    let stars = number::whole(FIELD, answer.stargazers_count)?;
    if stars < 0 {
        return Err(SourceError::Nonsense {
            field: FIELD,
            problem: "is below zero",
        });
    }
    Ok(stars)
}
