//! NewsAPI's top headlines about technology. The key travels in a header and nowhere else.

use ledger_core::Timestamp;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{Headline, some};
use crate::http::{self, Http};
use crate::{Fetched, SetupError, SourceError, json};

/// Where NewsAPI is.
pub const DEFAULT_URL: &str = "https://newsapi.org";
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// The title of an article that was taken back.
const REMOVED: &str = "[Removed]";

/// The NewsAPI client.
#[derive(Clone)]
pub struct NewsApi {
    http: Http,
    endpoint: Url,
    headers: HeaderMap,
}

impl NewsApi {
    /// `base_url` is [`DEFAULT_URL`] or the like.
    ///
    /// # Errors
    /// When the URL or the key cannot be used.
    pub fn new(http: Http, base_url: Url, key: &SecretString) -> Result<NewsApi, SetupError> {
        let mut headers = http::accepting("application/json");
        headers.insert(KEY_HEADER, http::secret_header("", key)?);
        let base = http::checked_base(base_url)?;
        let mut endpoint = http::below(&base, &["v2", "top-headlines"]);
        endpoint
            .query_pairs_mut()
            .append_pair("category", "technology")
            .append_pair("language", "en")
            .append_pair("pageSize", "50");
        Ok(NewsApi {
            http,
            endpoint,
            headers,
        })
    }

    /// The headlines of now.
    pub async fn headlines(&self, now: Timestamp) -> Fetched<Vec<Headline>> {
        let headers = self.headers.clone();
        let answer = self.http.get(&self.endpoint, headers, now).await;
        answer.understand(parse_newsapi)
    }
}

#[derive(Deserialize)]
struct Answer {
    status: Option<String>,
    articles: Option<Vec<Article>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Article {
    title: Option<String>,
    url: Option<String>,
    published_at: Option<String>,
}

/// Reads NewsAPI's answer.
///
/// # Errors
/// When the answer is no JSON, reports an error, or holds no headline.
pub fn parse_newsapi(body: &[u8]) -> Result<Vec<Headline>, SourceError> {
    let answer: Answer = json::object(body)?;
    let status = answer.status.ok_or(SourceError::MissingField("status"))?;
    if status != "ok" {
        return Err(SourceError::Nonsense {
            field: "status",
            problem: "is not ok",
        });
    }
    let articles = answer
        .articles
        .ok_or(SourceError::MissingField("articles"))?;
    let headline = |article: Article| {
        let title = article.title.filter(|title| title.trim() != REMOVED)?;
        let published_at: Timestamp = article.published_at?.parse().ok()?;
        Headline::new(&title, published_at, article.url.as_deref())
    };
    some(articles.into_iter().filter_map(headline).collect())
}
