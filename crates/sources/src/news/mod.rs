//! Headlines: NewsAPI's, or those of any feed.
//!
//! What has no title or no date that can be read is left out, and an answer without any headline
//! says nothing: it must never pass for "nobody wrote about it".

mod feed;
mod mentions;
mod newsapi;

use ledger_core::Timestamp;
use url::Url;

use crate::SourceError;

pub use feed::{Feed, parse_feed};
pub use mentions::mentions;
pub use newsapi::{DEFAULT_URL, NewsApi, parse_newsapi};

/// Longer links are left out.
const LINK_MAX_BYTES: usize = 2048;

/// A headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// Not empty, its spaces single.
    pub title: String,
    /// When the publisher says it was published.
    pub published_at: Timestamp,
    /// An `http` or `https` URL.
    pub link: Option<String>,
}

impl Headline {
    /// `None` without a title.
    fn new(title: &str, published_at: Timestamp, link: Option<&str>) -> Option<Headline> {
        let words: Vec<&str> = title.split_whitespace().collect();
        if words.is_empty() {
            return None;
        }
        Some(Headline {
            title: words.join(" "),
            published_at,
            link: link
                .map(str::trim)
                .filter(|it| is_link(it))
                .map(str::to_owned),
        })
    }
}

fn is_link(text: &str) -> bool {
    text.len() <= LINK_MAX_BYTES
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn some(headlines: Vec<Headline>) -> Result<Vec<Headline>, SourceError> {
    if headlines.is_empty() {
        return Err(SourceError::Nonsense {
            field: "list of headlines",
            problem: "holds none with a title and a date",
        });
    }
    Ok(headlines)
}
