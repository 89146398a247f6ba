//! Headlines: NewsAPI's, or those of any feed.
//!
//! What cannot be read is not absent. An item that was not read in full is kept as such, and so is
//! that a list is not whole: [`mentions`] says that nobody wrote about something only where nothing
//! is in doubt.

mod dates;
mod encoding;
mod feed;
mod kept;
mod mentions;
mod newsapi;
mod text;
pub(crate) mod v1;

use ledger_core::Timestamp;
use url::Url;

use crate::http::Answer;
use crate::{Fetched, SourceError};

pub use feed::{DEFAULT_FEED_URL, Feed, parse_feed};
pub(crate) use kept::keep;
pub use mentions::mentions;
pub use newsapi::{DEFAULT_URL, NewsApi, parse_newsapi};

/// No more of a list of headlines is read.
pub const NEWS_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Longer links are left out.
const LINK_MAX_BYTES: usize = 2048;
/// A longer title is read up to here, and so not in full.
const TITLE_MAX_CHARS: usize = 2_000;

/// An item of a list of headlines, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Not empty, its spaces single; `None` if it has none that can be read.
    pub title: Option<String>,
    /// When the publisher says it was published; `None` if it does not say so.
    pub published_at: Option<Timestamp>,
    /// An `http` or `https` URL.
    pub link: Option<String>,
    /// Whether nothing of the title may be missing.
    pub whole: bool,
}

impl Item {
    fn new(title: &str, published_at: Option<Timestamp>, link: Option<&str>, whole: bool) -> Item {
        let words: Vec<&str> = title.split_whitespace().collect();
        let all = words.join(" ");
        let title: String = all.chars().take(TITLE_MAX_CHARS).collect();
        // What stands where a letter could not be read.
        let legible = !title.contains(char::REPLACEMENT_CHARACTER);
        Item {
            whole: whole && legible && title.len() == all.len(),
            title: (!title.is_empty()).then_some(title),
            published_at,
            link: link
                .map(str::trim)
                .filter(|it| is_link(it))
                .map(str::to_owned),
        }
    }
}

/// A list of headlines, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub items: Vec<Item>,
    /// Whether nothing is missing in it that its source sent.
    pub whole: bool,
}

impl Listing {
    /// Whether it holds something published at `at` or before, so that later ones are not missing
    /// because they are too old.
    fn reaches_back_to(&self, at: Timestamp) -> bool {
        let oldest = self.items.iter().filter_map(|it| it.published_at).min();
        oldest.is_some_and(|oldest| oldest <= at)
    }

    /// Whether a question about this keyword, had bets closed at `now`, could be decided by absence.
    ///
    /// # Errors
    /// As [`mentions`].
    pub fn could_decide(&self, keyword: &str, now: Timestamp) -> Result<(), SourceError> {
        mentions(self, keyword, now, now).map(drop)
    }
}

/// Where headlines come from: NewsAPI with a key, a feed without one.
#[derive(Clone)]
pub enum News {
    Api(NewsApi),
    Feed(Feed),
}

impl News {
    /// The headlines of now. The evidence holds up to [`NEWS_MAX_BYTES`]; [`crate::headlines_to_keep`]
    /// says what is kept of it.
    pub async fn headlines(&self, now: Timestamp) -> Fetched<Listing> {
        match self {
            News::Api(client) => client.headlines(now).await,
            News::Feed(client) => client.headlines(now).await,
        }
    }
}

/// Reads an answer of either, or what was kept of one: JSON is NewsAPI's or ours, everything else a
/// feed.
///
/// # Errors
/// When it is none of these.
pub fn parse(body: &[u8]) -> Result<Listing, SourceError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return parse_feed(body);
    }
    kept::parse(body).unwrap_or_else(|| parse_newsapi(body))
}

/// What an answer says. One that was cut off, or that is too long, still says what it says, and is
/// not whole.
fn as_far_as_it_came(
    answer: Answer,
    parse: impl FnOnce(&[u8]) -> Result<Listing, SourceError>,
) -> Fetched<Listing> {
    let Answer {
        evidence, outcome, ..
    } = answer;
    let value = match outcome {
        Ok(()) => parse(&evidence.body),
        Err(error) if evidence.status == Some(200) => parse(&evidence.body)
            .ok()
            .filter(|listing| !listing.items.is_empty())
            .map(|listing| Listing {
                whole: false,
                ..listing
            })
            .ok_or(error),
        Err(error) => Err(error),
    };
    Fetched { evidence, value }
}

fn is_link(text: &str) -> bool {
    text.len() <= LINK_MAX_BYTES
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}
