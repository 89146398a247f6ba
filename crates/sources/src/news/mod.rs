//! Headlines: NewsAPI's, or those of any feed.
//!
//! An unreadable item does not count as missing. Incompletely read items and incomplete lists are marked as such:
//! [`mentions`] returns "no match" only if nothing is in doubt.

mod dates;
mod encoding;
mod feed;
mod kept;
mod mentions;
mod newsapi;
mod source;
mod text;
pub(crate) mod v1;

use ledger_core::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::Answer;
use crate::{Fetched, SourceError};

pub use feed::{DEFAULT_FEED_URL, Feed, parse_feed};
pub(crate) use kept::keep;
pub use mentions::mentions;
pub use newsapi::{DEFAULT_URL, NewsApi, parse_newsapi};
pub(crate) use source::Headlines;
pub use source::headlines_to_keep;

/// No more of a list of headlines is read.
pub const NEWS_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Longer links are left out.
const LINK_MAX_BYTES: usize = 2048;
/// A longer title is read up to here, and so not in full.
const TITLE_MAX_CHARS: usize = 2_000;
/// The beginning of 1999, the year of the first feed. An earlier date is one that was never set.
const FIRST_FEED_MICROS: i64 = 915_148_800_000_000;
/// So many items at the end of a list show how far back it reaches: one alone may be pinned there.
const LAST_ITEMS: usize = 3;
/// Feeds may list items forever that are older than the market's time by this.
const EVERGREEN_SECONDS: i64 = 30 * 24 * 60 * 60;

/// An item of a list of headlines, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Not empty, its spaces single; `None` if it has none that can be read.
    pub title: Option<String>,
    /// The publisher's date of publication, if given.
    pub published_at: Option<Timestamp>,
    /// The date of its last change, if there is no date of publication: it was published by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
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
        // Replaces an unreadable letter.
        let legible = !title.contains(char::REPLACEMENT_CHARACTER);
        Item {
            whole: whole && legible && title.len() == all.len(),
            title: (!title.is_empty()).then_some(title),
            published_at: published_at.filter(|at| at.micros() >= FIRST_FEED_MICROS),
            updated_at: None,
            link: link.map(str::trim).filter(|it| is_link(it)).map(str::to_owned),
        }
    }

    /// Whether it was published after `after` and by `until`; `None` without a date.
    fn is_between(&self, after: Timestamp, until: Timestamp) -> Option<bool> {
        match (self.published_at, self.updated_at) {
            (Some(at), _) => Some(after < at && at <= until),
            (None, Some(at)) if at <= after => Some(false),
            (None, _) => None,
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
    /// Where the items are that have a title and a date, and the latest time at which each was
    /// published.
    fn dated(&self) -> impl DoubleEndedIterator<Item = (usize, Timestamp)> {
        let items = self.items.iter().enumerate();
        items.filter_map(|(place, item)| {
            let at = item.published_at.or(item.updated_at)?;
            item.title.as_ref().map(|_| (place, at))
        })
    }

    /// The last items of [`Listing::dated`], without those that may be kept in the list for ever.
    fn last_items(&self, at: Timestamp) -> impl Iterator<Item = (usize, Timestamp)> {
        let evergreen = at.plus_seconds(-EVERGREEN_SECONDS);
        let recent = self.dated().rev().filter(move |(_, it)| *it > evergreen);
        recent.take(LAST_ITEMS)
    }

    /// Whether the list goes on to what was published at `at` or before, so that nothing published
    /// later has dropped off its end.
    ///
    /// Lists have the newest first, and a pinned or evergreen item anywhere. So one old item shows
    /// nothing: the last three in the list must be so old, or all if there are fewer. Items without
    /// a title or date, and those a month older, are passed over. A list that is in another order can
    /// lose items and pass all the same.
    fn reaches_back_to(&self, at: Timestamp) -> bool {
        self.dated().next().is_some() && self.last_items(at).all(|(_, it)| it <= at)
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
    /// The headlines of now. The evidence has up to [`NEWS_MAX_BYTES`]; [`crate::headlines_to_keep`] returns the
    /// part to store.
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

/// The items of an answer. A truncated or too long answer has its items, but is incomplete.
fn as_far_as_it_came(
    answer: Answer,
    parse: impl FnOnce(&[u8]) -> Result<Listing, SourceError>,
) -> Fetched<Listing> {
    let Answer { evidence, outcome, .. } = answer;
    let value = match outcome {
        Ok(()) => parse(&evidence.body),
        Err(error) if evidence.status == Some(200) => parse(&evidence.body)
            .ok()
            .filter(|listing| !listing.items.is_empty())
            .map(|listing| Listing { whole: false, ..listing })
            .ok_or(error),
        Err(error) => Err(error),
    };
    Fetched { evidence, value }
}

fn is_link(text: &str) -> bool {
    text.len() <= LINK_MAX_BYTES
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}
