//! NewsAPI's top headlines about technology. The key travels in a header and nowhere else.

use ledger_core::Timestamp;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::{Item, Listing, NEWS_MAX_BYTES, dates, text};
use crate::error::{given, nonsense};
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
            // The most that it gives.
            .append_pair("pageSize", "100");
        Ok(NewsApi { http, endpoint, headers })
    }

    /// The headlines of now.
    pub async fn headlines(&self, now: Timestamp) -> Fetched<Listing> {
        let headers = self.headers.clone();
        let answer = self.http.get_up_to(NEWS_MAX_BYTES, &self.endpoint, headers, now).await;
        answer.understand(parse_newsapi)
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    status: Option<String>,
    #[serde(rename = "totalResults")]
    total: Option<Value>,
    #[serde(borrow)]
    articles: Option<Vec<&'a RawValue>>,
}

/// Reads NewsAPI's answer. An article that is not what it should be costs nothing but itself. The list is
/// complete if its count is not larger than the number of listed articles.
///
/// # Errors
/// When the answer is no JSON, or reports an error.
pub fn parse_newsapi(body: &[u8]) -> Result<Listing, SourceError> {
    let answer: Answer<'_> = json::object(body)?;
    let status = given("status", answer.status)?;
    if status != "ok" {
        return nonsense("status", "is not ok");
    }
    let articles = given("articles", answer.articles)?;
    let total = answer.total.as_ref().and_then(Value::as_u64);
    let total = total.and_then(|total| usize::try_from(total).ok());
    Ok(Listing {
        whole: total.is_some_and(|total| total <= articles.len()),
        items: articles.into_iter().map(article).collect(),
    })
}

fn article(raw: &RawValue) -> Item {
    let article: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let field = |name: &str| article.get(name).and_then(Value::as_str);
    let title = field("title").unwrap_or_default();
    // Its date may be what it was: then it is in doubt only where that lies in time.
    let removed = title.trim() == REMOVED;
    let published_at = field("publishedAt");
    Item::new(
        &text::shown(if removed { "" } else { title }),
        published_at.and_then(dates::read),
        field("url"),
        true,
    )
}
